import { authenticate } from "./auth.ts";
import type { Credentials } from "./auth.ts";
import type { ServerInfo } from "./info.ts";

/** The version in CONNECT: the package's. */
export const VERSION = "0.1.0";

// Why: docs/decisions.md#secrets-are-shown-nowhere
/**
 * Resolves with all fields of CONNECT. Nothing else of what is sent has the credentials. Rejects with a NatsError
 * `AUTHORIZATION` if the credentials cannot be used.
 */
export async function connectFields(
  name: string,
  credentials: Credentials | undefined,
  { headers, nonce }: ServerInfo,
  encrypted: boolean,
): Promise<Record<string, string | number | boolean>> {
  return {
    verbose: false,
    pedantic: false,
    tls_required: encrypted,
    name,
    lang: "typescript",
    version: VERSION,
    protocol: 1,
    echo: true,
    headers,
    // A server with headers answers a publish that nobody listens to with a 503 (NATS 2.2 and later).
    no_responders: headers,
    ...(await authenticate(credentials, nonce)),
  };
}
