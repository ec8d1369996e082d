import { describe, expect, test } from "vitest";
import { connect } from "../../src/index.ts";
import type { BatchesOptions, ConnectOptions, StartAt, SubscribeOptions } from "../../src/index.ts";
import { checkChannel } from "../../src/streaming/checks.ts";
import { checkConnectOptions } from "../../src/streaming/connect-options.ts";
import { checkDrainOptions } from "../../src/streaming/drain-options.ts";
import { checkPublishOptions } from "../../src/streaming/publishing/publish-options.ts";
import { checkBatchesOptions, checkMessagesOptions } from "../../src/streaming/subscribing/subscribe-options.ts";
import { checkSubscribeOptions } from "../../src/streaming/subscribing/subscribe-options.ts";
import { FakeServer } from "../support/raw.ts";

const needed = { clusterId: "test-cluster", clientId: "me" };
const seed = "SUAIBDPBAUTWCWBKIO6XHQNINK5FWJW4OHLXC3HQ2KFE4PEJUA44CNHTC4";

/** The message of the TypeError that this throws. */
function refusal(check: () => unknown): string {
  try {
    check();
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError);
    return (error as TypeError).message;
  }
  return "nothing was thrown";
}

/** Wrong values on purpose. */
function connectOptions(options: Record<string, unknown>): ConnectOptions {
  return { ...needed, ...options } as unknown as ConnectOptions;
}

const control = "\u0000 \u0001 \t \n \r \u007f \u0085 \u009f".split(" ");
const blanks = [" ", "\u00a0", "\u1680", "\u2003", "\u2028", "\u2029", "\u202f", "\u3000", "\ufeff"];
const halves = ["\ud800", "\udfff"];
const unsendable = [...control, ...blanks, ...halves];

const times = ["connectTimeout", "requestTimeout", "publishTimeout"];
const badTimes: readonly (readonly [unknown, string])[] = [
  [0, "0"],
  [-1, "-1"],
  [NaN, "NaN"],
  [Infinity, "Infinity"],
  [2 ** 31, "2147483648"],
  ["1000", '"1000"'],
  [null, "null"],
  [[1], "an array"],
];
const badCounts: readonly (readonly [unknown, string])[] = [
  [-1, "-1"],
  [1.5, "1.5"],
  [NaN, "NaN"],
  [Infinity, "Infinity"],
  [2 ** 53, "9007199254740992"],
  ["5", '"5"'],
  [null, "null"],
  [{}, "an object"],
];
const badBooleans: readonly (readonly [unknown, string])[] = [
  [0, "0"],
  [1, "1"],
  ["false", '"false"'],
  [null, "null"],
];

const counts = ["pingMaxOut", "maxPubAcksInFlight", "maxPubBytesInFlight", "maxQueuedBytes", "maxWaitingBytes"];

