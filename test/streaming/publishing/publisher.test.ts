import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { NatsError } from "../../../src/core-nats/errors.ts";
import { Lifetime } from "../../../src/core-nats/lifetime.ts";
import type { ConnectOptions } from "../../../src/streaming/connect-options.ts";
import { StreamingError } from "../../../src/streaming/errors.ts";
import { publishMany } from "../../../src/streaming/publishing/publish-many.ts";
import type { PublishOptions } from "../../../src/streaming/publishing/publish-options.ts";
import type { PubMsg } from "../../../src/testing/messages.ts";
import { bytesOf, sameBytes } from "../../support/bytes.ts";
import { subjects } from "../../support/fake-streaming.ts";
import { Rig, code, newSession, text } from "../../support/publisher-rig.ts";
import type { Outcome } from "../../support/publisher-rig.ts";
import { forEachSeed } from "../../support/random.ts";

vi.mock("../../../src/core-nats/clock.ts", () => import("../../support/fakeable-clock.ts"));

/** Bytes of all arrays that something still refers to. */
async function arrayBuffersAfterCollection(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let turn = 0; turn < 3; turn++) {
    collect();
    await new Promise<void>((resolve) => setImmediate(() => resolve()));
  }
  return process.memoryUsage().arrayBuffers;
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

