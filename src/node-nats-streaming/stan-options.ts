import type { TlsOptions as HostTlsOptions } from "node:tls";
import { builtin } from "../core-nats/builtin.ts";
import type { ConnectOptions, Credentials, TlsOptions } from "../index.ts";
import { NatsError } from "./errors.ts";
import { LARGEST_INT32 } from "./subscription-options.ts";

/** Taken, and without effect. */
type Unused = Partial<
  Record<"maxPingOut" | "pingInterval" | "yieldTime", number | undefined> & Record<"name", string | undefined> &
    Record<"noRandomize" | "pedantic" | "useOldRequestStyle" | "verbose", boolean | undefined>
>;

/** Options of a connection to a NATS server. Times are in milliseconds. */
export interface ClientOpts extends Unused {
  /** Nothing but "binary". */ encoding?: BufferEncoding | undefined;
  /** How often a lost link is dialled before the client closes. Default -1: for as long as it takes. */
  maxReconnectAttempts?: number | undefined;
  /** A user's public nkey, for `nonceSigner`. */ nkey?: string | undefined;
  /** Gets the nonce of the server as a Buffer, at every dial. Returns the 64 bytes of its signature, or a promise. */
  nonceSigner?: Function | undefined;
  /** The seed of an nkey, which never leaves the process. Not in node-nats-streaming. */ nkeySeed?: string | undefined;
  pass?: string | undefined;
  /** False: the client closes when the link is lost. Default true. */ reconnect?: boolean | undefined;
  reconnectDelayHandler?: (() => number) | undefined;
  /** How long to wait before a link is dialled again that was dialled in vain. Default: 50 doubling to 2 000. */
  reconnectTimeWait?: number | undefined;
  servers?: string[] | undefined;
  /** How long one dial may take. Default 5 000. */ timeout?: number | undefined;
  /** Not false: TLS is demanded. Certificates are always verified. */ tls?: boolean | HostTlsOptions | undefined;
  token?: string | undefined;
  tokenHandler?: Function | undefined;
  /** The URL of the server. Default nats://localhost:4222. */ url?: string | undefined;
  user?: string | undefined;
  /** The path of a credentials file. It is read at every dial. */ userCreds?: string | undefined;
  /** A user JWT, or a function that returns it at every dial. */ userJWT?: string | Function | undefined;
  /** True: waits for both servers. Default: "error" if there is none. */ waitOnFirstConnect?: boolean | undefined;
}

/** Options of `connect`. Times are in milliseconds. Unknown options have no effect. */
export interface StanOptions extends ClientOpts {
  /** How long one request to the streaming server may take. Default 2 000. */ connectTimeout?: number | undefined;
  /** How long a publish may take, until its ack. Default 30 000. */ ackTimeout?: number | undefined;
  /** What the subject of registrations starts with. Default "_STAN.discover". */ discoverPrefix?: string | undefined;
  /** Limit on the publishes that are sent and not yet acknowledged. More wait. Default 16 384. */
  maxPubAcksInflight?: number | undefined;
  /** "binary": `getData()` returns bytes. Else it returns text, read as UTF-8. Default "utf8". */
  stanEncoding?: string | undefined;
  /** After how many pings without an answer the session is verified. At least 2. Default 3. */
  stanMaxPingOut?: number | undefined;
  /** How often both servers are pinged, rounded up to seconds. Default 5 000. */ stanPingInterval?: number | undefined;
  nc?: unknown;
}

const DEFAULTS = {
  ackTimeout: 30_000,
  connectTimeout: 2_000,
  discoverPrefix: "_STAN.discover",
  maxPubAcksInflight: 16_384,
  maxReconnectAttempts: -1,
  stanEncoding: "utf8",
  stanMaxPingOut: 3,
  stanPingInterval: 5_000,
  url: "nats://localhost:4222",
};
/** The first name is the one that the option has in `stan.options`. Of several that are given, the last counts. */
const NAMES = (
  "ackTimeout connectTimeout discoverPrefix maxPubAcksInflight nc stanEncoding stanMaxPingOut stanPingInterval " +
  "encoding maxPingOut maxReconnectAttempts name,client nkey,nkeys nkeySeed noRandomize,dontRandomize,NoRandomize " +
  "nonceSigner,sig,sigCB,sigCallback,sigcb pass,password pedantic pingInterval reconnect " +
  "reconnectDelayHandler reconnectTimeWait servers,urls timeout tls,secure token tokenHandler " +
  "url,uri useOldRequestStyle user userCreds,credentials,usercreds userJWT,jwt,JWT,userjwt verbose " +
  "waitOnFirstConnect yieldTime"
).split(" ").map((names) => names.split(","));
const TLS_NAMES = ["ca", "cert", "key", "passphrase", "servername"];

/** The options under their own names and with the defaults, as programs read them in `stan.options`. */
export type ParsedOptions = StanOptions & typeof DEFAULTS;

