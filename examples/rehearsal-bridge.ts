// The bridge of examples/rehearsal.ts, as a process of its own, so that it can be killed. It does what
// `npx nats-streaming-client bridge copy --watch` does.
import { copy } from "../src/bridge/index.ts";
import type { BridgeOptions } from "../src/bridge/index.ts";
import { failed, reasonOf } from "./terminal.ts";

const options = JSON.parse(process.argv[2]!) as BridgeOptions;
const ending = new AbortController();
// The rehearsal is over, whatever has ended it.
process.on("disconnect", () => ending.abort());
process.on("SIGINT", () => undefined);

copy({ ...options, watch: true, signal: ending.signal, onProgress: (progress) => process.send(progress) })
  .then(({ channels }) => {
    for (const { error } of channels) if (error !== undefined) failed(new Error(`${error.message}. ${error.remedy}`));
  })
  .catch((error: unknown) => failed(new Error(reasonOf(error))));
