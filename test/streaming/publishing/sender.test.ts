import { beforeEach, describe, expect, test } from "vitest";
import { checkConnectOptions } from "../../../src/streaming/connect-options.ts";
import type { ConnectOptions } from "../../../src/streaming/connect-options.ts";
import { Guids } from "../../../src/streaming/publishing/guid.ts";
import { InFlight } from "../../../src/streaming/publishing/in-flight.ts";
import { Stage } from "../../../src/streaming/publishing/pending-publish.ts";
import type { PendingPublish } from "../../../src/streaming/publishing/pending-publish.ts";
import { PublishTemplate } from "../../../src/streaming/publishing/publish-template.ts";
import { Sender } from "../../../src/streaming/publishing/sender.ts";
import { Slabs } from "../../../src/streaming/publishing/slab.ts";
import { latin1 } from "../../support/bytes.ts";
import { subjects } from "../../support/fake-streaming.ts";
import { Wire, newSession, pending, text } from "../../support/publisher-rig.ts";

/** A sender that is registered, and the connection that it sends on. */
class SenderRig {
  readonly guids = new Guids();
  readonly slabs = new Slabs();
  readonly inFlight = new InFlight();
  readonly wire = new Wire();
  readonly session = newSession();
  readonly template = new PublishTemplate("orders");
  readonly sender: Sender;

  constructor(options: Partial<ConnectOptions> = {}) {
    const { settings } = checkConnectOptions({ clusterId: "fake", clientId: "me", ...options });
    this.sender = new Sender(settings, "acks", this.guids, this.slabs, this.inFlight);
    this.sender.registration = { connection: this.wire, session: this.session, over: new AbortController().signal };
  }

  pending(data: string | Uint8Array): PendingPublish {
    return pending(data, { template: this.template, slabs: this.slabs });
  }

  /** Sends a publish that may be sent. Returns what `send` returns. */
  send(data: string | Uint8Array): number | undefined {
    const publish = this.pending(data);
    expect(this.sender.maySend(publish)).toBe(true);
    return this.sender.send(publish, data);
  }
}

let rig: SenderRig;

beforeEach(() => {
  rig = new SenderRig();
});

describe("a publish that is sent", () => {
  test("has the subject of its channel, the guid of its number, and a reply subject with its token", () => {
    const publish = rig.pending("hello");
    rig.sender.send(publish, "hello");
    const [{ subject, reply, message }] = rig.wire.take();
    expect(subject).toBe(`${subjects.pubPrefix}.orders`);
    expect(reply).toBe("acks.01");
    expect(message).toMatchObject({ clientID: "me", subject: "orders", reply: "", guid: latin1(rig.guids.bytes) });
    expect(text(message!.data)).toBe("hello");
    expect(text(message!.connID)).toBe(rig.session.connId);
    expect(publish).toMatchObject({ number: 1, stage: Stage.sent, session: rig.session });
    expect(rig.inFlight).toMatchObject({ count: 1, bytes: publish.size });
  });

  test("arrives byte for byte, whatever its size", () => {
    const small = [0, 1, 63, 64, 65, 127, 128, 4_095];
    const lengths = [...small, 16_383, 16_384, 16_385, 32_767, 32_768, 65_535, 65_536, 200_000];
    for (const length of lengths) {
      const data = Uint8Array.from({ length }, (_, i) => i * 7 + length);
      rig.send(data);
      data.fill(0);
    }
    const sent = rig.wire.take().map(({ message }) => message!.data);
    expect(sent.map((data) => data.length)).toEqual(lengths);
    for (const data of sent) expect(data.every((byte, i) => byte === ((i * 7 + data.length) & 255))).toBe(true);
  });

  test("keeps its slab until the outbox has written it, where it is sent from there", () => {
    const publish = rig.pending(new Uint8Array(100_000));
    rig.sender.send(publish);
    expect(publish.slab.users).toBe(2);
    rig.wire.take();
    rig.wire.outbox.flush();
    expect(publish.slab.users).toBe(1);
  });

  test("follows a PING where a lap begins", () => {
    for (let i = 0; i < 600; i++) rig.send("x");
    const pings = rig.wire.take().flatMap(({ verb }, i) => (verb === "PING" ? [i] : []));
    expect(pings).toEqual([255, 512]);
  });

  test("is encoded anew for another session", () => {
    rig.send("1");
    const session = newSession();
    rig.sender.registration = { ...rig.sender.registration!, session };
    rig.send("2");
    const sent = rig.wire.take().map(({ message }) => text(message!.connID));
    expect(sent).toEqual([rig.session.connId, session.connId]);
  });

  test("is not sent where the server takes no message of its size", () => {
    rig.wire.maxPayload = 1_000;
    const size = rig.send("x".repeat(1_000))!;
    expect(size).toBeGreaterThan(1_000);
    expect(rig.inFlight.count).toBe(0);
    expect(rig.wire.take()).toEqual([]);
    rig.wire.maxPayload = size;
    expect(rig.send("x".repeat(1_000))).toBeUndefined();
    expect(rig.wire.take().length).toBe(1);
  });
});

describe("a publish may be sent", () => {
  test("while there is a registration", () => {
    expect(rig.sender.maySend(rig.pending("x"))).toBe(true);
    rig.sender.registration = undefined;
    expect(rig.sender.maySend(rig.pending("x"))).toBe(false);
  });

  test("up to the window's count", () => {
    rig = new SenderRig({ maxPubAcksInFlight: 2 });
    const first = rig.pending("1");
    rig.sender.send(first, "1");
    rig.send("2");
    expect(rig.sender.maySend(rig.pending("3"))).toBe(false);
    rig.inFlight.remove(first);
    expect(rig.sender.maySend(rig.pending("3"))).toBe(true);
  });

  test("up to the window's bytes; one message passes that is larger", () => {
    rig = new SenderRig({ maxPubBytesInFlight: 100 });
    const large = rig.pending(new Uint8Array(500));
    expect(rig.sender.maySend(large)).toBe(true);
    rig.sender.send(large);
    expect(rig.sender.maySend(rig.pending("small"))).toBe(false);
    rig.inFlight.remove(large);
    expect(rig.sender.maySend(rig.pending("small"))).toBe(true);
  });

  test("while the socket takes bytes, whatever was given up meanwhile", () => {
    while (rig.sender.maySend(rig.pending("x"))) {
      const publish = rig.pending(new Uint8Array(100_000));
      rig.sender.send(publish);
      rig.inFlight.remove(publish);
      expect(rig.inFlight.last).toBeLessThan(1_000);
    }
    expect(rig.wire.outbox.full).toBe(true);
  });
});
