import { peer } from "../peers.ts";
import type { StreamingClient } from "../streaming-client.ts";
import type { TaskRunner } from "../task.ts";
import { runnerOf } from "../workloads.ts";
import { NodeNatsStreaming, type StanLibrary } from "./stan.ts";

const NAME = "node-nats-streaming";

/** For the measurement of an idle client. */
export const createClient = (): StreamingClient => new NodeNatsStreaming(peer<StanLibrary>(NAME), NAME);

/** For the worker. */
export const create = (): TaskRunner => runnerOf(createClient());