/** Option, value, how the value is shown, and the rule. */
const badConnectOptions: readonly (readonly [string, unknown, string, string])[] = [
  ["clusterId", undefined, "undefined", "must be 1 to 256 characters"],
  ["clusterId", "", '""', "must be 1 to 256 characters"],
  ["clusterId", 5, "5", "must be 1 to 256 characters"],
  ["clusterId", "a b", '"a b"', "without blanks"],
  ["clusterId", "a..b", '"a..b"', "empty part"],
  ["clusterId", ">", '">"', "wildcard"],
  ["clusterId", "x".repeat(257), `"${"x".repeat(64)}"… (257 characters)`, "256 characters"],
  ["clientId", undefined, "undefined", "letters, digits, - and _"],
  ["clientId", "", '""', "letters, digits, - and _"],
  ["clientId", "a.b", '"a.b"', "letters, digits, - and _"],
  ["clientId", "a b", '"a b"', "letters, digits, - and _"],
  ["clientId", "ä", '"\\u00e4"', "letters, digits, - and _"],
  ["clientId", "a\r\nPUB x 0", '"a\\r\\nPUB x 0"', "letters, digits, - and _"],
  ["clientId", "x".repeat(257), "(257 characters)", "1 to 256"],
  ["clientId", ["a"], "an array", "letters, digits, - and _"],
  ...[...times, "pingInterval"].flatMap((option) =>
    badTimes.map(([value, shown]) => [option, value, shown, "must be a number of milliseconds above 0"] as const),
  ),
  ["pingInterval", 1, "1", "whole seconds"],
  ["pingInterval", 1_500, "1500", "whole seconds"],
  ["pingMaxOut", 1, "1", "must be a whole number from 2 to 1000"],
  ["pingMaxOut", 1_001, "1001", "must be a whole number from 2 to 1000"],
  ["maxPubAcksInFlight", 0, "0", "must be a whole number from 1 to 1048576"],
  ["maxPubAcksInFlight", 2 ** 20 + 1, "1048577", "must be a whole number from 1 to 1048576"],
  ["maxPubBytesInFlight", 0, "0", "must be a whole number from 1"],
  ["maxWaitingBytes", 0, "0", "must be a whole number from 1"],
  ...counts.flatMap((option) =>
    badCounts.map(([value, shown]) => [option, value, shown, "must be a whole number from"] as const),
  ),
  ...["resendUnconfirmed", "waitOnFirstConnect"].flatMap((option) =>
    badBooleans.map(([value, shown]) => [option, value, shown, "must be true or false"] as const),
  ),
  ["reconnectDelay", 5, "5", "must be a function"],
  ["onStatus", "x", '"x"', "must be a function"],
  ["signal", {}, "an object", "must be an AbortSignal"],
  ["signal", null, "null", "must be an AbortSignal"],
  ["tls", true, "true", "must be an object"],
  ["tls", null, "null", "must be an object"],
  ["tls", [], "an array", "must be an object"],
  ...["inboxPrefix", "discoverPrefix"].flatMap((option) => [
    [option, "", '""', "must be a string that is not empty"] as const,
    [option, 5, "5", "must be a string that is not empty"] as const,
    [option, ".a", '".a"', "empty part"] as const,
    [option, "a.", '"a."', "empty part"] as const,
    [option, "a.>", '"a.>"', "wildcard"] as const,
    [option, "a b", '"a b"', "blanks"] as const,
    [option, "x".repeat(256), "(256 characters)", "255 characters"] as const,
  ]),
];

