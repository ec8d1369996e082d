import { Proxy } from "../support/proxy.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { type Run, type Stan, type StanSubscription, suite } from "./transcript.ts";

/** Several dials of one outage count as one: how many there are depends on the time. */
function dialsOnce(run: Run): void {
  const lines = run.lines.filter((line, i) => line !== "stan reconnecting" || run.lines[i - 1] !== line);
  run.lines.splice(0, run.lines.length, ...lines);
}

async function proxied(run: Run, options: object = {}): Promise<{ proxy: Proxy; stan: Stan }> {
  const proxy = run.stopping(await Proxy.start(run.server.port));
  const stan = await run.open({ url: proxy.url, reconnectTimeWait: 50, ...options });
  return { proxy, stan };
}

describeWithServer("as 0.3.2, closing", () => {
  const { alone, differs, same } = suite(serverForSuite());

  same("emits close with null, once the server knows", async (run) => {
    const stan = await run.open();
    stan.close();
    run.log("closed", stan.isClosed());
    await run.seen("stan close");
    run.log("closed", stan.isClosed(), stan.nc);
    const page = await run.server.monitor<object>(`streaming/clientsz?client=${run.clientId}`);
    run.log("server", page);
  });

  same("does nothing the second time", async (run) => {
    const stan = await run.open();
    stan.close();
    await run.seen("stan close");
    stan.close();
    const other = await run.open({}, "other");
    await run.publish(other, run.channel());
  });

  same("works in a listener of error, and emits close also if no server was reached", async (run) => {
    const stan = run.connect({ url: "nats://127.0.0.1:1" });
    stan.on("error", () => stan.close());
    await run.seen("stan close");
    run.log("closed", stan.isClosed());
  });

  same("lets a program connect again", async (run) => {
    const first = await run.open({}, "first");
    first.on("close", () => void run.open({}, "second"));
    first.close();
    await run.seen("second connect");
  });

  same("may come before connect", async (run) => {
    const stan = run.connect();
    stan.close();
    await run.seen("stan close");
    run.log("closed", stan.isClosed());
  });

  // In 0.3.2 the server takes the requests in any order.
  for (const [call, event, again] of [
    ["unsubscribe", "unsubscribed", ["second message one", "second message two"]],
    ["close", "closed", ["second message two"]],
  ] as const) {
    alone(
      `comes after ${call} of a subscription, and the server does both`,
      async (run) => {
        const stan = await run.open();
        await run.publish(stan, run.channel(), "one");
        const options = stan.subscriptionOptions().setDeliverAllAvailable().setDurableName("d");
        const first = run.follow(stan.subscribe(run.channel(), options));
        await run.seen("sub message one");
        first[call]();
        stan.close();
        await run.seen("stan close");
        const next = await run.open({}, "next");
        await run.publish(next, run.channel(), "two");
        run.follow(next.subscribe(run.channel(), options), "second");
        await run.seen("second message two");
      },
      [
        ...["stan connect <stan>", "sub ready", "sub message one", `sub ${event}`, "stan close null"],
        ...["next connect <stan>", "second ready", ...again],
      ],
    );
  }

  alone(
    "leaves a durable free to be subscribed to at once, as the README of 0.3.2 has it",
    async (run) => {
      const stan = await run.open();
      const options = stan.subscriptionOptions().setDeliverAllAvailable().setDurableName("d");
      const first = run.follow(stan.subscribe(run.channel(), options), "first");
      await run.seen("first ready");
      first.close();
      run.follow(stan.subscribe(run.channel(), options), "second");
      await run.seen("second ready");
      await run.publish(stan, run.channel(), "one");
      await run.seen("second message");
    },
    ["stan connect <stan>", "first ready", "first closed", "second ready", "second message one"],
  );

  /** Whether the message of a durable comes again after its async listener, which has that closed. */
  const closing = (close: (stan: Stan, sub: StanSubscription) => void, listener: () => Promise<void>) =>
    async (run: Run): Promise<void> => {
      const stan = await run.open();
      await run.publish(stan, run.channel(), "one");
      const options = stan.subscriptionOptions().setDeliverAllAvailable().setDurableName("d");
      const sub = run.follow(stan.subscribe(run.channel(), options));
      sub.on("closed", () => stan.close()).on("message", async () => {
        await pause();
        close(stan, sub);
        await listener();
      });
      await run.seen("stan close");
      const next = await run.open({}, "next");
      await run.publish(next, run.channel(), "two");
      run.follow(next.subscribe(run.channel(), options), "second");
      await run.seen("second message two");
    };
  const pause = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 50));
  const [ofStan, ofSub] = [(stan: Stan): void => stan.close(), (_: Stan, sub: StanSubscription): void => sub.close()];

  same("by an async listener at its end acknowledges its message", closing(ofStan, async () => undefined));
  same("of its subscription, too", closing(ofSub, async () => undefined));
  same("waits for an async listener that runs", closing(ofStan, pause));
  same("of its subscription, too, waits", closing(ofSub, pause));
  same("from elsewhere, too, waits", closing((stan) => void setTimeout(() => stan.close(), 0), pause));

  const before = ["stan connect <stan>", "sub ready", "sub message one", "stan close null"];
  differs(
    "does not wait for an async listener that does not end: it waits for connectTimeout",
    closing(ofStan, () => new Promise(() => undefined)),
    [...before, "next connect <stan>", "second ready", "second message two"],
    [...before, "next connect <stan>", "second ready", "second message one", "second message two"],
  );

  same("works in a listener", async (run) => {
    const stan = await run.open();
    run.follow(stan.subscribe(run.channel())).on("message", () => stan.close());
    await run.seen("sub ready");
    stan.publish(run.channel(), "one");
    await run.seen("stan close");
  });
});

