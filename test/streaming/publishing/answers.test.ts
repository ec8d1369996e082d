import { describe, expect, test } from "vitest";
import { NatsError } from "../../../src/core-nats/errors.ts";
import { Answers } from "../../../src/streaming/publishing/answers.ts";
import { Guids } from "../../../src/streaming/publishing/guid.ts";
import { InFlight } from "../../../src/streaming/publishing/in-flight.ts";
import type { PendingPublish } from "../../../src/streaming/publishing/pending-publish.ts";
import { latin1 } from "../../support/bytes.ts";
import { pubAck, subjects } from "../../support/fake-streaming.ts";
import { Wire, newSession, pending } from "../../support/publisher-rig.ts";

/** Answers, the publishes that they are for, and what they said. */
class AnswersRig {
  readonly guids = new Guids();
  readonly inFlight = new InFlight();
  readonly wire = new Wire();
  /** Each event with its publish and its words. */
  readonly events: unknown[][] = [];
  readonly answers = new Answers(this.guids, this.inFlight, {
    acknowledged: (publish) => this.#settle("acknowledged", publish),
    refused: (publish, text) => this.#settle("refused", publish, text),
    noResponders: (publish, status) => this.#settle("noResponders", publish, status),
    notPermitted: (publish) => this.#settle("notPermitted", publish),
    acksDenied: (error) => this.events.push(["acksDenied", error.reason]),
    unreadable: () => this.events.push(["unreadable"]),
  });

  constructor() {
    this.wire.subscribe("acks.*", this.answers);
  }

  add(channel = "a"): { publish: PendingPublish; guid: string; ackTo: string } {
    const publish = pending("x", { channel });
    publish.session = newSession();
    this.inFlight.add(publish, 1, this.wire);
    this.guids.set(publish.number);
    const token = this.inFlight.token(publish.number).toString(16).padStart(2, "0");
    return { publish, guid: latin1(this.guids.bytes), ackTo: `acks.${token}` };
  }

  ack(guid: string, error = ""): void {
    this.wire.deliver("acks.00", pubAck(guid, error));
  }

  #settle(event: string, publish: PendingPublish, ...words: unknown[]): void {
    this.inFlight.remove(publish);
    this.events.push([event, publish, ...words]);
  }
}

describe("an ack", () => {
  test("is for the publish of its guid, in any order; its error is a refusal", () => {
    const rig = new AnswersRig();
    const sent = Array.from({ length: 500 }, () => rig.add()).reverse();
    for (const [i, { guid }] of sent.entries()) rig.ack(guid, i % 2 === 0 ? "" : "too many channels");
    const expected = sent.map(({ publish }, i) =>
      i % 2 === 0 ? ["acknowledged", publish] : ["refused", publish, "too many channels"],
    );
    expect(rig.events.length).toBe(500);
    for (const [i, event] of rig.events.entries()) {
      expect(event[0]).toBe(expected[i]![0]);
      expect(event[1]).toBe(expected[i]![1]);
      expect(event[2]).toBe(expected[i]![2]);
    }
  });

  test("that is unknown, foreign, a repetition or late is for no publish", () => {
    const rig = new AnswersRig();
    const old = rig.add();
    rig.ack(old.guid);
    expect(rig.events.splice(0)).toEqual([["acknowledged", old.publish]]);
    const { guid } = rig.add();
    const others = ["", "__proto__", "constructor", "x", "A".repeat(22), guid.slice(0, 21), `${guid}0`, old.guid];
    for (const other of [...others, `${guid.slice(0, 10)}ffffffffffff`]) {
      rig.ack(other);
      rig.ack(other, "stan: invalid subject");
    }
    expect(rig.events).toEqual([]);
  });

  test("that cannot be read is unreadable, and the true one still counts", () => {
    const rig = new AnswersRig();
    const { publish, guid, ackTo } = rig.add();
    for (const bytes of [Uint8Array.of(0x0a, 0x7f), Uint8Array.of(0xff, 0xff, 0xff)]) rig.wire.deliver(ackTo, bytes);
    expect(rig.events.splice(0)).toEqual([["unreadable"], ["unreadable"]]);
    rig.ack(guid);
    expect(rig.events).toEqual([["acknowledged", publish]]);
  });

  test("says that a streaming server serves the channel again", () => {
    const rig = new AnswersRig();
    const { publish, guid } = rig.add();
    publish.template.noResponders = true;
    rig.ack(guid, "too many channels");
    expect(publish.template.noResponders).toBe(false);
  });
});

describe("a 503", () => {
  test("is for the publish of its token", () => {
    const rig = new AnswersRig();
    const sent = Array.from({ length: 20 }, () => rig.add());
    rig.wire.deliver(sent[12]!.ackTo, new Uint8Array(0), 503);
    expect(rig.events).toEqual([["noResponders", sent[12]!.publish, 503]]);
  });

  test("for a token that no publish has is ignored", () => {
    const rig = new AnswersRig();
    rig.add();
    for (const token of ["00", "02", "ff", "zz", "_p", "."]) rig.wire.deliver(`acks.${token}`, new Uint8Array(0), 503);
    expect(rig.events).toEqual([]);
  });
});

describe("a denied subject", () => {
  const error = new NatsError("PERMISSIONS", "Permissions Violation");

  test("is for publishes to it, one by one, also over laps", () => {
    const rig = new AnswersRig();
    const sent = Array.from({ length: 700 }, (_, i) => rig.add(i % 2 === 0 ? "a" : "secret"));
    for (const { publish } of sent) {
      if (publish.number % 256 === 0) rig.wire.pong();
      if (publish.template.subject !== "secret") continue;
      expect(rig.answers.publishDenied(`${subjects.pubPrefix}.secret`, error)).toBe(true);
    }
    const denied = rig.events.map(([, publish]) => (publish as PendingPublish).number);
    const secret = sent.filter(({ publish }) => publish.template.subject === "secret");
    expect(denied.sort((a, b) => a - b)).toEqual(secret.map(({ publish }) => publish.number));
    expect(rig.answers.publishDenied(`${subjects.pubPrefix}.secret`, error)).toBe(false);
    expect(rig.answers.publishDenied("elsewhere", error)).toBe(false);
  });

  test("of the acks is reported", () => {
    const rig = new AnswersRig();
    rig.answers.denied(error);
    expect(rig.events).toEqual([["acksDenied", "Permissions Violation"]]);
  });
});