describe("a publish", () => {
  test("goes out at once with all that belongs to it, and resolves with its ack", async () => {
    const rig = new Rig().register();
    const outcome = rig.publish("hello", { reply: "to me" }, "orders.new");
    const [sent] = rig.wire.take();
    expect(sent.subject).toBe(`${subjects.pubPrefix}.orders.new`);
    expect(sent.reply).toMatch(/^_STAN\.acks\.[0-9A-Za-z]{22}\.[0-9a-f]{2}$/);
    expect(rig.wire.acks).toBe(`${sent.reply.slice(0, -3)}.*`);
    expect(sent.message).toMatchObject({ clientID: "me", subject: "orders.new", reply: "to me" });
    expect(text(sent.message!.data)).toBe("hello");
    expect(text(sent.message!.connID)).toBe(rig.session.connId);
    expect(sent.message!.guid).toMatch(/^[0-9A-Za-z]{22}$/);
    rig.ack({ guid: sent.message!.guid, ackTo: sent.reply });
    expect(await outcome).toBe("stored");
  });

  test("waits without a registration, and goes in order when there is one", async () => {
    const rig = new Rig();
    const outcomes = [rig.publish("1"), rig.publish("2"), rig.publish("3")];
    rig.register();
    const sent = rig.messages();
    expect(sent.map(({ data }) => text(data))).toEqual(["1", "2", "3"]);
    for (const message of sent) rig.ack(message);
    expect(await Promise.all(outcomes)).toEqual(["stored", "stored", "stored"]);
  });

  test("is sent as it was given, whatever was published and settled before, empty data included", async () => {
    await forEachSeed(20, (random) => {
      const rig = new Rig({ maxPubAcksInFlight: random.pick([3, 100, 10_000]), maxQueuedBytes: 2 ** 30 }).register();
      const given: Uint8Array[] = [];
      const unanswered: (PubMsg & { ackTo: string })[] = [];
      let sent = 0;
      const take = (): void => {
        for (const message of rig.messages()) {
          if (!sameBytes(message.data, given[sent])) {
            expect.fail(`publish ${sent} was sent with other data than it was given`);
          }
          unanswered.push(message);
          sent++;
        }
      };
      for (let step = 0; step < 1_500; step++) {
        if (random.bool(0.55)) {
          const most = random.pick([0, 0, 10, 100, 2_000, random.bool(0.1) ? 70_000 : 0]);
          const data = random.bool() ? random.bytes(random.int(0, most)) : random.text(
            random.int(0, most), "abcäß€𝄞\u0000\ud800",
          );
          given.push(typeof data === "string" ? bytesOf(data) : data.slice());
          void rig.publish(data);
          if (typeof data === "object") data.fill(0xee);
        } else if (unanswered.length > 0) {
          rig.ack(unanswered.splice(random.int(0, unanswered.length - 1), 1)[0]);
        }
        if (random.bool(0.2)) take();
      }
      for (take(); unanswered.length > 0; take()) for (const message of unanswered.splice(0)) rig.ack(message);
      expect(sent).toBe(given.length);
    });
  });

  test("that is too large is refused with both numbers, and others go on", async () => {
    const rig = new Rig().register();
    rig.wire.maxPayload = 1_000;
    const outcomes = [rig.publish("before"), rig.publish("x".repeat(1_000)), rig.publish("after")];
    const refused = await outcomes[1];
    expect(refused).toMatchObject({ code: "TOO_LARGE" });
    expect(String(refused)).toMatch(/ 1\d\d\d bytes.* 1000 /);
    const sent = rig.messages();
    expect(sent.map(({ data }) => text(data))).toEqual(["before", "after"]);
    for (const message of sent) rig.ack(message);
    expect(await Promise.all([outcomes[0], outcomes[2]])).toEqual(["stored", "stored"]);
  });

  test("with wrong arguments rejects with a TypeError and sends nothing", async () => {
    const rig = new Rig().register();
    const bad = [
      rig.publisher.publish("", "x"),
      rig.publisher.publish("a.*", "x"),
      rig.publisher.publish("a", 5 as unknown as string),
      rig.publisher.publish("a", undefined as unknown as string),
      rig.publisher.publish("a", [1, 2] as unknown as string),
      rig.publisher.publish("a", "x", { reply: 5 } as unknown as PublishOptions),
      rig.publisher.publish("a", "x", { signal: {} } as unknown as PublishOptions),
    ];
    for (const promise of bad) await expect(promise).rejects.toBeInstanceOf(TypeError);
    expect(rig.wire.take()).toEqual([]);
  });

  test("takes bytes of another realm, and names what is neither text nor bytes", async () => {
    const rig = new Rig().register();
    const foreign = runInNewContext("new Uint8Array([1, 2, 3])") as Uint8Array;
    for (const data of [foreign, Uint8Array.of(4), Buffer.from("five")]) void rig.publisher.publish("a", data);
    expect(rig.messages().map(({ data }) => [...data])).toEqual([[1, 2, 3], [4], [...Buffer.from("five")]]);
    const named: [unknown, string][] = [
      ...[{}, new Proxy(foreign, {}), new Float64Array(1)].map((data): [unknown, string] => [data, "an object"]),
      [null, "null"],
      [[1], "an array"],
      [5, "5"],
      [undefined, "undefined"],
      [() => 1, "a function"],
    ];
    for (const [data, name] of named) {
      const publish = rig.publisher.publish("a", data as Uint8Array);
      const json = typeof data === "object" && data !== null ? " (JSON.stringify makes a string of an object)" : "";
      await expect(publish).rejects.toThrow(
        new TypeError(`data must be a string or a Uint8Array${json}, not ${name}`),
      );
    }
  });

  test("of what only looks like bytes, or was transferred, rejects with a TypeError and counts nowhere", async () => {
    const rig = new Rig().register();
    const transferred = new Uint8Array(10);
    structuredClone(transferred, { transfer: [transferred.buffer] });
    const imitation = Object.create(Uint8Array.prototype) as Uint8Array;
    await expect(rig.publisher.publish("a", imitation)).rejects.toThrow(/^data must be a string or a Uint8Array/);
    await expect(rig.publisher.publish("a", transferred)).rejects.toBeInstanceOf(TypeError);
    for (const data of [imitation, transferred]) {
      await expect(publishMany(rig.publisher, "a", [data])).rejects.toMatchObject({
        code: "ABORTED", cause: expect.any(TypeError),
      });
    }
    expect(rig.publisher.stats()).toMatchObject({ rejected: 0, unconfirmed: 0, inFlight: 0, queued: 0 });
    expect(rig.wire.take()).toEqual([]);
    await rig.publisher.drain(1_000);
  });

  test("that is refused at once counts as rejected like any other", async () => {
    const rig = new Rig().register();
    const aborted = new AbortController();
    aborted.abort();
    const outcomes = [await rig.publish("x", { signal: aborted.signal })];
    rig.publisher.refuse(new StreamingError("REFUSED", "register me: stan: invalid"));
    outcomes.push(await rig.publish());
    rig.publisher.close();
    outcomes.push(await rig.publish());
    expect(outcomes.map(code)).toEqual(["ABORTED", "REFUSED", "CLOSED"]);
    expect(rig.publisher.stats().rejected).toBe(3);
  });
});

