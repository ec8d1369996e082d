import type { Credentials } from "./auth.ts";

/** One address to dial. Shows no credentials when printed, inspected or turned into JSON. */
export interface Server {
  /** A name or an IP address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** TLS is demanded: no credentials may leave in clear. */
  readonly tls: boolean;
  /** The name that the certificate must have. For a discovered IP address: that of the server that told of it. */
  readonly servername: string;
  /** Those of its URL; a discovered server has those of the server that told of it. */
  readonly credentials?: Credentials | undefined;
  /** "host:port", for messages. */
  readonly label: string;
  /** Told by a server (`connect_urls`), not configured. */
  readonly discovered: boolean;
  /** How often in a row it was dialled and did not answer soon. */
  silences: number;
}

const defaultUrl = "nats://127.0.0.1:4222";
const defaultPort = 4222;
const mostDiscovered = 100;
const mostListed = 1_000;

/** The pool of NATS servers: those configured, which stay, and those discovered, which come and go. */
export class Servers {
  readonly #configured: readonly Server[];
  #discovered = new Map<string, Server>();
  readonly #random: () => number;

  /**
   * @param urls One URL or several, in a list or with commas between them; by default nats://127.0.0.1:4222. A URL is
   * `host`, `host:port` or `[IPv6]:port`, or one of these after `nats://` or `tls://`, and then also after `user:pass@`
   * or `token@`, percent-encoded. The default port is 4222.
   * @param tlsDemanded Demands TLS of every server; `tls://` demands it of one and of those that it tells of.
   * @param random Yields numbers from 0 up to 1, for the order of a round.
   * @throws TypeError naming a bad URL by its place among the URLs, and the rule. Nothing of the URL is quoted: what
   * looks like its host may be part of a password.
   */
  constructor(urls: string | readonly string[] | undefined, tlsDemanded: boolean, random: () => number = Math.random) {
    const list = split(urls === undefined ? defaultUrl : urls);
    this.#configured = list.map((url, i) => parseUrl(url, tlsDemanded, `servers: URL ${i + 1} of ${list.length}`));
    this.#random = random;
  }

