import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { type Run, suite, thrown } from "./transcript.ts";

describeWithServer("as 0.3.2, connecting", () => {
  const server = serverForSuite();
  const { same } = suite(server);

  same("emits connect, with the client", async (run) => {
    await run.open();
  });

  const ways: Record<string, (run: Run) => object | string | number> = {
    "a URL as text": ({ server }) => server.url,
    "a URL without a scheme": ({ server }) => `127.0.0.1:${server.port}`,
    "a port": ({ server }) => server.port,
    "the option port": ({ server }) => ({ url: undefined, port: server.port }),
    "the option uri": ({ server }) => ({ url: undefined, uri: server.url }),
    "the option servers": ({ server }) => ({ servers: [server.url] }),
    "the option urls": ({ server }) => ({ urls: [server.url] }),
  };
  for (const [what, options] of Object.entries(ways)) {
    same(`takes ${what}`, async (run) => {
      run.connect(options(run) as object);
      await run.seen("stan connect");
    });
  }

  same("dials the next server if one is not there", async (run) => {
    run.connect({ servers: ["nats://127.0.0.1:1", "nats://127.0.0.1:2"], reconnectTimeWait: 50 });
    await run.seen("stan connect");
  });

  same("throws without a cluster ID or a client ID", async (run) => {
    const { connect } = run.library;
    for (const id of ["", undefined, 7]) {
      thrown(run, "cluster ID", () => connect(id as string, "one"));
      thrown(run, "client ID", () => connect("test-cluster", id as string));
    }
  });

  same("throws for options that contradict each other", async (run) => {
    const { connect } = run.library;
    const attempt = (options: object): void => thrown(run, "connect", () => connect("test-cluster", "one", options));
    attempt({ encoding: "utf8" });
    attempt({ user: "a", token: "b" });
    attempt({ tokenHandler: "text" });
    attempt({ tokenHandler: () => "a", token: "b" });
  });

  same("emits error and no close if nothing listens", async (run) => {
    run.connect({ url: "nats://127.0.0.1:1" });
    await run.seen("stan error");
  });

  same("emits error and close for another cluster ID", async (run) => {
    run.watch(run.library.connect("other-cluster", run.clientId, { url: run.server.url, connectTimeout: 300 }));
    await run.seen("stan close");
  });

  same("emits error and close if a live client has the client ID", async (run) => {
    await run.open({}, "first");
    run.connect({}, "second");
    await run.seen("second close");
  });

  same("emits error and close for a client ID that the server refuses", async (run) => {
    run.connect({}, "stan", "a.b");
    await run.seen("stan close");
  });

  same("gives the client ID to one that connects after close", async (run) => {
    const first = await run.open({}, "first");
    first.close();
    await run.seen("first close");
    await run.open({}, "second");
  });

  same("says in options what was given and the defaults", async (run) => {
    const of = (options: object | undefined): void => {
      const stan = run.connect(options);
      const { encoding: _, ...rest } = stan.options;
      run.log("options", JSON.stringify(Object.fromEntries(Object.entries(rest).sort())));
    };
    of({});
    of({ ackTimeout: 1_000, connectTimeout: 999, maxPubAcksInflight: 3, stanEncoding: "binary", stanMaxPingOut: 9 });
    of({ client: "name", password: "p", user: "u", dontRandomize: true, NoRandomize: true, secure: false });
    of({ reconnectTimeWait: 5, maxReconnectAttempts: 3, waitOnFirstConnect: true, yieldTime: 5, unknown: 1 });
  });

  for (const url of ["localhost", "nats://localhost", "localhost:1234", "nats://user:pass@127.0.0.1:1234"]) {
    same(`says in options where ${url} is`, async (run) => {
      const stan = run.library.connect("test-cluster", run.clientId, url);
      stan.on("error", () => undefined);
      run.log("url", stan.options.url);
      stan.close();
    });
  }

  same("has the fields that programs read, before and after", async (run) => {
    const stan = run.connect();
    const look = (): void => {
      run.log("fields", stan.clusterID, stan.clientID, stan.pubPrefix, stan.isClosed(), stan.pubAckOutstanding);
      run.log("nc", typeof stan.nc, stan.nc?.connected);
    };
    look();
    await run.seen("stan connect");
    look();
  });

  same("emits what a listener of connect throws as an error", async (run) => {
    const stan = run.connect();
    stan.on("connect", () => {
      throw new Error("of the listener");
    });
    await run.seen("stan error");
  });

  same("flushes by nc, and closes by nc", async (run) => {
    const stan = await run.open();
    const { nc } = stan;
    await new Promise<void>((resolve) => nc!.flush((...args) => resolve(run.log("flushed", ...args))));
    run.log("listeners", typeof nc!.on, typeof nc!.once, typeof nc!.removeListener);
  });

  same("exports the start positions", async (run) => {
    run.log("start positions", JSON.stringify(run.library.StartPosition));
    run.log("version", run.library.version);
  });

  same("has options of subscriptions that are chained, with the defaults", async (run) => {
    const stan = run.connect();
    const show = (options: object): void =>
      run.log("options", JSON.stringify(Object.fromEntries(Object.entries(options).sort())));
    const options = (): ReturnType<typeof stan.subscriptionOptions> => stan.subscriptionOptions();
    show(options());
    show(options().setMaxInFlight(5).setAckWait(1_000).setDurableName("d").setManualAckMode(true));
    show(options().setDeliverAllAvailable());
    show(options().setStartWithLastReceived());
    show(options().setStartAtSequence(7));
    show(options().setStartAtTimeDelta(1_500));
    show(options().setStartAt(run.library.StartPosition.FIRST));
    run.log("time", options().setStartTime(new Date(Date.now() - 10_000)).startPosition);
  });
});

