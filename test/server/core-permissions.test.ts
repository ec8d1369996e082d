import { afterEach, describe, expect, test } from "vitest";
import { connect } from "../../src/index.ts";
import type { Client } from "../../src/index.ts";
import { binaries, findBinary } from "../support/binaries.ts";
import { latin1 } from "../support/bytes.ts";
import { fresh, open, optionsFor, read, Statuses } from "../support/clients.ts";
import { FakeStreaming, pubAck, subjects } from "../support/fake-streaming.ts";
import { Random } from "../support/random.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";

/** The user "stan" is the streaming server itself; the others are denied something each. */
function configFor(users: Record<string, string>): string {
  const denied = Object.entries(users).map(
    ([user, permissions]) => `{ user: ${user}, password: p, permissions: { publish: { deny: [] }, ${permissions} } }`,
  );
  return `authorization { users: [ { user: stan, password: s }, ${denied.join(", ")} ] }
    streaming { id: test-cluster, username: stan, password: s }`;
}

const CONFIG = configFor({
  some: `publish: { deny: ["_STAN.pub.*.denied.>", "_STAN.pub.*.say.>"] }`,
  stranger: `publish: { deny: ["_STAN.discover.>"] }`,
  deaf: `subscribe: { deny: ["_INBOX.>"] }`,
  reader: `publish: { deny: ["_STAN.sub.>"] }`,
  unsure: `subscribe: { deny: ["_STAN.acks.>"] }`,
});

function startOld(): Promise<RealServer> {
  const found = findBinary(binaries.oldStreaming);
  // This one does not read its own user from the configuration.
  const args = ["--user", "stan", "--pass", "s"];
  return RealServer.start({ binary: "path" in found ? found.path : undefined, config: CONFIG, args });
}

/** What became of each publish: "stored", or the code of the error. */
async function outcome(publish: Promise<void>): Promise<string> {
  return publish.then(
    () => "stored",
    (error: { code: string }) => error.code,
  );
}

