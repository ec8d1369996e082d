import { describe, expect, test } from "vitest";
import type { ConnectionOptions } from "../../src/core-nats/connection.ts";
import { NatsError } from "../../src/core-nats/errors.ts";
import { headerBlock } from "../../src/core-nats/headers.ts";
import { Lifetime } from "../../src/core-nats/lifetime.ts";
import { Servers } from "../../src/core-nats/servers.ts";
import { bytesOf, latin1 } from "../support/bytes.ts";
import { bare, EMPTY, endOf, failure, fake, infos, Mailbox, open, pair, text } from "../support/connections.ts";
import { listen } from "../support/ports.ts";
import { readStrictly } from "../support/strict.ts";
import { until } from "../support/until.ts";

const MIB = 1024 * 1024;

describe("opening a connection", () => {
  test("introduces itself, asks for a PONG, and is open when that has come", async () => {
    const { connection, link } = await pair();
    expect(connection.ended.aborted).toBe(false);
    expect(connection.maxPayload).toBe(MIB);
    await connection.flush();
    const [connect, ping, inbox, flush] = readStrictly(link.received());
    expect(connect!.json).toEqual({
      verbose: false,
      pedantic: false,
      tls_required: false,
      name: "a-client",
      lang: "typescript",
      version: "0.1.0",
      protocol: 1,
      echo: true,
      headers: true,
      no_responders: true,
    });
    expect(ping!.verb).toBe("PING");
    expect(inbox!.subject).toMatch(/^_INBOX\.[0-9A-Za-z]{22}\.\*$/);
    expect(flush!.verb).toBe("PING");
  });

  test("asks an old server neither for headers nor for 503s", async () => {
    const { link } = await pair({}, { greet: { headers: undefined, version: "2.1.4" } });
    const [connect] = readStrictly(link.received(), true);
    expect(connect!.json).toMatchObject({ headers: false, no_responders: false });
  });

  test.each([
    ["user and password", { user: "u", pass: "p" }, ["pass", "user"]],
    ["a token", { token: "t" }, ["auth_token"]],
    [
      "an nkey and a function",
      { nkey: "UDO2LEHOZQ3Y25SXVAOIF63UIY2AYIISNTT7TGAODYJI2FI6ATDQXPFW", sign: async () => new Uint8Array(64) },
      ["nkey", "sig"],
    ],
    ["a JWT and a function", { jwt: "a.b.c", sign: () => new Uint8Array(64) }, ["jwt", "sig"]],
    ["an nkey's seed", { nkeySeed: "SUAE2T2RKNKVOWK3LVPWCY3FM5UWW3LPOFZXK53ZPN6X7AMDQWDYTC2GHM" }, ["nkey", "sig"]],
    [
      "a creds text",
      {
        creds: `-----BEGIN NATS USER JWT-----
          a.b.c
          ------END NATS USER JWT------
          -----BEGIN USER NKEY SEED-----
          SUAE2T2RKNKVOWK3LVPWCY3FM5UWW3LPOFZXK53ZPN6X7AMDQWDYTC2GHM
          ------END USER NKEY SEED------`,
      },
      ["jwt", "sig"],
    ],
  ])(
    "with %s, CONNECT has the fields for them, and no others beyond the usual ones",
    async (_, credentials, fields) => {
      const { link } = await pair({ credentials }, { greet: { nonce: "PXoWU7zWAMt75FY", auth_required: true } });
      const [connect] = readStrictly(link.received(), true);
      const usual = [
        "echo",
        "headers",
        "lang",
        "name",
        "no_responders",
        "pedantic",
        "protocol",
        "tls_required",
        "verbose",
        "version",
      ];
      expect(Object.keys(connect!.json!).sort()).toEqual([...usual, ...fields].sort());
    },
  );

  test("fails at once for credentials that need a nonce where the greeting has none, and sends nothing", async () => {
    const server = await fake();
    const nkeySeed = "SUAE2T2RKNKVOWK3LVPWCY3FM5UWW3LPOFZXK53ZPN6X7AMDQWDYTC2GHM";
    const error = await failure(open(server.url, { credentials: { nkeySeed } }));
    expect(error.code).toBe("AUTHORIZATION");
    expect((await server.link()).received()).toHaveLength(0);
  });

  test("waits for a function that signs as long as for the rest of a dial, and sends nothing", async () => {
    const nkey = "UDO2LEHOZQ3Y25SXVAOIF63UIY2AYIISNTT7TGAODYJI2FI6ATDQXPFW";
    const credentials = { nkey, sign: () => new Promise<Uint8Array>(() => {}) };
    const server = await fake({ greet: { nonce: "PXoWU7zWAMt75FY", auth_required: true } });
    expect(await failure(open(server.url, { credentials, timeout: 100 }))).toMatchObject({
      code: "TIMEOUT",
      reason: `127.0.0.1:${server.port}: no signature by auth.sign within 100 ms`,
    });
    const signal = new Lifetime();
    const attempt = failure(open(server.url, { credentials }, signal));
    await until("it has dialled twice", () => server.links.length === 2);
    signal.abort(new Error("enough"));
    expect(await attempt).toMatchObject({ code: "CLOSED" });
    for (const link of server.links) expect(link.received()).toHaveLength(0);
  });

  test("says what it waited for when there was none in time", async () => {
    const silent = await fake({ greet: false });
    expect(await failure(open(silent.url, { timeout: 50 }))).toMatchObject({
      code: "TIMEOUT",
      reason:
        `127.0.0.1:${silent.port}: accepted the connection, and sent no NATS greeting (INFO) within 50 ms: ` +
        "is this the client port of a NATS server (4222 by default, not 8222)?",
    });
    const tls = await bare('INFO {"tls_required":true}\r\n');
    expect(await failure(open(`127.0.0.1:${tls.port}`, { timeout: 100 }))).toMatchObject({
      code: "TIMEOUT",
      reason: `127.0.0.1:${tls.port}: no end of the TLS handshake within 100 ms`,
    });
    const deaf = await fake({ greet: false });
    const toDeaf = failure(open(deaf.url, { timeout: 100 }));
    (await deaf.link()).send("INFO {}\r\n");
    expect(await toDeaf).toMatchObject({
      code: "TIMEOUT",
      reason: `127.0.0.1:${deaf.port}: no answer to CONNECT within 100 ms`,
    });
  });

  test("is given up at any stage, and leaves no link behind", async () => {
    const early = new Lifetime();
    early.abort(new Error("enough"));
    expect((await failure(open("127.0.0.1:1", {}, early))).code).toBe("CLOSED");
    for (const greeting of ["", "INFO {}\r\n", 'INFO {"tls_required":true}\r\n']) {
      const signal = new Lifetime();
      const server = await bare(greeting);
      const attempt = failure(open(`127.0.0.1:${server.port}`, {}, signal));
      await until(
        "it is there, and has answered",
        () => server.links.length > 0 && (greeting === "" || server.received.length > 0),
      );
      signal.abort(new Error("enough"));
      expect(await attempt).toMatchObject({ code: "CLOSED", reason: "given up by the caller" });
      await until("no link is left", () => server.links.every(({ destroyed }) => destroyed));
    }
  });

  test("is not disturbed later by what could have stopped it", async () => {
    const server = await fake();
    const signal = new Lifetime();
    const connection = await open(server.url, { timeout: 100 }, signal);
    signal.abort();
    await connection.flush();
    expect(connection.ended.aborted).toBe(false);
  });

  test("fails when the peer hangs up, resets, or speaks something else", async () => {
    for (const [said, code] of [
      ["", "CONNECTION_LOST"],
      ["INFO {}\r\n", "CONNECTION_LOST"],
      ["INFO {", "CONNECTION_LOST"],
      ["INFO nonsense\r\n", "PROTOCOL"],
      ["INFO []\r\nINFO 5\r\n", "PROTOCOL"],
      ["INFO null\r\n", "PROTOCOL"],
      ["HTTP/1.1 400 Bad Request\r\n\r\n", "PROTOCOL"],
      ["\u0016\u0003\u0001\u0002\u0000\u0001\r\n", "PROTOCOL"],
      ["220 mail.example ESMTP\r\n", "PROTOCOL"],
    ]) {
      const server = await fake({ greet: false });
      const attempt = failure(open(server.url));
      const link = await server.link();
      link.send(bytesOf(said!));
      link.end();
      expect(await attempt, said).toMatchObject({ code });
    }
    const resetting = await bare("INFO {}\r\n", (socket) => socket.resetAndDestroy());
    expect((await failure(open(`127.0.0.1:${resetting.port}`))).code).toBe("CONNECTION_LOST");
  });

  test("a later INFO tells of another limit, and messages that were let through before still come", async () => {
    const { connection, link } = await pair({}, { greet: { max_payload: 1_000 } });
    const box = new Mailbox();
    const sid = String(connection.subscribe("a", box));
    await connection.flush();
    for (const limit of [5_000, 100]) {
      link.send(`INFO {"headers":true,"max_payload":${limit}} \r\n`);
      link.deliver(sid, "a", "x".repeat(4_000));
      await connection.flush();
      expect(connection.maxPayload).toBe(limit);
      expect(connection.info).toBe(infos.at(-1));
    }
    expect(box.texts.map(({ length }) => length)).toEqual([4_000, 4_000]);
    expect(infos.map(({ maxPayload }) => maxPayload)).toEqual([1_000, 5_000, 100]);
  });

  test("takes answers that are larger than a server's limit, where it is told how large they may be", async () => {
    const { connection, link } = await pair({ largestAnswer: 2 * MIB }, { greet: { max_payload: MIB } });
    const box = new Mailbox();
    const sid = String(connection.subscribe("a", box));
    await connection.flush();
    expect(connection.maxPayload).toBe(MIB);
    link.deliver(sid, "a", "x".repeat(2 * MIB));
    await connection.flush();
    expect(box.texts.map(({ length }) => length)).toEqual([2 * MIB]);
    link.deliver(sid, "a", "x".repeat(2 * MIB + 1));
    expect(await endOf(connection)).toMatchObject({ code: "PROTOCOL" });
  });

  test("takes any INFO for one, with fields of wrong kinds as if they were missing", async () => {
    for (const max_payload of [0, -1, 1e300, "1", null, 64 * MIB + 1]) {
      const { connection } = await pair(
        {},
        { greet: { max_payload, headers: "yes", nonce: {}, connect_urls: 7, ldm: 1 } },
      );
      expect(connection.maxPayload).toBe(MIB);
      expect(infos).toMatchObject([{ headers: false, nonce: undefined, lameDuck: false }]);
    }
  });
});

