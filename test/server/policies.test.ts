import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Message, readDeadLetter, type SubscribeOptions } from "../../src/index.ts";
import { fresh, open, proxyTo, publishAll, range, read, Statuses, type Target } from "../support/clients.ts";
import { makePlace } from "../support/documents.ts";
import type { Frame } from "../support/frames.ts";
import { untilAcknowledged } from "../support/monitor.ts";
import { type Program, start } from "../support/program.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer, forSuite, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** Of a message like "b7": "b". */
const keyOf = (message: Message): string => message.text()[0]!;
const keys = ["a", "b", "c"];
/** a1, b1, c1, a2, … */
const texts = (first: number, last: number): string[] => range(first, last).flatMap((n) => keys.map((key) => key + n));

/** Handles messages by their texts: those that end with 7 never well, those that end with 5 the third time. */
class Handled {
  readonly well: string[] = [];
  readonly violations: string[] = [];
  readonly #runs = new Map<string, number>();
  readonly #running = new Set<string>();

  readonly handler = async (message: Message): Promise<void> => {
    const text = message.text();
    const key = keyOf(message);
    if (this.#running.has(key)) this.violations.push(`${text} beside another of its key`);
    if (this.well.includes(text)) this.violations.push(`${text} once more`);
    this.#running.add(key);
    const run = (this.#runs.get(text) ?? 0) + 1;
    this.#runs.set(text, run);
    await new Promise<void>((resolve) => setTimeout(resolve, 2));
    this.#running.delete(key);
    if (text.endsWith("7") || (text.endsWith("5") && run < 3)) throw new Error(`run ${run} of ${text} fails`);
    this.well.push(text);
  };

  of(key: string): string[] {
    return this.well.filter((text) => text.startsWith(key));
  }
}

describeWithServer("backoff, dead letters and keys", () => {
  // What does not answer heartbeats for 3 seconds is evicted.
  const server = forSuite(() => RealServer.start({ store: "file", args: ["-hbi", "1s", "-hbt", "1s", "-hbf", "1"] }));
  const options = (dead: string): SubscribeOptions => ({
    ...{ durable: "d", startAt: "first", ackWait: 1_000, maxInFlight: 30, concurrency: 30 },
    ...{ key: keyOf, backoff: [5, 20], maxDeliver: 3, deadLetter: dead },
  });

  test.each<[what: string, outage: (proxy: Awaited<ReturnType<typeof proxyTo>>, target: RealServer) => unknown]>([
    ["a link that is cut", (proxy) => proxy.cut()],
    [
      "a session that is lost",
      async (proxy, target) => {
        proxy.blackHole();
        const page = (): Promise<unknown> => target.monitor("streaming/clientsz?client=worker");
        await until("the client is evicted", async () => (await page()) === undefined, 20_000);
        proxy.heal();
      },
    ],
    [
      "a server with a file store that is killed",
      async (_, target) => {
        await target.kill();
        await target.restart();
      },
    ],
  ])("keep their promises through %s", { timeout: 60_000 }, async (_, outage) => {
    const proxy = await proxyTo(server());
    const statuses = new Statuses();
    const { onStatus } = statuses;
    const worker = await open(proxy, { clientId: "worker", onStatus, pingInterval: 1_000, pingMaxOut: 2 });
    const publisher = await open(server(), { resendUnconfirmed: true });
    const [channel, dead] = [fresh("channel"), fresh("dead")];
    const handled = new Handled();
    await worker.subscribe(channel, handled.handler, options(dead));
    await publishAll(publisher, channel, texts(1, 10));
    await until("it has begun", () => handled.well.length > 5);
    const published = publishAll(publisher, channel, texts(11, 40));
    await outage(proxy, server());
    await published;
    await untilAcknowledged(server(), channel, 120);
    await until("all are handled", () => handled.well.length === 108);
    expect(handled.violations).toEqual([]);
    for (const key of keys) {
      expect(handled.of(key)).toEqual(range(1, 40).filter((n) => n % 10 !== 7).map((n) => `${key}${n}`));
    }
    const letters = await read(publisher, dead, 12);
    const bad = texts(1, 40).filter((text) => text.endsWith("7"));
    expect(new Set(letters.map((letter) => letter.text()))).toEqual(new Set(bad));
    // One whose publish is unconfirmed is published again.
    const unconfirmed = statuses.of("error").filter(({ error }) => error.code === "UNCONFIRMED");
    expect(letters.length - bad.length).toBeLessThanOrEqual(unconfirmed.length);
    expect(worker.stats().waitingBytes).toBe(0);
  });
});

describeWithServer("a memory store that is restarted", () => {
  const server = serverForSuite();

  test("forgets what waited for another run, and the key goes on with what is new", async () => {
    const statuses = new Statuses();
    const client = await open(server(), { onStatus: statuses.onStatus });
    const channel = fresh("channel");
    const well: string[] = [];
    const handler = (message: Message): void => {
      if (message.text().startsWith("bad")) throw new Error("no");
      well.push(message.text());
    };
    const subscription = await client.subscribe(channel, handler, {
      ...{ startAt: "first", key: () => "k", backoff: 600_000, maxDeliver: 2, deadLetter: fresh("dead") },
    });
    await publishAll(client, channel, ["good 1", "bad 2", "held back"]);
    await until("one waits, and holds back another", () => {
      const { retrying, waiting } = subscription.stats();
      return retrying === 1 && waiting === 1;
    });
    await server().kill();
    await server().restart();
    await until("ready", () => client.ready);
    await publishAll(client, channel, ["new 1", "new 2"]);
    await statuses.until("gap");
    await until("the new ones are handled", () => well.includes("new 2"));
    expect(well.filter((text) => text.startsWith("new"))).toEqual(["new 1", "new 2"]);
    expect(subscription.stats().retrying).toBe(0);
    expect(client.stats().waitingBytes).toBe(0);
  });
});

describeWithServer("a process that is killed", () => {
  const server = serverForSuite();
  let place: string;

  beforeAll(() => {
    place = makePlace();
    writeFileSync(
      join(place, "worker.mjs"),
      `import { connect } from "nats-streaming-client";
      const [servers, clientId, channel, dead] = process.argv.slice(2);
      const client = await connect({ clusterId: "test-cluster", clientId, servers });
      await client.subscribe(channel, (message) => {
        console.log("runs " + message.text());
        if (message.text() === "killer") process.kill(process.pid, "SIGKILL");
        if (message.text() === "bad") throw new Error("fails");
        // One in flight: what a process had when it died counts as delivered, handled or not.
      }, {
        durable: "d", startAt: "first", ackWait: 1_000, maxInFlight: 1, backoff: 5, maxDeliver: 3, deadLetter: dead,
      });
      console.log("subscribed");`,
    );
  });
  afterAll(() => rmSync(place, { recursive: true, force: true }));

  function worker(target: Target, channel: string, dead: string): Program {
    return start(join(place, "worker.mjs"), [target.url, `${channel}-worker`, channel, dead]);
  }

  test("by its message is not killed for ever: the message ends in the dead letters", { timeout: 60_000 }, async () => {
    const client = await open(server());
    const [channel, dead] = [fresh("channel"), fresh("dead")];
    await publishAll(client, channel, ["good", "killer", "next"]);
    let deaths = 0;
    for (;;) {
      const program = worker(server(), channel, dead);
      const isOver = Promise.race([program.ended, program.printed(/runs next/).catch(() => program.ended)]);
      if (typeof (await isOver) === "string") break;
      deaths++;
      expect(deaths).toBeLessThanOrEqual(3);
    }
    await untilAcknowledged(server(), channel, 3);
    const letters = await read(client, dead, 1);
    expect(letters.map((letter) => letter.text())).toEqual(["killer"]);
    expect(readDeadLetter(letters[0]!)).toMatchObject({ channel, sequence: 2, deliveries: 3 });
    expect(deaths).toBe(3);
  });

  const isDeadLetter = (dead: string) => (frame: Frame) => frame.verb === "PUB" && frame.subject.endsWith(`.${dead}`);
  const isAck = ({ verb, subject, payload }: Frame): boolean =>
    verb === "PUB" && subject.startsWith("_INBOX.") && payload.length > 0;

  test.each([
    ["before its dead letter is stored leaves it in the channel, and then in the dead letters", isDeadLetter, 1],
    ["between dead letter and ack leaves its message in both", () => isAck, 2],
  ])("%s", { timeout: 60_000 }, async (_, wanted, count) => {
    const proxy = await proxyTo(server());
    const client = await open(server());
    const [channel, dead] = [fresh("channel"), fresh("dead")];
    await publishAll(client, channel, ["bad"]);
    const eaten = proxy.eat(wanted(dead), "up", 1);
    const program = worker(proxy, channel, dead);
    await eaten;
    program.kill("SIGKILL");
    await program.ended;
    proxy.heal();
    const again = worker(proxy, channel, dead);
    await again.printed(/subscribed/);
    await untilAcknowledged(server(), channel, 1);
    const letters = await read(client, dead, count);
    expect(letters.map((letter) => letter.text())).toEqual(Array.from({ length: count }, () => "bad"));
  });
});