describe("options of connect", () => {
  test.each(badConnectOptions)("%s = %j is refused, with option, value and rule", (option, value, shown, rule) => {
    const message = refusal(() => checkConnectOptions(connectOptions({ [option]: value })));
    expect(message.startsWith(`${option} `), message).toBe(true);
    expect(message).toContain(rule);
    expect(message).toContain(`, not ${shown === "" ? '""' : ""}`);
    expect(message).toContain(shown);
    expect(message).toMatch(/^[\x20-\x7e…]*$/);
  });

  test("a wrong value is refused before a socket is opened, and by a rejection", async () => {
    const server = await FakeServer.start();
    try {
      for (const [option, value] of badConnectOptions) {
        const options = connectOptions({ servers: server.url, [option]: value });
        await expect(connect(options), option).rejects.toBeInstanceOf(TypeError);
      }
      for (const servers of ["", "http://a", [], [""], 5, "nats://a b", "nats://a:0", "nats://a:70000"]) {
        await expect(connect(connectOptions({ servers })), String(servers)).rejects.toBeInstanceOf(TypeError);
      }
      for (const nothing of [undefined, null, 5, "nats://127.0.0.1"]) {
        await expect(connect(nothing as unknown as ConnectOptions)).rejects.toBeInstanceOf(TypeError);
      }
      expect(server.links).toEqual([]);
    } finally {
      await server.stop();
    }
  });

  test("a misspelt option is refused by its name", () => {
    expect(refusal(() => checkConnectOptions(connectOptions({ nonsense: "x" })))).toBe(
      'connect has no option "nonsense"',
    );
    expect(refusal(() => checkConnectOptions(connectOptions({ "a\nb": 1 })))).toContain('"a\\nb"');
    expect(refusal(() => checkConnectOptions(connectOptions({ tls: { rejectUnauthorized: false } })))).toBe(
      'tls has no option "rejectUnauthorized"; did you mean ca?',
    );
  });

  test.each([
    ["clusterID", "clusterId"],
    ["clientID", "clientId"],
    ["url", "servers"],
    ["serverss", "servers"],
    ["maxPubAcksInflight", "maxPubAcksInFlight"],
    ["ackTimeout", "publishTimeout"],
    ["stanPingInterval", "pingInterval"],
    ["client_id", "clientId"],
    ["token", "auth"],
  ])("%s is not an option of connect, and %s is meant", (option, meant) => {
    const message = refusal(() => checkConnectOptions({ [option]: "x" } as unknown as ConnectOptions));
    expect(message).toBe(`connect has no option "${option}"; did you mean ${meant}?`);
  });

  test.each([
    ["durableName", "durable"],
    ["queueGroup", "queue"],
    ["qGroup", "queue"],
    ["maxInflight", "maxInFlight"],
    ["ackWaitMillis", "ackWait"],
    ["manualAckMode", "manualAck"],
    ["deliverAllAvailable", "startAt"],
    ["startPosition", "startAt"],
    ["start_position", "startAt"],
    ["durable_name", "durable"],
    ["ack_wait_in_sec", "ackWait"],
    ["max_in_flight", "maxInFlight"],
  ])("%s is not an option of subscribe, and %s is meant", (option, meant) => {
    expect(refusal(() => checkSubscribeOptions({ [option]: "x" } as SubscribeOptions))).toBe(
      `subscribe has no option "${option}"; did you mean ${meant}?`,
    );
  });

  test("options that are no object are refused, with the form of the call", () => {
    const wrong = "test-cluster" as unknown as ConnectOptions;
    expect(refusal(() => checkConnectOptions(wrong))).toBe(
      "the options of connect must be an object: connect({ clusterId, clientId, servers })",
    );
    expect(refusal(() => checkSubscribeOptions([] as SubscribeOptions))).toBe(
      'the options of subscribe must be an object: subscribe(subject, handler, { startAt: "first" })',
    );
    expect(refusal(() => checkMessagesOptions("first" as SubscribeOptions))).toBe(
      'the options of messages must be an object: messages(subject, { startAt: "first" })',
    );
  });

  test.each([
    ["ca", 5, "number"],
    ["ca", ["a text", 5], "number"],
    ["cert", {}, "object"],
    ["key", null, "null"],
    ["passphrase", 5, "number"],
    ["servername", 5, "5"],
    ["servername", "", '""'],
    ["servername", "a\0b", '"a\\u0000b"'],
    ["servername", "a b", '"a b"'],
    ["servername", "x".repeat(254), "(254 characters)"],
    ["handshakeFirst", "yes", '"yes"'],
  ])("tls.%s = %j is refused, with option, value and rule", (option, value, shown) => {
    const message = refusal(() => checkConnectOptions(connectOptions({ tls: { [option]: value } })));
    expect(message).toMatch(new RegExp(`^tls\\.${option} must be .*, not `));
    expect(message).toContain(shown);
  });

  test("no message shows anything of a secret", () => {
    const secrets = ["s3cret-word", seed, seed.slice(0, 20)];
    const wrong = [
      { auth: { user: "u" } },
      { auth: { user: 5, pass: "s3cret-word" } },
      { auth: { user: "u", pass: "s3cret-word", token: "s3cret-word" } },
      { auth: { token: 5, other: "s3cret-word" } },
      { auth: { nkeySeed: `${seed}A` } },
      { auth: { nkeySeed: seed.toLowerCase() } },
      { auth: { creds: `nothing of use: ${seed}` } },
      { auth: seed },
      { auth: "s3cret-word" },
      { auth: ["s3cret-word"] },
      { servers: "nats://u:s3cret-word@host:port" },
      { servers: "nats://u:s3cret-word@" },
      { servers: "nats://s3cret-word@h/ost?x" },
      { servers: ["nats://good", "http://s3cret-word@host"] },
      { servers: "nats://u:s3cret-word@a b" },
    ];
    for (const options of wrong) {
      const message = refusal(() => checkConnectOptions(connectOptions(options)));
      expect(message).not.toBe("nothing was thrown");
      for (const secret of secrets) expect(message.toLowerCase()).not.toContain(secret.toLowerCase());
    }
  });

  test("that are left out or undefined have the documented defaults", () => {
    const defaults = {
      connectTimeout: 5_000,
      requestTimeout: 2_000,
      publishTimeout: 30_000,
      maxPubAcksInFlight: 16_384,
      maxPubBytesInFlight: 8 * 1024 * 1024,
      maxQueuedBytes: 16 * 1024 * 1024,
      maxWaitingBytes: 64 * 1024 * 1024,
      resendUnconfirmed: false,
      pingInterval: 5_000,
      pingMaxOut: 3,
      waitOnFirstConnect: false,
      inboxPrefix: "_INBOX",
      discoverPrefix: "_STAN.discover",
      tls: undefined,
    };
    const checked = { settings: defaults, onStatus: undefined, signal: undefined };
    expect(checkConnectOptions(needed)).toMatchObject(checked);
    const names = ["servers", "auth", "reconnectDelay", "onStatus", "signal", ...Object.keys(defaults)];
    const allUndefined = Object.fromEntries(names.map((name) => [name, undefined]));
    expect(checkConnectOptions(connectOptions(allUndefined))).toMatchObject(checked);
    expect(checkConnectOptions(needed).settings.servers.round()).toMatchObject(
      [{ host: "127.0.0.1", port: 4222, tls: false }],
    );
  });

  test("at their limits are taken as they are", () => {
    const limits = {
      connectTimeout: 2 ** 31 - 1,
      publishTimeout: 0.5,
      maxQueuedBytes: 0,
      maxPubAcksInFlight: 1,
      pingInterval: 1_000,
      pingMaxOut: 2,
    };
    expect(checkConnectOptions(connectOptions(limits)).settings).toMatchObject(limits);
    const clientId = "aZ09-_".padEnd(256, "x");
    expect(checkConnectOptions(connectOptions({ clientId })).settings.clientId).toBe(clientId);
  });

  test("the delay before a dial is nothing at first, then grows to about two seconds and no further", () => {
    const { reconnectDelay } = checkConnectOptions(needed).settings;
    expect(reconnectDelay(0)).toBe(0);
    for (let attempt = 1; attempt < 2_000; attempt++) {
      const middle = Math.min(2_000, 50 * 2 ** (attempt - 1));
      const delay = reconnectDelay(attempt);
      if (!(delay >= middle * 0.75 && delay <= middle * 1.25)) expect.fail(`attempt ${attempt}: ${delay}`);
    }
  });

  test("credentials by a function are asked for at each dial", async () => {
    let asked = 0;
    const { auth } = checkConnectOptions({ ...needed, auth: async () => ({ token: String(++asked) }) }).settings;
    expect(asked).toBe(0);
    expect([await auth(), await auth()]).toEqual([{ token: "1" }, { token: "2" }]);
    expect(await checkConnectOptions(needed).settings.auth()).toBeUndefined();
  });
});