describe("TLS that is demanded", () => {
  const DEMAND: Partial<ConnectionOptions> = { tls: {} };

  test.each([
    "INFO {}\r\n",
    'INFO {"tls_required":false,"tls_available":false}\r\n',
    'INFO {"tls_required":"true"}\r\n',
  ])("and not offered (%j): nothing is said to such a server", async (greeting) => {
    const server = await fake({ greet: false });
    for (const options of [DEMAND, {}]) {
      const attempt = failure(open(options === DEMAND ? server.url : `tls://127.0.0.1:${server.port}`, options));
      const link = await server.link();
      link.send(greeting);
      expect((await attempt).code).toBe("TLS");
      await link.closed;
      expect(link.received()).toHaveLength(0);
      expect(infos).toEqual([]);
    }
  });

  test("and offered: only a TLS handshake leaves, whatever the peer answers in clear", async () => {
    for (const residue of [
      "",
      "PING\r\n",
      "INFO {}\r\n",
      'INFO {"tls_required":false}\r\nPING\r\n',
      "-ERR 'x'\r\n",
      "MSG a 1 1\r\nx\r\n",
    ]) {
      for (const together of [true, false]) {
        const info = 'INFO {"tls_required":true,"connect_urls":["10.0.0.1:4222"]}\r\n';
        const { port, received } = await bare(together ? info + residue : info, (socket) => {
          socket.write(bytesOf(`${residue}PONG\r\n`));
        });
        const error = await failure(open(`tls://127.0.0.1:${port}`, { timeout: 2_000 }));
        expect(error.code).toBe("TLS");
        // Content type 22 (handshake) of TLS, or nothing at all; then at most an alert (21).
        const sent = received.flatMap((bytes) => [...bytes]);
        if (together && residue !== "") expect(sent).toEqual([]);
        else expect(sent[0]).toBe(22);
        expect(String.fromCharCode(...sent)).not.toContain("CONNECT");
        expect(infos).toEqual([]);
      }
    }
  });

  test("and offered by an INFO that ends where a read may end: what follows in clear is not parsed", async () => {
    for (const size of [64 * 1024, 128 * 1024]) {
      const [before, after] = ['INFO {"tls_required":true,"x":"', '"}\r\n'];
      const info = before + "x".repeat(size - before.length - after.length) + after;
      const { port, received } = await bare(`${info}PING\r\n`);
      expect((await failure(open(`tls://127.0.0.1:${port}`, { timeout: 2_000 }))).code).toBe("TLS");
      const sent = received.flatMap((bytes) => [...bytes]);
      expect([undefined, 22]).toContain(sent[0]);
      expect(infos).toEqual([]);
    }
  });
});

