import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Client, connect, type Credentials, type TlsOptions } from "../../src/index.ts";
import * as facade from "../../src/node-nats-streaming/index.ts";
import { fresh, read } from "../support/clients.ts";
import { installPackage } from "../support/packages.ts";
import type { RealServer } from "../support/server.ts";
import { until } from "../support/until.ts";

/** What 0.3.2 and the layer export. */
export type Library = typeof facade;
/** Its types, under names that no others have. */
export type Stan = facade.Stan;
export type StanSubscription = facade.Subscription;
export type StanMessage = facade.Message;

/** The package that the layer stands in for, and how it is named in tests. */
export const REFERENCE = "node-nats-streaming@0.3.2";

const LIFECYCLE = ["connect", "disconnect", "reconnecting", "reconnect", "connection_lost", "error", "close"];
const SUBSCRIPTION = ["ready", "error", "timeout", "unsubscribed", "closed"];

/** One run of a program, and what it has seen. */
export class Run {
  readonly library: Library;
  readonly server: RealServer;
  readonly lines: string[] = [];
  readonly clientId = fresh("stan");
  readonly #names = new Map<string, string>();
  readonly #reader: () => Promise<Client>;
  readonly #opened: Stan[] = [];
  readonly #stops: (() => Promise<unknown>)[] = [];

  constructor(library: Library, server: RealServer, reader: () => Promise<Client>) {
    this.library = library;
    this.server = server;
    this.#reader = reader;
  }

