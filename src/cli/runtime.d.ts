// What the command line uses of the host, and nothing else of the library does.

interface WritableText {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(data: string | Uint8Array): boolean;
  on(event: "error", listener: (error: Error & { readonly code?: string }) => void): this;
}

interface Process {
  readonly argv: string[];
  readonly env: Record<string, string | undefined>;
  exitCode: number | undefined;
  readonly pid: number;
  readonly stdin: AsyncIterable<Uint8Array> & { readonly isTTY?: boolean };
  readonly stdout: WritableText;
  readonly stderr: WritableText;
  exit(code?: number): never;
  on(event: "SIGINT" | "SIGTERM", listener: () => void): void;
}

declare module "node:util" {
  export function parseArgs(config: {
    args: readonly string[];
    options: Readonly<Record<string, { type: "string" | "boolean"; short?: string }>>;
    allowPositionals: true;
  }): { values: Record<string, string | boolean | undefined>; positionals: string[] };
}

declare module "node:fs" {
  export function readFileSync(path: string | number, encoding: "utf8"): string;
  export function openSync(path: string, flags: "r"): number;
  export function createReadStream(path: string, options: { fd: number }): AsyncIterable<Uint8Array>;
  export function writeFileSync(path: string, data: string): void;
}

declare function btoa(bytes: string): string;
