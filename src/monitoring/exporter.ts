import type { createServer, HttpServer, Outgoing } from "node:http";
import { now } from "../core-nats/clock.ts";
import { lagOf, lagOfOne, metricsText, metricsWhileDown } from "./lag-report.ts";
import type { Look } from "./lag-report.ts";
import type { Monitor } from "./monitor.ts";
import { positionsOf, Since } from "./positions.ts";

const JSON_TYPE = "application/json; charset=utf-8";
const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** @internal Serves the lag of all subscriptions by HTTP. Each request asks the monitoring page anew. */
export class Exporter {
  readonly #monitor: Monitor;
  readonly #channel: string | undefined;
  readonly #since = new Since();
  readonly #server: HttpServer;
  /** Requests that come at the same time share one look. */
  #looking: Promise<Look> | undefined;

  /** With a channel: it alone. `create` is `createServer` of the host. */
  constructor(monitor: Monitor, channel: string | undefined, create: typeof createServer) {
    this.#monitor = monitor;
    this.#channel = channel;
    this.#server = create(({ url, method }, response) => void this.#serve(method, url, response));
  }

  /** Resolves with the URL. */
  listen(port: number, host: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#server.on("error", reject);
      const name = host.includes(":") ? `[${host}]` : host;
      this.#server.listen(port, host, () => resolve(`http://${name}:${this.#server.address().port}`));
    });
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(resolve));
  }

  async #serve(method: string, url: string, response: Outgoing): Promise<void> {
    const answer = (status: number, type: string, text: string): void => {
      response.writeHead(status, { "content-type": type }).end(text);
    };
    const [path, query = ""] = url.split("?");
    if (method !== "GET" && method !== "HEAD") return answer(405, "text/plain", "only GET\n");
    if (!["/metrics", "/lag", "/healthz"].includes(path)) {
      return answer(404, "text/plain", "there are /metrics, /lag and /healthz\n");
    }
    try {
      const look = await (this.#looking ??= this.#look());
      if (path === "/metrics") return answer(200, PROMETHEUS_TYPE, metricsText(look, this.#since));
      if (path === "/healthz") return answer(200, "text/plain", "ok\n");
      const asked = query === "" ? lagOf(look) : lagOfOne(look, query);
      return answer("error" in asked ? 404 : 200, JSON_TYPE, `${JSON.stringify(asked)}\n`);
    } catch (error) {
      // Prometheus is to get an answer, so that an alert can be set on it; a scaler is to get none to act on.
      if (path === "/metrics") return answer(200, PROMETHEUS_TYPE, metricsWhileDown());
      answer(503, JSON_TYPE, `${JSON.stringify({ error: (error as Error).message })}\n`);
    }
  }

  async #look(): Promise<Look> {
    try {
      const channel = this.#channel;
      const found = channel === undefined ? this.#monitor.channels() : this.#monitor.channel(channel);
      const [server, pages] = await Promise.all([this.#monitor.server(), found]);
      const channels = [pages].flat().filter((page) => page !== undefined);
      const positions = channels.flatMap(positionsOf);
      this.#since.watch(positions, now());
      return { server, channels, positions };
    } finally {
      this.#looking = undefined;
    }
  }
}