const badSubscribeOptions: readonly (readonly [string, unknown, string, string])[] = [
  ["durable", "", '""', "must be 1 to 4096 characters"],
  ["durable", 5, "5", "must be 1 to 4096 characters"],
  ["durable", "a\u2028b", '"a\\u2028b"', "line breaks"],
  ["durable", "x".repeat(4_097), "(4097 characters)", "4096"],
  ["queue", "", '""', "must be 1 to 4096 characters"],
  ["queue", "a\nb", '"a\\nb"', "line breaks"],
  ["maxInFlight", 0, "0", "must be a whole number from 1 to 2147483647"],
  ["maxInFlight", 2 ** 31, "2147483648", "must be a whole number from 1 to 2147483647"],
  ["concurrency", 0, "0", "must be a whole number from 1 to 2147483647"],
  ...["maxInFlight", "concurrency"].flatMap((option) =>
    badCounts.map(([value, shown]) => [option, value, shown, "must be a whole number from 1"] as const),
  ),
  ...badTimes.map(([value, shown]) => ["ackWait", value, shown, "must be a number of milliseconds above 0"] as const),
  ["ackWait", 999, "999", "whole seconds"],
  ["ackWait", 1_001, "1001", "whole seconds"],
  ...badBooleans.map(([value, shown]) => ["manualAck", value, shown, "must be true or false"] as const),
  ["startAt", "last", '"last"', '"newOnly"'],
  ["startAt", 5, "5", '"newOnly"'],
  ["startAt", null, "null", '"newOnly"'],
  ["startAt", {}, "an object", '"newOnly"'],
  ["backoff", "5", '"5"', "must be a number of milliseconds, or a list of some that is not empty"],
  ["backoff", [], "an array", "must be a number of milliseconds, or a list of some that is not empty"],
  ...([[-1, "-1"], [NaN, "NaN"], [2 ** 31, "2147483648"], [[5, "5"], '"5"']] as const).map(
    ([value, shown]) => ["backoff", value, shown, "must be a number of milliseconds from 0 to 2147483647"] as const,
  ),
  ...badBooleans.map(([value, shown]) => ["backoffJitter", value, shown, "must be true or false"] as const),
  ...badCounts.map(([value, shown]) => ["maxDeliver", value, shown, "must be a whole number from 1"] as const),
  ["maxDeliver", 5, "dropped", "needs deadLetter"],
  ["deadLetter", 5, "5", "must be a channel or a function"],
  ["deadLetter", "", '""', "must "],
  ["deadLetter", "a b", '"a b"', "must "],
  ["key", "customer", '"customer"', "must be a function"],
];