describe("TLS that only the server demands", () => {
  const WANTED = 'INFO {"tls_required":true}\r\n';

  test("is spoken on a second connection, since it cannot begin on the first; later ones need no second", async () => {
    const { port, links } = await bare(WANTED, (socket) => socket.write(bytesOf("PONG\r\n")));
    const [server] = new Servers(`127.0.0.1:${port}`, false).round();
    for (const expected of [2, 3]) {
      const error = await failure(open(server!));
      expect(error).toMatchObject({ code: "TLS", reason: expect.stringContaining("something that is not TLS") });
      expect(links).toHaveLength(expected);
      expect(infos).toEqual([]);
    }
    // Handshakes, but nothing at all on the first.
    expect(links.map(({ bytesRead }) => bytesRead > 0)).toEqual([false, true, true]);
  });

  test("and not on the second connection: nobody has demanded it", async () => {
    const server = await fake({ greet: false });
    const opening = open(server.url);
    const first = await server.link();
    first.send(WANTED);
    const second = await server.link();
    await first.closed;
    second.send('INFO {"max_payload":1000}\r\n');
    await second.next(/^PING/);
    second.send("PONG\r\n");
    expect((await opening).maxPayload).toBe(1_000);
    expect(infos.map(({ maxPayload }) => maxPayload)).toEqual([1_000]);
  });

  test("fails as a dial does, when the server is gone by then", async () => {
    const { server, port } = await listen();
    server.on("connection", (socket) => {
      server.close();
      socket.on("error", () => {}).write(bytesOf(WANTED));
    });
    expect((await failure(open(`127.0.0.1:${port}`))).code).toBe("CONNECT");
  });
});

