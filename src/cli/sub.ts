import type { Client, Message, StartAt } from "../index.ts";
import { durationOf } from "./command.ts";
import type { Command, Run } from "./command.ts";
import { Failure, UsageError } from "./host.ts";
import { contentOf } from "./output.ts";

/** @internal */
export const sub: Command = {
  name: "sub",
  args: ["CHANNEL"],
  summary: "prints the messages of a channel, and acknowledges each once it is printed",
  options: {
    from: { value: "WHERE", help: "first, last, new (default), a sequence, a time, or how long ago: 10m" },
    durable: { value: "NAME", help: "goes on where it was; needs --client or --queue" },
    queue: { value: "NAME", help: "shares the messages with the others of this queue group" },
    count: { value: "N", help: "ends after N messages" },
    raw: { help: "prints the data alone" },
    unsubscribe: { help: "prints nothing, and has the server forget the durable" },
  },
  notes: ["A subscription to a channel that does not exist creates it."],
  example: "sub orders --from 10m --count 100",
  uses: ["client"],
  async run(run) {
    const { args: [channel], access, host, output } = run;
    const [durable, queue] = [run.text("durable"), run.text("queue")];
    if (durable !== undefined && queue === undefined && access.clientId === undefined) {
      throw new UsageError("--durable needs --client: the position belongs to the client ID");
    }
    const startAt = positionOf(run.text("from") ?? "new");
    const client = await access.client(output);
    // A drain has the message that is being printed acknowledged. The loop ends with its subscription.
    host.signal.addEventListener("abort", () => void client.drain());
    try {
      if (run.flag("unsubscribe")) return await forget(run, client, durable, queue);
      let left = run.number("count", Infinity, 1);
      for await (const message of await client.messages(channel, { startAt, durable, queue })) {
        show(run, message);
        if (--left > 0) continue;
        // Leaving the loop would leave this one unacknowledged.
        message.ack();
        break;
      }
      return 0;
    } finally {
      await client.drain();
    }
  },
};

function show({ output, flag }: Run, message: Message): void {
  const { sequence, redeliveryCount, time, timestamp, reply, data } = message;
  const at = time.toISOString();
  if (output.json) {
    output.value({ sequence, time: at, timestamp: String(timestamp), redeliveryCount, reply, ...contentOf(message) });
  } else if (flag("raw")) {
    output.raw(data);
  } else {
    const again = message.redelivered ? ` (delivery ${redeliveryCount + 1})` : "";
    output.say(`${output.paint(`#${sequence} ${at}${again}`, "dim")} ${message.text()}`);
  }
}

/** A durable can only be forgotten by one who has resumed it. */
async function forget(run: Run, client: Client, durable: string | undefined, queue?: string): Promise<number> {
  const { output, args: [channel], access } = run;
  if (durable === undefined) throw new UsageError("--unsubscribe needs --durable");
  const subscription = await client.subscribe(channel, () => {}, { durable, queue, manualAck: true, maxInFlight: 1 });
  await subscription.unsubscribe();
  if (subscription.state !== "closed") throw new Failure("the server did not answer");
  if (output.json) output.value({ channel, client: access.clientId, durable, queue, unsubscribed: true });
  else output.note(`the server has forgotten the durable ${durable} of ${channel}`);
  return 0;
}

function positionOf(text: string): StartAt {
  if (text === "first") return "first";
  if (text === "last") return "lastReceived";
  if (text === "new") return "newOnly";
  const ago = durationOf(text);
  if (ago !== undefined) return { ago };
  if (/^\d+$/.test(text)) return { sequence: Number(text) };
  const time = new Date(text);
  if (!Number.isNaN(time.getTime())) return { time };
  const form = "first, last, new, a sequence, a time like 2026-11-28T08:00:00Z, or 10m";
  throw new UsageError(`--from must be ${form}, not ${text}`);
}
