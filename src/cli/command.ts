import type { Access, Options } from "./access.ts";
import { UsageError } from "./host.ts";
import type { Host } from "./host.ts";
import type { Output } from "./output.ts";

/** @internal What a command gets to run with. */
export interface Run {
  readonly host: Host;
  readonly output: Output;
  readonly access: Access;
  readonly args: readonly string[];
  /** The value of an option, or undefined. */
  text(name: string): string | undefined;
  flag(name: string): boolean;
  /** The value of an option as a whole number. */
  number<T extends number | undefined>(name: string, byDefault: T, least?: number, most?: number): number | T;
}

/** @internal A command: one file each. */
export interface Command {
  readonly name: string;
  /** The names of the arguments, in their order; in brackets: may be left out; with …: one or more. */
  readonly args: readonly string[];
  /** What it does, in a line. */
  readonly summary: string;
  readonly options: Options;
  /** What else the help says. */
  readonly notes?: readonly string[];
  /** A command line that works, behind the program's name. */
  readonly example: string;
  /** Which of the common options it has: those of clients, of the monitoring page, or both. */
  readonly uses: readonly ("client" | "monitor")[];
  /** Resolves with the exit code. */
  run(run: Run): Promise<number>;
}

/** @internal A duration as "500ms", "30s", "10m", "2h" or "7d", in milliseconds; undefined if it is none. */
export function durationOf(text: string): number | undefined {
  const parts = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  if (parts === null) return undefined;
  const units: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  return Number(parts[1]) * units[parts[2]];
}

/** @internal The value of an option as milliseconds. */
export function durationIn<T extends number | undefined>({ text: of }: Run, name: string, byDefault: T): number | T {
  const text = of(name);
  if (text === undefined) return byDefault;
  const duration = durationOf(text);
  if (duration === undefined) throw new UsageError(`--${name} must be like 500ms, 10s, 5m or 2h, not ${text}`);
  return duration;
}
