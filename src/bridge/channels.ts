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
  const isPattern = (name: string): boolean => /(^|\.)[*>](\.|$)/.test(name);
  const names = channels.filter((name) => !isPattern(name));
  const patterns = channels.filter(isPattern);
  if (patterns.length === 0) return [...new Set(names)].sort();
  if (monitor === undefined) {
    const remedy = "Name the channels, or give the monitoring port of the streaming server as from.monitor.";
    throw new BridgeError("NO_MONITOR", undefined, "only the monitoring page tells which channels there are", remedy);
  }
  const all = await monitor.channelNames();
  const fitting = all.filter((name) => patterns.some((pattern) => fits(name.split("."), pattern.split("."))));
  return [...new Set([...names, ...fitting])].sort();
}

function fits(name: readonly string[], pattern: readonly string[]): boolean {
  for (const [i, token] of pattern.entries()) {
    if (token === ">") return name.length > i;
    if (i >= name.length || (token !== "*" && token !== name[i])) return false;
  }
  return name.length === pattern.length;
}
