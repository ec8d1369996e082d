import { NatsError } from "./errors.ts";

/**
 * What the text of an -ERR says.
 *
 * | kind | the server |
 * |---|---|
 * | `publish` | denied a publish to `subject` |
 * | `reply` | denied a publish whose reply subject is `subject` |
 * | `subscription` | denied a subscription to `subject` |
 * | `subscriptions` | refused a subscription: there are too many. It does not say which one |
 * | `other` | refused something else |
 * | `connection` | usually closes the connection behind it |
 */
export interface ServerError {
  readonly kind: "publish" | "reply" | "subscription" | "subscriptions" | "other" | "connection";
  /** "" where the text names none. */
  readonly subject: string;
  readonly error: NatsError;
}

const KINDS: ReadonlyMap<string, ServerError["kind"]> = new Map([
  ["publish to", "publish"],
  ["publish with reply of", "reply"],
  ["subscription to", "subscription"],
]);

const DENIED = /^permissions violation for (.+?) "((?:[^"\\]|\\.)*)"/i;
const TOO_MANY = /^maximum subscriptions exceeded/i;
const REFUSED = /^(permissions violation|invalid (publish )?subject|failed account registration)/i;
// A port for routes, gateways or leaf nodes lets no client in, now or later.
const UNAUTHORIZED =
  /^(authorization violation|(user|account) authentication (expired|revoked)|attempted to connect to)/i;
const MISUNDERSTOOD =
  /^(unknown protocol operation|maximum (control line|payload)|invalid client protocol|no responders requires)/i;

/** Reads the text of an -ERR. `label` is the server's. Never throws: a text that is unknown is of kind `connection`. */
export function readServerError(text: string, label: string): ServerError {
  const [, action, quoted] = DENIED.exec(text) ?? [];
  if (action !== undefined && quoted !== undefined) {
    const kind = KINDS.get(action.toLowerCase()) ?? "other";
    return { kind, subject: unquote(quoted), error: new NatsError("PERMISSIONS", text) };
  }
  if (TOO_MANY.test(text)) return { kind: "subscriptions", subject: "", error: new NatsError("SERVER", text) };
  if (REFUSED.test(text)) return { kind: "other", subject: "", error: new NatsError("SERVER", text) };
  return { kind: "connection", subject: "", error: new NatsError(codeOf(text), `${label}: ${text}`) };
}

function codeOf(text: string): NatsError["code"] {
  if (UNAUTHORIZED.test(text)) return "AUTHORIZATION";
  return MISUNDERSTOOD.test(text) ? "PROTOCOL" : "SERVER";
}

const ESCAPE = /\\(?:u([\da-f]{4})|U([\da-f]{8})|(.))/g;

/** Reads a text that the server, a Go program, quoted by `%q`. */
function unquote(quoted: string): string {
  return quoted.replace(ESCAPE, (_, short?: string, long?: string, character?: string) => {
    const code = parseInt(short ?? long ?? "", 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : (character ?? "");
  });
}
