import type { BridgeError } from "./errors.ts";

/**
 * @internal
 * Why a channel's copy stops sending, and what it does about it.
 *
 * - `again`: looks what the stream has, and sends the rest again
 * - `renew`: the same, and subscribes to the channel anew
 * - `wait`: the same as `again`, once some time has passed; the operator reads why
 * - `missing`: looks whether the channel has the next message, and fills the hole if it does not
 * - `level`: the end is reached
 * - `over`: the channel's copy ends
 */
export type Trouble =
  | { readonly kind: "again" | "renew" | "missing" | "level" }
  | { readonly kind: "wait"; readonly delay: number; readonly reason: string }
  | { readonly kind: "over"; readonly error: BridgeError };
