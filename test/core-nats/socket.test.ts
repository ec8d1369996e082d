import { spawn, spawnSync } from "node:child_process";
import dns from "node:dns";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net, { createServer } from "node:net";
import type { Socket as Stream } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TLSSocket } from "node:tls";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { deferred } from "../../src/core-nats/async.ts";
import { NatsError } from "../../src/core-nats/errors.ts";
import { Socket } from "../../src/core-nats/socket.ts";
import type { SocketEvents, TlsOptions } from "../../src/core-nats/socket.ts";
import { bytesOf, latin1 } from "../support/bytes.ts";
import { sendsAtOnce } from "../support/nodelay.ts";
import {
  accepted,
  CA,
  CLIENT,
  dial,
  dialled,
  echo,
  expectSendsAtOnce,
  failure,
  identity,
  ignore,
  listening,
  Owner,
  pem,
  resolveTo,
  serve,
  SERVER,
  serveTls,
  serveUpgrade,
  unusedPort,
  servers,
} from "../support/sockets.ts";
import type { Dialling } from "../support/sockets.ts";
import { until } from "../support/until.ts";

describe("a plain socket", () => {
  test("carries bytes both ways", async () => {
    const port = await serve(echo);
    const owner = new Owner();
    const socket = await dial(port, owner);
    const written = deferred();
    socket.write(bytesOf("there and back"), written.resolve);
    await written.promise;
    await until("the echo is here", () => owner.received === "there and back");
    expect(socket.encrypted).toBe(false);
    socket.destroy();
    expect(await owner.end()).toBeUndefined();
  });

  test("sends small writes at once, by the kernel's word", async ({ skip }) => {
    const port = await serve(ignore);
    // What the kernel says of a socket that nobody has set: the question has two answers.
    const plain = await new Promise<Stream>((resolve) => {
      const stream = net.connect({ host: "127.0.0.1", port }).once("connect", () => resolve(stream));
    });
    const held = sendsAtOnce(plain);
    plain.destroy();
    if (held !== undefined) expect(held).toBe(false);
    await expectSendsAtOnce(skip, () => dial(port, new Owner()));
  });

  test("says which address refused and why", async () => {
    const port = await unusedPort();
    const error = await failure(dial(port, new Owner()));
    expect(error.code).toBe("CONNECT");
    expect(error.reason).toBe(`cannot connect to 127.0.0.1:${port} (ECONNREFUSED)`);
  });

  test("says that a name is unknown", async () => {
    vi.spyOn(dns, "lookup").mockImplementation((host, _options, found) => {
      setImmediate(() => found(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: "ENOTFOUND" }), []));
    });
    const error = await failure(dial(4222, new Owner(), { host: "nowhere.example" }));
    expect(error.code).toBe("CONNECT");
    expect(error.reason).toBe("cannot connect to nowhere.example:4222 (ENOTFOUND)");
  });

  test("finds the one address of a name that listens", async () => {
    const port = await serve(echo);
    resolveTo({ address: "::1", family: 6 }, { address: "127.0.0.1", family: 4 });
    const owner = new Owner();
    const socket = await dial(port, owner, { host: "several.example" });
    socket.write(bytesOf("hi"), () => {});
    await until("the echo is here", () => owner.received === "hi");
    socket.destroy();
    await owner.end();
  });

  test("lists every address of a name that nothing listens on", async () => {
    const port = await unusedPort();
    resolveTo({ address: "::1", family: 6 }, { address: "127.0.0.1", family: 4 });
    const owner = new Owner();
    const error = await failure(dial(port, owner, { host: "several.example" }));
    expect(error.code).toBe("CONNECT");
    expect(error.reason).toMatch(
      /^cannot connect to several\.example:\d+ \(connect E\w+ ::1:\d+.*, connect E\w+ 127\..*\)$/,
    );
    expect(owner.ends).toEqual([]);
  });

  test("is given up when the signal aborts, whatever it is waiting for", async () => {
    const reason = new Error("enough");
    const early = new AbortController();
    early.abort(reason);
    await expect(dial(4222, new Owner(), { signal: early.signal })).rejects.toBe(reason);

    const lookup = vi.spyOn(dns, "lookup").mockImplementation(() => {});
    const resolving = new AbortController();
    const dialling = dial(4222, new Owner(), { host: "slow.example", signal: resolving.signal });
    await until("the name is asked for", () => lookup.mock.calls.length === 1);
    resolving.abort(reason);
    await expect(dialling).rejects.toBe(reason);
    lookup.mockRestore();

    const gone = deferred();
    const shaking = new AbortController();
    const port = await serve((stream) => {
      stream.on("close", gone.resolve);
      stream.on("data", () => shaking.abort(reason));
    });
    const owner = new Owner();
    await expect(dial(port, owner, { tls: { handshakeFirst: true }, signal: shaking.signal })).rejects.toBe(reason);
    await gone.promise;
    expect(owner.ends).toEqual([]);
  });

  test("does not mind a signal that aborts once it is open", async () => {
    const port = await serve(echo);
    const controller = new AbortController();
    const owner = new Owner();
    const socket = await dial(port, owner, { signal: controller.signal });
    controller.abort();
    socket.write(bytesOf("still here"), () => {});
    await until("the echo is here", () => owner.received === "still here");
    socket.destroy();
    await owner.end();
  });

  test("tells what is written only once the host has taken it", async () => {
    let peer: Stream | undefined;
    const port = await serve((stream) => {
      peer = stream;
      stream.pause();
    });
    const owner = new Owner();
    const socket = await dial(port, owner);
    const writes = 64;
    let written = 0;
    for (let i = 0; i < writes; i++) socket.write(new Uint8Array(1024 * 1024), () => written++);
    await until("the peer's and the host's buffers are being filled", () => written > 0 && peer !== undefined);
    expect(written).toBeLessThan(writes);
    peer!.on("data", () => {});
    peer!.resume();
    await until("all is written", () => written === writes);
    socket.destroy();
    await owner.end();
  });

  test("calls nothing but closed after destroy, and takes nothing more", async () => {
    const port = await serve((stream) => stream.pause());
    const owner = new Owner();
    const socket = await dial(port, owner);
    let written = 0;
    socket.write(new Uint8Array(64 * 1024 * 1024), () => written++);
    socket.destroy();
    socket.write(bytesOf("too late"), () => written++);
    socket.end();
    socket.destroy();
    expect(await owner.end()).toBeUndefined();
    expect(written).toBe(0);
  });
});

