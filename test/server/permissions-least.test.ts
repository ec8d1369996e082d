import { expect, onTestFinished, test } from "vitest";
import { connect, StreamingError } from "../../src/index.ts";
import { fresh, optionsFor, proxyTo, Received, Statuses } from "../support/clients.ts";
import { textOf } from "../support/documents.ts";
import { knowsClient, subscriptionPages } from "../support/monitor.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** The configuration that docs/guide.md recommends. */
const CONFIG = /```conf\n([^]*?)```/.exec(textOf("docs/guide.md"))![1]!;
const USER = { user: "billing", pass: "billing's secret" };
/** One for each permission. */
const LINES = CONFIG.split("\n").filter((line) => /^ {10}"/.test(line));

interface Use {
  readonly inboxPrefix?: string;
  /** Also waits for as long as the server tolerates silence. */
  readonly heartbeats?: boolean;
}

/** Makes use of all that a client can do, up to the first thing that does not work; resolves to that. */
async function firstProblem(server: RealServer, { inboxPrefix, heartbeats }: Use = {}): Promise<string | undefined> {
  const proxy = await proxyTo(server);
  const clientId = fresh("client");
  const channel = fresh("channel");
  const statuses = new Statuses();
  const received = new Received();
  const soon = (check: () => Promise<boolean> | boolean): Promise<unknown> => until("it happens", check, 1_500);
  const own = { clientId, auth: USER, inboxPrefix };
  const options = optionsFor(proxy, { ...own, requestTimeout: 300, onStatus: statuses.onStatus });
  let step = "connect";
  try {
    const client = await connect(options);
    onTestFinished(() => client.close());
    step = "publish";
    await client.publish(channel, "1");
    step = "subscribe";
    const subscription = await client.subscribe(channel, received.handler, { durable: "durable", startAt: "first" });
    step = "receive";
    await soon(() => received.all.length > 0);
    step = "acknowledge";
    await soon(async () => (await subscriptionPages(server, channel)).every((page) => page.pending_count === 0));
    step = "go on after an outage";
    proxy.cut();
    await soon(() => statuses.of("registered").some(({ resumed }) => resumed));
    step = "close a subscription";
    const other = await client.subscribe(channel, () => undefined);
    await other.close();
    if ((await other.closed) !== undefined) throw await other.closed;
    step = "unsubscribe";
    await subscription.unsubscribe();
    if (heartbeats === true) {
      step = "answer heartbeats";
      // It gives up who has answered none of three, a second apart.
      await new Promise<void>((resolve) => setTimeout(resolve, 4_500));
      if (!(await knowsClient(server, clientId))) throw new Error();
    }
    step = "take leave";
    await client.close();
    await soon(async () => !(await knowsClient(server, clientId)));
    return undefined;
  } catch (error) {
    return `${step}: ${error instanceof StreamingError ? error.code : "it did not happen"}`;
  }
}

function startWith(config: string): Promise<RealServer> {
  return RealServer.start({ config, args: ["-hbi", "1s", "-hbt", "1s", "-hbf", "2"] });
}

/** Each line of the two lists, and what does not work without it. */
const NEEDED: readonly (readonly [string, string])[] = [
  ["_STAN.discover.test-cluster", "connect: NOT_PERMITTED"],
  ["_STAN.discover.test-cluster.pings", "go on after an outage: it did not happen"],
  ["_STAN.pub.test-cluster.>", "publish: NOT_PERMITTED"],
  ["_STAN.sub.test-cluster", "subscribe: NOT_PERMITTED"],
  ["_STAN.subclose.test-cluster", "close a subscription: NOT_PERMITTED"],
  ["_STAN.unsub.test-cluster", "unsubscribe: NOT_PERMITTED"],
  ["_STAN.close.test-cluster", "take leave: it did not happen"],
  ["_INBOX.>", "acknowledge: it did not happen"],
  ["_INBOX.>", "connect: NOT_PERMITTED"],
  ["_STAN.acks.>", "publish: NOT_PERMITTED"],
];

describeWithServer("a user with the permissions that the guide lists", () => {
  const server = forSuite(() => startWith(CONFIG));

  test("can do everything", async () => {
    expect(LINES.map((line) => /"(.*)"/.exec(line)![1])).toEqual(NEEDED.map(([permission]) => permission));
    expect(await firstProblem(server(), { heartbeats: true })).toBe(undefined);
  });

  test("can do everything with inboxes of its own, and without those of others", async () => {
    const own = CONFIG.replace(/(subscribe: \[\s+)"_INBOX\.>"/, '$1"_INBOX_billing.>"');
    expect(own).not.toBe(CONFIG);
    const server = await startWith(own);
    onTestFinished(() => server.stop());
    expect(await firstProblem(server, { inboxPrefix: "_INBOX_billing" })).toBe(undefined);
  });

  const cases = NEEDED.map(([permission, problem], i) => ({ permission, problem, i }));
  test.each(cases)("needs $permission", async ({ problem, i }) => {
    const server = await startWith(CONFIG.replace(LINES[i]!, ""));
    onTestFinished(() => server.stop());
    expect(await firstProblem(server)).toBe(problem);
  });
});
