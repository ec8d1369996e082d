export { BridgeError } from "./errors.ts";
export type { BridgeErrorCode } from "./errors.ts";
export type { BridgeOptions, ChannelMapping, Source, TargetServer } from "./options.ts";
export type { Phase } from "./stream.ts";
