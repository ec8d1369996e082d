import { connect, readDeadLetter } from "nats-streaming-client";
import { StreamingServer } from "nats-streaming-client/testing";
import exercise from "./exercise.cjs";

// Not nextTick: Node itself stands still then, and with it every socket.
const APIS = [
  ...["Date", "hrtime", "performance", "queueMicrotask"],
  ...["setImmediate", "clearImmediate", "setInterval", "clearInterval", "setTimeout", "clearTimeout"],
];

afterEach(() => vi.useRealTimers());

const kinds = [["the defaults", undefined], ...APIS.map((api) => [api, { toFake: [api] }])];

test.each(kinds)("fake timers: %s", async (_, options) => {
  vi.useFakeTimers(options);
  await exercise({ connect, readDeadLetter, StreamingServer }, () => vi.advanceTimersByTime(3_600_000));
});