describe("what a connection sends and receives", () => {
  test("messages reach the receiver of their sid, in order, and nobody else", async () => {
    const { connection, link } = await pair();
    const [one, two] = [new Mailbox(), new Mailbox()];
    const [first, second] = [connection.subscribe("a.*", one), connection.subscribe("b.>", two)];
    await connection.flush();
    link.deliver(String(first), "a.b", "1");
    link.deliver(String(second), "b.c", "2");
    link.deliver("999999", "a.b", "nobody's");
    link.deliver(String(first), "a.c", "3");
    link.send("PING\r\n");
    await link.next(/^PONG/);
    connection.unsubscribe(second);
    connection.unsubscribe(second);
    link.deliver(String(second), "b.c", "too late");
    link.send("PING\r\n");
    await link.next(/^PONG/);
    expect([one.texts, two.texts]).toEqual([["1", "3"], ["2"]]);
    const said = readStrictly(link.received(), true);
    expect(
      said
        .filter(({ verb }) => verb === "SUB")
        .map(({ subject }) => subject)
        .slice(1),
    ).toEqual(["a.*", "b.>"]);
    expect(said.filter(({ verb }) => verb === "UNSUB")).toHaveLength(1);
  });

  test("a publish carries any bytes, copied in the call, with and without a reply subject", async () => {
    const { connection, link } = await pair();
    const large = new Uint8Array(MIB).fill(7);
    const small = bytesOf("\r\nPUB b 1\r\n");
    connection.publish("a.b", small);
    connection.publish("a.b", large, "re.ply");
    connection.publish("a.ü😀", EMPTY);
    small.fill(0);
    large.fill(0);
    await connection.flush();
    const published = readStrictly(link.received()).filter(({ verb }) => verb === "PUB");
    expect(published.map(({ subject, reply }) => [subject, reply])).toEqual([
      ["a.b", undefined],
      ["a.b", "re.ply"],
      ["a.ü😀", undefined],
    ]);
    expect(latin1(published[0]!.payload!)).toBe("\r\nPUB b 1\r\n");
    expect(published[1]!.payload!.every((byte) => byte === 7)).toBe(true);
    expect(published[1]!.payload).toHaveLength(MIB);
  });

  test("a publish with headers carries them before the payload, copied in the call", async () => {
    const { connection, link } = await pair();
    const headers = headerBlock([["Nats-Msg-Id", "é 1"]]);
    const payload = new Uint8Array(MIB - headers.length).fill(7);
    connection.publishWithHeaders("a.b", headers, bytesOf("\r\nPUB b 1\r\n"));
    connection.publishWithHeaders("a", headers, payload, "reply.to");
    connection.publishWithHeaders("a", headerBlock([]), EMPTY);
    const copy = headers.slice();
    headers.fill(0);
    payload.fill(0);
    await connection.flush();
    const published = readStrictly(link.received()).filter(({ verb }) => verb === "HPUB");
    expect(published).toMatchObject([
      { subject: "a.b", headers: copy, payload: bytesOf("\r\nPUB b 1\r\n") },
      { subject: "a", reply: "reply.to", headers: copy },
      { subject: "a", headers: bytesOf("NATS/1.0\r\n\r\n"), payload: EMPTY },
    ]);
    expect(published[1]!.payload).toHaveLength(MIB - copy.length);
    expect(published[1]!.payload!.every((byte) => byte === 7)).toBe(true);
  });

  test("a thousand subjects are published to one after another, each to its own", async () => {
    const { connection, link } = await pair();
    for (let i = 0; i < 1_000; i++) connection.publish(`subject.${i % 250}`, bytesOf(String(i % 250)));
    await connection.flush();
    const published = readStrictly(link.received()).filter(({ verb }) => verb === "PUB");
    expect(published).toHaveLength(1_000);
    for (const { subject, payload } of published) expect(subject).toBe(`subject.${latin1(payload!)}`);
  });

  test("PINGs are answered, PONGs come back to those who asked, in order", async () => {
    const { connection, link } = await pair();
    const order: number[] = [];
    for (let i = 0; i < 3; i++) connection.ping(() => order.push(i));
    await connection.flush();
    expect(order).toEqual([0, 1, 2]);
    link.send("PING\r\nPING\r\npong\r\nPONG\r\n+OK\r\n");
    await link.next(/^PONG/);
    await link.next(/^PONG/);
    await connection.flush();
  });
});

