import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import type { Credentials } from "../../src/core-nats/auth.ts";
import type { Server } from "../../src/core-nats/servers.ts";
import { Servers } from "../../src/core-nats/servers.ts";
import { forEachSeed, Random } from "../support/random.ts";

function pool(urls?: string | readonly string[], tlsDemanded = false, seed = 1): Servers {
  const random = new Random(seed);
  return new Servers(urls, tlsDemanded, () => random.fraction());
}

function find(servers: Servers, label: string): Server {
  const server = servers.round().find((server) => server.label === label);
  if (server === undefined) throw new Error(`${label} is not in the pool`);
  return server;
}

function labels(servers: Servers): string[] {
  return servers
    .round()
    .map((server) => server.label)
    .sort();
}

function single(url: string, tlsDemanded = false): Server {
  const round = pool(url, tlsDemanded).round();
  expect(round).toHaveLength(1);
  return round[0]!;
}

describe("the order of a round", () => {
  const told = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"];

  test("begins with the last server if it was well when the link was lost, and ends with it if not", () => {
    const servers = pool("a,b,c");
    servers.discovered(told, find(servers, "a:4222"));
    for (const last of servers.round()) {
      expect(servers.round(last, true)[0]).toBe(last);
      expect(servers.round(last, false).at(-1)).toBe(last);
    }
  });

  test("has those that were configured before those that servers told of, each in any order", () => {
    const seen = new Set<string>();
    const servers = pool("a,b");
    servers.discovered(told, find(servers, "a:4222"));
    for (let i = 0; i < 200; i++) {
      const round = servers.round();
      expect(round.map(({ discovered }) => discovered)).toEqual([false, false, true, true, true]);
      seen.add(round.map(({ host }) => host).join());
    }
    expect(seen.size).toBe(2 * 6);
  });

  test("puts off those that were silent, the more often the further", () => {
    const servers = pool("a,b,c");
    servers.discovered(told, find(servers, "a:4222"));
    find(servers, "b:4222").silences = 1;
    find(servers, "10.0.0.1:1").silences = 3;
    const labels = servers.round().map(({ label }) => label);
    expect(labels.slice(0, 2).sort()).toEqual(["a:4222", "c:4222"]);
    expect(labels.slice(2, 4).sort()).toEqual(["10.0.0.2:1", "10.0.0.3:1"]);
    expect(labels.slice(4)).toEqual(["b:4222", "10.0.0.1:1"]);
  });
});

