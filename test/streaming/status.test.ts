import { afterEach, describe, expect, test, vi } from "vitest";
import { StreamingError } from "../../src/streaming/errors.ts";
import type { Message, Subscription } from "../../src/streaming/subscribing/message.ts";
import { notifier } from "../../src/streaming/status.ts";
import type { Status } from "../../src/streaming/status.ts";

const error = new StreamingError("NO_SERVER", "ping: nobody\r\nis there");
// Only these fields are looked at.
const subscription = { subject: "orders" } as unknown as Subscription;
const message = { sequence: 7, redeliveryCount: 5 } as unknown as Message;

const problems: readonly (readonly [Status, string])[] = [
  [{ type: "disconnected", error }, "me: disconnected: ping: nobody is there"],
  [{ type: "error", error }, "me: NO_SERVER: ping: nobody is there"],
  [{ type: "error", error, subscription }, "me: NO_SERVER: ping: nobody is there"],
  [{ type: "gap", subscription, from: 3, to: 5, reason: "why" }, "me: orders: messages 3 to 5 may be missing: why"],
  [
    { type: "handler-failed", subscription, message, error: { message: "of\nits own" } },
    "me: orders: the handler of message 7 failed: of its own",
  ],
  [
    { type: "handler-failed", subscription, message, error: "a\nstring" },
    "me: orders: the handler of message 7 failed: a string",
  ],
  // What a peer can put into an error must not reach a terminal as a command: by ESC, by DEL, or in one byte of C1.
  [
    {
      type: "handler-failed",
      subscription,
      message,
      error: { message: "\x1b[2J\x1b]0;owned\x07 \x7f\x00a\x9b31mred\u0085" },
    },
    "me: orders: the handler of message 7 failed:  [2J ]0;owned a 31mred ",
  ],
  [
    { type: "dead-lettered", subscription, message, error: new Error("no\nsuch"), deliveries: 3, replyKept: true },
    "me: orders: message 7 is a dead letter after 3 deliveries: no such",
  ],
  [
    { type: "dead-lettered", subscription, message, error: undefined, deliveries: 1, replyKept: false },
    "me: orders: message 7 is a dead letter after 1 delivery, without its reply, which is too long",
  ],
  [{ type: "subscribed", subscription, resumed: true, reason: "why" }, "me: orders: subscribed again: why"],
  [{ type: "redelivered-often", subscription, message }, "me: orders: message 7 is delivered for the 6th time"],
];

const news: readonly Status[] = [
  { type: "registered", resumed: false },
  { type: "registered", resumed: true },
  { type: "subscribed", subscription, resumed: true, from: 4 },
  { type: "retrying", subscription, message, error, delay: 100, deliveries: 1 },
  { type: "closed" },
];

afterEach(() => vi.restoreAllMocks());

describe("without a listener", () => {
  test.each(problems)("a problem is one line on console.warn: %#", (status, line) => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    notifier("me", undefined)(status);
    expect(warn.mock.calls).toEqual([[`nats-streaming-client ${line}`]]);
  });

  test.each(news)("news are not printed: $type", (status) => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    notifier("me", undefined)(status);
    expect(warn).not.toHaveBeenCalled();
  });

  test("a failing console is nobody's problem", () => {
    vi.spyOn(console, "warn").mockImplementation(() => {
      throw new Error("closed");
    });
    expect(() => notifier("me", undefined)({ type: "disconnected", error })).not.toThrow();
  });

  test("what a handler threw may be anything, also what cannot be text: there is a line for each", () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const notify = notifier("me", undefined);
    const spiteful = {
      get message(): string {
        throw new Error("no");
      },
    };
    const thrown: [unknown, string][] = [
      [undefined, "undefined"],
      [null, "null"],
      [Symbol("x"), "Symbol(x)"],
      ["text", "text"],
      [Object.create(null), "something that has no text"],
      [{ toString: 1 }, "something that has no text"],
      [spiteful, "something that has no text"],
    ];
    for (const [error] of thrown) notify({ type: "handler-failed", subscription, message, error });
    const lines = thrown.map(
      ([, text]) => [`nats-streaming-client me: orders: the handler of message 7 failed: ${text}`],
    );
    expect(warn.mock.calls).toEqual(lines);
  });

  test("what a handler threw is printed with its stack, in which nothing reaches the terminal as a command", () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const thrown = new TypeError("\x1b[2Jno\u009bdata");
    notifier("me", undefined)({ type: "handler-failed", subscription, message, error: thrown });
    const [first, ...stack] = (warn.mock.calls[0]![0] as string).split("\n");
    expect(first).toBe("nats-streaming-client me: orders: the handler of message 7 failed: TypeError:  [2Jno data");
    expect(stack[0]).toMatch(/^ at .*status\.test\.ts:\d+:\d+/);
  });

  test("that an outage is over is printed once; a first registration is not", () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const notify = notifier("me", undefined);
    notify({ type: "registered", resumed: false });
    notify({ type: "disconnected", error });
    for (const resumed of [true, false]) notify({ type: "registered", resumed });
    expect(warn.mock.calls.map(([line]) => line as string)).toEqual([
      "nats-streaming-client me: disconnected: ping: nobody is there",
      "nats-streaming-client me: registered again",
    ]);
  });
});

describe("with a listener", () => {
  test("everything goes to it as it is, and nothing is printed", () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const told: Status[] = [];
    const notify = notifier("me", (status) => void told.push(status));
    const all = [...problems.map(([status]) => status), ...news];
    for (const status of all) notify(status);
    expect(told).toEqual(all);
    expect(told[0]).toBe(all[0]);
    expect(warn).not.toHaveBeenCalled();
  });

  test("its throwing and its rejecting end nothing", async () => {
    const unhandled = vi.fn();
    process.on("unhandledRejection", unhandled);
    try {
      notifier("me", () => {
        throw new Error("mine");
      })({ type: "closed" });
      notifier("me", async () => {
        throw new Error("mine");
      })({ type: "closed" });
      await new Promise<void>((resolve) => setTimeout(resolve, 1));
      expect(unhandled).not.toHaveBeenCalled();
    } finally {
      process.off("unhandledRejection", unhandled);
    }
  });
});