describe("the end of a connection", () => {
  test("a close without a reason is said to be one", async () => {
    const { connection, link, server } = await pair();
    link.end();
    expect(await endOf(connection)).toMatchObject({
      code: "CONNECTION_LOST",
      reason: `127.0.0.1:${server.port} ended the connection`,
    });
  });

  test("by close: what was sent before arrives, and what waits is told", async () => {
    const { connection, link } = await pair();
    const waiting = failure(connection.request("ask", EMPTY, 5_000, text));
    connection.publish("last", bytesOf("words"));
    connection.close();
    connection.close();
    expect((await waiting).code).toBe("CLOSED");
    await link.closed;
    expect(readStrictly(link.received()).at(-1)).toMatchObject({ verb: "PUB", subject: "last" });
    expect(connection.ended.reason).toMatchObject({ code: "CLOSED", reason: "closed by this client" });
  });

  test("by the server: requests, flushes and those that come later get the reason", async () => {
    const { connection, link } = await pair();
    const pongs: unknown[] = [];
    const waiting = [failure(connection.request("ask", EMPTY, 5_000, text))];
    await link.next(/^PUB ask/);
    link.send("-ERR 'Stale Connection'\r\n");
    link.end();
    connection.ping((error) => pongs.push(error));
    waiting.push(failure(connection.flush()));
    const reason = await endOf(connection);
    waiting.push(failure(connection.flush()), failure(connection.request("ask", EMPTY, 5_000, text)));
    for (const error of await Promise.all(waiting)) expect(error).toBe(reason);
    expect(pongs).toEqual([reason]);
    // Whatever is sent now goes nowhere, in silence.
    connection.publish("a", EMPTY);
    connection.unsubscribe(connection.subscribe("a", new Mailbox()));
    connection.end(new NatsError("CLOSED", "again"));
    expect(connection.ended.reason).toBe(reason);
  });

  test("by a receiver that throws: with that as the cause, and the process lives", async () => {
    const { connection, link } = await pair();
    const broken = new Error("broken");
    const sid = connection.subscribe("a", {
      deliver: () => {
        throw broken;
      },
      denied: () => {},
    });
    await connection.flush();
    link.deliver(String(sid), "a", "x");
    expect(await endOf(connection)).toMatchObject({ code: "PROTOCOL", cause: broken });
  });
});

