import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { NatsError } from "../../../src/core-nats/errors.ts";
import { StreamingError } from "../../../src/streaming/errors.ts";
import type { PublishSession } from "../../../src/streaming/publishing/publish-registration.ts";
import type { PubMsg } from "../../../src/testing/messages.ts";
import { pubAck } from "../../support/fake-streaming.ts";
import { Rig, Wire, code, newSession, text } from "../../support/publisher-rig.ts";
import type { Outcome } from "../../support/publisher-rig.ts";
import { forEachSeed } from "../../support/random.ts";
import type { Random } from "../../support/random.ts";

vi.mock("../../../src/core-nats/clock.ts", () => import("../../support/fakeable-clock.ts"));

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

/** What happened to one call of `publish`. */
interface Call {
  readonly id: string;
  readonly abort: AbortController;
  settled: number;
  outcome: Outcome | undefined;
}

/** A server that follows a random schedule: it decides what the server stores and refuses, and when it answers. */
class RandomServer {
  readonly rig: Rig;
  readonly calls: Call[] = [];
  /** How often each was stored. */
  readonly stored = new Map<string, number>();
  /** The calls as they were stored, if they must be in their order. */
  readonly order: number[] | undefined;
  readonly #random: Random;
  /** Answers on their way, in order. Those of NATS itself come in the order of the requests. */
  #answers: (() => void)[] = [];
  /** Acks that the streaming server has still to send. */
  #unsent: (() => void)[] = [];
  #connected = false;
  #suspended = false;
  #inCharge = true;
  #known: PublishSession | undefined;
  readonly #denied: string;
  readonly #unserved: string;

  constructor(random: Random, resendUnconfirmed: boolean) {
    this.#random = random;
    this.#denied = random.bool(0.3) ? "c" : "none";
    this.#unserved = random.bool(0.3) ? "b" : "none";
    const maxPubAcksInFlight = random.pick([1, 3, 64, 300, 2_000]);
    const maxPubBytesInFlight = random.pick([300, 4_000, 1_000_000]);
    this.order = maxPubAcksInFlight === 1 ? [] : undefined;
    const maxQueuedBytes = random.pick([0, 500, 100_000]);
    this.rig = new Rig({
      publishTimeout: 1_000, resendUnconfirmed, maxPubAcksInFlight, maxPubBytesInFlight, maxQueuedBytes,
    });
    this.rig.onVerify = () => {
      if (this.#suspended || !this.#connected) return;
      this.#suspended = true;
      this.rig.publisher.suspend();
      this.#ask();
    };
  }

  run(): void {
    const random = this.#random;
    for (let step = random.int(20, 150); step > 0; step--) {
      const dice = random.int(1, 100);
      if (dice <= 30) this.#publish(random.bool(0.05) ? random.int(200, 600) : random.int(1, 20));
      else if (dice <= 50) this.#serve();
      else if (dice <= 65) this.#sendAcks(random.int(1, 50));
      else if (dice <= 85) this.#receive(random.int(1, 60));
      else if (dice <= 88) this.#abort();
      else if (dice <= 91) vi.advanceTimersByTime(random.int(1, 400));
      else if (dice <= 93) this.#cut();
      else if (dice <= 97) this.#connect();
      else if (dice <= 98) this.#inCharge = !this.#inCharge;
      else if (random.bool(0.3)) this.#known = undefined;
      else if (!this.#connected && random.bool(0.2)) this.#refuse();
    }
  }

  /** All is well again: whatever is left is answered. */
  async finish(): Promise<void> {
    this.#inCharge = true;
    this.#connect();
    for (let i = 0; i < 1_000; i++) {
      this.#serve();
      this.#sendAcks(Infinity);
      this.#receive(Infinity);
    }
    vi.advanceTimersByTime(1_001);
    await this.rig.publisher.drain(1);
    expect(this.rig.publisher.unanswered).toBe(0);
    this.rig.publisher.close();
    expect(this.order).toEqual(this.order && [...this.order].sort((a, b) => a - b));
  }

  #refuse(): void {
    this.rig.publisher.refuse(new StreamingError("CLIENT_ID_IN_USE", "in use"));
  }

  #publish(count: number): void {
    const random = this.#random;
    for (; count > 0; count--) {
      const id = `${this.calls.length}${random.bool(0.03) ? " bad" : ""}`;
      const call: Call = { id, abort: new AbortController(), settled: 0, outcome: undefined };
      this.calls.push(call);
      const settle = (outcome: Outcome): void => {
        call.settled++;
        call.outcome = outcome;
      };
      const options = random.bool(0.2) ? { signal: call.abort.signal } : undefined;
      const data = random.bool(0.02) ? `${id} `.padEnd(500) : `${id} `.padEnd(random.int(8, 80));
      this.rig.publisher.publish(random.pick(["a", "b", "c"]), data, options).then(() => settle("stored"), settle);
    }
  }