  // Why: docs/decisions.md#the-order-of-servers
  /**
   * Every server once, in the order to try them: those that were configured, then those that servers told of, each in a random
   * order; but those that stayed silent behind the others, the more often the further. `last`, the server of the last connection,
   * comes first if it was well, else (it ended or announced its end) at the end.
   */
  round(last?: Server, well = false): Server[] {
    const servers = [...this.#configured, ...this.#discovered.values()];
    for (let i = servers.length - 1; i > 0; i--) {
      const j = Math.floor(this.#random() * (i + 1));
      [servers[i], servers[j]] = [servers[j], servers[i]];
    }
    const place = (server: Server): number => {
      if (server.label === last?.label) return well ? -1 : Infinity;
      return 2 * server.silences + Number(server.discovered);
    };
    return servers.sort((a, b) => (place(a) < place(b) ? -1 : Number(place(a) > place(b))));
  }

  /**
   * Takes over what the INFO of a connected server says of its cluster: new addresses are added, discovered ones that
   * are not listed any more are dropped, but never `from` itself, and never a configured one. What is no list of
   * `host:port` (no list, an empty one, bad entries) changes nothing. At most 100 discovered servers are kept, out of
   * the first 1 000 entries.
   *
   * Where TLS is demanded, only an INFO that came over TLS may be given: an address decides where credentials go.
   */
  discovered(connectUrls: unknown, from: Server): void {
    if (!Array.isArray(connectUrls)) return;
    const entries: unknown[] = connectUrls.slice(0, mostListed);
    const addresses = entries.map(parseAddress).filter((address) => address !== undefined);
    if (addresses.length === 0) return;

    const servers = new Map<string, Server>();
    if (from.discovered) servers.set(from.label, from);
    for (const address of addresses) {
      if (servers.size === mostDiscovered) break;
      if (this.#configured.some((server) => server.label === address.label)) continue;
      servers.set(address.label, this.#discovered.get(address.label) ?? fromGossip(address, from));
    }
    this.#discovered = servers;
  }
}

interface Address {
  readonly host: string;
  readonly port: number;
  readonly label: string;
}

class PooledServer implements Server {
  readonly host: string;
  readonly port: number;
  readonly label: string;
  readonly tls: boolean;
  readonly servername: string;
  readonly discovered: boolean;
  silences = 0;
  // Not a plain property: inspect() would show it.
  readonly #credentials: Credentials | undefined;

  constructor(address: Address, rest: Pick<Server, "tls" | "servername" | "discovered" | "credentials">) {
    this.host = address.host;
    this.port = address.port;
    this.label = address.label;
    this.tls = rest.tls;
    this.servername = rest.servername;
    this.discovered = rest.discovered;
    this.#credentials = rest.credentials;
  }

  get credentials(): Credentials | undefined {
    return this.#credentials;
  }
}

function fromGossip(address: Address, from: Server): Server {
  // Servers tell of IP addresses, but certificates are made out to the name that was configured.
  const servername = isIp(address.host) && !isIp(from.servername) ? from.servername : nameOf(address.host);
  return new PooledServer(address, { tls: from.tls, servername, discovered: true, credentials: from.credentials });
}

function split(urls: unknown): unknown[] {
  const list: unknown = typeof urls === "string" ? [urls] : urls;
  if (!Array.isArray(list) || list.length === 0) {
    throw new TypeError("servers must be a URL or a list of URLs that is not empty");
  }
  return (list as unknown[]).flatMap((urls) => (typeof urls === "string" ? urls.split(",") : [urls]));
}

function parseUrl(url: unknown, tlsDemanded: boolean, where: string): Server {
  if (typeof url !== "string") throw new TypeError(`${where} must be a string`);
  const parts = /^(?:([^:/?#@]*):\/\/)?(?:([^/?#]*)@)?(.*?)\/?$/s.exec(url.trim());
  const scheme = parts?.[1]?.toLowerCase();
  const userinfo = parts?.[2];
  if (scheme !== undefined && scheme !== "nats" && scheme !== "tls") {
    throw new TypeError(`${where} must start with nats:// or tls://, or have no scheme`);
  }
  // Without this rule, a password with a bare comma would be cut, and its rest pass for a token and a host.
  if (scheme === undefined && userinfo !== undefined) {
    throw new TypeError(`${where} has credentials and must start with nats:// or tls://`);
  }
  const credentials = userinfo === undefined ? undefined : parseUserinfo(userinfo, where);
  const address = parseAddress(parts?.[3]);
  if (address === undefined) {
    throw new TypeError(
      `${where} must have a host, host:port or [IPv6]:port (port 1 to 65535) and nothing after it; ` +
        "in a user, password or token the characters , / ? # @ : % must be percent-encoded",
    );
  }
  return new PooledServer(address, {
    tls: tlsDemanded || scheme === "tls",
    servername: nameOf(address.host),
    discovered: false,
    credentials,
  });
}

function parseUserinfo(userinfo: string, where: string): Credentials {
  const colon = userinfo.indexOf(":");
  const user = unescaped(colon === -1 ? userinfo : userinfo.slice(0, colon));
  const pass = unescaped(colon === -1 ? "" : userinfo.slice(colon + 1));
  if (user === undefined || pass === undefined) {
    throw new TypeError(`${where} has credentials that are not percent-encoded UTF-8 (a bare % is written %25)`);
  }
  if (user === "") throw new TypeError(`${where} has an empty user or token before the @`);
  return colon === -1 ? { token: user } : { user, pass };
}

function unescaped(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** "host", "host:port" or "[IPv6]:port". The host comes out as URLs have it: lower case, IDNs in ASCII, short IPv6. */
function parseAddress(text: unknown): Address | undefined {
  if (typeof text !== "string" || text.length > 300) return undefined;
  const parts = /^(\[[\da-fA-F:.]+\]|[^\s\\/?#@:%[\]]+)(?::(\d{1,5}))?$/.exec(text);
  const port = Number(parts?.[2] ?? defaultPort);
  if (parts === null || port < 1 || port > 65_535) return undefined;
  try {
    // An http URL, because of the schemes that we know only such ones have their hosts checked.
    const { hostname } = new URL(`http://${parts[1]}`);
    return { host: hostname.replace(/^\[|\]$/g, ""), port, label: `${hostname}:${port}` };
  } catch {
    return undefined;
  }
}

function isIp(host: string): boolean {
  return host.includes(":") || /^\d+\.\d+\.\d+\.\d+$/.test(host);
}

/** Certificates and SNI have names without the dot that may end an absolute one. */
function nameOf(host: string): string {
  return host.replace(/\.$/, "");
}