describeWithServer("as 0.3.2, while the link is cut", () => {
  const { same } = suite(serverForSuite());

  same("emits disconnect, reconnecting and reconnect, and goes on", async (run) => {
    const { proxy, stan } = await proxied(run);
    run.follow(stan.subscribe(run.channel()));
    await run.seen("sub ready");
    proxy.cut();
    await run.seen("stan reconnect");
    run.log("nc", stan.nc!.connected);
    await run.publish(stan, run.channel(), "one");
    await run.seen("sub message");
    dialsOnce(run);
  });

  same("takes publishes in the listeners of disconnect and reconnect", async (run) => {
    const { proxy, stan } = await proxied(run);
    const publish = (text: string): void =>
      void stan.publish(run.channel(), text, (error) => run.log("callback", text, error));
    stan.on("disconnect", () => publish("one"));
    stan.on("reconnect", () => publish("two"));
    proxy.cut();
    await run.seen("callback two");
    await run.seen("callback one");
    await run.stored(run.channel());
    run.lines.splice(0, run.lines.length, ...run.lines.filter((line) => line !== "stan reconnecting").sort());
  });

  same("emits connection_lost and close when a live client has taken over the client ID", async (run) => {
    const { proxy } = await proxied(run, { stanPingInterval: 1_000 });
    proxy.stall();
    await run.open({}, "successor");
    proxy.go();
    await run.seen("stan close", 1, 25_000);
    run.lines.splice(0, run.lines.length, ...run.lines.filter((line) => line !== "stan reconnecting"));
  }, 40_000);

  same("emits close with an error where the server cannot be told", async (run) => {
    const { proxy, stan } = await proxied(run, { connectTimeout: 500 });
    proxy.refuse();
    proxy.cut();
    await run.seen("stan disconnect");
    stan.close();
    await run.seen("stan close");
    const lines = run.lines.filter((line) => line !== "stan reconnecting");
    run.lines.splice(0, run.lines.length, ...lines.map((line) => line.replace(/error\(.*, /, "error(")));
  });

  same("emits disconnect and close with reconnect: false", async (run) => {
    const { proxy } = await proxied(run, { reconnect: false });
    proxy.cut();
    await run.seen("stan close");
  });

  same("emits close after maxReconnectAttempts", async (run) => {
    const { proxy } = await proxied(run, { maxReconnectAttempts: 2, reconnectTimeWait: 20 });
    proxy.refuse();
    proxy.cut();
    await run.seen("stan close");
    run.lines.splice(0, run.lines.length, ...new Set(run.lines));
    run.lines.splice(0, run.lines.length, ...run.lines.filter((line) => line !== "stan reconnecting"));
  });
});

describeWithServer("as 0.3.2, without a server at first", () => {
  const { same } = suite(serverForSuite());

  same("connects with waitOnFirstConnect as soon as there is one", async (run) => {
    const proxy = run.stopping(await Proxy.start(run.server.port));
    proxy.refuse();
    run.connect({ url: proxy.url, waitOnFirstConnect: true, reconnectTimeWait: 50 });
    await run.seen("stan reconnecting").catch(() => undefined);
    proxy.accept();
    await run.seen("stan connect");
    run.lines.splice(0, run.lines.length, ...run.lines.filter((line) => line === "stan connect <stan>"));
  });
});

describeWithServer("as 0.3.2, while a server with a file store restarts", () => {
  const { same } = suite(serverForSuite());

  same("keeps the session and the subscriptions", async (run) => {
    const server = run.stopping(await RealServer.start({ store: "file" }));
    const stan = await run.open({ url: server.url, reconnectTimeWait: 50 });
    run.follow(stan.subscribe(run.channel(), stan.subscriptionOptions().setDurableName("d")));
    await run.seen("sub ready");
    await run.publish(stan, run.channel(), "one");
    await run.seen("sub message");
    await server.restart();
    await run.seen("stan reconnect");
    await run.publish(stan, run.channel(), "two");
    await run.seen("sub message", 2);
    dialsOnce(run);
  });

  same("sends afterwards what was published meanwhile", async (run) => {
    const server = run.stopping(await RealServer.start({ store: "file" }));
    const proxy = run.stopping(await Proxy.start(server.port));
    const stan = await run.open({ url: proxy.url, reconnectTimeWait: 50 });
    run.follow(stan.subscribe(run.channel(), stan.subscriptionOptions().setDurableName("d")));
    await run.seen("sub ready");
    // 0.3.2 loses what it sends to a NATS server whose streaming server is not there yet.
    proxy.refuse();
    proxy.cut();
    await run.seen("stan disconnect");
    stan.publish(run.channel(), "in the outage", (error) => run.log("callback", error));
    run.log("nc", stan.nc!.connected);
    await server.restart();
    proxy.accept();
    await run.seen("stan reconnect");
    await run.seen("callback");
    await run.seen("sub message");
    run.lines.splice(0, run.lines.length, ...run.lines.filter((line) => line !== "stan reconnecting").sort());
  });
});