describe("a peer that reads no more", () => {
  test("holds back publishes and nothing else, and lets them go on when it reads again", async () => {
    const { connection, link } = await pair();
    let writable = 0;
    connection.writable = () => writable++;
    link.pause();
    const payload = new Uint8Array(10_000);
    let sent = 0;
    // The system's own buffers fill up before ours do.
    await until("publishes are held back", () => {
      for (let i = 0; i < 100 && !connection.outbox.full; i++, sent++) connection.publish("a", payload);
      return connection.outbox.full;
    });
    expect(connection.outbox.pending).toBeLessThan(2 * MIB);
    const flushed = connection.flush();
    expect(connection.outbox.full).toBe(true);
    expect(writable).toBe(0);
    link.resume();
    await flushed;
    await until("publishes may go on", () => writable === 1);
    expect(connection.outbox.full).toBe(false);
    const published = readStrictly(link.received()).filter(({ verb }) => verb === "PUB");
    expect(published).toHaveLength(sent);
  });

  test("for good ends the connection, however little of what is sent is ever held back", async () => {
    const { connection, link } = await pair();
    link.pause();
    const payload = new Uint8Array(MIB);
    let most = 0;
    for (let i = 0; i < 200 && !connection.ended.aborted; i++) {
      connection.publish("a", payload);
      connection.outbox.flush();
      most = Math.max(most, connection.outbox.pending);
    }
    expect(connection.ended.reason).toMatchObject({ code: "STALE", reason: expect.stringContaining("reads no more") });
    // All that 64 MiB have room for, and no more. What the systems' buffers take is not counted.
    expect(most).toBeGreaterThan(62 * MIB);
    expect(most).toBeLessThanOrEqual(64 * MIB);
  });

  test("is not one that is slow: that gets all, however much it comes to", async () => {
    const { connection, link } = await pair();
    const payload = new Uint8Array(MIB);
    for (let i = 0; i < 2; i++) {
      link.pause();
      for (let j = 0; j < 40; j++) connection.publish("a", payload);
      expect(connection.outbox.pending).toBeGreaterThan(20 * MIB);
      link.resume();
      await connection.flush();
    }
    expect(connection.ended.aborted).toBe(false);
    expect(link.received().length).toBeGreaterThan(80 * MIB);
  });
});

describe("a server that floods", () => {
  test("with PINGs: each is answered, and it may still be asked", async () => {
    const { connection, link } = await pair();
    link.send("PING\r\n".repeat(100_000));
    await connection.flush();
    await until("all are answered", () => link.received().length > 600_000);
    expect(readStrictly(link.received(), true).filter(({ verb }) => verb === "PONG")).toHaveLength(100_000);
  });

  test("with INFOs of ten thousand servers: the pool stays small", async () => {
    const servers = new Servers("127.0.0.1", false);
    const [from] = servers.round();
    const { connection, link } = await pair({ informed: (info) => servers.discovered(info.connectUrls, from!) });
    for (let i = 0; i < 20; i++) {
      const connect_urls = Array.from({ length: 10_000 }, (_, n) => `10.${i}.${n >> 8}.${n & 255}:4222`);
      link.send(`INFO ${JSON.stringify({ connect_urls })} \r\n`);
    }
    await connection.flush();
    expect(servers.round().length).toBeLessThanOrEqual(101);
  });

  test("with a line that does not end: is cut off", async () => {
    for (const [line, limit] of [
      ["MSG ", 8192],
      ["", 8192],
      ["INFO ", MIB],
      ["-ERR ", MIB],
    ] as const) {
      const { connection, link } = await pair();
      link.send(line + "x".repeat(limit + 1));
      expect(await endOf(connection)).toMatchObject({ code: "PROTOCOL", reason: `a line of more than ${limit} bytes` });
    }
  });

  test("with sizes that are not to be believed: is cut off before a byte of that arrives", async () => {
    for (const size of ["1048577", "999999999", "9999999999", "-1", "0x10", "1e3", ""]) {
      const { connection, link } = await pair();
      link.send(`MSG a 1 ${size}\r\n`);
      expect((await endOf(connection)).code).toBe("PROTOCOL");
    }
  });

  test("with messages for subscriptions that do not exist: nothing is kept", async () => {
    const { connection, link } = await pair();
    const payload = new Uint8Array(100_000);
    const before = process.memoryUsage();
    for (let i = 0; i < 500; i++) {
      link.deliver(String(1_000 + i), `a.${i}`, payload, `b.${i}`);
      if (i % 50 === 0) await connection.flush();
    }
    await connection.flush();
    const after = process.memoryUsage();
    // 50 MB have come; what is garbage may still be there, but not all of it and then some.
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(200 * MIB);
    expect(connection.ended.aborted).toBe(false);
  });
});