describe("the end of a socket", () => {
  test("by end: all that was written arrives before it", async () => {
    let arrived = 0;
    const port = await serve((stream) => stream.on("data", (bytes) => (arrived += bytes.length)));
    const owner = new Owner();
    const socket = await dial(port, owner);
    socket.write(new Uint8Array(8 * 1024 * 1024), () => {});
    socket.end();
    socket.end();
    expect(await owner.end()).toBeUndefined();
    await until("all of it arrived", () => arrived === 8 * 1024 * 1024);
  });

  test("by end: a peer that keeps its side open is cut off", async () => {
    const port = await serve(ignore, { allowHalfOpen: true });
    const owner = new Owner();
    const socket = await dial(port, owner);
    socket.end();
    expect(await owner.end()).toBeUndefined();
  });

  test("by end: what the peer says after that is not told", async () => {
    const port = await serve(
      (stream) => {
        ignore(stream);
        stream.on("end", () => {
          stream.write("too late");
          stream.end();
        });
      },
      { allowHalfOpen: true },
    );
    const owner = new Owner();
    const socket = await dial(port, owner);
    socket.end();
    expect(await owner.end()).toBeUndefined();
    expect(owner.received).toBe("");
  });

  test("by the peer: what it said before is heard, and the reason says who ended it", async () => {
    const port = await serve((stream) => {
      stream.write("bye");
      stream.end();
    });
    const owner = new Owner();
    await dial(port, owner);
    const error = await owner.end();
    expect(owner.received).toBe("bye");
    expect(error?.code).toBe("CONNECTION_LOST");
    expect(error?.reason).toBe(`127.0.0.1:${port} ended the connection`);
  });

  test("by a reset: the reason is the system's", async () => {
    const port = await serve((stream) => stream.on("data", () => stream.resetAndDestroy()));
    const owner = new Owner();
    const socket = await dial(port, owner);
    socket.write(bytesOf("x"), () => {});
    const error = await owner.end();
    expect(error?.code).toBe("CONNECTION_LOST");
    expect(error?.reason).toMatch(/^the link to 127\.0\.0\.1:\d+ broke \(ECONNRESET\)$/);
  });

  test("from within data: the rest of the data is not told", async () => {
    const port = await serve((stream) => stream.write("x".repeat(1024 * 1024)));
    let heard = 0;
    const owner = new Owner(() => {
      heard++;
      socket.destroy();
    });
    const socket = await dial(port, owner);
    expect(await owner.end()).toBeUndefined();
    expect(heard).toBe(1);
  });
});

