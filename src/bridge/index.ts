export { copy } from "./copy.ts";
export type { CopyOptions, CopyProgress, CopyReport } from "./copy.ts";
export type { ChannelProgress } from "./channel-figures.ts";
export { BridgeError } from "./errors.ts";
export type { BridgeErrorCode } from "./errors.ts";
export type { BridgeOptions, ChannelMapping, Source, TargetServer } from "./options.ts";
export type { Phase } from "./stream.ts";
export { plan } from "./plan.ts";
export type { Plan, PlannedChannel, PlannedDurable, PlanNote } from "./plan.ts";