describe("names that are no names", () => {
  const controls = Array.from({ length: 33 }, (_, code) => String.fromCharCode(code));
  const blanks = [
    "\u007f",
    "\u0085",
    "\u00a0",
    "\u1680",
    "\u2000",
    "\u2003",
    "\u200a",
    "\u2028",
    "\u2029",
    "\u202f",
    "\u205f",
    "\u3000",
    "\ufeff",
  ];
  const halves = ["\ud800", "\udfff"];
  const bad = [
    ...[...controls, ...blanks, ...halves].flatMap((character) => [
      character,
      `a${character}`,
      `${character}a`,
      `a${character}b`,
      `a.${character}.b`,
    ]),
    ...["", ".", "a.", ".a", "a..b", "a\r\nPUB b 0\r\n\r\n", "x".repeat(65_536), "ü".repeat(65_536)],
  ];

  test("never reach the wire, as a subject to publish or subscribe to, of a request, or to reply to", async () => {
    const { connection, link } = await pair();
    for (const name of [...bad, "*", ">", "a.*", "a.>", "a*"]) {
      expect(() => connection.publish(name, EMPTY), JSON.stringify(name.slice(0, 20))).toThrow(TypeError);
      expect(() => connection.publish("a", EMPTY, name)).toThrow(TypeError);
      await expect(connection.request(name, EMPTY, 1_000, text)).rejects.toThrow(TypeError);
    }
    for (const name of bad) expect(() => connection.subscribe(name, new Mailbox())).toThrow(TypeError);
    for (const value of [undefined, null, 5, {}, ["a"], new String("a")]) {
      expect(() => connection.publish(value as string, EMPTY)).toThrow(TypeError);
      expect(() => connection.subscribe(value as string, new Mailbox())).toThrow(TypeError);
    }
    await connection.flush();
    const said = readStrictly(link.received());
    expect(said.map(({ verb }) => verb)).toEqual(["CONNECT", "PING", "SUB", "PING"]);
  });

  test("do no harm in CONNECT: as the client's name or in credentials they stay within its JSON", async () => {
    for (const value of [...bad, `"}\r\nPING\r\n`]) {
      const credentials = { user: `u${value}`, pass: value };
      const { connection, link } = await pair({ name: value, credentials });
      await connection.flush();
      const [line = ""] = latin1(link.received()).split("\r\n");
      const json = JSON.parse(
        new TextDecoder().decode(link.received()).split("\r\n")[0]!.slice("CONNECT ".length),
      ) as object;
      expect(json).toEqual(JSON.parse(JSON.stringify({ ...json, name: value, user: `u${value}`, pass: value })));
      const rest = link.received().subarray(line.length + 2);
      expect(readStrictly(new Uint8Array([...bytesOf("CONNECT {}\r\n"), ...rest])).map(({ verb }) => verb)).toEqual([
        "CONNECT",
        "PING",
        "SUB",
        "PING",
      ]);
      connection.close();
    }
  });

  test("that are unusual but sound arrive as they are", async () => {
    const { connection, link } = await pair();
    const names = [
      "a",
      "A-b_c.1",
      "ü.ß.漢字",
      "😀",
      "$SYS",
      "a/b",
      "'",
      '"',
      "\\",
      "{}",
      "foo.b",
      "a".repeat(512),
      "漢".repeat(512),
    ];
    for (const name of names) connection.publish(name, EMPTY, name);
    await connection.flush();
    const published = readStrictly(link.received()).filter(({ verb }) => verb === "PUB");
    expect(published.map(({ subject }) => subject)).toEqual(names);
    expect(published.map(({ reply }) => reply)).toEqual(names);
  });
});
