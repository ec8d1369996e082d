import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { connect } from "../../../src/index.ts";
import { embedded, fresh, open, optionsFor, Statuses } from "../../support/clients.ts";
import { connectResponse, FakeStreaming, pingResponse } from "../../support/fake-streaming.ts";
import { until } from "../../support/until.ts";

const replaced = "client has been replaced or is no longer registered";

let fake: FakeStreaming;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
});

describe("the end of a session", () => {
  test("is not asked for unless the session is certainly ours: the request would end a successor's", async () => {
    const server = await embedded();
    const client = await open(server, { clientId: "me" });
    server.forget("me");
    await open(server, { clientId: "me" });
    await client.close();
    expect(server.clients).toEqual(["me"]);
  });

  test("is asked for when the registration came only after the client had been closed", async () => {
    const client = await open(fake);
    fake.onPing = (ask) => ask.answer(pingResponse(replaced));
    let answer = (): void => undefined;
    fake.onRegister = (ask) => {
      answer = () => ask.answer(connectResponse());
    };
    fake.link.destroy();
    await until("the client registers again", () => fake.registrations.length === 2);
    const closed = client.close();
    answer();
    await closed;
    expect(fake.closes).toHaveLength(1);
  });
});

describe("an outage", () => {
  test("is told once, however often the server is dialled", async () => {
    const statuses = new Statuses();
    let dials = 0;
    const reconnectDelay = (): number => (dials++, 1);
    await open(fake, { onStatus: statuses.onStatus, reconnectDelay });
    await fake.stop();
    await until("the server was dialled ten times", () => dials > 10);
    expect(statuses.of("disconnected")).toHaveLength(1);
    expect(statuses.of("error")).toHaveLength(1);
  });

  test("of the streaming server alone is told, too", async () => {
    const statuses = new Statuses();
    const server = await embedded();
    await open(server, { onStatus: statuses.onStatus });
    server.stepDown();
    server.cut();
    const [status] = await statuses.until("error");
    expect(status?.error.code).toBe("NO_SERVER");
    server.lead();
    await statuses.until("registered", 2);
    expect(statuses.of("error")).toHaveLength(1);
  });

  test("goes on while a server takes the client and drops it again: each dial waits longer", async () => {
    const attempts: number[] = [];
    const reconnectDelay = (attempt: number): number => (attempts.push(attempt), 1);
    fake.onPing = (ask) => {
      ask.answer(pingResponse());
      ask.link.end();
    };
    await open(fake, { reconnectDelay });
    fake.link.destroy();
    await until("the server was dialled five times", () => attempts.length >= 5);
    expect(attempts.slice(0, 5)).toEqual([0, 1, 2, 3, 4]);
  });
});

describe("a registration", () => {
  test("that fails for want of a leader is not refused for good", async () => {
    fake.onRegister = (ask) => ask.answer(connectResponse({ error: "leadership lost while committing log" }));
    await expect(connect(optionsFor(fake, { clientId: fresh("raft") }))).rejects.toMatchObject({ code: "NO_SERVER" });
  });

  test("that is refused for good is not waited for", async () => {
    fake.onRegister = (ask) => ask.answer(connectResponse({ error: "stan: invalid connection request" }));
    const connecting = connect(optionsFor(fake, { waitOnFirstConnect: true }));
    await expect(connecting).rejects.toMatchObject({ code: "REFUSED" });
  });
});