describe("an ack", () => {
  test("that cannot be read is dropped and told, and the true one still counts", async () => {
    const rig = new Rig().register();
    const outcome = rig.publish();
    const [sent] = rig.messages();
    rig.wire.deliver(sent.ackTo, Uint8Array.of(0x0a, 0x7f));
    rig.wire.deliver(sent.ackTo, Uint8Array.of(0xff, 0xff, 0xff));
    expect(rig.statuses).toMatchObject([
      { type: "error", error: { code: "REFUSED" } },
      { type: "error", error: { code: "REFUSED" } },
    ]);
    rig.ack(sent);
    expect(await outcome).toBe("stored");
  });

  test.each([
    ["stan: invalid subject", "REFUSED"],
    ["too many channels", "REFUSED"],
    ["stan: channel is being deleted", "UNCONFIRMED"],
    ["leadership lost while committing log", "UNCONFIRMED"],
    ["no space left on device", "UNCONFIRMED"],
  ])("with the error %j rejects with %s and the server's words", async (words, expected) => {
    const rig = new Rig().register();
    const outcomes = [rig.publish("bad", {}, "orders"), rig.publish("good")];
    const [bad, good] = rig.messages();
    rig.ack(bad, words);
    rig.ack(good);
    expect(await outcomes[0]).toMatchObject({ code: expected, message: `publish orders: ${words}` });
    expect(await outcomes[1]).toBe("stored");
  });

  test('of "invalid publish request" rejects once the session is known to be alive, and others go on', async () => {
    const rig = new Rig().register();
    const outcomes = [rig.publish("bad"), rig.publish("good")];
    const [bad, good] = rig.messages();
    rig.ack(bad, "stan: invalid publish request");
    expect(rig.verified).toEqual([undefined]);
    rig.ack(good);
    rig.resume();
    expect(await outcomes[0]).toMatchObject({ code: "REFUSED" });
    expect(await outcomes[1]).toBe("stored");
  });

  test('of "invalid publish request" in a session that is gone is sent again in the next one, in order', async () => {
    const rig = new Rig().register();
    const outcomes = [rig.publish("1"), rig.publish("2")];
    const sent = rig.messages();
    rig.ack(sent[1], "stan: invalid publish request");
    rig.ack(sent[0], "stan: invalid publish request");
    outcomes.push(rig.publish("3"));
    rig.resume(newSession());
    const again = rig.messages();
    expect(again.map(({ data }) => text(data))).toEqual(["1", "2", "3"]);
    expect(again.every(({ connID }) => text(connID) === rig.session.connId)).toBe(true);
    for (const message of again) rig.ack(message);
    expect(await Promise.all(outcomes)).toEqual(["stored", "stored", "stored"]);
  });
});