  #abort(): void {
    const call = this.calls[this.calls.length - 1 - this.#random.int(0, Math.min(40, this.calls.length - 1))];
    call?.abort.abort();
  }

  #ask(): void {
    this.rig.wire.outbox.line("PUB ping 0\r\n");
  }

  #connect(): void {
    if (this.#connected) return;
    this.#connected = true;
    this.rig.wire = new Wire();
    this.rig.wire.maxPayload = 400;
    this.rig.publisher.open(this.rig.wire);
    this.#suspended = true;
    this.#ask();
  }

  #cut(): void {
    if (!this.#connected) return;
    if (this.#random.bool()) this.#serve();
    this.#connected = false;
    this.#answers = [];
    this.#unsent = [];
    this.#suspended = false;
    this.rig.cut();
  }

  /** The server takes what has arrived. */
  #serve(): void {
    if (!this.#connected) return;
    const { wire } = this.rig;
    for (const { verb, subject, reply, message } of wire.take()) {
      if (verb === "PING") this.#answers.push(() => wire.pong());
      else if (subject === "ping") this.#answers.push(this.#verdict());
      else this.#take(message!, subject, reply);
    }
  }

  #take(message: PubMsg, subject: string, ackTo: string): void {
    const random = this.#random;
    const { wire } = this.rig;
    if (message.subject === this.#denied) {
      const error = new NatsError("PERMISSIONS", `Permissions Violation for Publish to "${subject}"`);
      this.#answers.push(() => wire.publishDenied(subject, error));
      return;
    }
    if (!this.#inCharge || message.subject === this.#unserved) {
      this.#answers.push(() => wire.deliver(ackTo, new Uint8Array(0), 503));
      return;
    }
    const id = text(message.data).trimEnd();
    const say = (error: string): void => void this.#unsent.push(() => wire.deliver(ackTo, pubAck(message.guid, error)));
    if (text(message.connID) !== this.#known?.connId || id.endsWith(" bad")) {
      return say("stan: invalid publish request");
    }
    const dice = random.fraction();
    if (dice < 0.02) return say("too many channels");
    if (dice < 0.04 && random.bool()) return say("leadership lost while committing log");
    this.stored.set(id, (this.stored.get(id) ?? 0) + 1);
    this.order?.push(parseInt(id));
    if (dice < 0.04) return say("leadership lost while committing log");
    if (dice > 0.99) return;
    say("");
    if (dice > 0.97) say("");
  }

  #verdict(): () => void {
    const session = this.rig.session;
    const inCharge = this.#inCharge;
    if (inCharge && this.#known === undefined) this.#known = newSession();
    const known = this.#known;
    return () => {
      if (!inCharge) return this.#ask();
      this.#suspended = false;
      this.rig.resume(known ?? session);
    };
  }

  /** Acks leave the streaming server in any order. */
  #sendAcks(count: number): void {
    for (; count > 0 && this.#unsent.length > 0; count--) {
      const at = this.#random.int(0, Math.min(this.#unsent.length - 1, 100));
      this.#answers.push(...this.#unsent.splice(at, 1));
    }
  }

  #receive(count: number): void {
    for (; count > 0 && this.#answers.length > 0; count--) this.#answers.shift()!();
  }
}

describe("whatever happens", () => {
  test("each publish settles once and tells the truth: stored, not stored, or not known", async () => {
    const outcomes = new Map<string, number>();
    await forEachSeed(60, async (random) => {
      const server = new RandomServer(random, false);
      server.run();
      await server.finish();
      for (const { id, settled, outcome } of server.calls) {
        const stored = server.stored.get(id) ?? 0;
        const told = code(outcome!);
        outcomes.set(told, (outcomes.get(told) ?? 0) + 1);
        const honest = told === "stored" ? stored === 1 : told === "UNCONFIRMED" ? stored <= 1 : stored === 0;
        if (settled !== 1 || !honest) {
          expect.fail(`${id}: settled ${settled} times, stored ${stored} times, told ${String(outcome)}`);
        }
      }
    });
    // The schedules are hard enough to have seen all of it.
    const all = "stored UNCONFIRMED NOT_SENT ABORTED QUEUE_FULL TOO_LARGE NOT_PERMITTED REFUSED CLIENT_ID_IN_USE";
    if (process.env["SEED"] === undefined) expect([...outcomes.keys()].sort()).toEqual(all.split(" ").sort());
  });

  test("with resendUnconfirmed, too, only UNCONFIRMED leaves it open whether it was stored", async () => {
    await forEachSeed(60, async (random) => {
      const server = new RandomServer(random, true);
      server.run();
      await server.finish();
      for (const { id, settled, outcome } of server.calls) {
        const stored = server.stored.get(id) ?? 0;
        const told = code(outcome!);
        const honest = told === "UNCONFIRMED" || (told === "stored") === stored > 0;
        if (settled !== 1 || !honest) {
          expect.fail(`${id}: settled ${settled} times, stored ${stored} times, told ${String(outcome)}`);
        }
      }
    });
  });
});