/** Publishes to denied and other channels in a random order, and sees to it that each publish gets its own answer. */
async function mixed(client: Client, count: number, seed: number): Promise<void> {
  const random = new Random(seed);
  const [deniedOnes, others] = [
    ["denied.a", "denied.b", 'say."hi"', "say.back\\slash"],
    [fresh("open"), fresh("open"), fresh("open")],
  ];
  const published: { channel: string; outcome: Promise<string> }[] = [];
  for (let i = 0; i < count; i++) {
    const channel = random.bool(0.2) ? random.pick(deniedOnes) : random.pick(others);
    published.push({ channel, outcome: outcome(client.publish(channel, String(i))) });
    if (random.bool(0.01)) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  const stored = new Map<string, string[]>(others.map((channel) => [channel, []]));
  for (const [i, { channel, outcome }] of published.entries()) {
    const expected = deniedOnes.includes(channel) ? "NOT_PERMITTED" : "stored";
    expect(await outcome, `seed ${seed}, message ${i} to ${channel}`).toBe(expected);
    stored.get(channel)?.push(String(i));
  }
  for (const [channel, texts] of stored) {
    const messages = await read(client, channel, texts.length);
    expect(messages.map((message) => message.text())).toEqual(texts);
  }
}

describeWithServer("permissions", () => {
  const server = forSuite(() => RealServer.start({ config: CONFIG }));
  const as = (user: string): { auth: { user: string; pass: string } } => ({ auth: { user, pass: "p" } });

  test("a publish to a denied channel rejects at once, with the channel and the server's words", async () => {
    const client = await open(server(), { ...as("some"), publishTimeout: 60_000 });
    await expect(client.publish("denied.a", "x")).rejects.toMatchObject({
      code: "NOT_PERMITTED",
      message: 'publish denied.a: Permissions Violation for Publish to "_STAN.pub.test-cluster.denied.a"',
      cause: { code: "PERMISSIONS" },
    });
  });

  test("each of thousands of publishes to denied and other channels gets its own answer, on one link", async () => {
    const statuses = new Statuses();
    const client = await open(server(), { ...as("some"), publishTimeout: 60_000, onStatus: statuses.onStatus });
    await mixed(client, 5_000, 1);
    expect(statuses.types.filter((type) => type === "registered")).toHaveLength(1);
    expect(statuses.of("disconnected")).toEqual([]);
    expect(statuses.of("error")).toEqual([]);
  });

  test.each([
    ["stranger", "to ask for registration", "_STAN.discover.test-cluster"],
    ["deaf", "to hear any answer", "_INBOX."],
  ])("%s, who is not allowed %s, is told at once, even if told to wait", async (user, _, subject) => {
    for (const waitOnFirstConnect of [false, true]) {
      const options = optionsFor(server(), { ...as(user), waitOnFirstConnect, requestTimeout: 60_000 });
      await expect(connect(options)).rejects.toMatchObject({
        code: "NOT_PERMITTED",
        message: expect.stringContaining(subject),
      });
    }
  });

  test("a subscription that may not be asked for rejects at once, and the client goes on", async () => {
    const client = await open(server(), { ...as("reader"), requestTimeout: 60_000 });
    await expect(client.subscribe("a", () => {})).rejects.toMatchObject({
      code: "NOT_PERMITTED",
      message: expect.stringContaining("_STAN.sub.test-cluster"),
    });
    await client.publish(fresh("channel"), "x");
    expect(client.state).toBe("registered");
  });

  test("acks that may not be received are reported when registered; nothing is published without them", async () => {
    const statuses = new Statuses();
    const client = await open(server(), { ...as("unsure"), onStatus: statuses.onStatus, publishTimeout: 60_000 });
    const channel = fresh("channel");
    await expect(client.publish(channel, "x")).rejects.toMatchObject({
      code: "NOT_PERMITTED",
      cause: { message: expect.stringContaining("acks cannot be received") },
    });
    const [status] = await statuses.until("error");
    expect(status!.error).toMatchObject({ code: "NOT_PERMITTED", message: expect.stringContaining("_STAN.acks.") });
    const reader = await open(server(), as("some"));
    await reader.publish(channel, "the only one");
    expect((await read(reader, channel, 1)).map((message) => message.text())).toEqual(["the only one"]);
  });
});

describeWithServer(
  "permissions of the oldest server",
  () => {
    const server = forSuite(startOld);

    test("each publish gets its own answer there too", async () => {
      const client = await open(server(), { auth: { user: "some", pass: "p" }, publishTimeout: 60_000 });
      await mixed(client, 1_000, 2);
    });

    test("where there are no 503s, the wrong cluster ID is told by a timeout", async () => {
      const auth = { user: "some", pass: "p" };
      const options = optionsFor(server(), { auth, clusterId: "another", requestTimeout: 200 });
      await expect(connect(options)).rejects.toMatchObject({ code: "NO_SERVER", cause: { code: "TIMEOUT" } });
    });
  },
  ["oldStreaming"],
);

describe("answers in any order", () => {
  let fake: FakeStreaming | undefined;
  afterEach(async () => {
    await fake?.stop();
    fake = undefined;
  });

  test.each([1, 2, 3])("503s, refusals and late acks reach exactly their own publishes (seed %d)", async (seed) => {
    const random = new Random(seed);
    fake = await FakeStreaming.start();
    const seen = new Map<string, number>();
    const refused = new Set<string>();
    const unheard = new Set<string>();
    const late: (() => void)[] = [];
    fake.onPublish = (ask) => {
      const data = latin1(ask.message.data);
      seen.set(data, (seen.get(data) ?? 0) + 1);
      const fate = random.fraction();
      if (ask.message.subject === "denied") {
        // As a server does: in the turn of the publish, and with nothing but the subject.
        refused.add(data);
        ask.link.send(`-ERR 'Permissions Violation for Publish to "${subjects.pubPrefix}.denied"'\r\n`);
      } else if (fate < 0.03 && !unheard.has(data)) {
        unheard.add(data);
        ask.unheard();
      } else if (fate < 0.5) {
        ask.answer(pubAck(ask.message.guid));
      } else {
        late.push(() => ask.answer(pubAck(ask.message.guid)));
        if (late.length > 300) for (const answer of late.splice(0, 200)) answer();
      }
    };
    const statuses = new Statuses();
    const client = await open(fake, { onStatus: statuses.onStatus, publishTimeout: 60_000, maxPubAcksInFlight: 700 });
    const answers = setInterval(() => {
      for (const answer of late.splice(0)) answer();
    }, 5);
    const outcomes: Promise<string>[] = [];
    const channels = ["a", "b", "denied"];
    for (let i = 0; i < 3_000; i++) {
      outcomes.push(outcome(client.publish(channels[i % 17 === 0 ? 2 : i % 2]!, String(i))));
      if (random.bool(0.02)) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    const settled = await Promise.all(outcomes);
    clearInterval(answers);
    for (const [i, outcome] of settled.entries()) {
      const data = String(i);
      expect(outcome, `message ${i}`).toBe(i % 17 === 0 ? "NOT_PERMITTED" : "stored");
      expect(seen.get(data), `how often message ${i} was sent`).toBe(unheard.has(data) ? 2 : 1);
    }
    expect(refused.size).toBe(settled.filter((outcome) => outcome === "NOT_PERMITTED").length);
    expect(unheard.size).toBeGreaterThan(20);
    expect(statuses.of("disconnected")).toEqual([]);
  });

  test("without headers a publish that nobody hears is unconfirmed after its time", async () => {
    fake = await FakeStreaming.start({ greet: { headers: undefined, version: "2.1.4" } });
    fake.onPublish = () => {};
    const client = await open(fake, { publishTimeout: 100 });
    await expect(client.publish("a", "x")).rejects.toMatchObject({ code: "UNCONFIRMED" });
  });

  test("a subscription whose inbox is denied rejects at once", async () => {
    fake = await FakeStreaming.start();
    fake.onSubscribe = (ask) => {
      ask.link.send(`-ERR 'Permissions Violation for Subscription to "${ask.message.inbox}"'\r\n`);
      fake!.accept(ask);
    };
    const client = await open(fake, { requestTimeout: 60_000 });
    await expect(client.subscribe("a", () => {})).rejects.toMatchObject({ code: "NOT_PERMITTED" });
    expect(client.state).toBe("registered");
  });
});
