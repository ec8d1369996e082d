import { describe, expect, test } from "vitest";
import { latin1 } from "./bytes.ts";
import { Proxy } from "./proxy.ts";
import { FakeServer, RawClient } from "./raw.ts";
import { forSuite } from "./suite.ts";
import { until } from "./until.ts";

describe("a proxy", () => {
  const server = forSuite(() => FakeServer.start());
  const proxy = forSuite(() => Proxy.start(server().port));

  async function open() {
    const client = await RawClient.connect(proxy().port);
    return { client, link: await server().link() };
  }

  test("forwards both ways, and the end of a link", async () => {
    const { client, link } = await open();
    client.publish("up", "payload", "inbox");
    expect(await link.next(/^PUB up/)).toMatchObject({ subject: "up", reply: "inbox" });
    link.deliver("1", "down", "x".repeat(100_000));
    expect((await client.next(/^MSG down/)).payload.length).toBe(100_000);
    link.send("-ERR 'last words'\r\n");
    link.end();
    expect((await client.next(/^-ERR/)).rest).toBe("'last words'");
    await client.closed;
    await until("the proxy has forgotten the link", () => proxy().links === 0);
  });

  test("cuts links, and refuses new ones until it accepts again", async () => {
    const { client, link } = await open();
    proxy().cut();
    await Promise.all([client.closed, link.closed]);
    proxy().refuse();
    await expect(RawClient.connect(proxy().port)).rejects.toThrow();
    proxy().accept();
    const again = await open();
    again.client.end();
    await again.link.closed;
  });

  test("holds bytes back while stalled, and loses none", async () => {
    const { client, link } = await open();
    proxy().stall();
    client.publish("stalled");
    link.deliver("1", "stalled");
    await expect(Promise.race([link.next(/stalled/, 100), client.next(/stalled/, 100)])).rejects.toThrow("in vain");
    proxy().go();
    await link.next(/^PUB stalled/);
    await client.next(/^MSG stalled/);
    client.end();
  });

  test("swallows one direction in a black hole, and cuts what it damaged when it heals", async () => {
    const { client, link } = await open();
    proxy().blackHole("up");
    client.publish("lost");
    link.deliver("1", "kept");
    await client.next(/^MSG kept/);
    expect(link.collect().map((frame) => frame.subject)).not.toContain("lost");
    proxy().heal();
    await Promise.all([client.closed, link.closed]);
    const again = await open();
    again.client.publish("whole");
    await again.link.next(/^PUB whole/);
    again.client.end();
  });

  test("delays, and keeps the order", async () => {
    const { client, link } = await open();
    const start = performance.now();
    proxy().delay(50);
    client.publish("one");
    await link.next(/^PUB one/);
    expect(performance.now() - start).toBeGreaterThan(45);
    client.publish("two");
    proxy().delay(0);
    client.publish("three");
    await link.next(/^PUB three/);
    expect(latin1(link.received())).toContain("PUB two 0\r\n\r\nPUB three 0\r\n\r\n");
    client.end();
  });

  test("eats the frames that it is told to, however they are cut, and nothing else", async () => {
    const { client, link } = await open();
    const eaten = proxy().eat((frame) => frame.subject === "eaten", "up", 2);
    const sent = "PUB before 1\r\na\r\nPUB eaten r 5\r\n\r\nPUB\r\nPUB eaten 0\r\n\r\nPUB eaten 3\r\nEND\r\n";
    for (const byte of sent) {
      client.send(byte);
      await new Promise<void>((resolve) => setTimeout(resolve, 0));
    }
    expect((await eaten).map((frame) => [frame.reply, latin1(frame.payload)])).toEqual([["r", "\r\nPUB"], ["", ""]]);
    await link.next(/END/);
    expect(latin1(link.received())).toMatch(/PING\r\nPUB before 1\r\na\r\nPUB eaten 3\r\nEND\r\n$/);
    client.end();
  });

  test("spares a frame whose beginning has gone on already", async () => {
    const { client, link } = await open();
    client.send("PUB eaten 10\r\n01234");
    await until("the beginning has arrived", () => latin1(link.received()).endsWith("01234"));
    const eaten = proxy().eat((frame) => frame.subject === "eaten", "up");
    client.send("56789\r\nPUB eaten 1\r\nx\r\n");
    client.publish("after");
    expect(latin1((await eaten)[0]!.payload)).toBe("x");
    await link.next(/^PUB after/);
    expect(latin1(link.received())).toMatch(/PUB eaten 10\r\n0123456789\r\nPUB after 0\r\n\r\n$/);
    client.end();
  });

  test("forwards whole what is not the NATS protocol", async () => {
    const { client, link } = await open();
    const hello = new Uint8Array([22, 3, 1, 0, 5, 10, 10, 1]);
    void proxy().eat(() => true, "up");
    client.send(hello);
    await link.closed;
    expect(link.received().slice(-hello.length)).toEqual(hello);
    proxy().heal();
  });
});