describe("URLs", () => {
  type Expected = Partial<Pick<Server, "host" | "port" | "label" | "tls">> & { credentials?: Credentials };
  const accepted: [string, Expected][] = [
    ["host", { host: "host", port: 4222, label: "host:4222" }],
    ["host:1", { host: "host", port: 1 }],
    ["host:65535", { host: "host", port: 65_535 }],
    ["  host:4333\n", { host: "host", port: 4333 }],
    ["nats://host", { host: "host", port: 4222 }],
    ["NATS://Host.Example:4222/", { host: "host.example", label: "host.example:4222" }],
    ["nats://with_underscore-and-dash.x:4222", { host: "with_underscore-and-dash.x" }],
    ["nats://host:80", { port: 80, label: "host:80" }],
    ["tls://host:4443", { tls: true, port: 4443 }],
    ["127.0.0.1:4222", { host: "127.0.0.1" }],
    ["[::1]:4222", { host: "::1", label: "[::1]:4222" }],
    ["[::1]", { host: "::1", port: 4222 }],
    ["nats://[2001:DB8:0:0::1]:4222/", { host: "2001:db8::1", label: "[2001:db8::1]:4222" }],
    ["nats://u:p@[::1]:4222", { host: "::1", credentials: { user: "u", pass: "p" } }],
    ["nats://bücher.example", { host: "xn--bcher-kva.example" }],
    ["nats://user:pass@host:4222", { host: "host", credentials: { user: "user", pass: "pass" } }],
    ["nats://user:@host", { credentials: { user: "user", pass: "" } }],
    ["nats://user:pa:ss@host", { credentials: { user: "user", pass: "pa:ss" } }],
    ["nats://user:p@ss@host", { host: "host", credentials: { user: "user", pass: "p@ss" } }],
    ["nats://u%40x:%2C%2F%3F%23%25%C3%BC@host", { credentials: { user: "u@x", pass: ",/?#%ü" } }],
    ["tls://t0k%2Fen@host:4222", { tls: true, credentials: { token: "t0k/en" } }],
  ];
  test.each(accepted)("%j is understood", (url, expected) => {
    const server = single(url);
    expect(server).toMatchObject({ tls: false, discovered: false, ...expected });
    expect(server.servername).toBe(server.host);
    expect(server.credentials).toEqual(expected.credentials);
  });

  test("without any, the server is the one of this host", () => {
    const round = pool().round();
    expect(round.map((server) => server.label)).toEqual(["127.0.0.1:4222"]);
  });

  test.each<[string | readonly string[]]>([
    ["nats://a, tls://b:1,c"],
    [["nats://a", "tls://b:1", "c"]],
    [["nats://a,tls://b:1", "c"]],
  ])("%j are three", (urls) => {
    expect(labels(pool(urls))).toEqual(["a:4222", "b:1", "c:4222"]);
    expect(
      pool(urls)
        .round()
        .filter((server) => server.tls)
        .map((server) => server.label),
    ).toEqual(["b:1"]);
  });

  test("TLS can be demanded of every server, whatever the scheme", () => {
    expect(
      pool("nats://a,tls://b,c", true)
        .round()
        .map((server) => server.tls),
    ).toEqual([true, true, true]);
  });

  test("the dot that ends an absolute name is dialled, but is not in the name of the certificate", () => {
    expect(single("nats.example.:4222")).toMatchObject({ host: "nats.example.", servername: "nats.example" });
  });

  const place = /^servers: URL 2 of 3 /;
  const refused: [string, RegExp][] = [
    ["", /must have a host/],
    ["  ", /must have a host/],
    ["nats://", /must have a host/],
    ["nats:///", /must have a host/],
    [":4222", /must have a host/],
    ["http://host", /must start with nats:\/\/ or tls:\/\//],
    ["ws://CANARY@host:80", /must start with nats/],
    ["wss://host/path?CANARY=1", /must start with nats/],
    ["://host", /must start with nats/],
    ["user:CANARY@host", /has credentials and must start with nats/],
    ["CANARY@host:4222", /has credentials and must start with nats/],
    ["nats:host", /must have a host/],
    ["nats:/host", /must have a host/],
    ["nats://nats://host", /must have a host/],
    ["nats://host/path", /nothing after it/],
    ["nats://host//", /nothing after it/],
    ["nats://user:CANARY@host/?tls=true", /nothing after it/],
    ["nats://host?CANARY", /nothing after it/],
    ["nats://host#CANARY", /nothing after it/],
    ["nats://host:", /port 1 to 65535/],
    ["nats://host:0", /port 1 to 65535/],
    ["nats://host:65536", /port 1 to 65535/],
    ["nats://host:123456", /port 1 to 65535/],
    ["nats://host:-1", /port 1 to 65535/],
    ["nats://host:4222x", /port 1 to 65535/],
    ["nats://host:4 222", /port 1 to 65535/],
    ["nats://ho st", /must have a host/],
    ["nats://ho\nst", /must have a host/],
    ["nats://ho\\st", /must have a host/],
    ["nats://ho%73t", /must have a host/],
    ["nats://ho|st", /must have a host/],
    ["nats://1.2.3.400", /must have a host/],
    ["::1", /\[IPv6\]:port/],
    ["::1:4222", /\[IPv6\]:port/],
    ["nats://[::1", /\[IPv6\]:port/],
    ["nats://[::1]4222", /\[IPv6\]:port/],
    ["nats://[1::2::3]", /\[IPv6\]:port/],
    ["nats://[host]", /\[IPv6\]:port/],
    [`nats://${"long.".repeat(61)}`, /must have a host/],
    ["nats://user:CANARY/x@host", /percent-encoded/],
    ["nats://user:CANARY#x@host", /percent-encoded/],
    ["nats://user:CANARY?x@host", /percent-encoded/],
    ["nats://user:CANARY%@host", /a bare % is written %25/],
    ["nats://user:CANARY%ff@host", /a bare % is written %25/],
    ["nats://%zzCANARY@host", /a bare % is written %25/],
    ["nats://@host", /an empty user or token/],
    ["nats://:CANARY@host", /an empty user or token/],
  ];
  test.each(refused)("%j is refused by its place, with the rule and without its content", (url, rule) => {
    const action = () => pool(["nats://first", url, "third"]);
    expect(action).toThrow(TypeError);
    expect(action).toThrow(place);
    expect(action).toThrow(rule);
    try {
      action();
    } catch (error) {
      expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/CANARY|%zz|x@/);
    }
  });

  test("a comma in a password is refused, and no part of the password becomes a host", () => {
    for (const url of ["nats://user:12,CANARY@host", "nats://user:CANARY,12@host", "nats://CANARY,x@host,nats://b"]) {
      expect(() => pool(url)).toThrow(TypeError);
      expect(() => pool(url)).not.toThrow(/CANARY/);
    }
  });

  test.each<[unknown]>([[[]], [null], [4222], [{}], [new URL("nats://host")]])("%o is no list of URLs", (urls) => {
    expect(() => pool(urls as string)).toThrow(TypeError);
    expect(() => pool(urls as string)).toThrow("servers must be a URL or a list of URLs that is not empty");
  });

  test.each<[unknown]>([[4222], [null], [undefined], [["nats://a"]]])("%o is no URL", (url) => {
    expect(() => pool(["a", url as string])).toThrow(TypeError);
    expect(() => pool(["a", url as string])).toThrow("servers: URL 2 of 2 must be a string");
  });

  test("random text is understood or refused with a TypeError", async () => {
    await forEachSeed(2000, (random) => {
      const text = random.text(random.int(0, 30), "ab1.:/@[]%,?#\\ \n\u0000é-");
      try {
        for (const server of new Servers(text, false).round()) expect(server.host).not.toBe("");
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError);
        expect((error as Error).message).toMatch(/^servers: URL \d+ of \d+ /);
      }
    });
  });
});

