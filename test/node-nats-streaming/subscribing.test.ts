import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";
import { type Run, type Stan, type StanMessage, type StanSubscription, suite, thrown } from "./transcript.ts";

type Options = ReturnType<Stan["subscriptionOptions"]>;

/** A channel with three messages, and the client that has published them. */
async function filled(run: Run, texts: readonly string[] = ["one", "two", "three"]): Promise<Stan> {
  const stan = await run.open();
  for (const text of texts) await run.publish(stan, run.channel(), text);
  return stan;
}

describeWithServer("as 0.3.2, subscribing", () => {
  const { same } = suite(serverForSuite({ args: ["-mc", "1000"] }));

  same("emits ready without arguments, and then what is published", async (run) => {
    const stan = await filled(run, ["old"]);
    run.follow(stan.subscribe(run.channel()));
    await run.seen("sub ready");
    await run.publish(stan, run.channel(), "new");
    await run.seen("sub message");
  });

  const starts: Record<string, readonly [number, (options: Options, run: Run) => Options]> = {
    "all that is available": [3, (options) => options.setDeliverAllAvailable()],
    "the last received": [1, (options) => options.setStartWithLastReceived()],
    "a sequence": [2, (options) => options.setStartAtSequence(2)],
    "a time delta": [3, (options) => options.setStartAtTimeDelta(60_000)],
    "a time": [3, (options) => options.setStartTime(new Date(Date.now() - 60_000))],
    "a start position": [3, (options, { library }) => options.setStartAt(library.StartPosition.FIRST)],
    "a sequence by its fields": [1, (options) => Object.assign(options, { startPosition: 3, startSequence: 3 })],
    "a time in the future": [0, (options) => options.setStartTime(new Date(Date.now() + 60_000))],
  };
  for (const [what, [count, options]] of Object.entries(starts)) {
    same(`begins with ${what}`, async (run) => {
      const stan = await filled(run);
      run.follow(stan.subscribe(run.channel(), options(stan.subscriptionOptions(), run)));
      await run.seen("sub ready");
      await run.publish(stan, run.channel(), "last");
      await run.seen("sub message", count + 1);
      run.lines.sort();
    });
  }

  same("takes group and options in all the ways", async (run) => {
    const stan = await filled(run);
    const options = (): Options => stan.subscriptionOptions().setDeliverAllAvailable();
    const subscribe = stan.subscribe.bind(stan) as (...args: unknown[]) => StanSubscription;
    for (const [i, args] of [
      [options()],
      ["group", options()],
      [undefined, options()],
      [null, options()],
      ["other"],
      [],
    ].entries()) {
      const sub = run.follow(subscribe(run.channel(), ...args), `sub${i}`);
      run.log(
        "fields",
        sub.subject,
        sub.qGroup,
        sub.opts === args.find((each) => typeof each === "object" && each !== null),
      );
      await run.seen(`sub${i} ready`);
      if (i < 4) await run.seen(`sub${i} message`, 3);
    }
    run.lines.sort();
  });

  same("takes a copy of options", async (run) => {
    const stan = await filled(run);
    const options = { ...stan.subscriptionOptions().setDeliverAllAvailable() };
    run.follow(stan.subscribe(run.channel(), options as Options));
    await run.seen("sub message", 3);
    run.lines.sort();
  });

  same("takes a plain object for options", async (run) => {
    const stan = await filled(run);
    const options = { maxInFlight: 10, ackWait: 30_000, startPosition: 4, manualAcks: false };
    run.follow(stan.subscribe(run.channel(), options as Options));
    await run.seen("sub message", 3);
    run.lines.sort();
  });

  for (const name of [" ", "a b", "é 漢", "a.*.>", "a/b", "x".repeat(300)]) {
    same(`takes ${JSON.stringify(name.slice(0, 9))} for the name of a durable, a group and both`, async (run) => {
      const stan = await filled(run);
      const options = (): Options => stan.subscriptionOptions().setDeliverAllAvailable();
      const begin: Record<string, () => StanSubscription> = {
        durable: () => stan.subscribe(run.channel(), options().setDurableName(name)),
        group: () => stan.subscribe(run.channel(), name, options()),
        both: () => stan.subscribe(run.channel(), name, options().setDurableName(name)),
      };
      for (const [what, subscribe] of Object.entries(begin)) {
        const first = run.follow(subscribe(), what);
        await run.seen(`${what} message`, 3);
        first.close();
        await run.seen(`${what} closed`);
        // A durable goes on behind what it had.
        run.follow(subscribe(), `${what} again`);
        await run.seen(`${what} again ready`);
        if (what === "group") await run.seen(`${what} again message`, 3);
      }
      await run.publish(stan, run.channel(), "four");
      for (const what of Object.keys(begin)) await run.seen(`${what} again message four`);
      run.lines.sort();
    });
  }

  same("takes a group with a colon", async (run) => {
    const stan = await filled(run);
    const options = stan.subscriptionOptions().setDeliverAllAvailable();
    run.follow(stan.subscribe(run.channel(), "a:b", options), "plain");
    run.follow(stan.subscribe(run.channel(), "a:b", stan.subscriptionOptions().setDurableName("d")), "durable");
    await run.seen("plain message", 3);
    await run.seen("durable ready");
    await run.publish(stan, run.channel(), "four");
    await run.seen("plain message four");
    await run.seen("durable message four");
    run.lines.sort();
  });

  same("refuses a durable with a colon in a group, in the words of the server", async (run) => {
    const stan = await run.open();
    run.follow(stan.subscribe(run.channel(), "group", stan.subscriptionOptions().setDurableName("a:b")));
    await run.seen("sub unsubscribed");
  });

  same("gives each message to one member of a queue group", async (run) => {
    const stan = await run.open();
    const got: string[] = [];
    for (const name of ["a", "b"]) {
      const sub = run.follow(stan.subscribe(run.channel(), "group", stan.subscriptionOptions()), name, false);
      sub.on("message", (message: StanMessage) => {
        got.push(String(message.getData()));
        if (got.length === 10) run.log("got", ...got.sort());
      });
      await run.seen(`${name} ready`);
    }
    for (let i = 0; i < 10; i++) await run.publish(stan, run.channel(), `${i}`);
    await run.seen("got");
  });

  same("goes on with a durable that was closed", async (run) => {
    const stan = await filled(run);
    const durable = (name: string): StanSubscription =>
      run.follow(
        stan.subscribe(run.channel(), stan.subscriptionOptions().setDeliverAllAvailable().setDurableName("d")),
        name,
      );
    const first = durable("first");
    await run.seen("first message", 3);
    first.close();
    await run.seen("first closed");
    await run.publish(stan, run.channel(), "four");
    durable("second");
    await run.seen("second message");
    await run.seen("second ready");
    run.lines.sort();
  });

  same("forgets a durable that was unsubscribed", async (run) => {
    const stan = await filled(run);
    const durable = (name: string): StanSubscription =>
      run.follow(
        stan.subscribe(run.channel(), stan.subscriptionOptions().setDeliverAllAvailable().setDurableName("d")),
        name,
      );
    const first = durable("first");
    await run.seen("first message", 3);
    first.unsubscribe();
    await run.seen("first unsubscribed");
    durable("second");
    await run.seen("second message", 3);
    await run.seen("second ready");
    run.lines.sort();
  });

  same("keeps a durable when the client closes", async (run) => {
    const first = await filled(run);
    const durable = (stan: Stan, name: string): StanSubscription =>
      run.follow(
        stan.subscribe(run.channel(), "group", stan.subscriptionOptions().setDeliverAllAvailable().setDurableName("d")),
        name,
      );
    durable(first, "first");
    await run.seen("first message", 3);
    first.close();
    await run.seen("stan close");
    const second = await run.open({}, "again");
    await run.publish(second, run.channel(), "four");
    durable(second, "second");
    await run.seen("second message");
    await run.seen("second ready");
    run.lines.sort();
  });

  same("emits error and unsubscribed for a durable that is in use", async (run) => {
    const stan = await filled(run);
    const options = stan.subscriptionOptions().setDurableName("d");
    run.follow(stan.subscribe(run.channel(), options), "first");
    await run.seen("first ready");
    const second = run.follow(stan.subscribe(run.channel(), options), "second");
    await run.seen("second unsubscribed");
    run.log("closed", second.isClosed());
  });

  for (const [what, options] of Object.entries({
    "no messages in flight": (all: Options) => all.setMaxInFlight(0),
    "a negative number in flight": (all: Options) => all.setMaxInFlight(-1),
    "no time to acknowledge": (all: Options) => all.setAckWait(0),
  })) {
    same(`emits error and unsubscribed for ${what}`, async (run) => {
      const stan = await run.open();
      run.follow(stan.subscribe(run.channel(), options(stan.subscriptionOptions())));
      await run.seen("sub unsubscribed");
    });
  }

  for (const subject of ["a.*", "a.>", ".a", "a."]) {
    same(`emits error and unsubscribed for the subject ${subject}`, async (run) => {
      const stan = await run.open();
      run.follow(stan.subscribe(subject));
      await run.seen("sub unsubscribed");
    });
  }

  same("emits error for a subject that is none", async (run) => {
    const stan = await run.open();
    for (const [i, subject] of ["", undefined, 7].entries()) {
      run.follow(stan.subscribe(subject as string), `sub${i}`);
      await run.seen(`sub${i} error`);
    }
  });

  same("emits error on a closed client", async (run) => {
    const stan = await run.open();
    const before = run.follow(stan.subscribe(run.channel()), "before");
    await run.seen("before ready");
    stan.close();
    await run.seen("stan close");
    run.follow(stan.subscribe(run.channel()), "after");
    await run.seen("after error");
    before.unsubscribe();
    await run.seen("before error");
    run.log("closed", before.isClosed());
  });

  same("unsubscribes, closes, and takes neither twice", async (run) => {
    const stan = await run.open();
    for (const [first, event] of [
      ["unsubscribe", "unsubscribed"],
      ["close", "closed"],
    ] as const) {
      const sub = run.follow(stan.subscribe(run.channel()), first);
      await run.seen(`${first} ready`);
      run.log("closed", sub.isClosed());
      sub[first]();
      run.log("closed", sub.isClosed());
      await run.seen(`${first} ${event}`);
      sub.close();
      sub.unsubscribe();
    }
  });

  for (const [call, event] of [
    ["unsubscribe", "unsubscribed"],
    ["close", "closed"],
  ] as const) {
    same(`takes ${call} in a listener: the message is not acknowledged, and no more come`, async (run) => {
      const stan = await filled(run);
      const options = stan.subscriptionOptions().setDeliverAllAvailable().setDurableName("d").setMaxInFlight(1);
      const first = run.follow(stan.subscribe(run.channel(), options), "first");
      first.on("message", (message: StanMessage) => message.getData() === "two" && first[call]());
      await run.seen(`first ${event}`);
      run.follow(stan.subscribe(run.channel(), options), "second");
      await run.seen("second message three");
      run.lines.sort();
    });
  }

  same("gives again what was not acknowledged before the client was closed", async (run) => {
    const stan = await filled(run);
    const options = stan.subscriptionOptions().setDeliverAllAvailable().setDurableName("d").setManualAckMode(true);
    const first = stan.subscribe(run.channel(), options);
    first.on("message", (message: StanMessage) => {
      if (message.getData() !== "two") message.ack();
      if (message.getData() === "three") stan.close();
    });
    await run.seen("stan close");
    const again = await run.open({}, "again");
    again.subscribe(run.channel(), options).on("message", (message: StanMessage) => {
      run.log("message", message.getData(), message.isRedelivered());
    });
    await run.publish(again, run.channel(), "four");
    await run.seen("message four");
    run.lines.sort();
  });

  same("gets nothing after it was closed", async (run) => {
    const stan = await run.open();
    const sub = run.follow(stan.subscribe(run.channel()));
    await run.seen("sub ready");
    sub.close();
    await run.seen("sub closed");
    await run.publish(stan, run.channel(), "one");
    await run.publish(stan, run.channel(), "two");
    run.log("end");
  });

  same("has the fields that programs read", async (run) => {
    const stan = await run.open();
    const options = stan.subscriptionOptions();
    const sub = run.follow(stan.subscribe(run.channel(), "group", options));
    run.log(
      "fields",
      sub.subject,
      sub.qGroup,
      sub.opts === options,
      sub.stanConnection === stan,
      sub.inbox.startsWith("_INBOX."),
      sub.ackInbox,
    );
    await run.seen("sub ready");
    run.log("fields", typeof sub.ackInbox, sub.listenerCount("message"));
    sub.close();
    run.log("fields", sub.stanConnection);
    await run.seen("sub closed");
  });

  same("serves many subscriptions of one client", async (run) => {
    const stan = await run.open();
    for (let i = 0; i < 20; i++) run.follow(stan.subscribe(run.channel(`c${i}`)), `s${i}`);
    for (let i = 0; i < 20; i++) await run.seen(`s${i} ready`);
    for (let i = 0; i < 20; i++) await run.publish(stan, run.channel(`c${i}`), `${i}`);
    for (let i = 0; i < 20; i++) await run.seen(`s${i} message`);
    run.lines.sort();
  });
});

