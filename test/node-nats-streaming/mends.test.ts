import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import * as facade from "../../src/node-nats-streaming/index.ts";
import { makePlace } from "../support/documents.ts";
import { installPackage } from "../support/packages.ts";
import { start } from "../support/program.ts";
import { signature, user, userSeed } from "../support/nkeys.ts";
import { Proxy } from "../support/proxy.ts";
import { RawClient } from "../support/raw.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";
import { REFERENCE, type Run, type StanMessage, suite, thrown } from "./transcript.ts";

const later = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
const long = { timeout: 60_000 };
/** Waits until the server has a subscription to a channel. */
const subscribed = (server: RealServer, channel: string): Promise<unknown> =>
  until(`${channel} has a subscription`, async () => {
    const page = await server.monitor<{ subs_count: number }>(`streaming/channelsz?channel=${channel}`);
    return page !== undefined && page.subs_count > 0;
  });
const notDials = (run: Run): void => {
  const lines = run.lines.filter((line) => line !== "stan reconnecting");
  run.lines.splice(0, run.lines.length, ...lines);
};

describeWithServer("mended beside 0.3.2", () => {
  const server = serverForSuite({ args: ["-mc", "1000"] });
  const { alone, differs } = suite(server);

  differs(
    "a session that a restart forgets is lost for ever: it is repaired",
    async (run) => {
      const own = run.stopping(await RealServer.start());
      const stan = await run.open({ url: own.url, stanPingInterval: 1_000, reconnectTimeWait: 50 });
      run.follow(stan.subscribe(run.channel()));
      await run.seen("sub ready");
      await own.restart();
      await run.seen("stan reconnect");
      await Promise.race([run.seen("stan close"), subscribed(own, run.channel())]);
      try {
        stan.publish(run.channel(), "after", (error) => run.log("callback", error));
        await run.seen("callback");
        await run.seen("sub message");
      } catch (error) {
        run.log("publish throws", error);
      }
      notDials(run);
      run.lines.sort();
    },
    [
      "publish throws error(Connection closed, CONN_CLOSED)",
      "stan close",
      "stan connect <stan>",
      "stan connection_lost error(client has been replaced or is no longer registered)",
      "stan disconnect",
      "stan reconnect <stan>",
      "sub ready",
    ],
    [
      "callback undefined",
      "stan connect <stan>",
      "stan disconnect",
      "stan reconnect <stan>",
      "sub message after",
      "sub ready",
    ],
  );

  differs(
    "a publish before connect goes to nowhere: it waits",
    async (run) => {
      const stan = run.connect({ ackTimeout: 3_000 });
      const returned = stan.publish(run.channel(), "early", (error, guid) =>
        run.log("callback", error, guid === returned),
      );
      stan.on("connect", () => stan.publish(run.channel(), "later"));
      await run.seen("callback");
      await run.publish(stan, run.channel(), "last");
      await run.stored(run.channel());
    },
    ["stan connect <stan>", "callback error(stan: publish ack timeout) true", "stored later last"],
    ["stan connect <stan>", "callback undefined true", "stored early later last"],
  );

  differs(
    "a subscribe before connect throws: it waits",
    async (run) => {
      const stan = run.connect();
      thrown(run, "subscribe", () => run.follow(stan.subscribe(run.channel())));
      await run.seen("stan connect");
      await run.publish(stan, run.channel());
      if (run.count("subscribe throws nothing") > 0) await run.seen("sub ready");
      run.lines.splice(0, run.lines.length, ...run.lines.filter((line) => !line.startsWith("sub message")));
    },
    ["subscribe throws error(Subject must be supplied, BAD_SUBJECT)", "stan connect <stan>"],
    ["subscribe throws nothing", "stan connect <stan>", "sub ready"],
  );

  differs(
    "maxPubAcksInflight calls back twice, and publishes all the same: it makes publishes wait",
    async (run) => {
      const stan = await run.open({ maxPubAcksInflight: 1 });
      for (let i = 0; i < 4; i++) stan.publish(run.channel(), `${i}`, (error) => run.log("callback", i, error));
      await run.seen("callback 3 undefined");
      run.lines.sort();
      await run.stored(run.channel());
    },
    [
      "callback 0 undefined",
      "callback 1 undefined",
      "callback 2 error(stan: max in flight reached.)",
      "callback 2 undefined",
      "callback 3 error(stan: max in flight reached.)",
      "callback 3 undefined",
      "stan connect <stan>",
      "stored 0 1 2 3",
    ],
    [...[0, 1, 2, 3].map((i) => `callback ${i} undefined`), "stan connect <stan>", "stored 0 1 2 3"],
  );

  differs(
    "an async listener is acknowledged before it ends: it is awaited",
    async (run) => {
      const stan = await run.open();
      for (const text of ["one", "two"]) await run.publish(stan, run.channel(), text);
      const options = stan.subscriptionOptions().setDeliverAllAvailable().setMaxInFlight(1);
      stan.subscribe(run.channel(), options).on("message", async (message: StanMessage) => {
        run.log("begins", message.getData());
        if (message.getData() === "one") await Promise.race([run.seen("begins two"), later(1_000)]);
        run.log("ends", message.getData());
      });
      await run.seen("ends", 2);
    },
    ["stan connect <stan>", "begins one", "begins two", "ends two", "ends one"],
    ["stan connect <stan>", "begins one", "ends one", "begins two", "ends two"],
  );

  differs(
    "a message has several runs at once if the listener is slow: it has one",
    async (run) => {
      const stan = await run.open();
      await run.publish(stan, run.channel(), "one");
      const options = stan.subscriptionOptions().setDeliverAllAvailable().setAckWait(1_000).setManualAckMode(true);
      let running = 0;
      stan.subscribe(run.channel(), options).on("message", async () => {
        run.log("runs", ++running);
        await new Promise(() => undefined);
      });
      await Promise.race([run.seen("runs", 3), later(3_500)]);
    },
    ["stan connect <stan>", "runs 1", "runs 2", "runs 3"],
    ["stan connect <stan>", "runs 1"],
  );

  differs(
    "a subject with a line break sends commands of its own: it is refused",
    async (run) => {
      const stan = await run.open();
      const spy = await RawClient.connect(run.server.port);
      const inbox = `spy.${run.clientId}`;
      spy.subscribe(inbox);
      await spy.flush();
      stan.publish(`a 0\r\n\r\nPUB ${inbox} 3\r\nbad\r\nPUB x`, "", (error) => run.log("callback", error));
      await new Promise<void>((resolve) => stan.nc!.flush(() => resolve()));
      await spy.flush();
      run.log("sent", spy.collect().filter(({ text }) => text.includes(inbox)).length);
      spy.destroy();
    },
    ["stan connect <stan>", "sent 1"],
    ["stan connect <stan>", "callback error(stan: invalid publish request)", "sent 0"],
  );

  differs(
    "unsubscribe before ready leaves the subscription on the server: it ends it",
    async (run) => {
      const stan = await run.open();
      run.follow(stan.subscribe(run.channel(), stan.subscriptionOptions())).unsubscribe();
      await Promise.race([run.seen("sub unsubscribed"), run.seen("sub error")]);
      const page = await run.server.monitor<{ subs_count: number }>(`streaming/channelsz?channel=${run.channel()}`);
      run.log("subscriptions", page?.subs_count);
    },
    ["stan connect <stan>", "sub ready", "sub error error(stan: invalid subscription)", "subscriptions 1"],
    ["stan connect <stan>", "sub ready", "sub unsubscribed", "subscriptions 0"],
  );

  differs(
    "an ackWait of 1 500 throws: it is rounded up",
    async (run) => {
      const stan = await run.open();
      thrown(run, "subscribe", () =>
        run.follow(stan.subscribe(run.channel(), stan.subscriptionOptions().setAckWait(1_500))),
      );
      if (!run.lines.some((line) => line.includes("Assertion failed"))) await run.seen("sub ready");
    },
    ["stan connect <stan>", "subscribe throws error(Assertion failed)"],
    ["stan connect <stan>", "subscribe throws nothing", "sub ready"],
  );

  differs(
    "a start time of long ago does not fit: it is the first message",
    async (run) => {
      const stan = await run.open();
      await run.publish(stan, run.channel(), "one");
      const options = stan.subscriptionOptions().setStartAtTimeDelta(1e13);
      thrown(run, "subscribe", () => run.follow(stan.subscribe(run.channel(), options)));
      if (run.lines.some((line) => line.includes("Assertion failed"))) return;
      await run.publish(stan, run.channel(), "two");
      await run.seen("sub message two");
    },
    ["stan connect <stan>", "subscribe throws error(Assertion failed)"],
    ["stan connect <stan>", "subscribe throws nothing", "sub ready", "sub message one", "sub message two"],
  );

  differs(
    "the answers of the server are no errors: they are, with the same text",
    async (run) => {
      await run.open();
      const second = run.library.connect("test-cluster", run.clientId, { url: run.server.url });
      second.on("error", (error: Error) => {
        run.log("error", error instanceof Error, error.message, String(error));
        run.log(
          "texts",
          (error as unknown as string).includes("already"),
          (error as unknown as string) == "stan: clientID already registered",
        );
      });
      await run.seen("texts");
    },
    ["stan connect <stan>", "error false undefined stan: clientID already registered", "texts true true"],
    [
      "stan connect <stan>",
      "error true stan: clientID already registered stan: clientID already registered",
      "texts true true",
    ],
  );

  differs(
    "another cluster ID is found out after connectTimeout: it is at once",
    async (run) => {
      const begin = Date.now();
      run.watch(run.library.connect("other-cluster", run.clientId, { url: run.server.url, connectTimeout: 4_000 }));
      await run.seen("stan close");
      run.log("soon", Date.now() - begin < 3_900);
    },
    ["stan error error(stan: connect request timeout, stan: connect request timeout)", "stan close", "soon false"],
    ["stan error error(stan: connect request timeout, stan: connect request timeout)", "stan close", "soon true"],
  );

  differs(
    "data that is none has its callback at close: it throws, and there is no callback",
    async (run) => {
      const stan = await run.open();
      thrown(run, "publish", () => stan.publish(run.channel(), 7 as never, (error) => run.log("callback", error)));
      stan.close();
      await run.seen("stan close");
    },
    [
      "stan connect <stan>",
      "publish throws error(Failure: Cannot coerce to Uint8Array: number)",
      "callback error(stan: Connection closed)",
      "stan close null",
    ],
    [
      "stan connect <stan>",
      "publish throws error(stan: data must be a string, a Buffer or a Uint8Array)",
      "stan close null",
    ],
  );

  differs(
    "getData with stanEncoding binary is a Uint8Array, or text if there is no data: it is a Buffer, as declared",
    async (run) => {
      const stan = await run.open({ stanEncoding: "binary" });
      for (const data of ["one", ""]) await run.publish(stan, run.channel(), data);
      const options = stan.subscriptionOptions().setDeliverAllAvailable();
      stan.subscribe(run.channel(), options).on("message", (message: StanMessage) => {
        run.log("data", message.getData().constructor.name, message.getRawData().constructor.name);
      });
      await run.seen("data", 2);
    },
    ["stan connect <stan>", "data Uint8Array Buffer", "data String Buffer"],
    ["stan connect <stan>", "data Buffer Buffer", "data Buffer Buffer"],
  );

  differs(
    "a client that has failed is not closed for isClosed: it is",
    async (run) => {
      const stan = run.connect({}, "stan", "a.b").on("close", () => run.log("closed", stan.isClosed()));
      await run.seen("closed");
      run.lines.splice(0, run.lines.length - 1);
    },
    ["closed false"],
    ["closed true"],
  );

  differs(
    "an ack after close throws: it does nothing",
    async (run) => {
      const stan = await run.open();
      await run.publish(stan, run.channel(), "one");
      const options = stan.subscriptionOptions().setDeliverAllAvailable().setManualAckMode(true);
      let message: StanMessage | undefined;
      stan.subscribe(run.channel(), options).on("message", (given: StanMessage) => {
        message = given;
        run.log("message");
      });
      await run.seen("message");
      stan.close();
      await run.seen("stan close");
      thrown(run, "ack", () => message!.ack());
    },
    [
      "stan connect <stan>",
      "message",
      "stan close null",
      "ack throws error(Cannot read properties of undefined (reading 'publish'))",
    ],
    ["stan connect <stan>", "message", "stan close null", "ack throws nothing"],
  );

  differs(
    "what a cut link had under way is told after ackTimeout: it is told at once, and that it is uncertain",
    async (run) => {
      const proxy = run.stopping(await Proxy.start(run.server.port));
      const stan = await run.open({ url: proxy.url, ackTimeout: 4_000, reconnectTimeWait: 50 });
      const eaten = proxy.eat((frame) => frame.text.includes("PUB _STAN.pub"), "up");
      const begin = Date.now();
      stan.publish(run.channel(), "one", (error) => {
        run.log("callback", error, (error as { code?: string }).code, Date.now() - begin < 3_900);
      });
      await eaten;
      proxy.cut();
      await run.seen("callback");
      notDials(run);
      run.lines.splice(0, run.lines.length, ...run.lines.filter((line) => line.startsWith("callback")));
    },
    ["callback error(stan: publish ack timeout) undefined false"],
    ["callback error(stan: publish ack timeout) UNCONFIRMED true"],
  );

  differs(
    "what has timed out in an outage is sent all the same after it: it is not",
    async (run) => {
      const proxy = run.stopping(await Proxy.start(run.server.port));
      const stan = await run.open({ url: proxy.url, ackTimeout: 500, reconnectTimeWait: 50 });
      proxy.refuse();
      proxy.cut();
      await run.seen("stan disconnect");
      stan.publish(run.channel(), "late", (error) => run.log("callback", error));
      await run.seen("callback");
      proxy.accept();
      await run.seen("stan reconnect");
      // The answer to this one may come too late, on a busy machine.
      await run.publish(stan, run.channel(), "last").catch(() => undefined);
      await until("the last one is stored", async () => {
        const page = await run.server.monitor<{ msgs: number }>(`streaming/channelsz?channel=${run.channel()}`);
        return page?.msgs === (run.library === facade ? 1 : 2);
      });
      await run.stored(run.channel());
      notDials(run);
    },
    [
      ...["stan connect <stan>", "stan disconnect", "callback error(stan: publish ack timeout)"],
      ...["stan reconnect <stan>", "stored late last"],
    ],
    [
      ...["stan connect <stan>", "stan disconnect", "callback error(stan: publish ack timeout)"],
      ...["stan reconnect <stan>", "stored last"],
    ],
  );

  differs(
    "a message that is too large costs the connection: it is refused at once",
    async (run) => {
      const stan = await run.open({ ackTimeout: 1_000 });
      const callback = (error?: Error): void => run.log("callback", (error as { code?: string }).code);
      stan.publish(run.channel(), Buffer.alloc(2 ** 21), callback);
      await run.seen("callback");
      await run.publish(stan, run.channel(), "next").catch(() => undefined);
      notDials(run);
      // What the server says before it closes may be lost with the connection.
      run.lines.splice(0, run.lines.length, ...run.lines.filter((line) => !line.startsWith("stan error")));
    },
    ["stan connect <stan>", "stan disconnect", "stan reconnect <stan>", "callback undefined"],
    ["stan connect <stan>", "callback TOO_LARGE"],
  );

  for (const subject of ["", "a b", "a..b"]) {
    differs(
      `a publish to ${JSON.stringify(subject)}, which is no channel, times out: it is refused at once`,
      async (run) => {
        const stan = await run.open({ ackTimeout: 500 });
        stan.publish(subject, "one", (error) => run.log("callback", error));
        await run.seen("callback");
        run.lines.splice(0, run.lines.length, ...run.lines.filter((line) => line.startsWith("callback")));
      },
      ["callback error(stan: publish ack timeout)"],
      ["callback error(stan: invalid publish request)"],
    );
  }

  alone(
    "an ackTimeout that no timer takes is over after a millisecond: it is as long as one takes",
    async (run) => {
      const stan = await run.open({ ackTimeout: 1e10 });
      await run.publish(stan, run.channel(), "one");
    },
    ["stan connect <stan>"],
  );

  differs(
    "a server that takes the connection and says nothing is waited for without end: there is an error",
    async (run) => {
      const proxy = run.stopping(await Proxy.start(run.server.port));
      proxy.stall();
      const stan = run.connect({ url: proxy.url, timeout: 300 });
      await Promise.race([run.seen("stan error"), later(2_000)]);
      run.log("closed", stan.isClosed());
    },
    ["closed false"],
    ["stan error error(Could not connect to server: NatsError: no answer in time, CONN_ERR)", "closed false"],
  );

  differs(
    "an nkey is not sent where the server asks for no signature: the server is not set up for it",
    async (run) => {
      run.connect({ nkey: user, nonceSigner: (nonce: Buffer) => signature(userSeed, nonce), reconnect: false });
      await Promise.race([run.seen("stan connect"), run.seen("stan error")]);
      run.lines.splice(1);
    },
    ["stan connect <stan>"],
    [
      "stan error error(the server gave no nonce to sign: it is not set up for nkeys or JWTs, NATS_PROTOCOL_ERR)",
    ],
  );

  differs(
    "getRedeliveryCount, and timestamps: the exact one is there as well",
    async (run) => {
      const stan = await run.open();
      await run.publish(stan, run.channel(), "one");
      const options = stan.subscriptionOptions().setDeliverAllAvailable();
      stan.subscribe(run.channel(), options).on("message", (message: StanMessage) => {
        const exact: unknown = message.msg.timestamp;
        const raw = message.getTimestampRaw();
        run.log(
          "raw",
          typeof raw,
          Number.isSafeInteger(raw),
          typeof exact,
          exact === undefined ? undefined : Number(exact) === raw,
        );
        run.log(
          "date",
          exact === undefined ? undefined : message.getTimestamp().getTime() === Number((exact as bigint) / 1_000_000n),
        );
      });
      await run.seen("date");
    },
    ["stan connect <stan>", "raw number false undefined undefined", "date undefined"],
    ["stan connect <stan>", "raw number false bigint true", "date true"],
  );
});

