import { positionsOf } from "../monitoring/positions.ts";
import type { Command } from "./command.ts";
import { bytesIn } from "./output.ts";
import { printList } from "./table.ts";

/** @internal */
export const channels: Command = {
  name: "channels",
  args: [],
  summary: "lists the channels: messages, bytes, first and last sequence, subscriptions",
  options: {},
  example: "channels --monitor http://stan.example.com:8222",
  uses: ["monitor"],
  async run({ access, output }) {
    const all = (await access.monitor.channels()).map((channel) => {
      const { name, msgs: messages, bytes, first_seq: first, last_seq: last } = channel;
      const positions = positionsOf(channel);
      const offline = positions.filter((position) => position.offline).length;
      return { name, messages, bytes, first, last, subscriptions: channel.subscriptions?.length ?? 0, offline };
    });
    const head = ["CHANNEL", "MESSAGES", "BYTES", "FIRST", "LAST", "SUBSCRIPTIONS", "OFFLINE"];
    printList(output, all, head, ({ name, messages, bytes, first, last, subscriptions, offline }) => {
      return [name, messages, bytesIn(bytes), first, last, subscriptions, offline];
    });
    return 0;
  },
};
