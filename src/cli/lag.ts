import { createServer } from "node:http";
import { aborted, sleep } from "../core-nats/async.ts";
import { now } from "../core-nats/clock.ts";
import { Exporter } from "../monitoring/exporter.ts";
import { keyOf, Since } from "../monitoring/positions.ts";
import type { Position } from "../monitoring/positions.ts";
import { durationIn } from "./command.ts";
import type { Command, Run } from "./command.ts";
import { UsageError } from "./host.ts";
import { reasonOf } from "./output.ts";
import { positionsIn } from "./subs.ts";
import { printTable, stateOf } from "./table.ts";

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
    const port = run.text("serve") === undefined ? undefined : run.number("serve", 0, 0, 65_535);
    if (port !== undefined && run.flag("watch")) throw new UsageError("--watch and --serve exclude each other");
    return port === undefined ? watch(run) : serve(run, port);
  },
};

type Look = { readonly at: number; readonly positions: readonly Position[] };

async function watch(run: Run): Promise<number> {
  const { output, access: { monitor }, host: { signal }, args: [channel] } = run;
  const every = durationIn(run, "every", 2_000);
  const since = new Since();
  let before: Look | undefined;
  do {
    try {
      const positions = (await positionsIn(monitor, channel)).sort((a, b) => b.lag - a.lag);
      const latest = { at: now(), positions };
      since.watch(positions, latest.at);
      draw(run, latest, before ?? latest, since);
      before = latest;
    } catch (error) {
      if (signal.aborted) break;
      // A server that restarts is no reason to stop watching it.
      if (before === undefined) throw error;
      output.warn(reasonOf(error));
    }
    if (run.flag("watch")) await sleep(every, signal);
  } while (run.flag("watch") && !signal.aborted);
  return 0;
}

function draw({ output, flag }: Run, { at, positions }: Look, before: Look, since: Since): void {
  const sinceOf = (position: Position): string | null => {
    const begun = since.of(position);
    return begun === undefined ? null : new Date(begun).toISOString();
  };
  if (output.json) {
    const subscriptions = positions.map((position) => ({ ...position, since: sinceOf(position) }));
    return output.value({ time: new Date(at).toISOString(), subscriptions });
  }
  const head = ["CHANNEL", "SUBSCRIPTION", "LAG", "PENDING", "STATE"];
  const row = (position: Position) => {
    const { channel, name, lag, pending } = position;
    return [channel, name, lag, pending, stateOf(position)];
  };
  if (!flag("watch")) return printTable(output, head, positions.map(row));
  const lags = new Map(before.positions.map((position) => [keyOf(position), position.lag]));
  const changeOf = (position: Position): string => {
    const change = Math.round(((position.lag - (lags.get(keyOf(position)) ?? NaN)) / (at - before.at)) * 1_000);
    return Number.isNaN(change) ? "-" : change > 0 ? `+${change}` : String(change);
  };
  output.clear();
  printTable(output, [...head, "PER SECOND", "SINCE"], positions.map((position) => {
    return [...row(position), changeOf(position), sinceOf(position)?.slice(0, 19) ?? "-"];
  }));
}

async function serve({ output, access, host, args: [channel], text }: Run, port: number): Promise<number> {
  const exporter = new Exporter(access.monitor, channel, createServer);
  const url = await exporter.listen(port, text("listen") ?? "127.0.0.1");
  if (output.json) output.value({ url });
  else output.say(`${url} serves /metrics, /lag and /healthz, until Ctrl-C.`);
  await aborted(host.signal);
  await exporter.close();
  return 0;
}
