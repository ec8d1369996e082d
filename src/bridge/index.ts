export { copy } from "./copy.ts";
export type { CopyOptions } from "./copy.ts";
export type { ChannelProgress, CopyProgress, CopyReport } from "./copy-report.ts";
export { BridgeError } from "./errors.ts";
export type { BridgeErrorCode } from "./errors.ts";
export type { BridgeOptions, ChannelMapping, Source, TargetServer } from "./options.ts";
export type { Phase } from "./stream.ts";
