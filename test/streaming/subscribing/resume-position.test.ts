import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { StartPosition } from "../../../src/pb/control.ts";
import type { StreamingServer } from "../../../src/testing/server.ts";
import { embedded, open, Received, Statuses } from "../../support/clients.ts";
import { FakeStreaming } from "../../support/fake-streaming.ts";
import { until } from "../../support/until.ts";

let fake: FakeStreaming;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
});

describe("a subscription that has received nothing", () => {
  test("goes on from when it was made, also when the server took its time to get to the request", async () => {
    const statuses = new Statuses();
    const requestTimeout = 3_000;
    const client = await open(fake, { onStatus: statuses.onStatus, requestTimeout });
    await client.subscribe("fake", () => undefined);
    fake.loseSession();
    await until("it is subscribed again", () => statuses.of("subscribed").length === 2);
    const again = fake.subscribes[1]!.message;
    expect(again.startPosition).toBe(StartPosition.TimeDeltaStart);
    // The server counts back from when it gets to the request, which may be as late as the request may take.
    expect(Number(again.startTimeDelta) / 1e6).toBeGreaterThanOrEqual(requestTimeout);
  });
});

describe("a subscription to begin with the last message, whose delivery was lost with the session", () => {
  /** Three messages are stored, an hour passes, and the last one is delivered into a link that is lost. */
  async function lose(
    meanwhile: (server: StreamingServer) => void,
  ): Promise<{ received: Received; server: StreamingServer }> {
    const server = await embedded();
    const client = await open(server, { clientId: "me", requestTimeout: 300 });
    for (const text of ["one", "two", "three"]) server.publish("c", text);
    await server.advance(3_600_000);
    server.swallow("MsgProto");
    const received = new Received();
    await client.subscribe("c", received.handler, { startAt: "lastReceived" });
    server.forget("me");
    server.cut();
    meanwhile(server);
    return { received, server };
  }

  test("gets that one after all", async () => {
    const { received } = await lose(() => undefined);
    await received.until(1);
    expect(received.texts).toEqual(["three"]);
  });

  test("gets that one, and what was stored since", async () => {
    const { received } = await lose((server) => {
      for (const text of ["four", "five"]) server.publish("c", text);
    });
    await received.until(3);
    expect(received.texts).toEqual(["three", "four", "five"]);
  });

  test("gets what was stored since if there was none", async () => {
    const server = await embedded();
    const client = await open(server, { clientId: "me" });
    const received = new Received();
    await client.subscribe("c", received.handler, { startAt: "lastReceived" });
    server.forget("me");
    server.cut();
    for (const text of ["one", "two"]) server.publish("c", text);
    await received.until(2);
    expect(received.texts).toEqual(["one", "two"]);
  });
});

test("a durable that has received nothing needs no peek: the server knows its position", async () => {
  const statuses = new Statuses();
  const client = await open(fake, { onStatus: statuses.onStatus });
  await client.subscribe("fake", () => undefined, { durable: "d", startAt: "lastReceived" });
  fake.loseSession();
  await statuses.until("subscribed", 2);
  expect(fake.subscribes.map(({ message }) => message.durableName)).toEqual(["d", "d"]);
});
