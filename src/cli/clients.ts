import type { Command } from "./command.ts";
import { printList } from "./table.ts";

/** @internal */
export const clients: Command = {
  name: "clients",
  args: [],
  summary: "lists the clients that are registered, and what they subscribe to",
  options: {},
  notes: ["A client that has died is listed until it has missed enough heartbeats: 5 to 7 minutes by default."],
  example: "clients --json",
  uses: ["monitor"],
  async run({ access, output }) {
    const all = (await access.monitor.clients()).map(({ id, subs_count, subscriptions = {} }) => {
      const subs = Object.values(subscriptions).flat();
      const pending = subs.reduce((sum, { pending_count }) => sum + pending_count, 0);
      const stalled = subs.filter(({ is_stalled }) => is_stalled === true).length;
      return { id, subscriptions: subs_count, pending, stalled, channels: Object.keys(subscriptions).sort() };
    });
    const head = ["CLIENT", "SUBSCRIPTIONS", "PENDING", "STALLED", "CHANNELS"];
    printList(output, all, head, ({ id, subscriptions, pending, stalled, channels }) => {
      return [id, subscriptions, pending, stalled, channels.join(", ")];
    });
    return 0;
  },
};
