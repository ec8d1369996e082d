import { settledWithin } from "../core-nats/async.ts";
import { readDeadLetter } from "../index.ts";
import type { Client, Message, Messages } from "../index.ts";
import { durationIn } from "./command.ts";
import type { Command, Run } from "./command.ts";
import { UsageError } from "./host.ts";
import { counted, reasonOf } from "./output.ts";
import { tableOf } from "./table.ts";

/** The replay's position belongs to these: the durable remembers what was replayed. */
const CLIENT = "dead-letter-replay";
const DURABLE = "replay";
/** All letters that are not chosen stay unacknowledged, and must not keep the server from sending the others. */
const MOST_LEFT = 1_000_000;

type Next = Awaited<ReturnType<Messages["next"]>>;

/** @internal */
export const dead: Command = {
  name: "dead",
  args: ["CHANNEL"],
  summary: "lists the dead letters of a channel; --replay publishes them to their channels again",
  options: {
    replay: { help: "publishes each that was not replayed yet, with its data and its reply" },
    only: { value: "SEQ,…", help: "replays these alone: numbers of the dead letters' channel" },
    wait: { value: "TIME", help: "how long nothing must come to be at the end; default 2s" },
  },
  notes: [
    `The durable ${DURABLE} of the client ID ${CLIENT} (or --client) remembers what was replayed.`,
    "A letter counts as replayed once its channel has it: if the command is killed in between, the",
    "next replay publishes it once more. Letters whose reply was too long to keep need --only.",
  ],
  example: "dead orders.dead --replay --only 17,18",
  uses: ["client"],
  async run(run) {
    const only = run
      .text("only")
      ?.split(",")
      .map((text) => {
        if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
        throw new UsageError(`--only must be numbers with commas between them, not ${text}`);
      });
    if (only !== undefined && !run.flag("replay")) throw new UsageError("--only needs --replay");
    const replays = run.flag("replay");
    const client = await run.access.client(
      (status) => {
        if (status.type === "error") run.output.warn(reasonOf(status.error));
      },
      replays ? CLIENT : undefined,
    );
    try {
      return replays ? await replay(run, client, only) : await list(run, client);
    } finally {
      await client.drain();
    }
  },
};

/** Reads all messages that the channel has now. Leaves nothing behind. */
async function list(run: Run, client: Client): Promise<number> {
  const {
    args: [channel],
    output,
    host: { signal },
  } = run;
  const newest = await client.messages(channel, { startAt: "lastReceived", signal });
  const { value: last } = (await nextWithin(durationIn(run, "wait", "2s"), newest, signal)) ?? {};
  await newest.return();
  const found: Message[] = [];
  if (last !== undefined) {
    for await (const message of await client.messages(channel, { startAt: "first", signal })) {
      found.push(message);
      if (message.sequence >= last.sequence || signal.aborted) break;
    }
  }
  if (output.json) output.value(found.map(plain));
  else {
    const rows = found.map((message) => {
      const letter = readDeadLetter(message);
      if (letter === undefined) return [message.sequence, "-", "-", "-", "no dead letter"];
      return [message.sequence, letter.channel, letter.sequence, letter.deliveries, letter.error.replace(/\s+/g, " ")];
    });
    for (const line of tableOf(["SEQ", "CHANNEL", "ITS SEQ", "DELIVERIES", "REASON"], rows, output)) output.say(line);
  }
  return signal.aborted ? 1 : 0;
}

function plain(message: Message): object {
  const letter = readDeadLetter(message);
  const facts =
    letter === undefined ? {} : { ...letter, timestamp: String(letter.timestamp), reply: letter.reply ?? null };
  return { deadLetter: letter !== undefined, number: message.sequence, ...facts, data: message.text() };
}

/** The next message, or undefined if none comes in time. */
async function nextWithin(milliseconds: number, messages: Messages, signal: AbortSignal): Promise<Next | undefined> {
  const next = messages.next();
  return (await settledWithin(milliseconds, next, signal)) ? next : undefined;
}

/** Publishes letters until none has come for a while. A letter is acknowledged only once its channel has it. */
async function replay(run: Run, client: Client, only: readonly number[] | undefined): Promise<number> {
  const {
    output,
    host: { signal },
    args: [channel],
  } = run;
  const wait = durationIn(run, "wait", "2s");
  const open = new Set(only);
  let replayed = 0;
  let left = 0;
  const options = { durable: DURABLE, startAt: "first", manualAck: true, maxInFlight: MOST_LEFT } as const;
  const messages = await client.messages(channel, options);
  while (only === undefined || open.size > 0) {
    const message = (await nextWithin(wait, messages, signal))?.value;
    if (message === undefined) break;
    const number = message.sequence;
    const letter = readDeadLetter(message);
    if (letter === undefined || (only === undefined ? letter.reply === undefined : !open.has(number))) {
      left++;
      if (letter === undefined) output.warn(`#${number} is no dead letter, and stays`);
      else if (only === undefined)
        output.warn(`#${number} has lost its reply, and stays: replay it by --only ${number}`);
      continue;
    }
    await client.publish(letter.channel, message.data, { reply: letter.reply });
    message.ack();
    open.delete(number);
    replayed++;
    if (output.json) output.value(plain(message));
    else output.note(`#${number} replayed to ${letter.channel}; it had failed with: ${letter.error}`);
  }
  // The drain would wait for the one in hand.
  await messages.return();
  if (open.size > 0) output.warn(`not replayed, since not there, or replayed before: ${[...open].join(", ")}`);
  if (output.json) output.value({ replayed, left });
  else output.note(`${counted(replayed, "dead letter")} replayed, ${left} left`);
  return open.size === 0 && !signal.aborted ? 0 : 1;
}
