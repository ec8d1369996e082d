import { expect, test } from "vitest";
import type { ConnectOptions, DrainReport, StreamingError } from "../../src/index.ts";
import { fresh, open, range, read } from "../support/clients.ts";
import { channelPage } from "../support/monitor.ts";
import { startCluster, type RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";

const COUNT = 10_000;
const TIMEOUT = 5_000;
const REQUEST_TIMEOUT = 2_000;

/** What may be told of a publish that was not done. */
const NOT_DONE = ["NOT_SENT", "CLOSED", "NO_SERVER", "CONNECT_FAILED"];

describeWithServer("a drain with 10,000 publishes under way, while the leader of a raft cluster dies,", () => {
  const cluster = forSuite(() => startCluster());
  const itself = (leader: RealServer): RealServer => leader;
  const another = (leader: RealServer): RealServer => cluster().others(leader)[0]!;

  const cases: { what: string; server: (leader: RealServer) => RealServer; options: Partial<ConnectOptions> }[] = [
    { what: "on a link to it", server: itself, options: {} },
    { what: "on a link to another server", server: another, options: {} },
    { what: "most of them waiting for their turn", server: another, options: { maxPubAcksInFlight: 500 } },
    { what: "to be sent again where the outcome is unknown", server: itself, options: { resendUnconfirmed: true } },
  ];

  test.each(cases)("$what: ends in time, and its report is true", { timeout: 90_000 }, async ({ server, options }) => {
    const leader = await cluster().leader();
    const waits = { waitOnFirstConnect: true, requestTimeout: REQUEST_TIMEOUT };
    const client = await open(server(leader), { ...waits, ...options });
    const channel = fresh("channel");
    const outcomes = new Map<number, string>();
    let begun = 0;
    let killed: Promise<void> | undefined;
    const draining = new Promise<DrainReport>((resolve) => {
      for (const i of range(1, COUNT)) {
        client.publish(channel, `${i} `.padEnd(1_000, "x")).then(
          () => {
            outcomes.set(i, "stored");
            if (killed !== undefined) return;
            // The first ack is here: the leader is in the middle of the others.
            begun = performance.now();
            resolve(client.drain({ timeout: TIMEOUT }));
            killed = leader.kill();
          },
          ({ code }: StreamingError) => void outcomes.set(i, code),
        );
      }
    });
    const report = await draining;
    // Whatever taking leave needs comes on top.
    expect(performance.now() - begun).toBeLessThan(TIMEOUT + 2 * REQUEST_TIMEOUT);
    await killed;

    const of = (outcome: string): number[] => [...outcomes].filter(([, one]) => one === outcome).map(([i]) => i);
    expect(outcomes.size).toBe(COUNT);
    const known = ["stored", "UNCONFIRMED", ...NOT_DONE];
    expect([...outcomes.values()].filter((outcome) => !known.includes(outcome))).toEqual([]);
    expect(report).toEqual({ unhandled: [], unconfirmed: of("UNCONFIRMED").length });
    expect(client.stats()).toMatchObject({
      ...{ stored: of("stored").length, unconfirmed: of("UNCONFIRMED").length, rejected: NOT_DONE.flatMap(of).length },
      ...{ inFlight: 0, inFlightBytes: 0, queued: 0, queuedBytes: 0 },
    });

    // What the channel holds, by the next leader's word and by a subscription.
    const next = await cluster().leader([leader]);
    const reader = await open(next, { waitOnFirstConnect: true });
    const { msgs } = (await channelPage(next, channel))!;
    const held = new Map<number, number>();
    for (const message of await read(reader, channel, msgs)) {
      const i = parseInt(message.text(), 10);
      held.set(i, (held.get(i) ?? 0) + 1);
    }
    expect(of("stored").filter((i) => !held.has(i))).toEqual([]);
    expect(NOT_DONE.flatMap(of).filter((i) => held.has(i))).toEqual([]);
    if (options.resendUnconfirmed !== true) expect([...held].filter(([, times]) => times > 1)).toEqual([]);
    await leader.restart();
  });
});
