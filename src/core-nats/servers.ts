import type { Credentials } from "./auth.ts";

/** One address to dial. It shows no credentials when it is printed, inspected or turned into JSON. */
export interface Server {
  /** A name or an IP address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** True: TLS is demanded, and no credentials may leave in clear. */
  readonly tls: boolean;
  /** The name that the certificate must have. A discovered IP address has the name of the server that listed it. */
  readonly servername: string;
  /** The credentials of its URL. A discovered server has those of the server that listed it. */
  readonly credentials?: Credentials | undefined;
  /** "host:port", for messages. */
  readonly label: string;
  /** Whether a server listed it (`connect_urls`). Else it was configured. */
  readonly discovered: boolean;
  /** How many dials in a row it did not answer soon. */
  silences: number;
}

const defaultUrl = "nats://127.0.0.1:4222";
const defaultPort = 4222;
const mostDiscovered = 100;
const mostListed = 1_000;

/** The pool of NATS servers. Configured ones stay; discovered ones come and go. */
export class Servers {
  readonly #configured: readonly Server[];
  #discovered = new Map<string, Server>();
  readonly #random: () => number;

  /**
   * @param urls One URL or several, in a list or with commas between them; by default nats://127.0.0.1:4222. A URL
   * is `host`, `host:port` or `[IPv6]:port`. `nats://` or `tls://` may precede it, and behind that `user:pass@` or
   * `token@`, percent-encoded. The default port is 4222.
   * @param tlsDemanded Demands TLS of every server. `tls://` demands it of one server and of those that it lists.
   * @param random Yields numbers from 0 up to 1, for the order of a round.
   * @throws TypeError that names a bad URL by its position among the URLs, and the rule. It quotes nothing of the
   * URL: what looks like the host may be part of a password.
   */
  constructor(urls: string | readonly string[] | undefined, tlsDemanded: boolean, random: () => number = Math.random) {
    const list = split(urls === undefined ? defaultUrl : urls);
    this.#configured = list.map((url, i) => parseUrl(url, tlsDemanded, `servers: URL ${i + 1} of ${list.length}`));
    this.#random = random;
  }

  // Why: docs/decisions.md#the-order-of-servers
  /**
   * Returns every server once, in the order to try them: the configured ones in a random order, then the discovered
   * ones in a random order. Servers that stayed silent come behind all others, the more often the further. `last`
   * is the server of the last connection. It comes first if it was well, and last if it ended the connection or
   * announced its end.
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
   * Takes over the addresses that the INFO of a connected server lists. It adds the new ones and drops discovered
   * ones that are not listed any more, but never `from` itself. Configured servers stay. An empty list, no list,
   * and bad entries change nothing. At most 100 discovered servers are kept, out of the first 1 000 entries.
   *
   * Where TLS is demanded, the INFO must have come over TLS: an address decides where credentials go.
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
  // Private: inspect() shows plain properties.
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
  // Servers list IP addresses, but the certificates are for the name that was configured.
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
  // Without this rule a password with a bare comma would be cut, and its second part would pass for a token and a host.
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

/** Reads "host", "host:port" or "[IPv6]:port". The host becomes as in URLs: lower case, IDNs in ASCII, short IPv6. */
function parseAddress(text: unknown): Address | undefined {
  if (typeof text !== "string" || text.length > 300) return undefined;
  const parts = /^(\[[\da-fA-F:.]+\]|[^\s\\/?#@:%[\]]+)(?::(\d{1,5}))?$/.exec(text);
  const port = Number(parts?.[2] ?? defaultPort);
  if (parts === null || port < 1 || port > 65_535) return undefined;
  try {
    // An http URL: the host of a URL with the scheme nats or tls would not be checked.
    const { hostname } = new URL(`http://${parts[1]}`);
    return { host: hostname.replace(/^\[|\]$/g, ""), port, label: `${hostname}:${port}` };
  } catch {
    return undefined;
  }
}

function isIp(host: string): boolean {
  return host.includes(":") || /^\d+\.\d+\.\d+\.\d+$/.test(host);
}

/** Removes the dot at the end of an absolute name: certificates and SNI have names without it. */
function nameOf(host: string): string {
  return host.replace(/\.$/, "");
}
