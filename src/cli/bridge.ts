import type { Command } from "./command.ts";

/** @internal */
export const bridge: readonly Command[] = [];
