import { describe, expect, test } from "vitest";
import { readDeadLetter } from "../../src/index.ts";
import { fresh, open, publishAll, read } from "../support/clients.ts";
import { Examples } from "../support/examples.ts";
import { channelPage, subscriptionPages } from "../support/monitor.ts";
import type { Program } from "../support/program.ts";
import { freePorts } from "../support/ports.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

const examples = new Examples();

describeWithServer("the examples", () => {
  const server = serverForSuite({ args: ["-mc", "0"] });
  const run = (name: string, ...args: string[]): Program => examples.run(name, [...args, "--server", server().url]);

  describe("pub and sub", () => {
    test("a text that is published is printed, by a subscriber that was there before", async () => {
      const channel = fresh("channel");
      const sub = run("sub", channel, "--count", "1");
      await until("it is subscribed", async () => (await subscriptionPages(server(), channel)).length === 1);
      expect(await run("pub", channel, "two of the blue ones").ended).toMatchObject({
        code: 0,
        out: "1 stored\n",
        err: "",
      });
      const { code, out } = await sub.ended;
      expect(code).toBe(0);
      expect(out).toMatch(/^#1 \d{4}-\d\d-\d\dT[\d:.]+Z two of the blue ones\n$/);
    });

    test("the lines of stdin are published, and a durable prints each once, over two runs", async () => {
      const channel = fresh("channel");
      const pub = run("pub", channel);
      pub.give("one\n\nthree: zwölf\nfour");
      expect(await pub.ended).toMatchObject({ code: 0, out: "4 stored\n", err: "" });
      const durable = ["--from", "first", "--durable", "printer", "--client", fresh("client"), "--count", "2"];
      const texts = (out: string): string[] =>
        [...out.matchAll(/^#\d+ \S+ (?:\(delivery \d+\) )?(.*)$/gm)].map((match) => match[1]!);
      expect(texts((await run("sub", channel, ...durable).ended).out)).toEqual(["one", ""]);
      expect(texts((await run("sub", channel, ...durable).ended).out)).toEqual(["three: zwölf", "four"]);
    });

    test("a signal ends the subscriber, which leaves nothing behind but what a durable is", async () => {
      const channel = fresh("channel");
      const sub = run("sub", channel, "--from", "first");
      await until("it is subscribed", async () => (await subscriptionPages(server(), channel)).length === 1);
      sub.kill("SIGINT");
      expect(await sub.ended).toMatchObject({ code: 0, out: "", err: "" });
      expect(await subscriptionPages(server(), channel)).toEqual([]);
    });

    test("wrong arguments are told, with code 1", async () => {
      expect(await run("pub").ended).toMatchObject({
        code: 1,
        err: expect.stringMatching(/^pub: CHANNEL is missing\nusage: pub /),
      });
      expect(await run("pub", "a channel", "x").ended).toMatchObject({
        code: 1,
        err: expect.stringMatching(/^pub: subject must/),
      });
      expect(await run("sub", "c", "--from", "yesterday").ended).toMatchObject({
        code: 1,
        err: expect.stringMatching(/^sub: startAt\.time/),
      });
    });
  });

  describe("workers", () => {
    test("do every job though one is killed, put an impossible one among the dead, and leave when told", async () => {
      const jobs = fresh("jobs");
      const client = await open(server());
      const pool = run("workers", "--jobs", jobs, "--ack-wait", "1", "--tries", "5");
      await pool.printed(/ready\n(.|\n)* ready\n/);
      const texts = Array.from({ length: 100 }, (_, i) => `job ${i}.`);
      texts[50] = "impossible";
      await publishAll(client, jobs, texts.slice(0, 60));
      await pool.printed(/did job 20\./);
      process.kill(Number(/^(\d+) did /m.exec(pool.out())![1]), "SIGKILL");
      await publishAll(client, jobs, texts.slice(60));
      await pool.printed(/worker \d+ died \(SIGKILL\)/);
      await until("all jobs are done", () =>
        texts.every((text) => text === "impossible" || pool.out().includes(` did ${text}\n`)),
      );
      await pool.printed(/gave up impossible/);
      const [dead] = await read(client, `${jobs}.dead`, 1);
      expect(dead!.text()).toBe("impossible");
      const reason = "this cannot be done";
      expect(readDeadLetter(dead!)).toMatchObject({ channel: jobs, sequence: 51, deliveries: 5, error: reason });
      // Not five times if the worker that was killed had it first.
      expect(pool.out()).toMatch(/^\d+ failed at impossible: this cannot be done$/m);

      // The third worker takes the place of the one that was killed; a signal before it is there would not be for it.
      await until("the third worker is ready", () => pool.out().split(" ready\n").length - 1 === 3);
      pool.kill("SIGTERM");
      const { code, out, err } = await pool.ended;
      expect(code).toBe(0);
      expect(err).toBe("");
      // One of them may count the impossible one: it failed there first, and then came again to the other.
      expect(out.match(/left, with [01] jobs for the others/g)).toHaveLength(2);
      // The server still takes the one that was killed for alive, and has given its jobs to the others all the same.
      expect((await subscriptionPages(server(), jobs)).map((page) => page.pending_count)).toEqual([0]);
    });
  });

  describe("orders", () => {
    const told = (...texts: string[]): RegExp => new RegExp(texts.map((text) => `^${text}$`).join("[^]*"), "m");

    test("are sent in the order of each customer, through retries; the dead are replayed once", async () => {
      const orders = fresh("orders");
      const client = await open(server());
      await publishAll(client, orders, ["ann a unicorn", "ann apples", "bob pears", "!"]);
      const failing = ["--orders", orders, "--backoff", "10,50", "--tries", "3"];

      const first = run("orders", ...failing);
      await first.printed(/sent #2 ann apples/);
      expect(first.out().match(/failed #1: no unicorns in stock/g)).toHaveLength(3);
      const lines = ["failed #1: .*", "sent #3 bob pears", "gave up #1 after 3: .*", "sent #2 ann apples"];
      expect(first.out()).toMatch(told(...lines));
      await first.printed(/gave up #4 after 1: no customer/);
      first.kill("SIGTERM");
      expect(await first.ended).toMatchObject({ code: 0, err: "" });
      expect(first.out()).toMatch(/\nstopped, with 0 orders for the next time\n$/);

      // One at a time.
      const replay = (): Program["ended"] => run("orders", "replay", "--most", "1", "--orders", orders).ended;
      const one = { code: 0, err: "", out: expect.stringMatching(/^replayed #[14], .*\n1 replayed\n$/) as string };
      expect([await replay(), await replay()]).toMatchObject([one, one]);
      expect(await replay()).toMatchObject({ code: 0, err: "", out: "0 replayed\n" });

      const second = run("orders", "--unicorns", ...failing);
      await second.printed(/sent #[56] ann a unicorn/);
      await second.printed(/gave up #[56] after 1: no customer/);
      expect(second.out()).not.toMatch(/#[1-4] /);
      second.kill("SIGINT");
      expect(await second.ended).toMatchObject({ code: 0, err: "" });
    });

    test("that wait for a retry are left for the next time", async () => {
      const orders = fresh("orders");
      await publishAll(await open(server()), orders, ["ann a unicorn", "ann apples"]);
      const waiting = run("orders", "--orders", orders, "--backoff", "60000");
      await waiting.printed(/failed #1/);
      waiting.kill("SIGTERM");
      const { code, out } = await waiting.ended;
      expect({ code, out }).toEqual({
        code: 0,
        out: expect.stringMatching(/\nstopped, with 2 orders for the next time\n$/) as string,
      });
      const next = run("orders", "--orders", orders, "--unicorns");
      await next.printed(/sent #1 ann a unicorn\nsent #2 ann apples/);
      next.kill("SIGTERM");
      expect((await next.ended).code).toBe(0);
    });
  });

  describe("the service", () => {
    interface Line {
      readonly event: string;
      readonly [detail: string]: unknown;
    }
    const linesOf = (service: Program): Line[] =>
      service
        .out()
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Line);
    const health = async (service: Program, path: string): Promise<string> => {
      const { port } = linesOf(service).find(({ event }) => event === "health")!;
      const response = await fetch(`http://127.0.0.1:${String(port)}/${path}`);
      return `${response.status} ${await response.text()}`;
    };

    test("makes an invoice of every order, is ready meanwhile, and leaves nothing undone when told", async () => {
      const service = run("service", "--every", "5", "--port", "0");
      await until(
        "ten invoices are made",
        () => linesOf(service).filter(({ event }) => event === "invoice").length >= 10,
      );
      expect(await health(service, "ready")).toBe("200 registered\n");
      service.kill("SIGTERM");
      const { code, err } = await service.ended;
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(linesOf(service).at(-1)).toEqual({
        event: "stopped",
        unhandled: expect.any(Number) as number,
        unconfirmed: 0,
      });

      // Every order that is stored has its invoice, but for those that were left to the next one.
      const orders = (await channelPage(server(), "orders"))!.msgs;
      const invoices = (await channelPage(server(), "invoices"))!.msgs;
      const pending = (await subscriptionPages(server(), "orders"))[0]!.pending_count;
      expect(invoices).toBe(orders - pending);
    });

    test("waits for a server that is not there, alive and told so, until it is stopped", async () => {
      const [port] = await freePorts(1);
      const service = examples.run("service", ["--server", `nats://127.0.0.1:${port}`]);
      await service.printed(/"code":"CONNECT_FAILED"/);
      service.kill("SIGTERM");
      const { code } = await service.ended;
      expect(code).toBe(1);
      expect(linesOf(service).at(-1)).toMatchObject({
        event: "failed",
        reason: expect.stringContaining("aborted") as string,
      });
    });
  });
});
