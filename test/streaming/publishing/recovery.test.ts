import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { PubMsg } from "../../../src/testing/messages.ts";
import { embedded, open } from "../../support/clients.ts";
import { type Ask, FakeStreaming, pubAck } from "../../support/fake-streaming.ts";
import { until } from "../../support/until.ts";

let fake: FakeStreaming;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
});

/** The first publish gets no answer, and the next one a 503. Then another server is in charge. */
function takeover(): void {
  fake.onPublish = () => {
    fake.onPublish = (ask) => {
      fake.onPublish = acknowledge;
      ask.unheard();
    };
  };
}

function acknowledge(ask: Ask<PubMsg>): void {
  ask.answer(pubAck(ask.message.guid));
}

describe("a publish that a server had heard whose place another one has taken", () => {
  test("is unconfirmed soon after, not only when its time is up", async () => {
    takeover();
    const client = await open(fake, { requestTimeout: 500, publishTimeout: 3_600_000 });
    const [first, second] = await Promise.allSettled([client.publish("fake", "one"), client.publish("fake", "two")]);
    expect(first).toMatchObject({ reason: { code: "UNCONFIRMED" } });
    expect(second.status).toBe("fulfilled");
  });

  test("does not keep others from being sent, however full the window was", async () => {
    takeover();
    const client = await open(fake, { requestTimeout: 500, publishTimeout: 3_600_000, maxPubAcksInFlight: 2 });
    const settled = await Promise.allSettled(["one", "two", "three"].map((text) => client.publish("fake", text)));
    expect(settled.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  });

  test("is sent again, where that is wished", async () => {
    takeover();
    const client = await open(fake, { requestTimeout: 500, publishTimeout: 3_600_000, resendUnconfirmed: true });
    await Promise.all([client.publish("fake", "one"), client.publish("fake", "two")]);
    expect(fake.publishes.map((ask) => ask.message.data.length)).toEqual([3, 3, 3, 3]);
  });

  test("is unconfirmed, too, where nothing told of it but a ping that was not answered", async () => {
    const server = await embedded();
    const client = await open(server, { requestTimeout: 500, publishTimeout: 3_600_000, pingInterval: 1_000 });
    // As a leader does that is frozen: it hears all, and says nothing.
    server.swallow("PubAck");
    server.swallow("PingResponse");
    await expect(client.publish("c", "one")).rejects.toMatchObject({ code: "UNCONFIRMED" });
  });

  test("is no publish that was sent after the first answered ping: its ack may take publishTimeout", async () => {
    const client = await open(fake, { requestTimeout: 200, publishTimeout: 3_600_000, pingInterval: 1_000 });
    const answer = fake.onPing;
    fake.onPing = () => (fake.onPing = answer);
    fake.onPublish = () => {};
    await until("a second ping is answered", () => fake.pings.length === 2);
    const publish = client.publish("fake", "one");
    // That is nearly five times requestTimeout later.
    await until("a third ping is sent", () => fake.pings.length === 3);
    acknowledge(fake.publishes[0]!);
    await publish;
  });

  test("is stored, when its ack comes after all, if only soon", async () => {
    const unanswered: Ask<PubMsg>[] = [];
    takeover();
    const hear = fake.onPublish;
    fake.onPublish = (ask) => {
      unanswered.push(ask);
      hear(ask);
    };
    const client = await open(fake, { publishTimeout: 3_600_000 });
    const first = client.publish("fake", "one");
    await client.publish("fake", "two");
    await until("the first was heard", () => unanswered.length === 1);
    acknowledge(unanswered[0]!);
    await first;
  });
});
