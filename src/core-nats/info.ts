import { NatsError } from "./errors.ts";

/** The server's default. It holds where INFO gives no usable number. */
const DEFAULT_MAX_PAYLOAD = 1024 * 1024;

/** A larger `max_payload` is not believed: nats-server refuses to start with more. */
const LARGEST_MAX_PAYLOAD = 64 * 1024 * 1024;

/** The fields of INFO that the library uses. */
export interface ServerInfo {
  /** The server takes headers (HPUB) and delivers them (HMSG). */
  readonly headers: boolean;
  /** The server has JetStream. Whether the account may use it, INFO does not say. */
  readonly jetstream: boolean;
  readonly version: string | undefined;
  readonly serverName: string | undefined;
  readonly cluster: string | undefined;
  /** The JetStream domain. */
  readonly domain: string | undefined;
  readonly maxPayload: number;
  readonly nonce: string | undefined;
  readonly tlsRequired: boolean;
  readonly tlsAvailable: boolean;
  readonly lameDuck: boolean;
  readonly connectUrls: unknown;
}

/** Reads an INFO. A field of a wrong type counts as missing. Throws a `NatsError("PROTOCOL")` if it is no object. */
export function readInfo(json: string): ServerInfo {
  let fields: unknown;
  try {
    fields = JSON.parse(json);
  } catch {
    throw new NatsError("PROTOCOL", "the server's INFO is not JSON");
  }
  if (typeof fields !== "object" || fields === null) throw new NatsError("PROTOCOL", "the server's INFO is no object");
  const info = fields as Record<string, unknown>;
  const { max_payload } = info;
  const usable = typeof max_payload === "number" && max_payload > 0 && max_payload <= LARGEST_MAX_PAYLOAD;
  return {
    headers: info["headers"] === true,
    jetstream: info["jetstream"] === true,
    version: textOf(info["version"]),
    serverName: textOf(info["server_name"]),
    cluster: textOf(info["cluster"]),
    domain: textOf(info["domain"]),
    maxPayload: usable ? Math.floor(max_payload) : DEFAULT_MAX_PAYLOAD,
    nonce: textOf(info["nonce"]),
    tlsRequired: info["tls_required"] === true,
    tlsAvailable: info["tls_available"] === true,
    lameDuck: info["ldm"] === true,
    connectUrls: info["connect_urls"],
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
