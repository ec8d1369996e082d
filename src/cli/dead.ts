import { settledWithin } from "../core-nats/async.ts";
import { readDeadLetter } from "../index.ts";
import type { Client, DeadLetter, Message } from "../index.ts";
import { durationIn } from "./command.ts";
import type { Command, Run } from "./command.ts";
import { UsageError } from "./host.ts";
import { contentOf, counted } from "./output.ts";
import { printTable } from "./table.ts";

/** The replay's position belongs to these: the durable remembers what was replayed. */
const CLIENT = "dead-letter-replay";
const DURABLE = "replay";
/** How many letters come ahead. */
const AHEAD = 256;
/** With --only, all others stay unacknowledged, and must not keep the server from sending the chosen ones. */
const AHEAD_OF_CHOSEN = 1_000_000;
/** What stays is not to come again while the replay runs. */
const ACK_WAIT = 86_400_000;

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
    const replays = run.flag("replay");
    const only = run.text("only")?.split(",").map((text) => {
      if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
      throw new UsageError(`--only must be numbers with commas between them, not ${text}`);
    });
    if (only !== undefined && !replays) throw new UsageError("--only needs --replay");
    const wait = durationIn(run, "wait", 2_000);
    const client = await run.access.client(run.output, replays ? CLIENT : undefined, Number.MAX_SAFE_INTEGER);
    try {
      return replays ? await replay(run, client, wait, only) : await list(run, client, wait);
    } finally {
      await client.drain({ signal: run.host.signal });
    }
  },
};

/** Reads all messages that the channel has now. Leaves nothing behind. */
async function list({ args: [channel], output, host: { signal } }: Run, client: Client, wait: number): Promise<number> {
  const newest = await client.messages(channel, { startAt: "lastReceived", signal });
  const next = newest.next();
  const last = (await settledWithin(wait, next, signal)) ? (await next).value : undefined;
  await newest.return();
  const found: Message[] = [];
  if (last !== undefined) {
    for await (const message of await client.messages(channel, { startAt: "first", signal })) {
      found.push(message);
      if (message.sequence >= last.sequence || signal.aborted) break;
    }
  }
  if (output.json) output.value(found.map((message) => plain(message, readDeadLetter(message))));
  else printTable(output, ["SEQ", "CHANNEL", "ITS SEQ", "DELIVERIES", "REASON"], found.map((message) => {
    const letter = readDeadLetter(message);
    if (letter === undefined) return [message.sequence, "-", "-", "-", "no dead letter"];
    return [message.sequence, letter.channel, letter.sequence, letter.deliveries, letter.error.replace(/\s+/g, " ")];
  }));
  return signal.aborted ? 1 : 0;
}

function plain(message: Message, letter: DeadLetter | undefined): object {
  const facts = letter && { ...letter, timestamp: String(letter.timestamp), reply: letter.reply ?? null };
  return { deadLetter: letter !== undefined, number: message.sequence, ...facts, ...contentOf(message) };
}

/** Publishes letters until none is left. A letter is acknowledged only once its channel has it. */
async function replay(run: Run, client: Client, wait: number, only: readonly number[] | undefined): Promise<number> {
  const { args: [channel], output, host: { signal } } = run;
  const open = new Set(only);
  let [replayed, left] = [0, 0];
  const messages = await client.messages(channel, {
    ...{ durable: DURABLE, startAt: "first", manualAck: true, ackWait: ACK_WAIT, signal },
    maxInFlight: only === undefined ? AHEAD : AHEAD_OF_CHOSEN,
  });
  /** The next message, or undefined at the end: nothing comes, while the server answers. */
  const nextOrEnd = async (): Promise<IteratorResult<Message, undefined> | undefined> => {
    const next = messages.next();
    if (await settledWithin(wait / 2, next, signal)) return next;
    await (await client.messages(channel, { startAt: "lastReceived", signal })).return();
    return (await settledWithin(wait / 2, next, signal)) ? next : undefined;
  };
  while (only === undefined ? left < AHEAD : open.size > 0) {
    const message = (await nextOrEnd())?.value;
    if (message === undefined) break;
    const number = message.sequence;
    const letter = readDeadLetter(message);
    const chosen = only === undefined || open.has(number);
    if (!chosen || letter === undefined || (only === undefined && letter.reply === undefined)) {
      left++;
      const why = letter === undefined ? "is no dead letter, and stays" : "has lost its reply, and stays: use --only";
      if (chosen) output.warn(`#${number} ${why}`);
      continue;
    }
    await client.publish(letter.channel, message.data, { reply: letter.reply, signal });
    message.ack();
    open.delete(number);
    replayed++;
    if (output.json) output.value(plain(message, letter));
    else output.note(`#${number} replayed to ${letter.channel}; it had failed with: ${letter.error}`);
  }
  // The drain would wait for the one in hand.
  await messages.return();
  const stuck = only === undefined && left === AHEAD;
  if (open.size > 0) output.warn(`not replayed, since not there, or replayed before: ${[...open].join(", ")}`);
  if (stuck) output.warn(`${left} messages stay, and those behind them do not come: replay these by --only`);
  if (output.json) output.value({ replayed, left });
  else output.note(`${counted(replayed, "dead letter")} replayed, ${left} left`);
  return open.size === 0 && !stuck && !signal.aborted ? 0 : 1;
}
