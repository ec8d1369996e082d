import type { Monitor } from "../monitoring/monitor.ts";
import { positionsOf } from "../monitoring/positions.ts";
import type { Position } from "../monitoring/positions.ts";
import type { Command } from "./command.ts";
import { Failure } from "./host.ts";
import { stateOf, printList } from "./table.ts";

/** @internal */
export const subs: Command = {
  name: "subs",
  args: ["[CHANNEL]"],
  summary: "lists who reads a channel, or all of them: last sent, pending, lag, stalled, offline",
  options: {},
  notes: [
    "LAG is what is stored and not acknowledged. The server does not tell since when a subscription",
    "is stalled or offline: lag --watch and lag --serve tell it, from when they saw it begin.",
  ],
  example: "subs orders",
  uses: ["monitor"],
  async run({ args: [name], access, output }) {
    const positions = await positionsIn(access.monitor, name);
    const head = ["CHANNEL", "SUBSCRIPTION", "KIND", "LAST SENT", "PENDING", "LAG", "STATE", "CLIENTS"];
    printList(output, positions, head, (position) => {
      const { channel, name, kind, clients, lastSent, pending, lag } = position;
      return [channel, name, kind, lastSent, pending, lag, stateOf(position), clients.join(", ")];
    });
    return 0;
  },
};

/** @internal The positions in a channel, or in all of them. @throws Failure if there is no such channel */
export async function positionsIn(monitor: Monitor, channel: string | undefined): Promise<Position[]> {
  if (channel === undefined) return (await monitor.channels()).flatMap(positionsOf);
  const page = await monitor.channel(channel);
  if (page === undefined) throw new Failure(`the server has no channel ${channel}`);
  return positionsOf(page);
}