describe("a round", () => {
  test("has every server once", () => {
    const servers = pool("a,b,c");
    servers.discovered(["d:1", "e:2"], find(servers, "a:4222"));
    for (let i = 0; i < 20; i++) expect(labels(servers)).toEqual(["a:4222", "b:4222", "c:4222", "d:1", "e:2"]);
  });

  test("comes in every order about equally often", () => {
    const servers = pool("a,b,c");
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = servers
        .round()
        .map((server) => server.host)
        .join("");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  test("has the server that ended last at its end, and the others still in any order", () => {
    const servers = pool("a,b,c");
    const last = find(servers, "b:4222");
    const orders = new Set<string>();
    for (let i = 0; i < 50; i++)
      orders.add(
        servers
          .round(last)
          .map((server) => server.host)
          .join(""),
      );
    expect([...orders].sort()).toEqual(["acb", "cab"]);
  });

  test("knows a discovered server that was dropped and came again", () => {
    const servers = pool("a,b");
    const a = find(servers, "a:4222");
    servers.discovered(["x:1", "y:1"], a);
    const last = find(servers, "x:1");
    servers.discovered(["y:1"], a);
    servers.discovered(["x:1", "y:1"], a);
    for (let i = 0; i < 20; i++) expect(servers.round(last).at(-1)?.label).toBe("x:1");
  });

  test("with one server is that server, also if it ended last", () => {
    const servers = pool("a");
    const [a] = servers.round();
    expect(servers.round(a)).toEqual([a]);
  });

  test("is the caller's own list", () => {
    const servers = pool("a,b");
    servers.round().length = 0;
    expect(labels(servers)).toEqual(["a:4222", "b:4222"]);
  });
});

describe("discovered servers", () => {
  test("are added when listed and dropped when listed no more; the configured ones stay", () => {
    const servers = pool("a,b");
    const a = find(servers, "a:4222");
    servers.discovered(["a:4222", "10.0.0.1:4222", "10.0.0.2:4222"], a);
    expect(labels(servers)).toEqual(["10.0.0.1:4222", "10.0.0.2:4222", "a:4222", "b:4222"]);
    expect(
      servers
        .round()
        .filter((server) => server.discovered)
        .map((server) => server.host)
        .sort(),
    ).toEqual(["10.0.0.1", "10.0.0.2"]);
    servers.discovered(["10.0.0.2:4222", "10.0.0.3:4222"], a);
    expect(labels(servers)).toEqual(["10.0.0.2:4222", "10.0.0.3:4222", "a:4222", "b:4222"]);
  });

  test("stay the same objects while they are listed", () => {
    const servers = pool("a");
    servers.discovered(["x:1"], find(servers, "a:4222"));
    const x = find(servers, "x:1");
    servers.discovered(["x:1", "y:1"], x);
    expect(find(servers, "x:1")).toBe(x);
  });

  test("are not dropped while connected to, as in a lame duck's list of the others", () => {
    const servers = pool("a");
    servers.discovered(["x:1", "y:1"], find(servers, "a:4222"));
    servers.discovered(["y:1"], find(servers, "x:1"));
    expect(labels(servers)).toEqual(["a:4222", "x:1", "y:1"]);
    servers.discovered(["y:1"], find(servers, "y:1"));
    expect(labels(servers)).toEqual(["a:4222", "y:1"]);
  });

  const useless: [unknown][] = [[undefined], [null], [[]], [{}], ["y:1"], [7], [[null, 4, {}, [], "", "y:x", "y/"]]];
  test.each(useless)("are left as they are by %o", (connectUrls) => {
    const servers = pool("a");
    const a = find(servers, "a:4222");
    servers.discovered(["x:1"], a);
    servers.discovered(connectUrls, a);
    expect(labels(servers)).toEqual(["a:4222", "x:1"]);
  });

  test("come also from lists with bad entries, and once each", () => {
    const servers = pool("a");
    const garbage = ["nats://x:1", "u:p@x:1", "x:1/", "x:0", "x:99999", "x y:1", "x\r\n:1", null, 1, ["x:1"], ":1"];
    servers.discovered([...garbage, "good:1", "GOOD:1", "[::1]:1", "[0:0::1]:1", ...garbage], find(servers, "a:4222"));
    expect(labels(servers)).toEqual(["[::1]:1", "a:4222", "good:1"]);
  });

  test("demand TLS if the server that told of them did", () => {
    const servers = pool("tls://a,nats://b");
    servers.discovered(["x:1"], find(servers, "a:4222"));
    expect(find(servers, "x:1").tls).toBe(true);
    servers.discovered(["y:1"], find(servers, "x:1"));
    expect(find(servers, "y:1").tls).toBe(true);
    servers.discovered(["z:1"], find(servers, "b:4222"));
    expect(find(servers, "z:1").tls).toBe(false);
  });

  test("with an IP address are verified against the configured name, others against their own", () => {
    const servers = pool("tls://nats.example,tls://10.0.0.9");
    servers.discovered(["10.0.0.1:1", "[::1]:1", "other.example.:1"], find(servers, "nats.example:4222"));
    expect(find(servers, "10.0.0.1:1").servername).toBe("nats.example");
    expect(find(servers, "[::1]:1").servername).toBe("nats.example");
    expect(find(servers, "other.example.:1").servername).toBe("other.example");
    servers.discovered(["10.0.0.2:1"], find(servers, "10.0.0.1:1"));
    expect(find(servers, "10.0.0.2:1").servername).toBe("nats.example");
    servers.discovered(["10.0.0.3:1"], find(servers, "10.0.0.9:4222"));
    expect(find(servers, "10.0.0.3:1").servername).toBe("10.0.0.3");
  });

  test("take the credentials in the URL of the server that told of them", () => {
    const servers = pool("nats://u:p@a,nats://b");
    servers.discovered(["x:1"], find(servers, "a:4222"));
    expect(find(servers, "x:1").credentials).toEqual({ user: "u", pass: "p" });
    servers.discovered(["y:1"], find(servers, "b:4222"));
    expect(find(servers, "y:1").credentials).toBeUndefined();
  });

  test("are at most 100, the one connected to among them", () => {
    const servers = pool("a");
    const flood = Array.from({ length: 10_000 }, (_, i) => `10.0.${i >> 8}.${i & 255}:4222`);
    servers.discovered(flood, find(servers, "a:4222"));
    expect(servers.round()).toHaveLength(101);
    const current = find(servers, "10.0.0.7:4222");
    servers.discovered(flood.slice(5000), current);
    expect(servers.round()).toHaveLength(101);
    expect(find(servers, "10.0.0.7:4222")).toBe(current);
  });

  test("are looked for in the first 1 000 entries only", () => {
    const servers = pool("a");
    servers.discovered([...new Array<string>(999).fill("no port:x"), "x:1", "y:1"], find(servers, "a:4222"));
    expect(labels(servers)).toEqual(["a:4222", "x:1"]);
  });

  test("never come from garbage, and garbage never throws or touches the configured", async () => {
    await forEachSeed(300, (random) => {
      const servers = pool("nats://a,[::1]:1", false, random.seed);
      const values: unknown[] = [null, undefined, 0, NaN, true, {}, [], "__proto__", "constructor:1", "x".repeat(5000)];
      for (let i = 0; i < 5; i++) {
        const list = Array.from({ length: random.int(0, 20) }, () =>
          random.bool(0.3) ? random.pick(values) : random.text(random.int(0, 12), "ab1.:[]/@%\r\n \u0000é"),
        );
        servers.discovered(random.bool(0.1) ? random.pick(values) : list, random.pick(servers.round()));
        const round = servers.round();
        expect(
          round
            .filter((server) => !server.discovered)
            .map((server) => server.label)
            .sort(),
        ).toEqual(["[::1]:1", "a:4222"]);
        expect(new Set(round.map((server) => server.label)).size).toBe(round.length);
        for (const { host, port, label } of round) {
          expect(host).toMatch(/^[^\s/@%[\]]+$/);
          expect(port).toBeGreaterThanOrEqual(1);
          expect(port).toBeLessThanOrEqual(65_535);
          expect(label).toBe(host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);
        }
      }
    });
  });
});

test("credentials show in no inspection, printing or JSON of the pool and its servers", () => {
  const servers = pool("nats://CANARYuser:CANARYpass@a,nats://CANARYtoken@b");
  servers.discovered(["x:1"], find(servers, "a:4222"));
  const round = servers.round();
  expect(round.filter((server) => JSON.stringify(server.credentials).includes("CANARY"))).toHaveLength(3);
  for (const value of [servers, round, ...round]) {
    expect(inspect(value, { depth: 10, showHidden: true })).not.toContain("CANARY");
    expect(JSON.stringify(value)).not.toContain("CANARY");
    expect(String(value)).not.toContain("CANARY");
    expect(JSON.stringify({ ...value })).not.toContain("CANARY");
  }
});
