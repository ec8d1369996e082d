import type { StreamingError } from "../errors.ts";

/** What happens to a client: the part of `Status` that names no subscription. */
export type ClientStatus =
  | { type: "registered"; resumed: boolean }
  | { type: "disconnected"; error: StreamingError }
  | { type: "error"; error: StreamingError; subscription?: undefined }
  | { type: "closed" };
