import { describe, expect, test } from "vitest";
import { endOf, fake, open } from "../support/connections.ts";
import { readStrictly } from "../support/strict.ts";

describe("the end of a connection", () => {
  test("by silence: a peer that answers no PING is found after so many of them", async () => {
    const server = await fake({ greet: false });
    const attempt = open(server.url, { pingInterval: 20, pingMaxOut: 3 });
    const link = await server.link();
    link.send("INFO {}\r\n");
    await link.next(/^PING/);
    link.send("PONG\r\n");
    const connection = await attempt;
    expect(await endOf(connection)).toMatchObject({
      code: "STALE",
      reason: `127.0.0.1:${server.port}: 3 PINGs in a row were not answered`,
    });
    await link.closed;
    expect(readStrictly(link.received()).filter(({ verb }) => verb === "PING")).toHaveLength(1 + 3);
  });

  test("not while anything at all comes from the peer, PONGs or not", async () => {
    const server = await fake({ greet: false });
    const attempt = open(server.url, { pingInterval: 100, pingMaxOut: 2 });
    const link = await server.link();
    link.send("INFO {}\r\n");
    await link.next(/^PING/);
    link.send("PONG\r\n");
    const connection = await attempt;
    const noise = setInterval(() => link.send("+OK\r\n"), 10);
    // A silent peer would have been found after three intervals; in the same time a fifth one proves the point.
    for (let i = 0; i < 5; i++) await link.next(/^PING/);
    clearInterval(noise);
    expect(connection.ended.aborted).toBe(false);
  });
});
