import type { Resolution } from "./compile.ts";

/** A TypeScript that the packed types are tried under. */
export interface Compiler {
  readonly version: string;
  readonly resolutions: readonly Resolution[];
  /** A version of @types/node whose own declarations it understands. */
  readonly nodeTypes: string;
  /** Whether the language has `await using`: since 5.2. */
  readonly disposal: boolean;
}

/** From the least version that the documents name to the newest. */
export const compilers: readonly Compiler[] = [
  { version: "4.7.4", resolutions: ["node10", "node16", "nodenext"], nodeTypes: "20.11.0", disposal: false },
  { version: "4.9.5", resolutions: ["node10", "node16", "nodenext"], nodeTypes: "20.11.0", disposal: false },
  { version: "5.0.4", resolutions: ["node10", "node16", "nodenext", "bundler"], nodeTypes: "20.11.0", disposal: false },
  { version: "5.9.3", resolutions: ["node10", "node16", "nodenext", "bundler"], nodeTypes: "24.10.1", disposal: true },
  // It warns of node10 that it will go, which 7 does not know any more.
  { version: "6.0.3", resolutions: ["node16", "nodenext", "bundler"], nodeTypes: "24.10.1", disposal: true },
  { version: "7.0.2", resolutions: ["node16", "nodenext", "bundler"], nodeTypes: "24.10.1", disposal: true },
];