describeWithServer("as 0.3.2, with credentials", () => {
  const config = "authorization { user: app, password: secret }\nstreaming { username: app, password: secret }";
  const { same } = suite(serverForSuite({ config }));

  same("takes user and pass", async (run) => {
    run.connect({ user: "app", pass: "secret" });
    await run.seen("stan connect");
  });

  same("takes user and password", async (run) => {
    run.connect({ user: "app", password: "secret" } as object);
    await run.seen("stan connect");
  });

  same("takes the credentials of a URL", async (run) => {
    run.connect(`nats://app:secret@127.0.0.1:${run.server.port}`);
    await run.seen("stan connect");
  });

  same("emits error for a wrong password", async (run) => {
    const stan = run.connect({ user: "app", pass: "wrong", reconnect: false }, "stan", run.clientId);
    stan.removeAllListeners("disconnect");
    stan.removeAllListeners("close");
    await run.seen("stan error");
    run.lines.splice(1);
  });
});

describeWithServer("as 0.3.2, with a token", () => {
  const { differs, same } = suite(serverForSuite({ args: ["--auth", "secret"] }));

  same("takes token", async (run) => {
    run.connect({ token: "secret" });
    await run.seen("stan connect");
  });

  same("takes tokenHandler", async (run) => {
    run.connect({ tokenHandler: () => "secret" });
    await run.seen("stan connect");
  });

  same("takes the token of a URL", async (run) => {
    run.connect(`nats://secret@127.0.0.1:${run.server.port}`);
    await run.seen("stan connect");
  });

  same("emits error for another token", async (run) => {
    const stan = run.connect({ token: "wrong", reconnect: false });
    for (const event of ["disconnect", "close"]) stan.removeAllListeners(event);
    await run.seen("stan error");
    run.lines.splice(1);
  });

  differs(
    "an async tokenHandler sends no token: it is awaited",
    async (run) => {
      run.connect({ tokenHandler: async () => "secret", reconnect: false });
      await Promise.race([run.seen("stan connect"), new Promise<void>((resolve) => setTimeout(resolve, 2_000))]);
      run.lines.splice(0, run.lines.length, `connects ${run.count("stan connect")}`);
    },
    ["connects 0"],
    ["connects 1"],
  );
});
