import { afterEach, describe, expect, test } from "vitest";
import { deferred } from "../../src/core-nats/async.ts";
import { NatsError } from "../../src/core-nats/errors.ts";
import { Link } from "../../src/core-nats/link.ts";
import type { LinkOptions } from "../../src/core-nats/link.ts";
import { bare, endOf, failure, fake } from "../support/connections.ts";
import { freePorts } from "../support/ports.ts";
import { FakeServer } from "../support/raw.ts";
import type { FakeLink } from "../support/raw.ts";
import { readStrictly } from "../support/strict.ts";
import { until } from "../support/until.ts";

const links: Link[] = [];
afterEach(() => {
  for (const link of links.splice(0)) link.close();
});

function linkTo(servers: string | readonly string[], options: Partial<LinkOptions> = {}): Link {
  const usual: LinkOptions = {
    servers,
    name: "a-link",
    auth: undefined,
    tls: undefined,
    connectTimeout: 5_000,
    pingInterval: 60_000,
    pingMaxOut: 2,
    inboxPrefix: "_INBOX",
  };
  const link = new Link({ ...usual, ...options });
  links.push(link);
  return link;
}

/** Refuses each CONNECT, as a server does with wrong credentials. */
function refuse(frame: { verb: string }, link: FakeLink): void {
  if (frame.verb !== "CONNECT") return;
  link.send("-ERR 'Authorization Violation'\r\n");
  link.end();
}

