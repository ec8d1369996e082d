import { expect, onTestFinished, test } from "vitest";
import { connect, type StreamingError } from "../../src/index.ts";
import { fresh, optionsFor, proxyTo, Received, Statuses } from "../support/clients.ts";
import { textOf } from "../support/documents.ts";
import { knowsClient, subscriptionPages } from "../support/monitor.ts";
import { StreamingServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** The configuration that docs/guide.md recommends. */
const CONFIG = /```conf\n([^]*?)```/.exec(textOf("docs/guide.md"))![1]!;
const PERMISSIONS = [...CONFIG.matchAll(/^ {10}"(\S+)"/gm)].map((match) => match[1]!);
const USER = { user: "billing", pass: "billing's secret" };
/** A line of the configuration; some name the same subject for publishing and for subscribing. */
const LINES = CONFIG.split("\n").filter((line) => /^ {10}"/.test(line));

/** Makes use of all that a client can do. Resolves to what did not work. */
async function problemsWith(server: StreamingServer, inboxPrefix?: string): Promise<string[]> {
  const problems: string[] = [];
  const attempt = async (what: string, promise: Promise<unknown>): Promise<void> => {
    await promise.catch((error: unknown) => problems.push(`${what}: ${(error as StreamingError).code ?? "it did not happen"}`));
  };
  const soon = (what: string, check: () => Promise<boolean> | boolean): Promise<void> => attempt(what, until(what, check, 1_500));

  const proxy = await proxyTo(server);
  const clientId = fresh("client");
  const channel = fresh("channel");
  const statuses = new Statuses();
  const received = new Received();
  const client = await connect(optionsFor(proxy, { clientId, auth: USER, inboxPrefix, requestTimeout: 300, onStatus: statuses.onStatus })).catch(
    (error: unknown) => void problems.push(`connect: ${(error as StreamingError).code}`),
  );
  if (client === undefined) return problems;
  onTestFinished(() => client.close());

  await attempt("publish", client.publish(channel, "1"));
  const subscribing = client.subscribe(channel, received.handler, { durable: "durable", startAt: "first" });
  await attempt("subscribe", subscribing);
  const subscription = await subscribing.catch(() => undefined);
  if (subscription !== undefined) {
    await soon("receive", () => received.all.length > 0);
    await soon("acknowledge", async () => (await subscriptionPages(server, channel)).every((page) => page.pending_count === 0));
    proxy.cut();
    await soon("go on after an outage", () => statuses.of("registered").length > 1);
    // The server gives up a client that has answered none of three heartbeats, a second apart.
    await attempt("answer heartbeats", until("the server has given it up", async () => !(await knowsClient(server, clientId)), 4_500)
      .then(() => Promise.reject(new Error()), () => undefined));
    const closing = await client.subscribe(channel, () => undefined);
    await attempt("close a subscription", closing.close().then(async () => {
      if ((await closing.closed) !== undefined || (await subscriptionPages(server, channel)).length > 1) throw new Error();
    }));
    await attempt("unsubscribe", subscription.unsubscribe());
  }
  await client.close();
  await soon("take leave", async () => !(await knowsClient(server, clientId)));
  return problems;
}

function startWith(config: string): Promise<StreamingServer> {
  return StreamingServer.start({ config, args: ["-hbi", "1s", "-hbt", "1s", "-hbf", "2"] });
}

describeWithServer("a user with the permissions that the guide lists", () => {
  const server = forSuite(() => startWith(CONFIG));

  test("can do everything", async () => {
    expect(PERMISSIONS).toHaveLength(10);
    expect(await problemsWith(server())).toEqual([]);
  });

  test("can do everything with inboxes of its own, and without the inboxes of others", async () => {
    const own = CONFIG.replace(/(subscribe: \[\s+)"_INBOX\.>"/, '$1"_INBOX_billing.>"');
    expect(own).not.toBe(CONFIG);
    const server = await startWith(own);
    onTestFinished(() => server.stop());
    expect(await problemsWith(server, "_INBOX_billing")).toEqual([]);
  });

  test.each(LINES)("needs %s", async (line) => {
    const server = await startWith(CONFIG.replace(line, ""));
    onTestFinished(() => server.stop());
    expect(await problemsWith(server)).toEqual(["?"]);
  });
});
