import { createServer } from "node:http";
import type { HttpServer, Outgoing } from "node:http";

/** Serves a page with three graphs on 127.0.0.1, and sends the rates of each second to it by server-sent events. */
export class Page {
  readonly #server: HttpServer;
  readonly #watching = new Set<Outgoing>();

  private constructor() {
    this.#server = createServer((request, response) => {
      if (request.url === "/events") this.#watch(response);
      else if (request.url === "/") response.writeHead(200, HEADERS).end(PAGE);
      else response.writeHead(404, {}).end();
    });
  }

  /** Port 0 is a free one. */
  static start(port: number): Promise<Page> {
    const page = new Page();
    return new Promise((resolve, reject) => {
      page.#server.on("error", reject);
      page.#server.listen(port, "127.0.0.1", () => resolve(page));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.address().port}/`;
  }

  /** Sends the rates of the last second to every open page. */
  show(rates: { readonly [name: string]: number }): void {
    for (const response of this.#watching) response.write(`data: ${JSON.stringify(rates)}\n\n`);
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }

  #watch(response: Outgoing): void {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    response.write("retry: 1000\n\n");
    this.#watching.add(response);
    response.on("close", () => this.#watching.delete(response));
  }
}

const HEADERS = {
  "Content-Type": "text/html; charset=utf-8",
  "Content-Security-Policy":
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'",
};

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>nats-streaming-client, live</title>
<style>
  :root { color-scheme: light dark; }
  :root { --ink: #24292f; --faint: #6e7781; --line: #d0d7de; --curve: #0969da; --paper: #fff; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e6edf3; --faint: #8b949e; --line: #30363d; --curve: #4493f8; --paper: #0d1117; }
  }
  body { max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem; font: 16px system-ui, sans-serif; }
  body { color: var(--ink); background: var(--paper); }
  h1 { font-size: 1.1rem; } #state, small { color: var(--faint); font-weight: 400; }
  h2 { font-size: 1rem; margin: 1.2rem 0 .3rem; } output { float: right; font-variant-numeric: tabular-nums; }
  svg { display: block; width: 100%; height: 9rem; border: 1px solid var(--line); }
  polyline { fill: none; stroke: var(--curve); stroke-width: 2; vector-effect: non-scaling-stroke; }
  path { stroke: var(--line); vector-effect: non-scaling-stroke; }
  .scale { display: flex; justify-content: space-between; color: var(--faint); font-size: .8rem; }
</style>
<h1>nats-streaming-client <span id="state">connecting</span></h1>
<main></main>
<script>
  const SECONDS = 120;
  const graphs = { pubd: "published and stored", recvd: "received", ackd: "acknowledged" };
  const counts = (value) => Math.round(value).toLocaleString("en");
  const main = document.querySelector("main");
  for (const [name, what] of Object.entries(graphs)) {
    const label = what + ' per second, the last two minutes';
    main.insertAdjacentHTML("beforeend",
      '<h2>' + name + ' <small>' + what + ', per second</small> <output id="' + name + '">–</output></h2>' +
      '<svg viewBox="0 0 ' + (SECONDS - 1) + ' 100" preserveAspectRatio="none" role="img" aria-label="' + label + '">' +
      '<path d="M0 25H' + SECONDS + 'M0 50H' + SECONDS + 'M0 75H' + SECONDS + '"/><polyline/></svg>' +
      '<div class="scale"><span>two minutes ago</span>' +
      '<span>full height: <span class="most">–</span></span><span>now</span></div>');
    graphs[name] = {
      values: [],
      output: document.getElementById(name),
      line: main.querySelector("svg:last-of-type polyline"),
      most: main.lastChild.querySelector(".most"),
    };
  }
  /** The next of 1, 2, 5, 10, 20, ... that is not below the value. */
  function ceiling(value) {
    const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
    return [1, 2, 5, 10].find((step) => step * power >= value) * power;
  }
  const state = document.getElementById("state");
  const events = new EventSource("/events");
  events.onopen = () => (state.textContent = "live");
  events.onerror = () => (state.textContent = "the program does not answer");
  events.onmessage = ({ data }) => {
    for (const [name, value] of Object.entries(JSON.parse(data))) {
      const { values, output, line, most } = graphs[name];
      values.push(value);
      if (values.length > SECONDS) values.shift();
      const top = ceiling(Math.max(...values));
      const left = SECONDS - values.length;
      line.setAttribute("points", values.map((one, i) => (left + i) + "," + (98 - 96 * one / top)).join(" "));
      output.textContent = counts(value);
      most.textContent = counts(top);
    }
  };
</script>
</html>
`;
