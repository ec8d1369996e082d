import { readFileSync } from "node:fs";
import dns from "node:dns";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { connect } from "../../src/index.ts";
import type { ConnectOptions, StreamingError, TlsOptions } from "../../src/index.ts";
import { fresh, open, optionsFor, Statuses } from "../support/clients.ts";
import { freePorts } from "../support/ports.ts";
import { Proxy } from "../support/proxy.ts";
import { FakeServer } from "../support/raw.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

const path = (name: string): string => join(__dirname, `../fixtures/tls/${name}.pem`);
const pem = (name: string): string => readFileSync(path(name), "utf8");
const CA = pem("ca");

/** The `tls` section of a NATS server's configuration. */
function tlsConfig(certificate: string, more = ""): string {
  return `tls { cert_file: ${path(certificate)}, key_file: ${path(`${certificate}-key`)}, timeout: 5, ${more} }`;
}

async function failure(options: ConnectOptions): Promise<StreamingError> {
  const error: unknown = await connect(options).then(
    (client) => client.close(),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Error);
  return error as StreamingError;
}

/** Who is refused for TLS, whatever the mode, at once. */
async function refused(options: ConnectOptions): Promise<StreamingError> {
  await failure(options);
  const error = await failure({ ...options, waitOnFirstConnect: true, connectTimeout: 60_000 });
  expect(error).toMatchObject({ code: "AUTH_FAILED", cause: { code: "TLS" } });
  return error;
}

afterEach(() => {
  vi.restoreAllMocks();
});

describeWithServer("TLS after the greeting", () => {
  const server = forSuite(() => {
    const streaming = `streaming { id: test-cluster, tls { client_ca: ${path("ca")}, server_name: localhost } }`;
    return RealServer.start({ config: `${tlsConfig("server")}\n${streaming}`, args: ["-secure"] });
  });

  test("is spoken where tls, the URL or the server demands it", async () => {
    for (const servers of [server().url, `tls://127.0.0.1:${server().port}`, `tls://localhost:${server().port}`]) {
      const client = await open(server(), { servers, tls: { ca: CA } });
      await client.publish(fresh("channel"), "x".repeat(100_000));
    }
    // No certificate of the host's own list is for this server, whoever demands TLS.
    for (const servers of [server().url, `tls://127.0.0.1:${server().port}`]) {
      const error = await refused(optionsFor(server(), { servers }));
      expect(error.message).toContain("unknown authority");
    }
  });

  test("is resumed after an outage, and what is published meanwhile arrives", async () => {
    const proxy = await Proxy.start(server().port);
    try {
      const statuses = new Statuses();
      const servers = `tls://127.0.0.1:${proxy.port}`;
      const client = await open(proxy, { servers, tls: { ca: CA }, onStatus: statuses.onStatus });
      proxy.cut();
      await statuses.until("disconnected");
      await client.publish(fresh("channel"), "x");
      expect((await statuses.until("registered", 2))[1]).toMatchObject({ resumed: true });
    } finally {
      await proxy.stop();
    }
  });

  test("with another authority, or for another host, does not come about", async () => {
    const other = await refused(optionsFor(server(), { tls: { ca: pem("other-ca") } }));
    expect(other.message).toContain("unknown authority, see tls.ca");
    const host = await refused(optionsFor(server(), { tls: { ca: CA, servername: "other.example" } }));
    expect(host.message).toContain("the server's certificate is for another host");
  });

  test("first does not come about with a server that greets first", async () => {
    const error = await refused(optionsFor(server(), { tls: { ca: CA, handshakeFirst: true } }));
    expect(error.message).toContain("not TLS");
  });

  test.each([
    ["cert without key", { cert: pem("client") }, "tls.cert and tls.key need each other"],
    ["an authority that is none", { ca: "hunter2" }, "tls.ca is not a PEM text"],
    ["a certificate that is none", { cert: "hunter2", key: pem("client-key") }, "tls.cert is not a PEM text"],
    ["a key that is none", { cert: pem("client"), key: "hunter2" }, "tls.key is not a PEM text"],
    [
      "a wrong passphrase",
      { cert: pem("client"), key: pem("client-key-encrypted"), passphrase: "hunter2" },
      "tls.key is not a PEM text, or tls.passphrase",
    ],
    [
      "a key of another certificate",
      { cert: pem("client"), key: pem("server-key") },
      "tls.cert and tls.key do not belong together",
    ],
  ])("with %s is refused, with the option named and nothing of it shown", async (_, tls, expected) => {
    const error = await refused(optionsFor(server(), { tls }));
    expect(error.message).toContain(expected);
    expect(error.message).not.toContain("hunter2");
  });
});

