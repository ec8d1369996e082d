import { NatsError } from "./errors.ts";

/** The server's default. It holds where INFO gives no usable number. */
const DEFAULT_MAX_PAYLOAD = 1024 * 1024;

/** A larger `max_payload` is not believed: nats-server refuses to start with more. */
const LARGEST_MAX_PAYLOAD = 64 * 1024 * 1024;

/** The fields of INFO that the library uses. */
export interface ServerInfo {
  readonly headers: boolean;
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
  const { max_payload, nonce } = info;
  const usable = typeof max_payload === "number" && max_payload > 0 && max_payload <= LARGEST_MAX_PAYLOAD;
  return {
    headers: info["headers"] === true,
    maxPayload: usable ? Math.floor(max_payload) : DEFAULT_MAX_PAYLOAD,
    nonce: typeof nonce === "string" ? nonce : undefined,
    tlsRequired: info["tls_required"] === true,
    tlsAvailable: info["tls_available"] === true,
    lameDuck: info["ldm"] === true,
    connectUrls: info["connect_urls"],
  };
}
