import { positionsOf } from "../monitoring/positions.ts";
import type { Command } from "./command.ts";
import { Failure } from "./host.ts";
import { stateOf, tableOf } from "./table.ts";

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
    const { monitor } = access;
    const found = name === undefined ? await monitor.channels() : [await monitor.channel(name)];
    const positions = found.flatMap((channel) => {
      if (channel === undefined) throw new Failure(`the server has no channel ${name}`);
      return positionsOf(channel);
    });
    if (output.json) output.value(positions.map((position) => ({ ...position, since: null })));
    else {
      const rows = positions.map((position) => {
        const { channel, name, kind, clients, lastSent, pending, lag } = position;
        return [channel, name, kind, lastSent, pending, lag, stateOf(position), clients.join(", ")];
      });
      const head = ["CHANNEL", "SUBSCRIPTION", "KIND", "LAST SENT", "PENDING", "LAG", "STATE", "CLIENTS"];
      for (const line of tableOf(head, rows, output)) output.say(line);
    }
    return 0;
  },
};