describe("a link", () => {
  test("dials when it is asked, once, and gives the same connection while that is open", async () => {
    const server = await fake();
    const link = linkTo(server.url, { auth: { user: "u", pass: "p" }, inboxPrefix: "_MINE" });
    expect(server.links).toHaveLength(0);
    const [one, other] = await Promise.all([link.connection(), link.connection()]);
    expect(other).toBe(one);
    expect(await link.connection()).toBe(one);
    expect(server.links).toHaveLength(1);
    const said = readStrictly(server.links[0]!.received());
    expect(said[0]!.json).toMatchObject({ name: "a-link", user: "u", pass: "p" });
    expect(said[2]!.subject).toMatch(/^_MINE\./);
  });

  test("is dialled again after a cut, when it is asked, with the credentials of that time", async () => {
    const server = await fake();
    let password = 0;
    const link = linkTo(server.url, { auth: () => ({ user: "u", pass: String(++password) }) });
    for (let cut = 1; cut <= 3; cut++) {
      const connection = await link.connection();
      const [connect] = readStrictly(server.links[cut - 1]!.received(), true);
      expect(connect!.json).toMatchObject({ pass: String(cut) });
      server.links[cut - 1]!.destroy();
      expect((await endOf(connection)).code).toBe("CONNECTION_LOST");
      expect(server.links).toHaveLength(cut);
    }
  });

  test("goes on dialling until a server is there, and tells of each round that failed", async () => {
    const [first, second] = await freePorts(2);
    const rounds: (readonly NatsError[])[] = [];
    const there = deferred();
    const link = linkTo([`127.0.0.1:${first}`, `127.0.0.1:${second}`], {
      failed: (errors) => {
        if (rounds.push(errors) === 3) there.resolve();
      },
    });
    const connecting = link.connection();
    await there.promise;
    const server = await FakeServer.start({ port: second });
    try {
      expect((await connecting).server.port).toBe(second);
    } finally {
      await server.stop();
    }
    expect(rounds.length).toBeGreaterThanOrEqual(3);
    for (const errors of rounds) expect(errors).toMatchObject([{ code: "CONNECT" }, { code: "CONNECT" }]);
  });

  test("rejects without waitOnFirstConnect if no server is there, and dials again once there was one", async () => {
    const [port] = await freePorts(1);
    const link = linkTo(`127.0.0.1:${port}`, { waitOnFirstConnect: false });
    expect((await failure(link.connection())).code).toBe("CONNECT");
    let server = await FakeServer.start({ port });
    try {
      const connection = await link.connection();
      const again = endOf(connection);
      await server.stop();
      await again;
      const connecting = link.connection();
      server = await FakeServer.start({ port });
      expect((await connecting).server.port).toBe(port);
    } finally {
      await server.stop();
    }
  });

  test("dials with pauses a server that drops each client at once", async () => {
    const server = await fake();
    const link = linkTo(server.url);
    const began = performance.now();
    for (let i = 0; i < 4; i++) {
      const connection = await link.connection();
      server.links[i]!.destroy();
      await endOf(connection);
    }
    // 50, 100 and 200 ms, each with a quarter of jitter.
    expect(performance.now() - began).toBeGreaterThan(0.75 * 350 - 10);
  });

  test("goes to another server when one has ended the connection, and knows those that servers tell of", async () => {
    const other = await fake();
    const server = await fake({ greet: { connect_urls: [`127.0.0.1:${other.port}`] } });
    const link = linkTo(server.url);
    const connection = await link.connection();
    expect(connection.server.port).toBe(server.port);
    server.links[0]!.send("-ERR 'Stale Connection'\r\n");
    server.links[0]!.end();
    await endOf(connection);
    expect((await link.connection()).server.port).toBe(other.port);
  });

  test("tells of problems of its connection", async () => {
    const server = await fake();
    const problems: NatsError[] = [];
    const link = linkTo(server.url, { problem: (error) => problems.push(error) });
    const connection = await link.connection();
    server.links[0]!.send(`-ERR 'Permissions Violation for Publish to "a"'\r\n`);
    await connection.flush();
    expect(problems).toMatchObject([{ code: "PERMISSIONS" }]);
  });

  test("is refused with a TypeError for bad servers and credentials, which shows no secret", () => {
    const bad = [{ servers: "http://secret" }, { auth: { user: "u" } as never }, { auth: { nkeySeed: "secret" } }];
    for (const options of bad) {
      let error: unknown;
      try {
        linkTo("127.0.0.1", options);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(TypeError);
      expect(String(error)).not.toContain("secret");
    }
  });
});

describe("a caller that waits for a link", () => {
  test("may give up, while the dials go on for the others", async () => {
    const server = await fake({ greet: false });
    const link = linkTo(server.url);
    const controller = new AbortController();
    const others = [link.connection(), link.connection(new AbortController().signal)];
    const given = link.connection(controller.signal);
    const end = await server.link();
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(given).rejects.toBe(reason);
    await expect(link.connection(controller.signal)).rejects.toBe(reason);
    end.send("INFO {}\r\n");
    await end.next(/^PING/);
    end.send("PONG\r\n");
    const [one, other] = await Promise.all(others);
    expect(other).toBe(one);
    await expect(link.connection(controller.signal)).rejects.toBe(reason);
    expect(server.links).toHaveLength(1);
  });

  test("learns of a close, at whatever stage the dial is, and no link is left behind", async () => {
    for (const greeting of ["", "INFO {}\r\n"]) {
      const server = await bare(greeting);
      const link = linkTo(`127.0.0.1:${server.port}`);
      const waiting = [failure(link.connection()), failure(link.connection(new AbortController().signal))];
      await until("it is there", () => server.links.length > 0 && (greeting === "" || server.received.length > 0));
      link.close();
      for (const error of await Promise.all(waiting)) expect(error.code).toBe("CLOSED");
      await until("no link is left", () => server.links.every(({ destroyed }) => destroyed));
    }
    const [closed] = await freePorts(1);
    const failed = deferred();
    const link = linkTo(`127.0.0.1:${closed}`, { failed: () => failed.resolve() });
    const waiting = failure(link.connection());
    await failed.promise;
    link.close();
    expect((await waiting).code).toBe("CLOSED");
  });

  test("gets nothing from a link that is closed, whose connection has sent what it had to send", async () => {
    const server = await fake();
    const link = linkTo(server.url);
    const connection = await link.connection();
    connection.publish("last", new Uint8Array(1));
    link.close();
    link.close();
    expect(connection.ended.reason).toMatchObject({ code: "CLOSED" });
    expect((await failure(link.connection())).code).toBe("CLOSED");
    await server.links[0]!.closed;
    expect(readStrictly(server.links[0]!.received()).at(-1)).toMatchObject({ verb: "PUB", subject: "last" });
  });
});

describe("a link that is refused", () => {
  test("says so at once, if there never was a connection, and dials anew for the next who asks", async () => {
    const server = await fake({ onFrame: refuse });
    const rounds: (readonly NatsError[])[] = [];
    const link = linkTo([server.url, `nats://x@127.0.0.1:${server.port}`], { failed: (errors) => rounds.push(errors) });
    for (let times = 1; times <= 2; times++) {
      const [one, other] = await Promise.all([failure(link.connection()), failure(link.connection())]);
      expect(one.code).toBe("AUTHORIZATION");
      expect(other).toBe(one);
      expect(rounds).toHaveLength(times);
      expect(rounds[times - 1]).toContain(one);
    }
    const withTls = linkTo(server.url, { tls: {} });
    expect((await failure(withTls.connection())).code).toBe("TLS");
  });

  test("goes on while one of the servers fails otherwise", async () => {
    const server = await fake({ onFrame: refuse });
    const [closed] = await freePorts(1);
    const rounds: (readonly NatsError[])[] = [];
    const link = linkTo([server.url, `127.0.0.1:${closed}`], { failed: (errors) => rounds.push(errors) });
    const waiting = failure(link.connection());
    await until("it was dialled again and again", () => rounds.length >= 3);
    expect(rounds[2]!.map(({ code }) => code).sort()).toEqual(["AUTHORIZATION", "CONNECT"]);
    link.close();
    expect((await waiting).code).toBe("CLOSED");
  });

  test("goes on if there was a connection: a server may have lost its users for a while", async () => {
    let refusing = false;
    const server = await fake({ onFrame: (frame, end) => void (refusing && refuse(frame, end)) });
    const failed = deferred();
    const link = linkTo(server.url, { failed: () => failed.resolve() });
    const connection = await link.connection();
    refusing = true;
    server.links[0]!.destroy();
    await endOf(connection);
    const again = link.connection();
    await failed.promise;
    refusing = false;
    expect((await again).ended.aborted).toBe(false);
  });
});
