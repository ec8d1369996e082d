import { expect, onTestFinished, test } from "vitest";
import { deferred } from "../../src/core-nats/async.ts";
import type { Client, Message, Subscription, SubscribeOptions } from "../../src/index.ts";
import { binaries, binaryPath } from "../support/binaries.ts";
import { Peer } from "../conformance/peer.ts";
import { fresh, open, proxyTo, publishAll, range } from "../support/clients.ts";
import { subscriptionPages } from "../support/monitor.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** A member of a queue group, and what it was given. A message whose text begins with "hold" is kept until `go`. */
class Member {
  readonly handled: string[] = [];
  readonly held: Message[] = [];
  readonly given: Message[] = [];
  subscription!: Subscription;
  readonly #gate = deferred();
  #acks = false;

  readonly handler = async (message: Message): Promise<void> => {
    this.given.push(message);
    if (this.#acks) message.ack();
    if (message.text().startsWith("hold")) {
      this.held.push(message);
      await this.#gate.promise;
    }
    this.handled.push(message.text());
  };

  /** Holds nothing any more. */
  go(): void {
    this.#gate.resolve();
  }

  /** Acknowledges what it was given, and all that it will be. */
  ackAll(): void {
    this.ackNext();
    for (const message of this.given) message.ack();
  }

  /** Acknowledges what it will be given. */
  ackNext(): void {
    this.#acks = true;
  }
}

interface Group {
  readonly client: Client;
  readonly channel: string;
  readonly members: readonly Member[];
}

/** Members of one queue group in one client, each of which may have one message at a time, for a second. */
async function group(client: Client, count: number, options: SubscribeOptions = {}): Promise<Group> {
  const channel = fresh("channel");
  const queue = fresh("queue");
  const members = Array.from({ length: count }, () => new Member());
  const all = { queue, ackWait: 1_000, concurrency: 1, ...options };
  for (const member of members) member.subscription = await client.subscribe(channel, member.handler, all);
  return { client, channel, members };
}

/** Waits until the server waits for no ack. */
async function rest(server: RealServer, { channel }: Group): Promise<void> {
  await until("the server waits for no ack", async () => {
    const pages = await subscriptionPages(server, channel);
    return pages.every((page) => page.pending_count === 0);
  });
}

/** Publishes messages that are handled at once, and says who handled how many of these. */
async function whoWorks(server: RealServer, group: Group): Promise<number[]> {
  const { client, channel, members } = group;
  await rest(server, group);
  const before = members.map(({ handled }) => handled.length);
  const run = fresh("work");
  const texts = range(1, 10 * members.length).map((i) => `${run} ${i}`);
  for (const text of texts) await client.publish(channel, text);
  const all = (): string[] => members.flatMap(({ handled }) => handled);
  await until("all is handled", () => texts.every((text) => all().includes(text)), 15_000);
  await rest(server, group);
  return members.map(({ handled }, i) => handled.length - before[i]!);
}

/** Each member that is left works, and the server says of none that it is stalled. */
async function expectAllToWork(server: RealServer, group: Group): Promise<void> {
  const live = { ...group, members: group.members.filter(({ subscription }) => subscription.state !== "closed") };
  const worked = await whoWorks(server, live);
  const pages = await subscriptionPages(server, group.channel);
  expect(pages.map((page) => page.is_stalled)).toEqual(live.members.map(() => false));
  expect(worked.filter((count) => count === 0), `worked: ${String(worked)}`).toEqual([]);
}

/** Has one member hold a message for longer than `ackWait`, and publishes more while the server has it at another. */
async function hold({ client, channel, members }: Group): Promise<Member> {
  await client.publish(channel, "hold");
  const holder = await until("a member holds it", () => members.find(({ held }) => held.length > 0));
  const others = members.filter((member) => member !== holder);
  await until("the server has moved it", () => others.some(({ subscription }) => subscription.stats().redelivered > 0));
  for (const i of range(1, 2 * members.length)) await client.publish(channel, `behind ${i}`);
  return holder;
}

for (const name of ["streaming", "oldStreaming"] as const) {
  for (const durable of [undefined, "d"]) {
    const kind = `${durable === undefined ? "" : "durable "}queue group`;
    const title = `members of a ${kind} in one client, on ${binaries[name].version}`;
    const suite = (): void => {
      const server = forSuite(() => RealServer.start({ binary: binaryPath(binaries[name]), args: ["-SV"] }));

      test("all work after a handler took longer than ackWait", async () => {
        const all = await group(await open(server()), 2, { durable });
        (await hold(all)).go();
        await expectAllToWork(server(), all);
      });

      test("all work after handlers of four took longer than ackWait", async () => {
        const all = await group(await open(server()), 4, { durable });
        for (const i of range(1, 4)) await all.client.publish(all.channel, `hold ${i}`);
        await until("each holds one", () => all.members.every(({ held }) => held.length > 0));
        for (const i of range(1, 8)) await all.client.publish(all.channel, `behind ${i}`);
        const moved = (): Member[] => all.members.filter(({ subscription }) => subscription.stats().redelivered > 0);
        await until("the server has moved some", () => moved().length > 2);
        for (const member of all.members) member.go();
        await expectAllToWork(server(), all);
      });

      test("all work after an ack by hand that came later than ackWait", async () => {
        const all = await group(await open(server()), 2, { durable, manualAck: true });
        const holder = await hold(all);
        for (const member of all.members) member.ackAll();
        holder.go();
        await expectAllToWork(server(), all);
      });

      test("all work after the link was cut while a message was at two of them", async () => {
        const proxy = await proxyTo(server());
        const client = await open(proxy);
        const all = await group(client, 2, { durable });
        const holder = await hold(all);
        proxy.cut();
        await until("the link is lost", () => !client.ready);
        holder.go();
        await until("the client is back", () => client.ready);
        await expectAllToWork(server(), all);
      });

      test("all work after messages were moved among them during an outage", async () => {
        const proxy = await proxyTo(server());
        const client = await open(proxy);
        const all = await group(client, 4, { durable });
        for (const i of range(1, 4)) await client.publish(all.channel, `hold ${i}`);
        await until("each holds one", () => all.members.every(({ held }) => held.length > 0));
        proxy.refuse();
        proxy.cut();
        const moves = (): number => {
          const moved = server().log().split("Redelivering msg to subid");
          return moved.filter((line) => line.includes(`subject=${all.channel},`)).length;
        };
        await until("the server has moved them", () => moves() >= 8, 15_000);
        const other = await open(server());
        for (const i of range(1, 8)) await other.publish(all.channel, `behind ${i}`);
        for (const member of all.members) member.go();
        await until("the link is lost", () => !client.ready);
        proxy.accept();
        await until("the client is back", () => client.ready);
        await expectAllToWork(server(), all);
      });

      // The peer speaks to the subjects of 0.25.6.
      if (name === "streaming") test("one stalled with nothing pending is found out, and works again", async () => {
        const all = await group(await open(server()), 2, { durable, manualAck: true });
        const { client, channel, members } = all;
        const stalled = async (): Promise<boolean[]> => {
          return (await subscriptionPages(server(), channel)).map((page) => page.is_stalled);
        };
        await publishAll(client, channel, ["1", "2"]);
        await until("each has one", () => members.every(({ given }) => given.length === 1));
        // Another member, elsewhere, acknowledges the one that is full and has nothing to do but to wait.
        const [well, ill] = members as [Member, Member];
        const queue = (await subscriptionPages(server(), channel))[0]!.queue_name!.split(":").at(-1)!;
        const peer = await Peer.dial(server().port);
        onTestFinished(() => peer.destroy());
        peer.clientId = fresh("peer");
        await peer.register();
        const other = await peer.subscribe(channel, { qGroup: queue, durableName: durable ?? "" });
        peer.ack(other, ill.given[0]!.sequence);
        await peer.settle();
        expect(await peer.end("subclose", other)).toBe("");
        well.ackAll();
        await rest(server(), all);
        expect((await stalled()).sort()).toEqual([false, true]);
        ill.ackNext();
        await until("it works again", async () => (await whoWorks(server(), all))[1]! > 0);
        await rest(server(), all);
        expect(await stalled()).toEqual([false, false]);
      });

      test.each(["close", "drain"] as const)("the rest works after the %s of the one that handles it", async (how) => {
        const all = await group(await open(server()), 3, { durable });
        const holder = await hold(all);
        const left = holder.subscription[how]();
        if (how === "close") await left;
        for (const member of all.members) member.go();
        await left;
        await expectAllToWork(server(), all);
      });

      test.each(["close", "drain"] as const)("the rest works after the %s of one that it was moved to", async (how) => {
        const all = await group(await open(server()), 3, { durable });
        const holder = await hold(all);
        const other = all.members.find(({ subscription }) => subscription.stats().redelivered > 0)!;
        await other.subscription[how]();
        holder.go();
        await expectAllToWork(server(), all);
      });
    };
    describeWithServer(title, suite, [name]);
  }
}