describe("options of subscribe", () => {
  test.each(badSubscribeOptions)("%s = %j is refused, with option, value and rule", (option, value, shown, rule) => {
    const message = refusal(() => checkSubscribeOptions({ [option]: value } as unknown as SubscribeOptions));
    expect(message.startsWith(`${option} `), message).toBe(true);
    expect(message).toContain(rule);
    expect(message).toContain(shown);
    expect(message).toMatch(/^[\x20-\x7e…]*$/);
  });

  test.each([
    [{ sequence: undefined }, "startAt"],
    [{ time: undefined }, "startAt"],
    [{ sequence: 1, time: new Date(0) }, "startAt"],
    [[], "startAt"],
    [new Date(0), "startAt"],
    [{ sequence: 0 }, "startAt.sequence"],
    [{ sequence: 1.5 }, "startAt.sequence"],
    [{ sequence: 2 ** 53 }, "startAt.sequence"],
    [{ sequence: "5" }, "startAt.sequence"],
    [{ time: 5 }, "startAt.time"],
    [{ time: new Date(NaN) }, "startAt.time"],
    [{ ago: -1 }, "startAt.ago"],
    [{ ago: NaN }, "startAt.ago"],
    [{ ago: Infinity }, "startAt.ago"],
    [{ ago: "5" }, "startAt.ago"],
  ])("a start at %o is refused", (startAt, option) => {
    expect(refusal(() => checkSubscribeOptions({ startAt } as unknown as SubscribeOptions))).toContain(
      `${option} must be`,
    );
  });

  test.each([...control, "\u2028", "\u2029", ...halves])("no name holds %j", (character) => {
    for (const option of ["durable", "queue"]) {
      for (const name of [character, `a${character}`, `${character}a`, `a${character}b`]) {
        expect(refusal(() => checkSubscribeOptions({ [option]: name }))).toMatch(new RegExp(`^${option} must be`));
      }
    }
  });

  test("names may hold what the server takes: blanks, and whatever means something in a subject", () => {
    for (const name of [" ", " a b ", "a\u00a0b", "a.*.>", "漢 字", "x".repeat(4_096)]) {
      expect(checkSubscribeOptions({ durable: name, queue: name })).toMatchObject({ durable: name, queue: name });
    }
  });

  test("durable and queue may have a colon, but not a durable together with a queue", () => {
    expect(checkSubscribeOptions({ durable: "a:b" }).durable).toBe("a:b");
    expect(checkSubscribeOptions({ durable: "d", queue: "a:b" }).queue).toBe("a:b");
    expect(refusal(() => checkSubscribeOptions({ durable: "a:b", queue: "q" }))).toBe(
      'durable must have no : when queue is set, not "a:b"',
    );
  });

  test("maxInFlight and concurrency default to each other, and to 100", () => {
    const both = (options: SubscribeOptions): number[] => {
      const { maxInFlight, concurrency } = checkSubscribeOptions(options);
      return [maxInFlight, concurrency];
    };
    expect(both({})).toEqual([100, 100]);
    expect(both({ maxInFlight: 7 })).toEqual([7, 7]);
    expect(both({ concurrency: 3 })).toEqual([3, 3]);
    expect(both({ maxInFlight: 7, concurrency: 3 })).toEqual([7, 3]);
    expect(both({ maxInFlight: undefined, concurrency: undefined })).toEqual([100, 100]);
    expect(both({ maxInFlight: 2 ** 31 - 1 })).toEqual([2 ** 31 - 1, 2 ** 31 - 1]);
  });

  test("that are left out have the documented defaults", () => {
    expect(checkSubscribeOptions({})).toMatchObject({
      startAt: "newOnly", durable: "", queue: "", ackWait: 30_000, manualAck: false,
    });
  });

  test("a misspelt one is refused by its name", () => {
    const misspelt = { durableName: "x" } as unknown as SubscribeOptions;
    expect(refusal(() => checkSubscribeOptions(misspelt))).toBe(
      'subscribe has no option "durableName"; did you mean durable?',
    );
  });

  test("a start with another name is refused, and the right one named", () => {
    const startAt = { seq: 1 } as unknown as StartAt;
    const message = refusal(() => checkSubscribeOptions({ startAt }));
    expect(message).toBe('startAt has no option "seq"; did you mean sequence?');
  });

  test("a start is copied: what the caller does with its object later changes nothing", () => {
    const [sequence, time] = [{ sequence: 5 }, { time: new Date(7) }];
    const checked = [sequence, time].map((startAt) => checkSubscribeOptions({ startAt }).startAt);
    sequence.sequence = NaN;
    time.time.setTime(NaN);
    expect(checked).toEqual([{ sequence: 5 }, { time: new Date(7) }]);
  });

  test("a loop has neither concurrency nor key, and batches need a size and a wait", () => {
    for (const option of ["concurrency", "key"]) {
      const options = { size: 1, wait: 0, [option]: option === "key" ? String : 1 } as BatchesOptions;
      expect(refusal(() => checkMessagesOptions({ [option]: 1 }))).toContain(`messages has no option "${option}"`);
      expect(refusal(() => checkBatchesOptions(options))).toContain(`batches has no option "${option}"`);
    }
    const batches = (options: object): string => refusal(() => checkBatchesOptions(options as BatchesOptions));
    for (const size of [undefined, 0, 1.5, "5", 2 ** 31]) {
      expect(batches({ size, wait: 5 })).toMatch(/^size must be a whole number from 1 /);
    }
    for (const wait of [undefined, -1, NaN, "5", 2 ** 31]) {
      expect(batches({ size: 5, wait })).toMatch(/^wait must be a number of milliseconds from 0 /);
    }
  });

  test("batches have twice their size in flight by default", () => {
    const checked = checkBatchesOptions({ size: 50, wait: 0 });
    expect(checked).toMatchObject({ size: 50, wait: 0, settings: { maxInFlight: 100 } });
    expect(checkBatchesOptions({ size: 50, wait: 0, maxInFlight: 7 }).settings.maxInFlight).toBe(7);
  });

  test("every start position is taken as it is", () => {
    const time = new Date();
    const names = ["newOnly", "lastReceived", "first"] as const;
    for (const startAt of [...names, { sequence: 1 }, { sequence: 2 ** 53 - 1 }, { time }, { ago: 0 }]) {
      expect(checkSubscribeOptions({ startAt }).startAt).toEqual(startAt);
    }
  });
});

