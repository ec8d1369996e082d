import type { TaskRunner } from "../task.ts";
import { runnerOf } from "../workloads.ts";
import { createClient } from "./ours.ts";

/** For the worker: no message fails. */
export const create = (): TaskRunner =>
  runnerOf(createClient("ours-with-backoff", { backoff: [100, 1_000], maxDeliver: 5, deadLetter: "dead" }));