describe("a 503", () => {
  test("for exactly one publish sends that again and settles the others as they are", async () => {
    const rig = new Rig().register();
    const outcomes = ["1", "2", "3"].map((data) => rig.publish(data));
    const [one, two, three] = rig.messages();
    rig.ack(one);
    rig.noResponders(two);
    rig.ack(three);
    expect(rig.verified).toMatchObject([{ code: "NO_SERVER", cause: { code: "NO_RESPONDERS" } }]);
    expect(rig.messages()).toEqual([]);
    rig.resume();
    const [again, ...more] = rig.messages();
    expect(more).toEqual([]);
    expect(text(again.data)).toBe("2");
    expect(again.guid).not.toBe(two.guid);
    rig.ack(again);
    expect(await Promise.all(outcomes)).toEqual(["stored", "stored", "stored"]);
  });

  test("goes again before what waits, in the order of the calls", async () => {
    const rig = new Rig({ maxPubAcksInFlight: 3 }).register();
    const outcomes = ["1", "2", "3", "4", "5"].map((data) => rig.publish(data));
    const sent = rig.messages();
    expect(sent.length).toBe(3);
    for (const message of [...sent].reverse()) rig.noResponders(message);
    rig.resume();
    const order: string[] = [];
    for (let next = rig.messages(); next.length > 0; next = rig.messages()) {
      for (const message of next) {
        order.push(text(message.data));
        rig.ack(message);
      }
    }
    expect(order).toEqual(["1", "2", "3", "4", "5"]);
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(["stored"]));
  });

  test("after an answered ping is about the channel: the publish is tried again, and holds back no other", async () => {
    const rig = new Rig().register();
    const answer503 = () => {
      const sent = rig.messages();
      for (const message of sent) rig.noResponders(message);
      return sent.map(({ data }) => text(data));
    };
    const outcomes = ["1", "2"].map((data) => rig.publish(data, {}, "nobody"));
    expect(answer503()).toEqual(["1", "2"]);
    rig.resume();
    expect(answer503()).toEqual(["1", "2"]);
    outcomes.push(rig.publish("3", {}, "nobody"));
    expect(answer503()).toEqual(["3"]);
    for (let round = 0; round < 20; round++) {
      const other = rig.publish("other", {}, "served");
      const [sent, ...more] = rig.messages();
      expect(more).toEqual([]);
      rig.ack(sent);
      expect(await other).toBe("stored");
      vi.advanceTimersByTime(250);
      expect(answer503()).toEqual(["1", "2", "3"]);
    }
    expect(rig.verified.length).toBe(1);
    vi.advanceTimersByTime(250);
    for (const message of rig.messages()) rig.ack(message);
    expect(await Promise.all(outcomes)).toEqual(["stored", "stored", "stored"]);

    void rig.publish("4", {}, "nobody");
    expect(answer503()).toEqual(["4"]);
    expect(rig.verified.length).toBe(2);
  });

  test("is told once for each channel, also of one that comes while the session is in question already", () => {
    const rig = new Rig().register();
    for (const channel of ["a", "b"]) void rig.publish(channel, {}, channel);
    for (let round = 0; round < 5; round++) {
      for (const message of rig.messages()) rig.noResponders(message);
      rig.resume();
    }
    expect(rig.verified.map((error) => error?.message.slice(0, 10))).toEqual(["publish a:", "publish b:"]);
  });

  describe("after a ping that was answered", () => {
    interface Rest {
      readonly rig: Rig;
      readonly outcome: Promise<Outcome>;
    }

    /** A publish that waits for the retry timer. */
    function rest(options: Partial<ConnectOptions> = {}, publishOptions?: PublishOptions): Rest {
      const rig = new Rig(options).register();
      const outcome = rig.publish("1", publishOptions, "nobody");
      for (let times = 0; times < 2; times++) {
        rig.noResponders(rig.messages()[0]);
        rig.resume();
      }
      expect(rig.messages()).toEqual([]);
      return { rig, outcome };
    }

    test("keeps its place in the window, and so the order where only one is let through", async () => {
      const { rig, outcome } = rest({ maxPubAcksInFlight: 1 });
      const outcomes = [outcome, rig.publish("2", {}, "served")];
      expect(rig.messages()).toEqual([]);
      vi.advanceTimersByTime(250);
      for (const data of ["1", "2"]) {
        const sent = rig.messages();
        expect(sent.map((message) => text(message.data))).toEqual([data]);
        rig.ack(sent[0]);
      }
      expect(await Promise.all(outcomes)).toEqual(["stored", "stored"]);
    });

    test("ends with NOT_SENT when the time is up", async () => {
      const { outcome } = rest({ publishTimeout: 5 });
      vi.advanceTimersByTime(6);
      expect(await outcome).toMatchObject({
        code: "NOT_SENT", message: "publish nobody: heard by no streaming server within 5 ms",
      });
    });

    test("ends by the caller's signal, the client's end, and a refusal, none of which leaves it unknown", async () => {
      const controller = new AbortController();
      const aborted = rest({}, { signal: controller.signal });
      controller.abort();
      const closed = rest();
      closed.rig.publisher.close();
      const refused = rest();
      refused.rig.publisher.refuse(new StreamingError("CLIENT_ID_IN_USE", "in use"));
      const codes = (await Promise.all([aborted.outcome, closed.outcome, refused.outcome])).map(code);
      expect(codes).toEqual(["ABORTED", "CLOSED", "CLIENT_ID_IN_USE"]);
      expect(aborted.rig.publisher.unanswered).toBe(0);
    });

    test("is sent on the next connection where the link is lost", async () => {
      const { rig, outcome } = rest();
      rig.cut();
      rig.register();
      const [sent] = rig.messages();
      rig.ack(sent);
      expect(await outcome).toBe("stored");
      vi.advanceTimersByTime(250);
      expect(rig.messages()).toEqual([]);
    });
  });
});