describe("a channel", () => {
  const good = ["a", "a.b.c", "A-b_c", "$SYS", "ä.€.𝄞", "a:b", "x".repeat(512), "__proto__"];
  test.each(good)("may be %j", (subject) => {
    expect(() => checkChannel(subject)).not.toThrow();
  });

  const wildcards = ["*", "a.*", "a.*.b", ">", "a.>", "a>b", "a*"];
  const noTexts = [5, null, undefined, ["a"]];
  test.each(["", ".", ".a", "a.", "a..b", "/", "a/b", ...wildcards, "x".repeat(513), ...noTexts])(
    "may not be %j",
    (subject) => {
      expect(refusal(() => checkChannel(subject as string))).toMatch(/^subject must .*, not /);
    },
  );

  test.each(unsendable)("may not hold %j anywhere", (character) => {
    for (const subject of [character, `a${character}`, `${character}a`, `a${character}b`, `a.${character}.b`]) {
      const message = refusal(() => checkChannel(subject));
      expect(message).toMatch(
        /^subject must have no blanks, line breaks, control characters or broken surrogates, not "/,
      );
      expect(message).toMatch(/^[\x20-\x7e]*$/);
    }
  });
});

test("the reply of a publish is any text within reason", () => {
  for (const reply of ["", "a b\r\n", "x".repeat(1_024)]) expect(() => checkPublishOptions({ reply })).not.toThrow();
  expect(refusal(() => checkPublishOptions({ reply: "x".repeat(1_025) }))).toMatch(
    /^reply must be a string of at most 1024 characters, not "x/,
  );
  expect(refusal(() => checkPublishOptions({ reply: 5 } as unknown as { reply: string }))).toMatch(
    /^reply must be .*, not 5$/,
  );
  expect(refusal(() => checkPublishOptions(5 as unknown as object))).toContain("options");
});

test.each(badTimes)("a drain's timeout may not be %o", (value, shown) => {
  const message = refusal(() => checkDrainOptions({ timeout: value as number }));
  expect(message).toMatch(/^timeout must be a number of milliseconds above 0/);
  expect(message).toContain(shown);
});

test("a drain takes an object of known options, and says how a number is meant", () => {
  expect(checkDrainOptions({})).toEqual({ timeout: 20_000, signal: undefined });
  expect(refusal(() => checkDrainOptions(500 as unknown as object))).toContain(
    "must be an object: drain({ timeout: 500 })",
  );
  expect(refusal(() => checkDrainOptions({ timeOut: 5 } as object))).toBe(
    'drain has no option "timeOut"; did you mean timeout?',
  );
  expect(refusal(() => checkDrainOptions({ signal: 5 } as object))).toMatch(/^signal must be an AbortSignal/);
});
