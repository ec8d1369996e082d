"use strict";
const library = { ...require("nats-streaming-client"), ...require("nats-streaming-client/testing") };
const exercise = require("./exercise.cjs");

const APIS = [
  ...["Date", "hrtime", "nextTick", "performance", "queueMicrotask"],
  ...["setImmediate", "clearImmediate", "setInterval", "clearInterval", "setTimeout", "clearTimeout"],
];

afterEach(() => jest.useRealTimers());

// Where they are fake from the start, before the library is loaded, there is nothing left to choose.
if (process.env.GLOBALLY === "true") {
  test("fake timers: all, before the library is loaded", async () => {
    await exercise(library, () => jest.advanceTimersByTime(3_600_000));
  });
} else {
  test.each([
    ["the defaults", undefined],
    ...APIS.map((api) => [api, { doNotFake: APIS.filter((other) => other !== api) }]),
  ])("fake timers: %s", async (_, options) => {
    jest.useFakeTimers(options);
    await exercise(library, () => jest.advanceTimersByTime(3_600_000));
  });
}
