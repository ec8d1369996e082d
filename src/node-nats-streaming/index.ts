export { type AckHandlerCallback, connect, Stan, version } from "./stan.ts";
export { Message } from "./message.ts";
export type { ClientOpts, StanOptions } from "./stan-options.ts";
export { Subscription } from "./subscription.ts";
export { NewSubscriptionOptions, StartPosition, type SubscriptionOptions } from "./subscription-options.ts";
