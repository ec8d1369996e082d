import { join } from "node:path";
import type { StreamingClient } from "../streaming-client.ts";
import type { TaskRunner } from "../task.ts";
import { runnerOf } from "../workloads.ts";
import { NodeNatsStreaming, type StanLibrary } from "./stan.ts";

/** The layer for programs of node-nats-streaming, as it is published. */
const library = require(join(process.cwd(), "dist", "node-nats-streaming.js")) as StanLibrary;

/** For the measurement of an idle client. */
export const createClient = (): StreamingClient => new NodeNatsStreaming(library, "drop-in");

/** For the worker. */
export const create = (): TaskRunner => runnerOf(createClient());
