import { NatsError } from "./errors.ts";

/** The server's default, taken where INFO gives no usable number. */
const DEFAULT_MAX_PAYLOAD = 1024 * 1024;

/** The largest `max_payload` that is believed: nats-server refuses to start with more. */
const LARGEST_MAX_PAYLOAD = 64 * 1024 * 1024;

/** What the library uses of a server's INFO. */
export interface ServerInfo {
  readonly headers: boolean;
  readonly maxPayload: number;
  readonly nonce: string | undefined;
  readonly tlsRequired: boolean;
  readonly tlsAvailable: boolean;
  readonly lameDuck: boolean;
  readonly connectUrls: unknown;
}

/** Takes fields of wrong kinds as if they were missing. Throws a `NatsError("PROTOCOL")` for what is no object. */
export function readInfo(json: string): ServerInfo {
  let fields: unknown;
  try {
    fields = JSON.parse(json);
  } catch {
    throw new NatsError("PROTOCOL", "the server's INFO is not JSON");
  }
  if (typeof fields !== "object" || fields === null) throw new NatsError("PROTOCOL", "the server's INFO is no object");
  const { headers, max_payload, nonce, tls_required, tls_available, ldm, connect_urls } = fields as Record<string, unknown>;
  const usable = typeof max_payload === "number" && max_payload > 0 && max_payload <= LARGEST_MAX_PAYLOAD;
  return {
    headers: headers === true,
    maxPayload: usable ? Math.floor(max_payload) : DEFAULT_MAX_PAYLOAD,
    nonce: typeof nonce === "string" ? nonce : undefined,
    tlsRequired: tls_required === true,
    tlsAvailable: tls_available === true,
    lameDuck: ldm === true,
    connectUrls: connect_urls,
  };
}