describe("a denied subject", () => {
  const denial = (channel: string): NatsError => new NatsError(
    "PERMISSIONS", `Permissions Violation for Publish to "${subjects.pubPrefix}.${channel}"`,
  );

  test("rejects the publish to it, and nothing else", async () => {
    const rig = new Rig().register();
    const outcomes = [rig.publish("1", {}, "a"), rig.publish("2", {}, "secret"), rig.publish("3", {}, "a")];
    const sent = rig.messages();
    expect(rig.wire.publishDenied(`${subjects.pubPrefix}.secret`, denial("secret"))).toBe(true);
    expect(rig.wire.publishDenied(`${subjects.pubPrefix}.secret`, denial("secret"))).toBe(false);
    expect(rig.wire.publishDenied("elsewhere", denial("secret"))).toBe(false);
    rig.ack(sent[0]);
    rig.ack(sent[2]);
    expect((await Promise.all(outcomes)).map(code)).toEqual(["stored", "NOT_PERMITTED", "stored"]);
  });

  test("for acks is told", () => {
    const rig = new Rig().register();
    rig.wire.receiver!.denied(new NatsError("PERMISSIONS", "no"));
    expect(rig.statuses).toMatchObject([{ type: "error", error: { code: "NOT_PERMITTED" } }]);
  });
});

