import { join } from "node:path";

/** The packages of bench/peers/package.json are installed here, apart from the node_modules of this project. */
export const PEERS = join(process.cwd(), "bench", "peers");

/** Loads one of these packages. The caller answers for its type. */
export function peer<T>(name: string): T {
  return require(join(PEERS, "node_modules", name)) as T;
}