describeWithServer("mended beside 0.3.2, with permissions", () => {
  const config = `authorization { users = [
    { user: stan, password: s }
    { user: app, password: a, permissions: { publish: { deny: ["_STAN.pub.test-cluster.denied.>", "_STAN.sub.>"] } } }
  ] }
  streaming { username: stan, password: s }`;
  const { differs } = suite(serverForSuite({ config }));

  differs(
    "a publish that is denied is told after ackTimeout: it is told at once",
    async (run) => {
      const stan = await run.open({ user: "app", pass: "a", ackTimeout: 4_000 });
      const begin = Date.now();
      await new Promise<void>((resolve) => {
        stan.publish(`denied.${run.channel()}`, "one", (error) => {
          resolve(run.log("callback", (error as { code?: string }).code, Date.now() - begin < 3_900));
        });
      });
    },
    ["stan connect <stan>", "callback undefined false"],
    ["stan connect <stan>", "callback NOT_PERMITTED true"],
  );

  differs(
    "a subscription that is denied times out: it is refused at once",
    async (run) => {
      const stan = await run.open({ user: "app", pass: "a", connectTimeout: 4_000 });
      const begin = Date.now();
      run.follow(stan.subscribe(run.channel()));
      await Promise.race([run.seen("sub timeout"), run.seen("sub unsubscribed")]);
      run.log("soon", Date.now() - begin < 3_900);
    },
    [
      "stan connect <stan>",
      "sub timeout error(stan: subscribe request timeout, stan: subscribe request timeout)",
      "soon false",
    ],
    [
      "stan connect <stan>",
      'sub error error(stan: subscribe orders: Permissions Violation for Publish to "_STAN.sub.test-cluster")',
      "sub unsubscribed",
      "soon true",
    ],
  );
});

