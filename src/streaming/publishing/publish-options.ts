import { isBytes } from "../../core-nats/text.ts";
import { bad, checkNames } from "../checks.ts";
import { checkSignal } from "../signal.ts";
import type { Signal } from "../signal.ts";

/** Options of `publish`. */
export interface PublishOptions {
  /**
   * Stored with the message and delivered as its `reply`, at most 1,024 characters. The server does nothing with it.
   * Default none.
   */
  reply?: string | undefined;
  /** Aborts the publish, which rejects: with `ABORTED` if it was not sent, with `UNCONFIRMED` if it was. */
  signal?: Signal | undefined;
}

/** What a source of `publishMany` yields: data, or data with a `reply` of its own. */
export type PublishItem =
  | string
  | Uint8Array
  | { readonly data: string | Uint8Array; readonly reply?: string | undefined };

/** Options of `publishMany`. `reply` is for every item that has none of its own. `signal` is for all items. */
export interface PublishManyOptions extends PublishOptions {
  /**
   * Called with each ack. `stored` is how many items are stored. `unbroken` is how many of these stand at the beginning
   * of the source without a gap: one could go on from there. What it throws is ignored. Default none.
   */
  onStored?: ((stored: number, unbroken: number) => void) | undefined;
}

/** @internal The names of the options of `publish`. */
export const PUBLISH_OPTIONS = ["reply", "signal"] as const;
/** @internal The names of the options of `publishMany`. */
export const PUBLISH_MANY_OPTIONS = ["reply", "signal", "onStored"] as const;
const PUBLISH_ITEM = ["data", "reply"];

/** @internal @throws TypeError */
export function checkPublishOptions(options: PublishOptions): void {
  checkNames("publish", PUBLISH_OPTIONS, options, "publish(subject, data, { reply })");
  const { reply, signal } = options;
  // The server stores and delivers the text. It is never a subject on the wire, so any text of this length is valid.
  if (reply !== undefined && (typeof reply !== "string" || reply.length > 1024)) {
    bad("reply", "must be a string of at most 1024 characters", reply);
  }
  checkSignal(signal);
}

/** @internal @throws TypeError */
export function checkPublishManyOptions(options: PublishManyOptions): void {
  checkNames("publishMany", PUBLISH_MANY_OPTIONS, options, "publishMany(subject, source, { onStored })");
  const { onStored, ...publishOptions } = options;
  checkPublishOptions(publishOptions);
  if (onStored !== undefined && typeof onStored !== "function") bad("onStored", "must be a function", onStored);
}

/** @internal @throws TypeError if the item has another property than `data` and `reply` */
export function checkPublishItem(item: { readonly data: unknown; readonly reply?: unknown }): void {
  checkNames("an item of publishMany", PUBLISH_ITEM, item, "{ data, reply }");
}

/** @internal @throws TypeError unless it is a string or a Uint8Array */
export function checkData(data: unknown): void {
  if (typeof data === "string" || isBytes(data)) return;
  const json = typeof data === "object" && data !== null ? " (JSON.stringify makes a string of an object)" : "";
  bad("data", `must be a string or a Uint8Array${json}`, data);
}
