import { RealServer } from "../support/server.ts";
import { runInNewContext } from "node:vm";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { type StanMessage, suite, thrown } from "./transcript.ts";

describeWithServer("as 0.3.2, publishing", () => {
  const { alone, same } = suite(serverForSuite({ args: ["-mc", "1000"] }));

  // 0.3.2 throws for them.
  alone(
    "takes bytes of another realm, as tests in jest have them",
    async (run) => {
      const stan = await run.open();
      await run.publish(stan, run.channel(), runInNewContext("new Uint8Array([104, 105])") as Uint8Array);
      await run.stored(run.channel());
    },
    ["stan connect <stan>", "stored hi"],
  );

  same("returns a guid and calls back with it, once stored", async (run) => {
    const stan = await run.open();
    let returned: unknown;
    await new Promise<void>((resolve) => {
      returned = stan.publish(run.channel(), "one", (error, guid) => {
        run.log("callback", error, guid, guid === returned, stan.pubAckOutstanding);
        resolve();
      });
      run.log("returned", returned, stan.pubAckOutstanding);
    });
    await run.stored(run.channel());
  });

  same("works without a callback", async (run) => {
    const stan = await run.open();
    run.log("returned", stan.publish(run.channel(), "one"));
    await run.publish(stan, run.channel(), "two");
    await run.stored(run.channel());
  });

  same("calls back with null or undefined in place of a callback for nobody", async (run) => {
    const stan = await run.open();
    stan.publish(run.channel(), "one", undefined);
    stan.publish(run.channel(), "two", undefined as never);
    await run.publish(stan, run.channel(), "three");
    await run.stored(run.channel());
  });

  for (const [what, data] of [
    ["text", "héllo 漢 😀"],
    ["a Buffer", Buffer.from([0, 13, 10, 255])],
    ["a Uint8Array", new Uint8Array([1, 2, 250])],
    ["part of a larger buffer", Buffer.from("abcdef").subarray(2, 4)],
    ["no data", undefined],
    ["null", null],
    ["empty text", ""],
    ["an empty Buffer", Buffer.alloc(0)],
    ["half a megabyte", Buffer.alloc(500_000, "x")],
  ] as const) {
    same(`stores ${what}`, async (run) => {
      const stan = await run.open();
      await run.publish(stan, run.channel(), data as string);
      await run.stored(run.channel(), (bytes) =>
        bytes.length > 100 ? String(bytes.length) : Buffer.from(bytes).toString("hex"),
      );
    });
  }

  for (const [what, data] of Object.entries({
    "numbers of 16 bits": new Int16Array([1, 2]),
    "a DataView": new DataView(new ArrayBuffer(2)),
    "an ArrayBuffer": new ArrayBuffer(2),
    "a list": [1, 2],
    "an object": { a: 1 },
    "a number": 7,
    "a boolean": true,
  })) {
    same(`throws for ${what}`, async (run) => {
      const stan = await run.open();
      // The words are those of google-protobuf.
      try {
        stan.publish(run.channel(), data as never);
        run.log("publish throws nothing");
      } catch {
        run.log("publish throws");
      }
      await run.publish(stan, run.channel(), "one");
      await run.stored(run.channel());
    });
  }

  same("stores what was published before close", async (run) => {
    const stan = await run.open();
    stan.publish(run.channel(), "one");
    stan.publish(run.channel(), "two", (error, guid) => run.log("callback", error, guid));
    stan.close();
    await run.seen("stan close");
    await run.stored(run.channel());
  });

  same("takes times as texts, and 0 for no limit", async (run) => {
    for (const [name, options] of Object.entries({
      texts: { ackTimeout: "5000", maxPubAcksInflight: "10", stanPingInterval: "2000", reconnectTimeWait: "100" },
      zero: { connectTimeout: 0, maxReconnectAttempts: -1 },
    })) {
      const stan = await run.open(options as object, name, `${run.clientId}-${name}`);
      await run.publish(stan, run.channel(), name);
    }
    await run.stored(run.channel());
  });

  same("stores what was given, also if the caller changes it after the call", async (run) => {
    const stan = await run.open();
    const data = Buffer.from("before");
    const stored = run.publish(stan, run.channel(), data);
    data.fill(120);
    await stored;
    await run.stored(run.channel());
  });

  same("keeps the order, and calls back in it", async (run) => {
    const stan = await run.open();
    const texts = Array.from({ length: 50 }, (_, i) => `${i}`);
    await Promise.all(
      texts.map(
        (text) =>
          new Promise<void>((resolve) => {
            stan.publish(run.channel(), text, (error) => resolve(run.log("callback", text, error)));
          }),
      ),
    );
    await run.stored(run.channel());
  });

  same("works in a callback, and in a listener that acknowledges in the callback", async (run) => {
    const stan = await run.open();
    const [from, to] = [run.channel("from"), run.channel("to")];
    await new Promise<void>((resolve) => {
      let count = 0;
      const next = (): void => void stan.publish(from, `${count}`, () => (++count < 3 ? next() : resolve()));
      next();
    });
    const options = stan.subscriptionOptions().setDeliverAllAvailable().setManualAckMode(true).setMaxInFlight(1);
    stan.subscribe(from, "group", options.setDurableName("d")).on("message", (message: StanMessage) => {
      stan.publish(to, `${String(message.getData())}!`, (error) => {
        run.log("callback", error);
        message.ack();
      });
    });
    await run.seen("callback", 3);
    await run.stored(to);
  });

  same("works in a listener of connect", async (run) => {
    const stan = run.connect();
    stan.once("connect", () => stan.publish(run.channel(), "one", (error, guid) => run.log("callback", error, guid)));
    await run.seen("callback");
    await run.stored(run.channel());
  });

  same("emits what a callback throws as an error", async (run) => {
    const stan = await run.open();
    stan.publish(run.channel(), "one", () => {
      throw new Error("of the callback");
    });
    await run.seen("stan error");
  });

  same("on a closed client calls back at once, without a guid, or throws", async (run) => {
    const stan = await run.open();
    stan.close();
    await run.seen("stan close");
    run.log(
      "returned",
      stan.publish(run.channel(), "one", (...args) => run.log("callback", ...args)),
    );
    thrown(run, "publish", () => stan.publish(run.channel(), "one"));
  });

  same("calls back with an error what close finds under way", async (run) => {
    const stan = await run.open();
    stan.publish(run.channel(), "one", (error, guid) => run.log("callback", error, guid));
    stan.close();
    await run.seen("stan close");
  });

  same("of two clients is told apart", async (run) => {
    const [one, two] = [await run.open(), await run.open({}, "other", `${run.clientId}-2`)];
    await run.publish(one, run.channel(), "one");
    await run.publish(two, run.channel(), "two");
    await run.stored(run.channel());
  });
});

describeWithServer("as 0.3.2, publishing beyond limits", () => {
  const { same } = suite(serverForSuite({ args: ["-mc", "2"] }));

  same("calls back with the words of the server", async (run) => {
    const stan = await run.open();
    await new Promise<void>((resolve) => {
      const channels = ["a", "b", "c"].map((name) => run.channel(name));
      let open = channels.length;
      let refused: unknown;
      for (const channel of channels) {
        stan.publish(channel, "one", (error) => {
          refused ??= error;
          if (--open === 0) resolve(run.log("refused", String(refused)));
        });
      }
    });
  });
});

describeWithServer("as 0.3.2, publishing to a server that stands still", () => {
  const { same } = suite(serverForSuite());

  same("calls back with an error after ackTimeout", async (run) => {
    const own = run.stopping(await RealServer.start());
    const stan = await run.open({ url: own.url, ackTimeout: 700 });
    own.pause();
    stan.publish(run.channel(), "one", (error, guid) => run.log("callback", error, guid));
    await run.seen("callback");
    own.resume();
  });
});
