import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { binaries, installBinary } from "../test/support/binaries.ts";
import { npm } from "../test/support/packages.ts";
import { WorkerProcess } from "./client-process.ts";
import type { ClientProcess } from "./client-process.ts";
import { PEERS } from "./peers.ts";
import { StanBench } from "./stan-bench.ts";
import type { ClientOptions } from "./task.ts";

/** The clients that take part, by their names in tables and results. */
export type ClientName =
  | ("ours" | "ours with key" | "ours with backoff" | "drop-in")
  | ("node-nats-streaming" | "stan.go" | "bare socket");

interface Entry {
  readonly title: string;
  readonly start: (options: ClientOptions) => Promise<ClientProcess>;
  /** Installs what the client needs, where that is missing. Returns why the client cannot take part. */
  readonly prepare: () => string | undefined;
}

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
const { dependencies: peers } = JSON.parse(readFileSync(join(PEERS, "package.json"), "utf8")) as {
  dependencies: Record<string, string>;
};
const worker = (name: string) => (options: ClientOptions) => WorkerProcess.start(name, options);
const nothing = (): undefined => undefined;

/** All clients that may take part. */
export const clients: Record<ClientName, Entry> = {
  ours: { title: `nats-streaming-client ${version}`, start: worker("ours"), prepare: nothing },
  "ours with key": { title: "the same, with key", start: worker("ours-with-key"), prepare: nothing },
  "ours with backoff": {
    title: "the same, with backoff, maxDeliver and deadLetter",
    start: worker("ours-with-backoff"),
    prepare: nothing,
  },
  "drop-in": { title: "its node-nats-streaming layer", start: worker("drop-in"), prepare: nothing },
  "node-nats-streaming": {
    title: `node-nats-streaming ${peers["node-nats-streaming"]}`,
    start: worker("node-nats-streaming"),
    prepare: installPeers,
  },
  "stan.go": {
    title: `stan.go ${binaries.stanBench.version} (stan-bench)`,
    start: async (options) => new StanBench(options),
    prepare() {
      const found = installBinary(binaries.stanBench);
      return "missing" in found ? found.missing : undefined;
    },
  },
  "bare socket": { title: "bare socket (the limit)", start: worker("bare-socket"), prepare: nothing },
};

/** Installs the packages of bench/peers/package.json there, unless they are. Returns why it could not be done. */
function installPeers(): string | undefined {
  if (Object.keys(peers).every((name) => existsSync(join(PEERS, "node_modules", name)))) return undefined;
  return npm(["install", "--no-package-lock", "--prefix", PEERS]);
}
