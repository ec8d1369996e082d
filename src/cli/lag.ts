import { createServer } from "node:http";
import { aborted, sleep } from "../core-nats/async.ts";
import { now } from "../core-nats/clock.ts";
import type { Monitor } from "../monitoring/monitor.ts";
import { keyOf, positionsOf, Since } from "../monitoring/positions.ts";
import type { Position } from "../monitoring/positions.ts";
import { durationIn, LARGEST_PORT } from "./command.ts";
import type { Command, Run } from "./command.ts";
import { Exporter } from "../monitoring/exporter.ts";
import { Failure, UsageError } from "./host.ts";
import { reasonOf } from "./output.ts";
import { stateOf, tableOf } from "./table.ts";

/** @internal */
export const lag: Command = {
  name: "lag",
  args: ["[CHANNEL]"],
  summary: "shows how far each subscription is behind; --serve has Prometheus and KEDA read it",
  options: {
    watch: { help: "draws the table again and again, until Ctrl-C" },
    every: { value: "TIME", help: "how often; default 2s" },
    serve: { value: "PORT", help: "serves /metrics, /lag and /healthz until Ctrl-C; 0: a free port" },
    listen: { value: "HOST", help: "the address that --serve listens on; default 127.0.0.1" },
  },
  example: "lag --serve 9222 --listen 0.0.0.0",
  uses: ["monitor"],
  async run(run) {
    const port = run.text("serve") === undefined ? undefined : run.number("serve", 0, 0, LARGEST_PORT);
    if (port !== undefined && run.flag("watch")) throw new UsageError("--watch and --serve exclude each other");
    if (port !== undefined) return serve(run, port);
    return watch(run);
  },
};

interface Look {
  readonly at: number;
  readonly positions: readonly Position[];
}

async function look(monitor: Monitor, channel: string | undefined): Promise<Look> {
  const found = channel === undefined ? await monitor.channels() : [await monitor.channel(channel)];
  const positions = found.flatMap((page) => {
    if (page === undefined) throw new Failure(`the server has no channel ${channel}`);
    return positionsOf(page);
  });
  return { at: now(), positions: positions.sort((a, b) => b.lag - a.lag) };
}

async function watch(run: Run): Promise<number> {
  const {
    output,
    access,
    host,
    args: [channel],
  } = run;
  const { monitor } = access;
  const every = durationIn(run, "every", "2s");
  const since = new Since();
  let before: Look | undefined;
  do {
    try {
      const latest = await look(monitor, channel);
      since.watch(latest.positions, latest.at);
      draw(run, latest, before, since);
      before = latest;
    } catch (error) {
      if (host.signal.aborted) break;
      // A server that restarts is no reason to stop watching it.
      if (before === undefined) throw error;
      output.warn(reasonOf(error));
    }
    if (run.flag("watch")) await sleep(every, host.signal);
  } while (run.flag("watch") && !host.signal.aborted);
  return 0;
}

function draw({ output, flag }: Run, latest: Look, before: Look | undefined, since: Since): void {
  const { at, positions } = latest;
  const sinceOf = (position: Position): string | null => {
    const begun = since.of(position);
    return begun === undefined ? null : new Date(begun).toISOString();
  };
  if (output.json) {
    const all = positions.map((position) => ({ ...position, since: sinceOf(position) }));
    output.value({ time: new Date(at).toISOString(), subscriptions: all });
    return;
  }
  if (flag("watch")) output.clear();
  const trends = new Map(before?.positions.map((position) => [keyOf(position), position.lag]));
  const seconds = (at - (before?.at ?? at)) / 1_000;
  const rows = positions.map((position) => {
    const last = trends.get(keyOf(position));
    const change = last === undefined || seconds === 0 ? "-" : Math.round((position.lag - last) / seconds);
    const { channel, name, pending, lag } = position;
    const shown = typeof change === "number" && change > 0 ? `+${change}` : String(change);
    return [channel, name, lag, shown, pending, stateOf(position), sinceOf(position)?.slice(0, 19) ?? "-"];
  });
  const head = ["CHANNEL", "SUBSCRIPTION", "LAG", "PER SECOND", "PENDING", "STATE", "SINCE"];
  const columns = flag("watch") ? head : head.filter((name) => name !== "PER SECOND" && name !== "SINCE");
  const cells = rows.map((row) => row.filter((_, i) => columns.includes(head[i])));
  for (const line of tableOf(columns, cells, output)) output.say(line);
}

async function serve({ output, access, host, args: [channel], text }: Run, port: number): Promise<number> {
  const exporter = new Exporter(access.monitor, channel, createServer);
  const address = text("listen") ?? "127.0.0.1";
  const url = await exporter.listen(port, address);
  if (output.json) output.value({ url });
  else output.say(`${url} serves /metrics, /lag and /healthz, until Ctrl-C.`);
  await aborted(host.signal);
  await exporter.close();
  return 0;
}