  /** A channel of this run alone, which transcripts name by the short name. */
  channel(name = "orders"): string {
    const known = [...this.#names].find(([, short]) => short === name)?.[0];
    const channel = known ?? fresh(name);
    this.#names.set(channel, name);
    return channel;
  }

  log(what: string, ...values: unknown[]): void {
    this.lines.push(`${what}${values.map((value) => ` ${this.shown(value)}`).join("")}`);
  }

  /** Logs the events of a client. */
  watch(stan: Stan, name = "stan", events: readonly string[] = LIFECYCLE): Stan {
    for (const event of events) stan.on(event, (...args: unknown[]) => this.#event(`${name} ${event}`, args));
    this.#opened.push(stan);
    return stan;
  }

  /** Connects a client, with all its events logged. */
  connect(options: facade.StanOptions | string | number = {}, name = "stan", clientId = this.clientId): Stan {
    const url = this.server.url;
    const given = typeof options === "object" ? { url, ...options } : options;
    return this.watch(this.library.connect("test-cluster", clientId, given), name);
  }

  /** Connects, and waits until it is connected. */
  async open(options: facade.StanOptions = {}, name = "stan", clientId = this.clientId): Promise<Stan> {
    const stan = this.connect(options, name, clientId);
    await this.seen(`${name} connect`);
    return stan;
  }

  /** Logs the events of a subscription, and its messages' texts. */
  follow(subscription: StanSubscription, name = "sub", messages = true): StanSubscription {
    for (const event of SUBSCRIPTION)
      subscription.on(event, (...args: unknown[]) => this.#event(`${name} ${event}`, args));
    if (messages) subscription.on("message", (message: StanMessage) => this.log(`${name} message`, message.getData()));
    return subscription;
  }

  /** Publishes and waits for the callback. */
  publish(stan: Stan, channel: string, data?: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      stan.publish(channel, data, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Waits until such a line is there, or so many of them. */
  async seen(begin: string, count = 1, timeout = 20_000): Promise<void> {
    await until(`${count} times "${begin}" of ${this.lines.join(" | ")}`, () => this.count(begin) >= count, timeout);
  }

  count(begin: string): number {
    return this.lines.filter((line) => line === begin || line.startsWith(`${begin} `)).length;
  }

  /** Logs what a channel holds, as texts. */
  async stored(channel: string, show = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)): Promise<void> {
    const page = await this.server.monitor<{ msgs: number }>(`streaming/channelsz?channel=${channel}`);
    const messages = page === undefined ? [] : await read(await this.#reader(), channel, page.msgs);
    this.log("stored", ...messages.map(({ data }) => show(data)));
  }

  /** Stops something when the run has ended. Tests run side by side, which vitest's hooks do not tell apart. */
  stopping<T extends { stop(): Promise<void> }>(stoppable: T): T {
    this.#stops.push(() => stoppable.stop());
    return stoppable;
  }

  /** Ends all clients that are left, without a line. */
  async end(): Promise<void> {
    for (const stan of this.#opened) {
      stan.removeAllListeners();
      stan.on("error", () => undefined);
      stan.close();
      await until("it is closed", () => stan.isClosed(), 3_000).catch(() => undefined);
      stan.nc?.close();
    }
    for (const stop of this.#stops) await stop();
  }

  shown(value: unknown): string {
    if (value instanceof Error) {
      const { name, message, code } = value as Error & { code?: unknown };
      return `error(${this.#short(message)}${name === "NatsError" ? `, ${String(code)}` : ""})`;
    }
    if (typeof value === "string") return /^[0-9A-Z]{22}$/.test(value) ? "<guid>" : this.#short(value);
    if (ArrayBuffer.isView(value)) return `bytes(${Buffer.from(value as Uint8Array).toString("hex")})`;
    if (this.#opened.includes(value as Stan)) return "<stan>";
    return typeof value === "object" && value !== null ? this.#short(JSON.stringify(value)) : String(value);
  }

  /** 0.3.2 emits the answers of the server as bare texts: tested apart. */
  #event(what: string, args: readonly unknown[]): void {
    const isError = what.endsWith(" error") || what.endsWith("connection_lost");
    this.log(what, ...args.map((arg) => (isError && typeof arg === "string" ? new Error(arg) : arg)));
  }

  #short(text: string): string {
    let short = text
      .replaceAll(this.clientId, "<client>")
      .replaceAll(this.server.url, "<url>")
      .replaceAll(String(this.server.port), "<port>");
    for (const [channel, name] of this.#names) short = short.replaceAll(channel, name);
    return short;
  }
}

/** A program, and what it needs. */
export type Program = (run: Run) => Promise<void>;

let reference: Library | undefined;
let missing: string | undefined;

/**
 * Prepares the suite: installs 0.3.2, and returns what runs programs against the server. Whoever reads what they have
 * stored has these credentials and options of TLS.
 */
export function suite(server: () => RealServer, auth?: Credentials, tls?: TlsOptions): {
  same(title: string, program: Program, timeout?: number): void;
  differs(title: string, program: Program, theirs: readonly string[], ours: readonly string[], timeout?: number): void;
  alone(title: string, program: Program, ours: readonly string[]): void;
} {
  let client: Promise<Client> | undefined;
  beforeAll(() => {
    const found = installPackage(REFERENCE);
    if ("missing" in found) missing = found.missing;
    else reference = require(join(found.path, "node_modules", "node-nats-streaming")) as Library;
    if (missing !== undefined && process.env["CI"] === "true") throw new Error(missing);
  });
  afterAll(async () => (await client)?.close());
  const reader = (): Promise<Client> =>
    (client ??= connect({
      clusterId: "test-cluster",
      clientId: fresh("reader"),
      servers: server().url,
      auth,
      tls,
      onStatus: () => undefined,
    }));

  async function transcript(library: Library, program: Program): Promise<string[]> {
    const run = new Run(library, server(), reader);
    try {
      await program(run);
      return [...run.lines];
    } finally {
      await run.end();
    }
  }

  async function both(program: Program): Promise<[string[], string[]]> {
    const settled = await Promise.allSettled([transcript(reference!, program), transcript(facade, program)]);
    const [theirs, ours] = settled.map((result, i) => {
      if (result.status === "fulfilled") return result.value;
      throw new Error(`${i === 0 ? REFERENCE : "ours"}: ${String(result.reason)}`, { cause: result.reason });
    });
    expect(theirs!.length).toBeGreaterThan(0);
    return [theirs!, ours!];
  }

  return {
    /** What 0.3.2 and the layer do is equal. */
    same(title, program, timeout = 60_000) {
      test.concurrent(title, { timeout }, async ({ skip, expect }) => {
        if (missing !== undefined) return skip(missing);
        const [theirs, ours] = await both(program);
        expect(ours).toEqual(theirs);
      });
    },
    /** A fault of 0.3.2, and what happens here. */
    differs(title, program, theirs, ours, timeout = 60_000) {
      test.concurrent(title, { timeout }, async ({ skip, expect }) => {
        if (missing !== undefined) return skip(missing);
        const seen = await both(program);
        expect({ theirs: seen[0], ours: seen[1] }).toEqual({ theirs, ours });
      });
    },
    /** What happens here each time, and in 0.3.2 by chance. */
    alone(title, program, ours) {
      test.concurrent(title, { timeout: 60_000 }, async ({ expect }) => {
        expect(await transcript(facade, program)).toEqual(ours);
      });
    },
  };
}

/** Logs what a call throws, or that it throws nothing. */
export function thrown(run: Run, what: string, call: () => unknown): void {
  try {
    call();
    run.log(`${what} throws nothing`);
  } catch (error) {
    run.log(`${what} throws`, error);
  }
}