describeWithServer("as 0.3.2, listening", () => {
  const { same } = suite(serverForSuite());

  /** A subscription to all messages of a channel. */
  function all(run: Run, stan: Stan, change = (options: Options): Options => options): StanSubscription {
    const options = change(stan.subscriptionOptions().setDeliverAllAvailable());
    return run.follow(stan.subscribe(run.channel(), options), "sub", false);
  }

  same("gives messages that were not acknowledged again, and says so", async (run) => {
    const stan = await filled(run, ["one"]);
    const sub = all(run, stan, (options) => options.setManualAckMode(true).setAckWait(1_000));
    sub.on("message", (message: StanMessage) => {
      run.log(
        "message",
        message.getData(),
        message.getSequence(),
        message.isRedelivered(),
        message.getRedeliveryCount!(),
      );
      if (message.getRedeliveryCount!() === 2) message.ack();
    });
    await run.seen("message", 3);
  });

  same("gives no message again that was acknowledged, by hand or not", async (run) => {
    const stan = await filled(run, ["one", "two"]);
    for (const manual of [false, true]) {
      const sub = all(run, stan, (options) => options.setManualAckMode(manual).setAckWait(2_000));
      sub.on("message", (message: StanMessage) => {
        run.log("message", manual, message.getSequence(), message.isRedelivered());
        if (manual) message.ack();
      });
    }
    await run.seen("message true", 2);
    await run.seen("message false", 2);
    await new Promise<void>((resolve) => setTimeout(resolve, 2_500));
    run.lines.sort();
  });

  const one = (options: Options): Options => options.setManualAckMode(true).setMaxInFlight(1);

  same("gives the next message after the ack, with one in flight", async (run) => {
    const stan = await filled(run);
    all(run, stan, one).on("message", (message: StanMessage) => {
      run.log("message", message.getData());
      setTimeout(() => (run.log("ack", message.getData()), message.ack()), 20);
    });
    await run.seen("ack", 3);
  });

  same("takes an early ack of a listener that goes on working", async (run) => {
    const stan = await filled(run);
    all(run, stan, one).on("message", async (message: StanMessage) => {
      run.log("message", message.getData());
      message.ack();
      await new Promise(() => undefined);
    });
    await run.seen("message", 3);
  });

  same("looks up manualAcks for each message", async (run) => {
    const stan = await filled(run, ["one"]);
    const sub = all(run, stan, (options) => options.setAckWait(1_000));
    sub.opts.manualAcks = true;
    sub.on("message", (message: StanMessage) => {
      run.log("message", message.isRedelivered());
      sub.opts.manualAcks = false;
    });
    await run.seen("message", 1);
    await run.publish(stan, run.channel(), "two");
    await run.seen("message false", 2).catch(() => undefined);
    run.lines.sort();
  });

  same("acknowledges what nobody listens to", async (run) => {
    const stan = await filled(run);
    const options = stan.subscriptionOptions().setDeliverAllAvailable().setDurableName("d");
    const sub = run.follow(stan.subscribe(run.channel(), options), "sub", false);
    await run.seen("sub ready");
    await run.publish(stan, run.channel(), "four");
    await until("the server has all acks", async () => {
      const page = await run.server.monitor<{ subscriptions: { last_sent: number; pending_count: number }[] }>(
        `streaming/channelsz?channel=${run.channel()}&subs=1`,
      );
      return page!.subscriptions.every((each) => each.last_sent === 4 && each.pending_count === 0);
    });
    sub.close();
    await run.seen("sub closed");
    await run.publish(stan, run.channel(), "five");
    run.follow(stan.subscribe(run.channel(), options), "second");
    await run.seen("second message");
    await run.seen("second ready");
    run.lines.sort();
  });

  same("emits what a listener throws as an error, and gives the message again", async (run) => {
    const stan = await filled(run, ["one"]);
    all(run, stan, (options) => options.setAckWait(1_000)).on("message", (message: StanMessage) => {
      run.log("message", message.isRedelivered());
      if (!message.isRedelivered()) throw new Error("of the listener");
    });
    await run.seen("message true");
    run.lines.sort();
  });

  same("emits what a listener throws that is no error", async (run) => {
    const stan = await filled(run, ["one"]);
    all(run, stan).on("message", () => {
      throw "a text";
    });
    await run.seen("sub error");
    run.lines.sort();
  });

  same("emits it on the client if nobody listens on the subscription", async (run) => {
    const stan = await filled(run, ["one"]);
    const sub = stan.subscribe(run.channel(), stan.subscriptionOptions().setDeliverAllAvailable());
    sub.on("message", () => {
      throw new Error("of the listener");
    });
    await run.seen("stan error");
  });

  same("calls all listeners in their order, as methods, and one of once but once", async (run) => {
    const stan = await filled(run);
    const sub = all(run, stan);
    sub.on("message", function (this: unknown, message: StanMessage) {
      run.log("a", message.getData(), this === sub);
    });
    sub.once("message", (message: StanMessage) => run.log("once", message.getData()));
    sub.prependListener("message", (message: StanMessage) => run.log("before", message.getData()));
    const removed = (): void => run.log("removed");
    sub.on("message", removed);
    sub.off("message", removed);
    await run.seen("a", 3);
    run.lines.sort();
  });

  same("knows all of a message", async (run) => {
    const stan = await filled(run, ["héllo"]);
    const sub = all(run, stan);
    sub.on("message", (message: StanMessage) => {
      run.log("subject", message.getSubject(), message.getSequence(), message.getCrc32());
      run.log("data", message.getData(), message.getRawData(), Buffer.isBuffer(message.getRawData()));
      run.log("flags", message.isRedelivered(), message.getRedeliveryCount!());
      const raw = message.getTimestampRaw();
      run.log(
        "time",
        typeof raw,
        message.getTimestamp() instanceof Date,
        Math.abs(raw / 1e6 - message.getTimestamp().getTime()) < 2,
      );
      run.log("now", Math.abs(Date.now() - message.getTimestamp().getTime()) < 60_000);
      run.log("fields", message.subscription === sub, message.stanClient === (stan as unknown));
      for (const name of ["getClientID", "getConnectionID"]) {
        try {
          (message as unknown as Record<string, () => void>)[name]!();
        } catch (error) {
          run.log(name, error instanceof TypeError);
        }
      }
    });
    await run.seen("getConnectionID");
  });

  for (const stanEncoding of ["utf8", "binary", "hex", "base64", "latin1", "ascii"]) {
    same(`gives data by stanEncoding ${stanEncoding}`, async (run) => {
      const stan = await run.open({ stanEncoding });
      for (const data of [Buffer.from("héllo"), Buffer.from([0, 255, 128])])
        await run.publish(stan, run.channel(), data);
      let count = 0;
      stan
        .subscribe(run.channel(), stan.subscriptionOptions().setDeliverAllAvailable())
        .on("message", (message: StanMessage) => {
          run.log(`message ${++count}`, message.getData(), typeof message.getData(), message.getRawData());
        });
      await run.seen("message 2");
    });
  }

  same("takes acks that are too many or too late", async (run) => {
    const stan = await filled(run, ["one"]);
    const sub = all(run, stan, (options) => options.setManualAckMode(true));
    sub.on("message", (message: StanMessage) => {
      thrown(run, "ack", () => message.ack());
      thrown(run, "ack", () => message.ack());
      sub.close();
      thrown(run, "late ack", () => message.ack());
    });
    await run.seen("sub closed");
  });
});

describeWithServer("as 0.3.2, subscribing beyond limits", () => {
  const { same } = suite(serverForSuite({ args: ["-msu", "1"] }));

  same("emits error and unsubscribed with the words of the server", async (run) => {
    const stan = await run.open();
    run.follow(stan.subscribe(run.channel()), "first");
    await run.seen("first ready");
    run.follow(stan.subscribe(run.channel()), "second");
    await run.seen("second unsubscribed");
  });
});