describeWithServer(
  "TLS with certificates that do not do",
  () => {
    test("an expired one, and one for another host; the right name can be given", async () => {
      for (const [certificate, expected] of [
        ["expired", "the server's certificate has expired"],
        ["elsewhere", "the server's certificate is for another host"],
      ] as const) {
        const server = await NatsServer.start({ config: tlsConfig(certificate) });
        try {
          const servers = `tls://localhost:${server.port}`;
          const error = await refused(optionsFor(server, { servers, tls: { ca: CA } }));
          expect(error.message).toContain(expected);
        } finally {
          await server.stop();
        }
      }
      const server = await NatsServer.start({ config: tlsConfig("elsewhere") });
      try {
        const tls = { ca: CA, servername: "elsewhere.example" };
        // There is no streaming server behind it: that far, and no further, it comes.
        expect(await failure(optionsFor(server, { tls }))).toMatchObject({ code: "NO_SERVER" });
      } finally {
        await server.stop();
      }
    });
  },
  ["nats"],
);

describeWithServer("mutual TLS", () => {
  const server = forSuite(() => {
    const own = `client_cert: ${path("client")}, client_key: ${path("client-key")}, client_ca: ${path("ca")}`;
    const config = `${tlsConfig("server", `ca_file: ${path("ca")}, verify: true`)}
      streaming { id: test-cluster, tls { ${own}, server_name: localhost } }`;
    return RealServer.start({ config });
  });

  test("lets in who has a certificate, with an encrypted key too", async () => {
    await open(server(), { tls: { ca: CA, cert: pem("client"), key: pem("client-key") } });
    const encrypted = { key: pem("client-key-encrypted"), passphrase: "a-passphrase" };
    const client = await open(server(), { tls: { ca: CA, cert: pem("client"), ...encrypted } });
    await client.publish(fresh("channel"), "x");
  });

  test("takes another certificate at the next dial, where tls is a function", async () => {
    const proxy = await Proxy.start(server().port);
    try {
      let name = "server";
      let asked = 0;
      const tls = async (): Promise<TlsOptions> => {
        asked++;
        await Promise.resolve();
        return { ca: CA, cert: pem(name), key: pem(`${name}-key`) };
      };
      const statuses = new Statuses();
      const clientId = fresh("client");
      const client = await open(proxy, { clientId, tls, onStatus: statuses.onStatus });
      const subject = async (): Promise<string | undefined> => {
        type Connection = { name?: string; tls_peer_certs?: { subject: string }[] };
        const page = await server().monitor<{ connections: Connection[] }>("connz?auth=1");
        return page!.connections.find(({ name }) => name === clientId)?.tls_peer_certs?.[0]?.subject;
      };
      expect(await subject()).toBe("CN=localhost");
      // What was given is refused, until it is replaced; the client goes on asking.
      name = "expired";
      proxy.cut();
      await until("it was asked again, and refused", () => {
        return statuses.of("error").some(({ error }) => error.code === "AUTH_FAILED") && asked > 2;
      });
      name = "client";
      await statuses.until("registered", 2);
      expect(await subject()).toBe("CN=Test client");
      await client.publish(fresh("channel"), "x");
    } finally {
      await proxy.stop();
    }
  });

  test.each<[string, () => TlsOptions | Promise<TlsOptions>]>([
    ["throws", () => { throw new Error("no certificate yet"); }],
    ["rejects", () => Promise.reject(new Error("no certificate yet"))],
    ["gives what is none", () => ({ cart: "x" }) as TlsOptions],
  ])("is refused before anything is sent, where the function %s", async (_, tls) => {
    const error = await failure(optionsFor(server(), { tls }));
    expect(error).toMatchObject({ code: "AUTH_FAILED", cause: { code: "TLS" } });
    expect(error.message).toContain("tls: the function that gives the options failed");
  });

  test("tells who has none that one is demanded", async () => {
    const error = await refused(optionsFor(server(), { tls: { ca: CA } }));
    expect(error.message).toContain("the server demands a client certificate");
  });
});