describe("a lost connection", () => {
  test("sends nothing once it has ended: what comes before that is reported is sent on the next one", async () => {
    const rig = new Rig().register();
    rig.wire.end();
    const outcome = rig.publish("late");
    rig.cut();
    rig.register();
    const sent = rig.messages();
    expect(sent.length).toBe(1);
    rig.ack(sent[0]);
    expect(await outcome).toBe("stored");
  });

  test("makes what was sent unconfirmed; what waits is sent on the next one", async () => {
    const rig = new Rig({ maxPubAcksInFlight: 2 }).register();
    const outcomes = ["1", "2", "3"].map((data) => rig.publish(data));
    expect(rig.messages().length).toBe(2);
    rig.cut();
    rig.register();
    const [three] = rig.messages();
    expect(text(three.data)).toBe("3");
    rig.ack(three);
    expect((await Promise.all(outcomes)).map(code)).toEqual(["UNCONFIRMED", "UNCONFIRMED", "stored"]);
  });

  test("with resendUnconfirmed has all sent again, in their order", async () => {
    const rig = new Rig({ maxPubAcksInFlight: 2, resendUnconfirmed: true }).register();
    const outcomes = ["1", "2", "3"].map((data) => rig.publish(data));
    rig.messages();
    rig.cut();
    rig.register();
    const order: string[] = [];
    for (let next = rig.messages(); next.length > 0; next = rig.messages()) {
      for (const message of next) {
        order.push(text(message.data));
        rig.ack(message);
      }
    }
    expect(order).toEqual(["1", "2", "3"]);
    expect(await Promise.all(outcomes)).toEqual(["stored", "stored", "stored"]);
  });

  test("and laps begun before it confuse no 503 after it", async () => {
    for (const before of [10, 255, 256, 300, 511, 512]) {
      const rig = new Rig().register();
      const lost = Array.from({ length: before }, () => rig.publish());
      rig.messages();
      rig.cut();
      await Promise.all(lost);
      rig.register();
      const outcomes = Array.from({ length: 300 }, (_, i) => rig.publish(String(i)));
      const refused: string[] = [];
      for (const { verb, message, reply } of rig.wire.take()) {
        if (verb === "PING") rig.wire.pong();
        else if (text(message!.data).endsWith("7")) {
          refused.push(text(message!.data));
          rig.noResponders({ ackTo: reply });
        } else rig.ack({ guid: message!.guid, ackTo: reply });
      }
      rig.resume();
      const again = rig.messages();
      expect(again.map(({ data }) => text(data))).toEqual(refused);
      for (const message of again) rig.ack(message);
      expect(new Set(await Promise.all(outcomes))).toEqual(new Set(["stored"]));
    }
  });
});

test("the supervisor opens no second connection before the first one is lost, and resumes none that is over", () => {
  const rig = new Rig().register();
  expect(() => rig.register()).toThrow("before another one was lost");
  const over = new Lifetime();
  over.abort();
  const { wire: connection, session } = rig;
  expect(() => rig.publisher.resume({ connection, session, over })).toThrow("a registration that is over");
});

