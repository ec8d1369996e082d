import { expect, test } from "vitest";
import { concat, bytesOf } from "../support/bytes.ts";
import { RawClient } from "../support/raw.ts";
import { unique } from "./peer.ts";
import { describeServers } from "./servers.ts";

describeServers("what streaming clients use of NATS", {}, (server) => {
  async function pair(fields: Record<string, unknown> = {}): Promise<[RawClient, RawClient]> {
    return [(await server.peer(fields)).raw, (await server.peer(fields)).raw];
  }

  test("the server speaks first, with INFO", async () => {
    const link = await RawClient.dial(server.port);
    const { rest, raw } = await link.next(/./);
    const info = JSON.parse(rest) as Record<string, unknown>;
    expect(info).toMatchObject({ proto: 1, headers: true, max_payload: 1048576 });
    expect(String.fromCharCode(...raw.subarray(-4))).toBe("} \r\n");
    link.destroy();
  });

  test("a message goes to all that match, once for each subscription", async () => {
    const [sender, receiver] = await pair();
    const name = unique("a");
    const sids = [`${name}.b`, `${name}.*`, `${name}.>`, `*.b`, ">"].map((subject) => receiver.subscribe(subject));
    for (const subject of [`${name}.*.*`, `${name}`, `${name}.b.>`, `${name}.b*`, `${name}.c`]) {
      receiver.subscribe(subject);
    }
    await receiver.flush();
    sender.publish(`${name}.b`, "x", "r");
    await sender.flush();
    await receiver.flush();
    const frames = receiver.collect().filter((frame) => frame.subject === `${name}.b`);
    expect(frames.map((frame) => frame.sid).sort()).toEqual([...sids].sort());
    expect(frames.every((frame) => frame.reply === "r" && String.fromCharCode(...frame.payload) === "x")).toBe(true);
    receiver.destroy();
    await receiver.closed;
  });

  test("of a queue one gets it", async () => {
    const [sender, receiver] = await pair();
    const name = unique("q");
    receiver.subscribe(name, "workers");
    receiver.subscribe(name, "workers");
    const other = receiver.subscribe(name, "others");
    await receiver.flush();
    for (let i = 0; i < 20; i++) sender.publish(name);
    await sender.flush();
    await receiver.flush();
    const sids = receiver.collect().filter((frame) => frame.subject === name).map((frame) => frame.sid);
    expect(sids).toHaveLength(40);
    expect(sids.filter((sid) => sid === other)).toHaveLength(20);
    expect(new Set(sids).size).toBe(3);
  });

  test("UNSUB ends a subscription now, or after so many messages since its SUB", async () => {
    const [sender, receiver] = await pair();
    const name = unique("u");
    const [now, two, one] = [receiver.subscribe(name), receiver.subscribe(name), receiver.subscribe(name)];
    receiver.send(`UNSUB ${now}\r\nUNSUB ${two} 2\r\nUNSUB 999\r\n`);
    await receiver.flush();
    sender.publish(name);
    await sender.flush();
    receiver.send(`UNSUB ${one} 1\r\n`);
    await receiver.flush();
    sender.publish(name);
    sender.publish(name);
    await sender.flush();
    await receiver.flush();
    const sids = receiver.collect().filter((frame) => frame.subject === name).map((frame) => frame.sid);
    expect(sids.sort()).toEqual([two, one, two].sort());
  });

  test("a sid that is in use keeps its first subject", async () => {
    const [sender, receiver] = await pair();
    const name = unique("s");
    receiver.send(`SUB ${name}.1 x7\r\nSUB ${name}.2 x7\r\n`);
    await receiver.flush();
    sender.publish(`${name}.2`);
    sender.publish(`${name}.1`);
    expect((await receiver.next(/^MSG/)).text).toBe(`MSG ${name}.1 x7 0\r\n`);
  });

  test("nobody listens: a 503 before the next PONG, to a plain subscription of the requester", async () => {
    const [requester, other] = await pair();
    const name = unique("n");
    other.subscribe(`${name}.reply`);
    await other.flush();
    requester.publish(name, "x", `${name}.reply`);
    await requester.flush();
    expect(requester.collect().filter((frame) => frame.verb === "HMSG")).toEqual([]);
    requester.subscribe(`${name}.*`, "queue");
    requester.publish(`${name}x`, "x", `${name}.reply`);
    await requester.flush();
    expect(requester.collect().filter((frame) => frame.verb === "HMSG")).toEqual([]);
    const sid = requester.subscribe(`${name}.reply`);
    requester.publish(`${name}x`, "x", `${name}.reply`);
    requester.publish(`${name}x`, "x");
    await requester.flush();
    const answers = requester.collect().filter((frame) => frame.verb === "HMSG").map((frame) => frame.text);
    expect(answers).toEqual([`HMSG ${name}.reply ${sid} 16 16\r\nNATS/1.0 503\r\n\r\n`]);
  });

  test("a requester that listens on the subject itself is somebody", async () => {
    const { raw } = await server.peer();
    const name = unique("e");
    raw.subscribe(name);
    raw.subscribe(`${name}.reply`);
    raw.publish(name, "", `${name}.reply`);
    await raw.flush();
    expect(raw.collect().map((frame) => `${frame.verb} ${frame.subject}`)).toEqual([`MSG ${name}`]);
  });

  test("without no_responders there is no 503", async () => {
    const { raw } = await server.peer({ no_responders: false });
    raw.subscribe("reply-without");
    raw.publish(unique("n"), "", "reply-without");
    await raw.flush();
    expect(raw.collect().filter((frame) => frame.verb === "HMSG")).toEqual([]);
  });

  test("verbs in any case, several blanks and TABs, a bare LF, arguments behind PING, split anywhere", async () => {
    const [sender, receiver] = await pair();
    const name = unique("l");
    const text = `sub  ${name}\t 7 \nPiNG  abc\r\npub ${name}   r\t3\r\na\r\n\r\n`;
    for (const byte of bytesOf(text)) {
      receiver.send(Uint8Array.of(byte));
      await new Promise<void>((resolve) => setTimeout(resolve, 0));
    }
    await receiver.next(/^PONG/);
    expect((await receiver.next(/^MSG/)).text).toBe(`MSG ${name} 7 r 3\r\na\r\n`);
    sender.send(`PUB ${name} 0\r\n\r\n`);
    expect((await receiver.next(/^MSG/)).text).toBe(`MSG ${name} 7 0\r\n`);
  });

  test.each([
    ["NOPE\r\n", "-ERR 'Unknown Protocol Operation'"],
    ["MSG a 1 0\r\n\r\n", "-ERR 'Unknown Protocol Operation'"],
    ["PUB a 1\r\nab\r\n", "-ERR 'Unknown Protocol Operation'"],
    ["PUB a 1048577\r\n", "-ERR 'Maximum Payload Violation'"],
    [`PUB ${"a".repeat(4096)} 0\r\n`, "-ERR 'maximum control line exceeded'"],
    [`SUB ${"a".repeat(20_000)}`, "-ERR 'maximum control line exceeded'"],
    ['CONNECT {"protocol":2}\r\n', "-ERR 'invalid client protocol'"],
    ['CONNECT {"no_responders":true}\r\n', "-ERR 'no responders requires headers support'"],
    ["PUB a\r\n", ""],
    ["PUB a x\r\n\r\n", ""],
    ["PUB a b c 0\r\n\r\n", ""],
    ["SUB a\r\n", ""],
    ["UNSUB a b c\r\n", ""],
    ["UNSUB\r\n", "-ERR 'Unknown Protocol Operation'"],
    ["PUB\r\n", "-ERR 'Unknown Protocol Operation'"],
    ["CONNECT {\r\n", ""],
    ["-ERR 'x'\r\n", ""],
  ])("%j ends the link: %j", async (sent, error) => {
    const raw = await RawClient.dial(server.port);
    await raw.next(/^INFO/);
    raw.send(sent);
    await raw.closed;
    expect(raw.collect().map((frame) => frame.text)).toEqual(error === "" ? [] : [error]);
  });

  test.each(["a..b", "a.>.b", ".a", "a."])("SUB %s is an error that does not end the link", async (subject) => {
    const { raw } = await server.peer();
    raw.send(`SUB ${subject} 1\r\nINFO {}\r\n+OK\r\n`);
    await raw.flush();
    expect(raw.collect().map((frame) => frame.text)).toEqual(["-ERR 'Invalid Subject'"]);
  });

  test("the largest payload, in many pieces", async () => {
    const [sender, receiver] = await pair();
    const name = unique("large");
    receiver.subscribe(name);
    await receiver.flush();
    const payload = new Uint8Array(1048576).map((_, i) => i);
    sender.send(concat([bytesOf(`PUB ${name} 1048576\r\n`), payload, bytesOf("\r\n")]));
    const received = (await receiver.next((frame) => frame.subject === name)).payload;
    expect([received.length, received.findIndex((byte, i) => byte !== payload[i])]).toEqual([payload.length, -1]);
  });
});
