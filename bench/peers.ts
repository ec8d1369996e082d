import { join } from "node:path";

/** Where the packages of bench/peers/package.json are installed: they share neither package.json nor node_modules with this project. */
export const PEERS = join(process.cwd(), "bench", "peers");

/** Loads one of them; the caller answers for its type. */
export function peer<T>(name: string): T {
  return require(join(PEERS, "node_modules", name)) as T;
}