/** The two ways to TLS, which must do the same. */
const ways: { way: string; handshakeFirst: boolean; serve: typeof serveTls }[] = [
  { way: "first", handshakeFirst: true, serve: serveTls },
  { way: "after a greeting", handshakeFirst: false, serve: serveUpgrade },
];

describe("the memory that is read into", () => {
  /** What is dialled with, in a library that has dialled nothing yet. */
  async function fresh(): Promise<{ socket: typeof Socket; reused: boolean[] }> {
    vi.resetModules();
    const { Socket: socket } = await import("../../src/core-nats/socket.ts");
    const reused: boolean[] = [];
    vi.spyOn(net, "connect").mockImplementation((options) => {
      reused.push(options.onread !== undefined);
      return dialled(options);
    });
    return { socket, reused };
  }

  const never = new AbortController().signal;
  const address = (port: number) => ({ host: "127.0.0.1", port, servername: "127.0.0.1" });

  test("is one piece for all reads, but where TLS may begin", async () => {
    const { socket, reused } = await fresh();
    const port = await serve(echo);
    for (const tls of [undefined, {}, { ca: CA }, undefined])
      (await socket.dial(address(port), tls, new Owner(), never)).destroy();
    expect(reused).toEqual([true, false, false, true]);
  });

  /** A host that takes the memory away that it has read into. Returns what it took: Node may still write there. */
  function takeAway(reused: boolean[]): ArrayBufferLike[] {
    const taken: ArrayBufferLike[] = [];
    vi.mocked(net.connect).mockImplementation(({ onread, ...options }) => {
      reused.push(onread !== undefined);
      if (onread === undefined) return dialled(options);
      const { buffer } = onread;
      const callback = (length: number): boolean => {
        taken.push(structuredClone(buffer.buffer, { transfer: [buffer.buffer] }));
        return onread.callback(length);
      };
      return dialled({ ...options, onread: { buffer, callback } });
    });
    return taken;
  }

  test("is not given again to a host that takes it away: the peer is dialled once more", async () => {
    const { socket, reused } = await fresh();
    const taken = takeAway(reused);
    const port = await serve((stream) => {
      stream.write("HELLO\r\n");
      echo(stream);
    });
    for (const _ of [1, 2]) {
      const owner: Owner = new Owner((text) => {
        if (text === "HELLO\r\n") one.write(bytesOf("and more"), () => {});
      });
      const one = await socket.dial(address(port), undefined, owner, never);
      await until("all has come back", () => owner.received === "HELLO\r\nand more");
      one.end();
      expect(await owner.end()).toBeUndefined();
    }
    expect(reused).toEqual([true, false, false]);
    expect(taken).toHaveLength(1);
    expect(accepted[0]!.destroyed).toBe(true);
  });

  test("may be taken away from several that are dialled at once, and from one that has ended", async () => {
    const { socket, reused } = await fresh();
    takeAway(reused);
    const port = await serve((stream) => stream.write("HELLO\r\n"));
    const owners = [new Owner(), new Owner()];
    const sockets = await Promise.all(owners.map((owner) => socket.dial(address(port), undefined, owner, never)));
    for (const owner of owners) await until("it was greeted", () => owner.received === "HELLO\r\n");
    expect(reused).toEqual([true, true, false, false]);
    for (const one of sockets) one.destroy();
    for (const owner of owners) expect(await owner.end()).toBeUndefined();

    const { socket: another, reused: again } = await fresh();
    takeAway(again);
    const owner = new Owner();
    const ended = await another.dial(address(port), undefined, owner, never);
    ended.end();
    expect(await owner.end()).toBeUndefined();
    expect(owner.received).toBe("");
    expect(again).toEqual([true]);
  });

  test("is asked for anew from a peer that is gone by then: the connection is lost", async () => {
    const { socket, reused } = await fresh();
    takeAway(reused);
    const server = createServer({});
    server.on("connection", (stream) => {
      server.close();
      stream.write("HELLO\r\n");
    });
    const owner = new Owner();
    await socket.dial(address(await listening(server)), undefined, owner, never);
    expect(await owner.end()).toMatchObject({ code: "CONNECTION_LOST" });
    expect(owner.received).toBe("");
    servers.splice(servers.indexOf(server), 1);
  });
});

