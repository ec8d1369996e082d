// A service: one client, a publisher, two subscriptions, health for an orchestrator, and an orderly end.
//
//   node build/examples/service.js [options]
//
// `npm run programs` compiles it. It places an order every so many milliseconds, makes an invoice of each order, and
// logs each invoice. The client repairs itself, so nothing here restarts it; whatever restarts processes (Kubernetes,
// systemd) is needed only for a process that has died, or was refused at its start.
//
// SIGTERM: no new orders; handlers finish; what is under way is confirmed; then the process exits. It has DEADLINE for
// that, and a second signal ends it at once.
import { createServer } from "node:http";
import { connect } from "../src/index.ts";
import type { Client, Message, Status } from "../src/index.ts";
import { commandLine, wholeNumber } from "./command-line.ts";
import { onUnread } from "./terminal.ts";

const USAGE = `usage: service [options]

  --every N       places an order every N milliseconds; default 1000
  --port N        where it tells its health, by HTTP: /ready, and all else; default 8080
  --server URL    default nats://127.0.0.1:4222
  --cluster ID    default test-cluster`;

/** Below the 30 seconds that Kubernetes gives between SIGTERM and SIGKILL. Milliseconds. */
const DEADLINE = 20_000;

const { options } = commandLine(USAGE, { options: ["every", "port", "server", "cluster"] });
const every = wholeNumber("--every", options.every, 1_000, 1);
const port = wholeNumber("--port", options.port, 8080);

/** Aborted by the first signal. */
const stopping = new AbortController();

async function main(): Promise<void> {
  const client = await connect({
    clusterId: options.cluster ?? "test-cluster",
    // In Kubernetes HOSTNAME is the name of the pod: another one after each deployment, which is why positions are kept
    // for the group and not for this ID.
    clientId: `service-${(process.env["HOSTNAME"] ?? "local").replace(/[^\w-]/g, "-")}-${process.pid}`,
    servers: options.server,
    waitOnFirstConnect: true,
    signal: stopping.signal,
    onStatus: report,
  });
  const health = serveHealth(client);
  const group = { queue: "service", durable: "service", startAt: "first" } as const;
  await client.subscribe("orders", (order) => invoice(client, order), group);
  await client.subscribe("invoices", (message) => log("invoice", { text: message.text() }), group);
  const ordering = setInterval(() => void order(client), every);

  await told();
  clearInterval(ordering);
  const { unhandled, unconfirmed } = await client.drain({ timeout: DEADLINE });
  health.closeAllConnections();
  health.close();
  log("stopped", { unhandled: unhandled.length, unconfirmed });
}

/** Resolves when the process is told to stop. */
function told(): Promise<void> {
  const { signal } = stopping;
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve());
  });
}

function stop(): void {
  // Who insists does not want to wait for the rest.
  if (stopping.signal.aborted) process.exit(1);
  stopping.abort();
}

let orders = 0;

/** The publisher. Nobody waits for it, so it takes care of its own failures. */
async function order(client: Client): Promise<void> {
  const text = `order ${++orders} of ${process.pid}`;
  try {
    // The ID in `reply` tells a consumer that two messages are the same order, should it be stored twice.
    await client.publish("orders", text, { reply: `${process.pid}-${orders}` });
  } catch (error) {
    log("order-failed", { text, reason: reasonOf(error) });
  }
}

/**
 * When this resolves the order is acknowledged: only once the invoice is stored. When it rejects, the order comes
 * again.
 */
async function invoice(client: Client, order: Message): Promise<void> {
  await client.publish("invoices", `invoice for ${order.text()}`, { reply: order.reply });
}

/**
 * Ready: registered, and with both subscriptions in place. Alive: the process answers. An outage is no reason to
 * restart.
 */
function serveHealth(client: Client): ReturnType<typeof createServer> {
  const server = createServer((request, response) => {
    const well = request.url !== "/ready" || client.ready;
    response.writeHead(well ? 200 : 503, { "content-type": "text/plain" }).end(`${client.state}\n`);
  });
  server.on("error", (error) => log("health-failed", { reason: error.message }));
  server.listen(port, "0.0.0.0", () => log("health", { port: server.address().port }));
  return server;
}

/** One line of JSON for each thing that happens. */
function log(event: string, details: object): void {
  process.stdout.write(`${JSON.stringify({ event, ...details })}\n`);
}

function report(status: Status): void {
  switch (status.type) {
    case "disconnected":
    case "error":
      return log(status.type, { code: status.error.code, reason: status.error.message });
    case "gap": {
      const { subscription, from, to, reason } = status;
      return log("gap", { channel: subscription.subject, from, to, reason });
    }
    case "handler-failed":
      return log("handler-failed", { sequence: status.message.sequence, reason: reasonOf(status.error) });
    case "redelivered-often":
      return log(status.type, {
        sequence: status.message.sequence,
        deliveries: status.message.redeliveryCount + 1,
      });
    default:
      // News, and types that later versions may bring.
      return log(status.type, {});
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

process.on("SIGTERM", stop);
process.on("SIGINT", stop);
onUnread(() => stopping.abort());

main().catch((error: unknown) => {
  log("failed", { reason: reasonOf(error) });
  process.exit(1);
});