describeWithServer("mended beside 0.3.2, in a process of its own", () => {
  const server = serverForSuite();
  let place = "";
  beforeAll(() => {
    place = makePlace();
  });
  afterAll(() => rmSync(place, { recursive: true, force: true }));

  /**
   * Runs a program with both, once connected. It has `stan`, `channel` and `later`. With options that are code it ends
   * with the first error. Returns how each has ended, and its output.
   */
  async function both(
    name: string,
    text: string,
    options: object | string,
    restart?: (ended: Promise<unknown>) => Promise<void>,
  ): Promise<string[]> {
    const found = installPackage(REFERENCE);
    if ("missing" in found) throw new Error(found.missing);
    const libraries = [
      join(found.path, "node_modules", "node-nats-streaming"),
      "nats-streaming-client/node-nats-streaming",
    ];
    const endings: string[] = [];
    const given = typeof options === "string" ? options : JSON.stringify(options);
    for (const [i, library] of libraries.entries()) {
      const file = join(place, `${name}-${i}.cjs`);
      writeFileSync(
        file,
        `
        const library = require(${JSON.stringify(library)});
        const channel = "channel-${name}-${i}";
        const later = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
        const stan = library.connect("test-cluster", "client-${name}-${i}", ${given});
        ${given === options ? "stan.on('error', () => (console.log('error'), process.exit(0)));" : ""}
        stan.once("connect", async () => { ${text} });`,
      );
      const program = start(file);
      if (restart !== undefined) {
        await program.printed(/ready/);
        await restart(program.ended);
      }
      const { code, out } = await program.ended;
      endings.push(`${code} ${out.trim().replaceAll("\n", " ")}`);
    }
    return endings;
  }

  test("a timer throws after the connection was closed: it does not", long, async () => {
    const text = "stan.nc.close(); await later(1_500); console.log('alive'); process.exit(0);";
    expect(await both("timer", text, { url: server().url, stanPingInterval: 1_000 })).toEqual(["1 ", "0 alive"]);
  });

  test(
    "a listener that rejects kills the process: it is an error of the subscription",
    long,
    async () => {
      const text = `
      const options = stan.subscriptionOptions().setDeliverAllAvailable().setAckWait(1_000);
      const subscription = stan.subscribe(channel, options);
      subscription.on("error", (error) => console.log("error", error.message));
      subscription.on("message", async (message) => {
        if (!message.isRedelivered()) throw new Error("of the listener");
        console.log("again");
        setTimeout(() => process.exit(0), 10);
      });
      stan.publish(channel, "one");`;
      expect(await both("rejection", text, { url: server().url })).toEqual(["1 ", "0 error of the listener again"]);
    },
  );

  test("a signer that throws kills the process, and so does userCreds of no file: it is an error", long, async () => {
    const seed = join(place, "user.nk");
    writeFileSync(seed, userSeed);
    const config = `authorization { users: [ { nkey: ${user} } ] }
      streaming { id: test-cluster, nkey_seed_file: ${JSON.stringify(seed)} }`;
    const own = await RealServer.start({ config });
    onTestFinished(() => own.stop());
    const url = JSON.stringify(own.url);
    const throws = `{ url: ${url}, nkey: "${user}", nonceSigner() { throw new Error("no vault"); } }`;
    expect(await both("signer", "", throws)).toEqual(["1 ", "0 error"]);
    const none = `{ url: ${url}, userCreds: "none.creds" }`;
    expect(await both("no-file", "", none)).toEqual(["1 ", "0 error"]);
  });

  test("an outage kills a process that listens to no error: it is repaired", long, async () => {
    const config = (password: string): string =>
      `authorization { user: app, password: ${password} }\nstreaming { username: app, password: ${password} }`;
    const own = await RealServer.start({ config: config("right"), store: "file" });
    onTestFinished(() => own.stop());
    const restart = async (ended: Promise<unknown>): Promise<void> => {
      for (const password of ["wrong", "right"]) {
        await own.down();
        writeFileSync(join(own.folder, "server.conf"), config(password));
        await own.restart();
        await Promise.race([ended, later(2_000)]);
      }
    };
    const text = `
      console.log("ready");
      stan.on("reconnect", () => stan.publish(channel, "one", (error) => {
        console.log(error ?? "stored");
        process.exit(0);
      }));`;
    const options = { url: own.url, user: "app", pass: "right", reconnectTimeWait: 50 };
    expect(await both("outage", text, options, restart)).toEqual(["1 ready", "0 ready stored"]);
  });
});

test("what is not offered is refused, with what to do instead", () => {
  const attempt = (options: object): unknown => facade.connect("test-cluster", "one", options);
  expect(() => attempt({ nc: {} })).toThrow("stan: nc is not offered: give url instead");
  expect(() => attempt({ tls: { rejectUnauthorized: false } })).toThrow('tls: { ca: fs.readFileSync("ca.pem") }');
  expect(() => attempt({ tls: { pfx: "" } })).toThrow("stan: tls.pfx is not offered: tls takes ca, cert, key");
  const stan = facade.connect("test-cluster", "one", { url: "nats://127.0.0.1:1" });
  stan.on("error", () => undefined);
  const nc = stan.nc as unknown as Record<string, () => void>;
  expect(() => nc["publish"]!()).toThrow("stan.nc.publish is not offered: connect with the package nats as well");
  stan.close();
});

test("printing a client shows no secret", () => {
  const secrets = { user: "app", pass: "CANARY", url: "nats://127.0.0.1:1" };
  const stan = facade.connect("test-cluster", "one", secrets);
  stan.on("error", () => undefined);
  expect(stan.options.pass).toBe("CANARY");
  expect(inspect(stan, { depth: 10 })).not.toContain("CANARY");
  stan.close();
});
