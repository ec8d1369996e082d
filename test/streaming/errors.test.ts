import { describe, expect, test } from "vitest";
import { StreamingError, classify } from "../../src/streaming/errors.ts";
import type { AnswerClass } from "../../src/streaming/errors.ts";

// The texts of nats-streaming-server 0.25.6, each as it was seen.
const texts: readonly (readonly [string, AnswerClass])[] = [
  ["stan: clientID already registered", "in-use"],
  ["client has been replaced or is no longer registered", "session-lost"],
  ["stan: unknown clientID", "session-lost"],
  ["stan: duplicate durable registration", "duplicate-durable"],
  ["stan: unknown channel", "gone"],
  ["stan: invalid subscription", "gone"],
  ["stan: channel is being deleted", "transient"],
  // In partitioned mode also right after connecting, and then it passes.
  ["stan: invalid subscription request", "transient"],
  ["stan: invalid connection request", "permanent"],
  ["stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed", "permanent"],
  ["stan: clientID missing", "permanent"],
  ["stan: invalid ack wait time, should be >= 1s", "permanent"],
  ["stan: invalid MaxInflight, should be >= 1", "permanent"],
  ["stan: invalid start position", "permanent"],
  ["stan: invalid subject", "permanent"],
  ["stan: durable name cannot contain the character ':'", "permanent"],
  ["stan: invalid unsubscribe request", "permanent"],
  ["stan: invalid close request", "permanent"],
  ["too many channels", "permanent"],
  ["too many subscriptions per channel", "permanent"],
  ['rejecting channel "A" because channel "a" alreay exists (different cases not allowed)', "permanent"],
  ["open /data/a/b/msgs.1.dat: file name too long", "permanent"],
  ['unable to process subscription on channel "a", wrong ID 3', "transient"],
  ["leadership lost while committing log", "transient"],
  ["node is not the leader", "transient"],
  ["leadership transfer in progress", "transient"],
  ["raft is already shutdown", "transient"],
  ["timed out enqueuing operation", "transient"],
  ["snapshot restored while committing log", "transient"],
  ["write /data/a/msgs.1.dat: no space left on device", "transient"],
  ["", "transient"],
  ["a text of a server that does not exist yet", "transient"],
];

describe("the answers of the streaming server", () => {
  test.each(texts)("%j is %s", (text, answer) => {
    expect(classify(text)).toBe(answer);
  });
});

test("an error has a name, a code, a message and a cause", () => {
  const cause = new Error("below");
  const error = new StreamingError("UNCONFIRMED", "publish a: sent, then silence", cause);
  expect(error).toBeInstanceOf(Error);
  expect(error).toBeInstanceOf(StreamingError);
  expect(error.name).toBe("StreamingError");
  expect(error.code).toBe("UNCONFIRMED");
  expect(error.cause).toBe(cause);
  expect(String(error)).toBe("StreamingError: publish a: sent, then silence");
  expect(error.stack).toContain("publish a: sent, then silence");
});

test("without a cause it has none, not even an undefined one", () => {
  expect("cause" in new StreamingError("CLOSED", "publish a: closed")).toBe(false);
});
