import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";

/**
 * @internal
 * The names of the channels that a call is about, in order: those that are named, and those that the source has and
 * that fit a pattern.
 * @throws BridgeError `NO_MONITOR` if the monitoring page is needed and was not given
 */
export async function channelsOf({ settings, monitor }: Ends): Promise<string[]> {
  const { channels = [">"] } = settings;
  const names = new Set(channels.filter((name) => !/(^|\.)[*>](\.|$)/.test(name)));
  const patterns = channels.filter((name) => !names.has(name)).map((name) => expressionOf(name));
  if (patterns.length > 0 && monitor === undefined) {
    const remedy = "Name the channels, or give the monitoring port of the streaming server as from.monitor.";
    throw new BridgeError("NO_MONITOR", undefined, "only the monitoring page tells which channels there are", remedy);
  }
  for (const name of patterns.length > 0 ? await monitor!.channelNames() : []) {
    if (patterns.some((pattern) => pattern.test(name))) names.add(name);
  }
  return [...names].sort();
}

function expressionOf(pattern: string): RegExp {
  const literal = (token: string): string => token.replace(/[$()*+?[\\\]^{|}]/g, "\\$&");
  const tokens = pattern.split(".").map((token) => (token === "*" ? "[^.]+" : token === ">" ? ".+" : literal(token)));
  return new RegExp(`^${tokens.join("\\.")}$`);
}
