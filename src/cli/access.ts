import { nuid } from "../core-nats/nuid.ts";
import { connect } from "../index.ts";
import type { Client, ConnectOptions, Status, TlsOptions } from "../index.ts";
import { Monitor } from "../monitoring/monitor.ts";
import { UsageError } from "./host.ts";
import type { Host } from "./host.ts";
import { reasonOf } from "./output.ts";
import type { Output } from "./output.ts";

/** @internal An option of a command. Without `value` it is a flag. */
export interface OptionDefinition {
  /** What its value is called in the help: "N", "FILE". */
  readonly value?: string;
  readonly help: string;
  readonly short?: string;
}

/** @internal The options of a command, by name. */
export type Options = Readonly<Record<string, OptionDefinition>>;

type AccessOption = OptionDefinition & { readonly of: readonly ("client" | "monitor")[] };

/** @internal The options by which a command reaches the servers. */
export const ACCESS_OPTIONS: Readonly<Record<string, AccessOption>> = {
  server: { of: ["client", "monitor"], value: "URL", short: "s", help: "default $NATS_URL, or nats://127.0.0.1:4222" },
  cluster: { of: ["client"], value: "ID", help: "the cluster ID; default test-cluster" },
  client: { of: ["client"], value: "ID", help: "the client ID; default one that nobody else has" },
  creds: { of: ["client"], value: "FILE", help: "a credentials file, - for standard input; default $NATS_CREDS" },
  nkey: { of: ["client"], value: "FILE", help: "a file with the seed of an nkey, - for standard input" },
  "tls-ca": { of: ["client"], value: "FILE", help: "demands TLS; PEM of the authorities to trust" },
  "tls-cert": { of: ["client"], value: "FILE", help: "PEM of the client's certificate; needs --tls-key" },
  "tls-key": { of: ["client"], value: "FILE", help: "PEM of its key" },
  "inbox-prefix": { of: ["client"], value: "TEXT", help: "default _INBOX" },
  monitor: { of: ["monitor"], value: "URL", help: "the monitoring port; default port 8222 of the server" },
};

/** @internal How a command reaches the servers. It alone reads the environment and files of credentials. */
export class Access {
  readonly #host: Host;
  readonly #command: string;
  readonly #text: (name: string) => string | undefined;

  constructor(host: Host, command: string, text: (name: string) => string | undefined) {
    this.#host = host;
    this.#command = command;
    this.#text = text;
  }

  /** The URLs of the NATS server, or undefined for the default. They may have a password: never print them. */
  get servers(): string | undefined {
    return this.#text(this.#command === "bridge" ? "from" : "server") ?? (this.#host.env["NATS_URL"] || undefined);
  }

  get clusterId(): string {
    return this.#text("cluster") ?? "test-cluster";
  }

  /** The client ID that was given. */
  get clientId(): string | undefined {
    return this.#text("client");
  }

  /** The options of `connect`. `clientId`: the one to use if none was given. */
  options(clientId = `${this.#command}-${nuid().slice(-8)}`): ConnectOptions {
    return {
      ...{ clusterId: this.clusterId, clientId: this.clientId ?? clientId, signal: this.#host.signal },
      ...{ servers: this.servers, auth: this.auth("creds", "nkey", "NATS_CREDS"), tls: this.tls() },
      inboxPrefix: this.#text("inbox-prefix"),
    };
  }

  /** A registered client, whose troubles are printed. `maxWaitingBytes`: as for `connect`. */
  client(output: Output | undefined, clientId?: string, maxWaitingBytes?: number): Promise<Client> {
    const onStatus = (status: Status): void => {
      if (status.type === "disconnected") output?.note(`disconnected, dials again: ${reasonOf(status.error)}`);
      if (status.type === "error" && status.subscription !== undefined) output?.warn(reasonOf(status.error));
    };
    return connect({ ...this.options(clientId), onStatus, maxWaitingBytes });
  }

  /** The credentials that these options, or the environment variable, name the file of. */
  auth(creds: string, nkey: string, variable?: string): ConnectOptions["auth"] {
    const file = this.#text(creds);
    const seed = this.#text(nkey);
    if (file !== undefined && seed !== undefined) throw new UsageError(`--${creds} and --${nkey} exclude each other`);
    if (seed !== undefined) return { nkeySeed: this.read(seed, nkey).trim() };
    const path = file ?? (variable === undefined ? undefined : this.#host.env[variable] || undefined);
    return path === undefined ? undefined : { creds: this.read(path, file === undefined ? variable! : creds) };
  }

  /** TLS, if one of its options is given. */
  tls(prefix = ""): TlsOptions | undefined {
    const [ca, cert, key] = ["tls-ca", "tls-cert", "tls-key"].map((option) => {
      const name = prefix + option;
      const path = this.#text(name);
      return path === undefined ? undefined : this.read(path, name);
    });
    return (ca ?? cert ?? key) === undefined ? undefined : { ca, cert, key };
  }

  /** The text of a file that an option names. */
  read(path: string, option: string): string {
    return this.open(path, option, this.#host.readText);
  }

  /** What `open` does with a file that an option names. */
  open<T>(path: string, option: string, open: (path: string) => T): T {
    try {
      return open(path);
    } catch (error) {
      const reason = reasonOf(error).replace(/^[A-Z]+: (.*?), \w+( '.*)?$/, "$1");
      throw new UsageError(`${option}: cannot use ${path}: ${reason}`);
    }
  }

  get monitor(): Monitor {
    const given = this.#text("monitor");
    if (given !== undefined && !/^https?:\/\/[^\s/@]+(\/|$)/.test(given)) {
      throw new UsageError("--monitor must be a URL with http:// or https://, and without credentials");
    }
    // The host of the first URL, behind what may be credentials.
    const host = /^(?:\w+:\/\/)?(?:[^/@,]*@)?(\[[^\]]*\]|[^:/,]+)/.exec(this.servers ?? "")?.[1] ?? "127.0.0.1";
    return new Monitor(given ?? `http://${host}:8222`, this.#host.signal);
  }
}
