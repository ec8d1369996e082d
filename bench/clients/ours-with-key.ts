import type { TaskRunner } from "../task.ts";
import { runnerOf } from "../workloads.ts";
import { createClient } from "./ours.ts";

const keys = Array.from({ length: 10_000 }, (_, i) => `customer ${i}`);

/** For the worker: each message has another key than the 9,999 before it. */
export const create = (): TaskRunner =>
  runnerOf(createClient("ours-with-key", { key: ({ sequence }) => keys[sequence % keys.length]! }));