/** @throws Error for what is not offered; it says what to do instead */
export function parseOptions(given: StanOptions | string | number | undefined): ParsedOptions {
  const options: ParsedOptions = { ...DEFAULTS };
  if (typeof given === "number") options.url = `nats://localhost:${given}`;
  if (typeof given === "string") options.url = withScheme(given) + (/:\d+$/.test(given) ? "" : ":4222");
  if (typeof given === "object" && given !== null) {
    const all = given as Readonly<Record<string, unknown>>;
    if (all["port"] !== undefined) options.url = `nats://localhost:${String(all["port"])}`;
    for (const names of NAMES) {
      for (const name of names) if (all[name] !== undefined) Object.assign(options, { [names[0]!]: all[name] });
    }
  }
  check(options);
  return options;
}

/** URLs need no scheme. */
function withScheme(url: string): string {
  return url.includes("://") ? url : `nats://${url}`;
}

function check(options: ParsedOptions): void {
  const { encoding = "binary", nc, user, token, tokenHandler, tls } = options;
  if (encoding !== "binary") throw new Error("stan: NATS connection encoding must be 'binary'.");
  for (const [wrong, text] of [
    [user && token, "User and Token can not both be provided"],
    [tokenHandler && typeof tokenHandler !== "function", "tokenHandler must be a function returning a token"],
    [tokenHandler && token, "token and tokenHandler cannot both be provided"],
  ]) if (wrong) throw new NatsError(String(text), "BAD_AUTHENTICATION");
  const { rejectUnauthorized, ...rest } = Object(tls) as HostTlsOptions;
  const other = Object.keys(rest).find((name) => !TLS_NAMES.includes(name));
  const authority = 'trust your own authority instead: tls: { ca: fs.readFileSync("ca.pem") }';
  for (const [wrong, what, instead] of [
    [nc !== undefined, "nc", "give url instead; each client has a NATS connection of its own"],
    [rejectUnauthorized === false, "rejectUnauthorized: false", authority],
    [other !== undefined, `tls.${other}`, `tls takes ${TLS_NAMES.join(", ")}`],
  ]) if (wrong) throw new Error(`stan: ${what} is not offered: ${instead}`);
}

/** The options as this client's `connect` takes them. */
export function connectOptionsOf(options: ParsedOptions): Omit<ConnectOptions, "clusterId" | "clientId"> {
  const { servers = [], url, timeout } = options;
  const { rejectUnauthorized: _, ...tls } = Object(options.tls) as TlsOptions & { rejectUnauthorized?: true };
  // 0.3.2 dials localhost as well if there are servers and no url.
  const urls = servers.length > 0 && url === DEFAULTS.url ? servers : [url, ...servers];
  return {
    servers: [...new Set(urls.map(withScheme))],
    auth: authOf(options),
    ...(options.tls ? { tls } : {}),
    ...(timeout ? { connectTimeout: timeoutOf(timeout) } : {}),
    requestTimeout: timeoutOf(options.connectTimeout),
    publishTimeout: timeoutOf(options.ackTimeout),
    maxPubAcksInFlight: Math.min(Math.max(1, Math.trunc(options.maxPubAcksInflight)), 2 ** 20),
    pingInterval: Math.max(1, Math.ceil(options.stanPingInterval / 1000)) * 1000,
    pingMaxOut: Math.min(Math.max(2, options.stanMaxPingOut), 1_000),
    waitOnFirstConnect: Boolean(options.waitOnFirstConnect),
    discoverPrefix: options.discoverPrefix,
  };
}

/** As in 0.3.2 it may be a text, and 0 is no limit. */
export const timeoutOf = (time: number): number => Math.min(Number(time) || LARGEST_INT32, LARGEST_INT32);

function authOf(options: ParsedOptions): ConnectOptions["auth"] {
  const { user, pass = "", token, tokenHandler, nkey, nkeySeed, nonceSigner, userCreds, userJWT } = options;
  if (userCreds !== undefined) return () => ({ creds: builtin.fs.readFileSync(userCreds, "utf8") });
  if (nonceSigner !== undefined) {
    const sign = async (nonce: Uint8Array): Promise<Uint8Array> => {
      const signature = (await nonceSigner(Buffer.from(nonce.buffer, nonce.byteOffset, nonce.length))) as Buffer;
      // As 0.3.2 sends it: the signature may be text already.
      return Buffer.from(signature.toString("base64"), "base64");
    };
    return async () => {
      const jwt = typeof userJWT === "function" ? ((await userJWT()) as string) : userJWT;
      return { sign, ...(nkey === undefined ? {} : { nkey }), ...(jwt === undefined ? {} : { jwt }) } as Credentials;
    };
  }
  if (tokenHandler !== undefined) return async () => ({ token: String(await (tokenHandler as () => unknown)()) });
  if (nkeySeed !== undefined) return { nkeySeed };
  if (token !== undefined) return { token };
  return user === undefined ? undefined : { user, pass };
}

/** How long to wait before a link is dialled that was dialled so many times already. */
export function reconnectDelay({ reconnectDelayHandler, reconnectTimeWait }: ParsedOptions, dials: number): number {
  if (dials === 0) return 0;
  const given = reconnectDelayHandler?.() ?? reconnectTimeWait;
  return given !== undefined ? Number(given) : Math.min(2_000, 50 * 2 ** (dials - 1)) * (0.75 + Math.random() / 2);
}