describeWithServer(
  "TLS before the greeting, in a cluster",
  () => {
    const CERTIFICATE = "elsewhere";

    test("is inherited by servers that were told of, with the host name, and never given up", async () => {
      const [a, b, c] = await freePorts(3);
      const routes = [a, b, c].map((port) => `nats://127.0.0.1:${port}`).join(",");
      const start = (port: number | undefined, tls: string): Promise<NatsServer> =>
        NatsServer.start({ config: `${tls}\ncluster { name: c, listen: "127.0.0.1:${port}", routes: [${routes}] }` });
      const first = tlsConfig(CERTIFICATE, "handshake_first: true");
      const [one, two, plain] = await Promise.all([start(a, first), start(b, first), start(c, "")]);
      const streaming = await RealServer.start({ natsUrl: plain!.url });
      try {
        const urls = async (server: NatsServer): Promise<number> =>
          ((await server.monitor<{ connect_urls?: string[] }>("varz"))?.connect_urls ?? []).length;
        await until("all know each other", async () => {
          const counts = await Promise.all([one!, two!, plain!].map(urls));
          return counts.every((count) => count === 3);
        });
        vi.spyOn(dns, "lookup").mockImplementation((_host, _options, found) => {
          setImmediate(() => found(null, [{ address: "127.0.0.1", family: 4 }]));
        });
        const statuses = new Statuses();
        const client = await open(streaming, {
          servers: `tls://elsewhere.example:${one!.port}`,
          tls: { ca: CA, handshakeFirst: true },
          onStatus: statuses.onStatus,
          clientId: "the-client",
          // The subscriptions of the streaming server may still be on their way through the cluster.
          waitOnFirstConnect: true,
          auth: { user: "nobody-in", pass: "particular" },
          connectTimeout: 1_000,
        });
        await client.publish(fresh("channel"), "one");
        await one!.down();
        await statuses.until("registered", 2);
        await client.publish(fresh("channel"), "two");
        const names = async (server: NatsServer): Promise<(string | undefined)[]> => {
          const page = await server.monitor<{ connections: { name?: string }[] }>("connz?state=all");
          return page!.connections.map(({ name }) => name);
        };
        expect(await names(two!)).toContain("the-client");
        expect(await names(plain!)).not.toContain("the-client");
      } finally {
        await Promise.all([streaming, one!, two!, plain!].map((server) => server.stop("SIGKILL")));
      }
    });
  },
  ["streaming", "nats"],
);

describe("TLS that somebody tries to talk us out of", () => {
  let fake: FakeServer | undefined;
  afterEach(async () => {
    await fake?.stop();
    fake = undefined;
  });

  test("is refused at once, and the peer gets nothing to see", async () => {
    fake = await FakeServer.start({ greet: { connect_urls: ["127.0.0.1:1"], auth_required: true } });
    const servers = `tls://canary:canary@127.0.0.1:${fake.port}`;
    const error = await refused(optionsFor(fake, { servers }));
    expect(error.message).toBe(`connect: 127.0.0.1:${fake.port}: TLS is demanded and the server does not offer it`);
    await refused(optionsFor(fake, { tls: {}, auth: { token: "canary" } }));
    for (const link of fake.links) expect(link.received()).toHaveLength(0);
  });
});
