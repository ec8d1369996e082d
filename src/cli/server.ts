import { aborted } from "../core-nats/async.ts";
import { StreamingServer } from "../testing/server.ts";
import type { Command } from "./command.ts";

/** @internal */
export const server: Command = {
  name: "server",
  args: [],
  summary: "runs the server for tests until Ctrl-C, for trying out",
  options: {
    port: { value: "N", short: "p", help: "default 4222; 0: a free one" },
    cluster: { value: "ID", help: "default test-cluster" },
  },
  notes: ["It keeps everything in memory, lets in everybody on this machine, and is not for production."],
  example: "server --port 4222",
  uses: [],
  async run({ output, host, text, number }) {
    const clusterId = text("cluster") ?? "test-cluster";
    const running = await StreamingServer.start({ port: number("port", 4222, 0, 65_535), clusterId });
    if (output.json) output.value({ url: running.url, clusterId });
    else output.say(`${running.url} serves the cluster ID ${clusterId}. It forgets everything when Ctrl-C ends it.`);
    await aborted(host.signal);
    await running.stop();
    return 0;
  },
};