describe("waiting", () => {
  test("ends with NOT_SENT or UNCONFIRMED when the time is up", async () => {
    const rig = new Rig({ publishTimeout: 1_000 });
    const unsent = rig.publish();
    vi.advanceTimersByTime(1_001);
    expect(code(await unsent)).toBe("NOT_SENT");
    rig.register();
    const sent = rig.publish();
    vi.advanceTimersByTime(1_001);
    expect(code(await sent)).toBe("UNCONFIRMED");
    expect(rig.messages().length).toBe(1);
  });

  test("is bounded by bytes: what is beyond is refused, the rest stays", async () => {
    // Each costs 256 bytes beyond its data: many small ones take memory, too.
    const rig = new Rig({ maxQueuedBytes: 10 * (99 + 256) + 100 });
    const outcomes = Array.from({ length: 12 }, () => rig.publish(new Uint8Array(99)));
    expect((await Promise.all(outcomes.slice(10))).map(code)).toEqual(["QUEUE_FULL", "QUEUE_FULL"]);
    rig.register();
    const sent = rig.messages();
    expect(sent.length).toBe(10);
    for (const message of sent) rig.ack(message);
    expect(new Set(await Promise.all(outcomes.slice(0, 10)))).toEqual(new Set(["stored"]));
  });

  test("ends by the caller's signal: ABORTED unsent, UNCONFIRMED sent, nothing after the ack", async () => {
    const rig = new Rig({ maxPubAcksInFlight: 2 }).register();
    const controllers = [1, 2, 3].map(() => new AbortController());
    const outcomes = controllers.map(({ signal }) => rig.publish("x", { signal }));
    const sent = rig.messages();
    rig.ack(sent[0]);
    const [third] = rig.messages();
    expect(third).toBeDefined();
    const fourth = new AbortController();
    const waiting = rig.publish("4", { signal: fourth.signal });
    for (const controller of [fourth, ...controllers.slice(0, 2)]) controller.abort("why");
    expect((await Promise.all([outcomes[0], outcomes[1], waiting])).map(code)).toEqual(
      ["stored", "UNCONFIRMED", "ABORTED"],
    );
    expect(await waiting).toMatchObject({ cause: "why" });
    rig.ack(third);
    expect(await outcomes[2]).toBe("stored");
    expect(code(await rig.publish("5", { signal: fourth.signal }))).toBe("ABORTED");
    expect(rig.messages()).toEqual([]);
  });

  test("ends at once when it is hopeless, with the reason, until there is a registration", async () => {
    const rig = new Rig();
    const before = rig.publish();
    rig.publisher.refuse(new StreamingError("CLIENT_ID_IN_USE", "register me: stan: clientID already registered"));
    const during = rig.publish();
    expect((await Promise.all([before, during])).map(code)).toEqual(["CLIENT_ID_IN_USE", "CLIENT_ID_IN_USE"]);
    rig.register();
    const after = rig.publish();
    rig.ack(rig.messages()[0]);
    expect(await after).toBe("stored");
  });

  test("ends so, too, for a publish that found out that the session is gone, whenever it is told", async () => {
    const rig = new Rig().register();
    const outcomes = [rig.publish("1"), rig.publish("2"), rig.publish("3")];
    const sent = rig.messages();
    rig.ack(sent[0], "stan: invalid publish request");
    rig.publisher.refuse(new StreamingError("CLIENT_ID_IN_USE", "register me: stan: clientID already registered"));
    rig.ack(sent[1], "stan: invalid publish request");
    rig.noResponders(sent[2]);
    expect((await Promise.all(outcomes)).map(code)).toEqual(
      ["CLIENT_ID_IN_USE", "CLIENT_ID_IN_USE", "CLIENT_ID_IN_USE"],
    );
  });

  test("takes no memory for what was given up, wherever in the queue that is", async () => {
    const rig = new Rig();
    const before = await arrayBuffersAfterCollection();
    const first = rig.publish();
    const given: Promise<Outcome>[] = [];
    for (let i = 0; i < 100; i++) {
      const controller = new AbortController();
      // Of two sizes, so that the memory of one is not used again for the next.
      given.push(rig.publish(new Uint8Array(i % 2 === 0 ? 1_000_000 : 300_000), { signal: controller.signal }));
      controller.abort();
    }
    expect(new Set((await Promise.all(given)).map(code))).toEqual(new Set(["ABORTED"]));
    // Eight may be kept, to be used again.
    expect(await arrayBuffersAfterCollection()).toBeLessThan(before + 12_000_000);
    rig.register();
    rig.ack(rig.messages()[0]);
    expect(await first).toBe("stored");
  });
});

describe("the end", () => {
  test("settles all: what was sent is unconfirmed, the rest not done, and nothing more is taken", async () => {
    const rig = new Rig({ maxPubAcksInFlight: 1 }).register();
    const outcomes = [rig.publish(), rig.publish()];
    rig.messages();
    rig.publisher.close();
    outcomes.push(rig.publish());
    expect((await Promise.all(outcomes)).map(code)).toEqual(["UNCONFIRMED", "CLOSED", "CLOSED"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a drain waits for acks, and no longer than its timeout", async () => {
    const rig = new Rig().register();
    const outcome = rig.publish();
    const [sent] = rig.messages();
    const quiet = rig.publisher.drain(1_000);
    rig.ack(sent);
    await quiet;
    expect(rig.publisher.unanswered).toBe(0);
    expect(await outcome).toBe("stored");

    const other = new Rig().register();
    const open = other.publish();
    const left = other.publisher.drain(1_000);
    vi.advanceTimersByTime(1_001);
    await left;
    expect(other.publisher.unanswered).toBe(1);
    other.publisher.close();
    expect(code(await open)).toBe("UNCONFIRMED");
  });
});
