import { test, vi } from "vitest";
import { Clock } from "../../src/testing/clock.ts";
import { StreamingServer as Embedded } from "../../src/testing/server.ts";
import { Random } from "../support/random.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { argumentsFor } from "./servers.ts";
import { type Pace, type Played, type Step, type Times, play, sequenceOf } from "./sequences.ts";

/**
 * Sequences of requests, made up from seeds, against nats-streaming-server 0.25.6, and then against the embedded
 * server at the very times at which the real one was asked. For each step its answer is compared, and what each inbox
 * got: sequences and redelivery counts, in order.
 *
 * Only timing explains these differences:
 * - Timers of the real server ring some milliseconds late, and of two that are due at about the same time either may
 *   ring first: those of two members to which a third has left messages, or one of a heartbeat and one of a redelivery.
 *   And a step that takes long may end before or after a redelivery. So it is enough if the embedded server does the
 *   same when it is asked at some time within each step, and its timers are a little late.
 * - What is due within 15 ms is sent again together, and how much that is depends on how fast requests came. And what
 *   two timers of the real server do at the same time can be mixed. So a difference that does not stay is none.
 * - The real server handles publishes, acks, other requests and the first messages of a subscription at the same time.
 *   So a step begins when the one before is answered and all that came of it is there.
 * - The groups of a channel get a message in an order that changes. So only the order within an inbox is compared.
 *
 * SEQUENCES=1000 plays so many, SEED=5 only that one.
 */
const only = process.env["SEED"];
const count = Number(process.env["SEQUENCES"] ?? 100);
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)];

const AT_ONCE = 40;
/** A difference counts if it is there so many times, */
const TIMES = 6;
/** each time with so many ways of timing for the embedded server. */
const TIMINGS = 12;
/** If more differ, that is no matter of timing. */
const MANY = Math.max(12, count / 3);

const variant = {
  heartbeat: { interval: 1_100, timeout: 300, failCount: 1 },
  limits: { channels: 0, subscriptions: 7, messages: 8 },
};

interface Difference {
  readonly steps: readonly Step[];
  /** What led to it, and the step of both servers in which they differ. */
  readonly text: string;
}

describeWithServer("sequences of requests", () => {
  const real = serverForSuite({ args: argumentsFor(variant) });

  test("have the same answers and deliveries", async () => {
    const failed: string[] = [];
    const differing = await differencesThatStay(seeds.map((seed) => sequenceOf(new Random(seed))));
    for (const [i, difference] of differing) {
      // One is worth the time to find out what does not matter.
      const { text } = failed.length === 0 ? await shorten(difference) : difference;
      failed.push(`seed ${seeds[i]} (repeat with SEED=${seeds[i]}; - real, + embedded):\n${text}`);
    }
    if (failed.length > 0) throw new Error(`${failed.length} differ\n\n${failed.slice(0, 5).join("\n\n")}`);
  }, 600_000 + count * 1_000);

  /** By the sequence's place in the list. */
  async function differencesThatStay(sequences: readonly (readonly Step[])[]): Promise<Map<number, Difference>> {
    let found = await differences(new Map(sequences.entries()));
    for (let time = 1; time < TIMES && found.size > 0 && found.size <= MANY; time++) {
      found = await differences(new Map([...found].map(([i]) => [i, sequences[i]!])));
    }
    return found;
  }

  async function differences(
    sequences: ReadonlyMap<number, readonly Step[]>,
    timings = TIMINGS,
  ): Promise<Map<number, Difference>> {
    const found = new Map<number, Difference>();
    const played = await playAll(real().port, [...sequences.values()]);
    for (const [i, [key, steps]] of [...sequences].entries()) {
      const difference = found.size > MANY ? undefined : await compare(steps, played[i]!, timings);
      if (difference !== undefined) found.set(key, difference);
    }
    return found;
  }

  /** Leaves out what can be left out, so that the servers still differ. */
  async function shorten(difference: Difference): Promise<Difference> {
    const { steps } = difference;
    const fewer = steps.map((_, at) => steps.filter((_, other) => other !== at));
    const still = await differences(new Map(fewer.entries()), 3);
    if (still.size === 0) return difference;
    const all = await differences(new Map([[0, steps.filter((_, at) => !still.has(at))]]), 3);
    return shorten([...all.values(), ...still.values()][0]!);
  }
});

/** Plays all with the real server: some at once, each begun a little later than the one before. */
async function playAll(port: number, sequences: readonly (readonly Step[])[]): Promise<Played[]> {
  const played: Played[] = [];
  let next = 0;
  const lane = async (delay: number): Promise<void> => {
    await sleep(delay);
    for (let i = next++; i < sequences.length; i = next++) played[i] = await play(port, sequences[i]!, realPace());
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => lane(i * 60)));
  return played;
}

function realPace(): Pace {
  const start = performance.now();
  return {
    now: () => performance.now() - start,
    begin: (_, milliseconds) => (milliseconds > 0 ? sleep(milliseconds) : Promise.resolve()),
    wait: () => Promise.resolve(),
    settle: () => Promise.resolve(),
  };
}

/** Undefined: with one of the timings the embedded server does the same. */
async function compare(steps: readonly Step[], played: Played, timings: number): Promise<Difference | undefined> {
  const { lines, times } = played;
  let best = { at: -1, line: "" };
  for (let timing = 0; timing < timings; timing++) {
    const embedded = await replay(steps, times, new Random(timing));
    const at = lines.findIndex((line, i) => line !== embedded.lines[i]);
    if (at < 0) return undefined;
    if (at > best.at) best = { at, line: embedded.lines[at]! };
  }
  const { at, line } = best;
  const text = [...lines.slice(0, at).map((before) => `  ${before}`), `- ${lines[at]}`, `+ ${line}`].join("\n");
  return { steps: steps.slice(0, at + 1), text };
}

/** Plays with an embedded server whose time is that of the steps, and does not go by itself. Seed 0: without delays. */
async function replay(steps: readonly Step[], times: Times, random: Random): Promise<Played> {
  let now = 0;
  const between = (a: number, b: number): number => (random.seed === 0 ? a : a + random.fraction() * (b - a));
  const { at } = Clock.prototype;
  vi.stubGlobal("performance", { now: () => 0 });
  vi.spyOn(Clock.prototype, "at").mockImplementation(function (this: Clock, due, ring) {
    return at.call(this, due + 3 * random.seed * random.fraction() ** 2, ring);
  });
  const server = await Embedded.start(variant);
  const moveTo = async (time: number): Promise<void> => {
    if (time <= now) return;
    await server.advance(time - now);
    now = time;
  };
  try {
    return await play(server.port, steps, {
      now: () => now,
      begin(step) {
        const { began, answered } = times[step]!;
        return moveTo(steps[step]!.do === "connect" ? began : between(began, answered));
      },
      async wait(step, answer) {
        // It may take half a second, until an owner of the client ID has not answered.
        if (steps[step]!.do !== "connect") return;
        let answered = false;
        void answer.then(() => (answered = true));
        for (await moveTo(times[step]!.answered); !answered; ) await moveTo(now + 1);
      },
      settle: (step) => moveTo(between(times[step]!.answered, times[step]!.settled)),
    });
  } finally {
    await server.stop();
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
