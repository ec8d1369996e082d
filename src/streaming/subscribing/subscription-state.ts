import type { StreamingError } from "../errors.ts";
import type { Registration } from "../session/registration.ts";

/** Where a subscription is, with what that state needs. */
export type SubscriptionState =
  /** The client is not registered. */
  | { readonly name: "disconnected" }
  /** The client is registered. It asks the server for the subscription. */
  | { readonly name: "connected"; readonly registration: Registration }
  /** The server delivers. */
  | {
      readonly name: "subscribed";
      readonly registration: Registration;
      readonly resumed: boolean;
      readonly from: number | undefined;
    }
  | { readonly name: "closed"; readonly error: StreamingError | undefined };

/** The state without a registration. */
export const DISCONNECTED: SubscriptionState = { name: "disconnected" };
/** The state after an end without an error. */
export const CLOSED: SubscriptionState = { name: "closed", error: undefined };

/** The state of a subscription in place. */
export type InPlace = SubscriptionState & { name: "subscribed" };
