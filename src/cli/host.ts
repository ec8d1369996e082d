/** @internal What a command has of the process that runs it. Tests give their own. */
export interface Host {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly stdout: Pick<WritableText, "isTTY" | "columns" | "write">;
  readonly stderr: Pick<WritableText, "isTTY" | "columns" | "write">;
  readText(path: string): string;
  /** Throws at once if it cannot be opened. */
  readBytes(path: string): AsyncIterable<Uint8Array>;
  writeText(path: string, text: string): void;
  /** Aborted by Ctrl-C, by SIGTERM, and when nobody reads the output any more. */
  readonly signal: AbortSignal;
}

/** @internal The command line is wrong, or something that the command needs is missing. Exit code 2. */
export class UsageError extends Error {
  override get name(): string {
    return "UsageError";
  }
}

/** @internal The command did not do all that it was asked to, and says so in a sentence. Exit code 1. */
export class Failure extends Error {
  override get name(): string {
    return "Failure";
  }
}