describe.each(ways)("TLS $way", ({ handshakeFirst, serve: serveWay }) => {
  /** Dials, and upgrades if that is the way. The socket is encrypted; `owner` heard no greeting. */
  async function secure(port: number, owner: Owner, tls: TlsOptions, options: Dialling = {}): Promise<Socket> {
    if (handshakeFirst) return dial(port, owner, { ...options, tls: { ...tls, handshakeFirst } });
    const upgraded = deferred<Socket>();
    let greeted = false;
    const greeting: SocketEvents = {
      data(bytes) {
        if (greeted) return owner.data(bytes);
        greeted = true;
        expect(latin1(bytes)).toBe("HELLO\r\n");
        socket.upgrade(false).then(() => upgraded.resolve(socket), upgraded.reject);
      },
      closed: (error) => owner.closed(error),
    };
    const { host = "127.0.0.1", servername = host } = options;
    const socket = await Socket.dial({ host, port, servername }, tls, greeting, new AbortController().signal);
    return upgraded.promise;
  }

  test.each(["localhost", "127.0.0.1"])("carries bytes both ways, verified for %s", async (host) => {
    const port = await serveWay(SERVER, echo);
    const owner = new Owner();
    const socket = await secure(port, owner, { ca: CA }, { host });
    expect(socket.encrypted).toBe(true);
    socket.write(bytesOf("there and back"), () => {});
    await until("the echo is here", () => owner.received === "there and back");
    socket.end();
    expect(await owner.end()).toBeUndefined();
  });

  test("sends small writes at once, by the kernel's word", async ({ skip }) => {
    const port = await serveWay(SERVER, ignore);
    await expectSendsAtOnce(skip, () => secure(port, new Owner(), { ca: CA }));
  });

  test("tells data that comes with the handshake only when the owner has the socket", async () => {
    // In version 1.2 of TLS the last word of the handshake is the server's.
    const port = await serveWay({ ...SERVER, maxVersion: "TLSv1.2" }, (stream) => stream.write("at once"));
    let socket: Socket | undefined;
    let seen: Socket | undefined;
    const owner = new Owner(() => (seen = socket));
    socket = await secure(port, owner, { ca: CA });
    await until("the data is here", () => owner.received === "at once");
    expect(seen).toBe(socket);
    socket.destroy();
    expect(await owner.end()).toBeUndefined();
  });

  test("sends the client's certificate, with an encrypted key too", async () => {
    const port = await serveWay({ ...SERVER, ca: CA, requestCert: true }, echo);
    const encrypted = { cert: CLIENT.cert, key: pem("client-key-encrypted"), passphrase: "a-passphrase" };
    for (const own of [CLIENT, encrypted, { cert: bytesOf(CLIENT.cert), key: bytesOf(CLIENT.key) }]) {
      const owner = new Owner();
      const socket = await secure(port, owner, { ca: [pem("other-ca"), bytesOf(CA)], ...own });
      socket.write(bytesOf("hi"), () => {});
      await until("the echo is here", () => owner.received === "hi");
      socket.destroy();
      await owner.end();
    }
  });

  test("says that the server demands a client certificate", async () => {
    const port = await serveWay({ ...SERVER, ca: CA, requestCert: true }, echo);
    const owner = new Owner();
    const socket = await secure(port, owner, { ca: CA });
    socket.write(bytesOf("CONNECT"), () => {});
    const error = await owner.end();
    expect(error?.code).toBe("TLS");
    expect(error?.reason).toContain("the server demands a client certificate, see tls.cert and tls.key");
    expect(owner.received).toBe("");
  });

  const [mine, others] = [{ ca: CA }, { ca: pem("other-ca") }];
  test.each<{ problem: string; server: string; tls: TlsOptions; servername: string }>([
    { problem: "is for another host", server: "elsewhere", tls: mine, servername: "localhost" },
    { problem: "is for another host", server: "elsewhere", tls: mine, servername: "127.0.0.1" },
    { problem: "is for another host", server: "server", tls: { ...mine, servername: "a.b" }, servername: "localhost" },
    { problem: "has expired", server: "expired", tls: mine, servername: "localhost" },
    { problem: "is signed by an unknown authority", server: "server", tls: others, servername: "localhost" },
    { problem: "is signed by an unknown authority", server: "server", tls: {}, servername: "localhost" },
  ])("refuses the certificate of $server that $problem ($servername)", async ({ problem, server, tls, servername }) => {
    let heard = "";
    const port = await serveWay(identity(server), (stream) => stream.on("data", (bytes) => (heard += latin1(bytes))));
    const error = await failure(secure(port, new Owner(), tls, { servername }));
    expect(error.code).toBe("TLS");
    expect(error.reason).toMatch(/^TLS with 127\.0\.0\.1:\d+ failed: the server's certificate /);
    expect(error.reason).toContain(problem);
    expect(heard).toBe("");
  });

  test("verifies the certificate for the name in the options, before that of the address", async () => {
    const port = await serveWay(identity("elsewhere"), ignore);
    const owner = new Owner();
    const socket = await secure(port, owner, { ca: CA, servername: "elsewhere.example" }, { servername: "localhost" });
    expect(socket.encrypted).toBe(true);
    socket.destroy();
    await owner.end();
  });
});

describe("TLS", () => {
  test("first, with a server that greets in clear: says that this is not TLS", async () => {
    const port = await serve((stream) => stream.write("HELLO\r\n"));
    const owner = new Owner();
    const error = await failure(dial(port, owner, { tls: { handshakeFirst: true } }));
    expect(error.code).toBe("TLS");
    expect(error.reason).toContain("the server answered with something that is not TLS");
    expect(owner.received).toBe("");
  });

  test("first, with a server that hangs up: may pass, so it counts as not connected", async () => {
    const port = await serve((stream) => stream.end());
    const error = await failure(dial(port, new Owner(), { tls: { handshakeFirst: true } }));
    expect(error.code).toBe("CONNECT");
  });

  /** The owner gets a greeting and upgrades; `between` runs in the same turn, before the upgrade. */
  async function greetedThen(residue: boolean, between: () => void, port: number): Promise<Owner> {
    const failed = deferred<NatsError>();
    const owner = new Owner(() => {
      between();
      failure(socket.upgrade(residue)).then(failed.resolve, failed.reject);
    });
    const socket = await dial(port, owner, { tls: { ca: CA } });
    const error = await failed.promise;
    expect(error.code).toBe("TLS");
    expect(await owner.end()).toBe(error);
    expect(socket.encrypted).toBe(false);
    return owner;
  }

  test("does not begin when more came in clear with the greeting", async () => {
    let heard = "";
    const gone = deferred();
    const port = await serve((stream) => {
      stream.on("data", (bytes) => (heard += latin1(bytes)));
      stream.on("close", gone.resolve);
      stream.write("HELLO\r\nPING\r\n");
    });
    await greetedThen(true, () => {}, port);
    await gone.promise;
    expect(heard).toBe("");
  });

  test("takes what comes in clear before the handshake for the handshake, and never for data", async () => {
    for (const injected of ["PING\r\n", "INFO {}\r\nMSG a 1 2\r\nhi\r\n", "-ERR 'no'\r\n", "MSG a 1 9999\r\n"]) {
      let peer!: Stream;
      const port = await serve((stream) => {
        peer = stream;
        stream.write("HELLO\r\n");
      });
      const owner = await greetedThen(false, () => peer.write(injected), port);
      expect(owner.received).toBe("HELLO\r\n");
    }
  });

  test("takes an answer in clear to the handshake for a failure, and never for data", async () => {
    const port = await serve((stream) => {
      stream.on("data", () => stream.write("PING\r\nINFO {}\r\n"));
      stream.write("HELLO\r\n");
    });
    const owner = await greetedThen(false, () => {}, port);
    expect(owner.received).toBe("HELLO\r\n");
  });

  test("sends what is written during the upgrade encrypted", async () => {
    let clear = "";
    let decrypted = "";
    const port = await serve((plain) => {
      plain.write("HELLO\r\n");
      plain.on("data", (bytes) => (clear += latin1(bytes)));
      const stream = new TLSSocket(plain, { ...SERVER, isServer: true, rejectUnauthorized: true });
      stream.on("error", () => {});
      stream.on("data", (bytes) => (decrypted += latin1(bytes)));
    });
    const owner = new Owner(() => {
      void socket.upgrade(false);
      socket.write(bytesOf("CONNECT secret"), () => {});
    });
    const socket = await dial(port, owner, { tls: { ca: CA } });
    await until("it is decrypted", () => decrypted === "CONNECT secret");
    expect(clear).not.toContain("secret");
    socket.destroy();
    await owner.end();
  });

  test("that is being waited for ends with the socket", async () => {
    const port = await serve((stream) => {
      stream.on("data", () => {});
      stream.write("HELLO\r\n");
    });
    const failed = deferred<NatsError>();
    const owner = new Owner(() => {
      failure(socket.upgrade(false)).then(failed.resolve, failed.reject);
      setImmediate(() => socket.destroy());
    });
    const socket = await dial(port, owner);
    expect((await failed.promise).code).toBe("CLOSED");
    expect(await owner.end()).toBeUndefined();
  });

  const canary = "CANARY-0123456789";
  const locked = { cert: CLIENT.cert, key: pem("client-key-encrypted") };
  test.each<{ problem: string; tls: TlsOptions }>([
    { problem: "tls.ca is not a PEM text", tls: { ca: canary } },
    { problem: "tls.ca is not a PEM text", tls: { ca: [CA, bytesOf(canary)] } },
    { problem: "tls.cert is not a PEM text", tls: { cert: canary, key: CLIENT.key } },
    { problem: "tls.key is not a PEM text", tls: { cert: CLIENT.cert, key: canary } },
    { problem: "tls.key is not a PEM text", tls: { cert: CLIENT.cert, key: CLIENT.key.replace("M", "*") } },
    { problem: "or tls.passphrase not its", tls: { ...locked, passphrase: canary } },
    { problem: "or tls.passphrase not its", tls: locked },
    { problem: "tls.cert and tls.key do not belong together", tls: { cert: CLIENT.cert, key: SERVER.key } },
    { problem: "tls.cert and tls.key need each other", tls: { cert: CLIENT.cert } },
    { problem: "tls.cert and tls.key need each other", tls: { key: canary } },
  ])("names the option, before it dials: $problem", async ({ problem, tls }) => {
    const lookup = vi.spyOn(dns, "lookup");
    const error = await failure(dial(4222, new Owner(), { host: "localhost", tls }));
    expect(error.code).toBe("TLS");
    expect(error.reason).toContain(problem);
    const shown = inspect(error, { depth: 10, showHidden: true });
    expect(shown).not.toContain(canary);
    for (const line of CLIENT.key.split("\n").slice(1, 3)) expect(shown).not.toContain(line);
    expect(lookup).not.toHaveBeenCalled();
  });

  test("shows no key to whoever inspects the socket", async () => {
    const port = await serve(ignore);
    const owner = new Owner();
    const socket = await dial(port, owner, { tls: CLIENT });
    expect(inspect(socket, { depth: 10, showHidden: true })).not.toContain("PRIVATE KEY");
    socket.destroy();
    await owner.end();
  });
});

describe("in a process of its own", () => {
  const folder = mkdtempSync(join(tmpdir(), "socket-test-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  beforeAll(() => {
    // Node 20 runs no TypeScript, and a build of everything would depend on everything.
    const source = join(__dirname, "../../src");
    const config = {
      extends: join(source, "tsconfig.json"),
      compilerOptions: { rootDir: source, outDir: folder },
      files: ["core-nats/socket.ts", "runtime.d.ts"].map((name) => join(source, name)),
      include: [],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "commonjs" }));
    const compiler = join(__dirname, "../../node_modules/typescript/bin/tsc");
    const { stdout } = spawnSync(process.execPath, [compiler, "-p", folder], { encoding: "utf8" });
    expect(stdout).toBe("");
  });

  /** Sends a byte, ends the socket at the answer, and reports what is loaded and open then. */
  async function run(port: number, tls: TlsOptions | undefined, env: Record<string, string>): Promise<unknown> {
    writeFileSync(
      join(folder, "main.js"),
      `const { Socket } = require("./core-nats/socket.js");
       let socket;
       const events = { data: () => socket.end(), closed: (error) => setImmediate(report, error) };
       const address = { host: "127.0.0.1", port: ${port}, servername: "localhost" };
       Socket.dial(address, ${JSON.stringify(tls)}, events, new AbortController().signal).then((opened) => {
         socket = opened;
         socket.write(new Uint8Array(1), () => {});
       }, report);
       function report(error) {
         const open = process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Timeout/.test(name));
         const loaded = process.moduleLoadList.includes("NativeModule _tls_wrap");
         process.stdout.write(JSON.stringify({ error: error?.code, open, loaded }));
       }`,
    );
    const child = spawn(process.execPath, [join(folder, "main.js")], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout!.setEncoding("utf8").on("data", (text) => (output += text));
    // It ends by itself, or the test never does.
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(0);
    return JSON.parse(output);
  }

  test("a plain socket loads no TLS and leaves nothing open", async () => {
    expect(await run(await serve(echo), undefined, {})).toEqual({ open: [], loaded: false });
  });

  test("a TLS socket loads TLS and leaves nothing open", async () => {
    const port = await serveTls(SERVER, echo);
    expect(await run(port, { ca: CA, handshakeFirst: true }, {})).toEqual({ open: [], loaded: true });
  });

  test("NODE_TLS_REJECT_UNAUTHORIZED=0 changes nothing", async () => {
    const port = await serveTls(SERVER, echo);
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0", NODE_NO_WARNINGS: "1" };
    const tls = { ca: pem("other-ca"), handshakeFirst: true };
    expect(await run(port, tls, env)).toEqual({ error: "TLS", open: [], loaded: true });
  });
});
