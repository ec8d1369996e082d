import { main } from "../../src/cli/main.ts";

/** What a command has printed, and its exit code. */
export interface Told {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** What a command is run with, beside its arguments. */
export interface Around {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly terminal?: boolean;
  readonly signal?: AbortSignal;
  /** Standard input, in pieces, in place of `stdin`. */
  readonly pieces?: AsyncIterable<Uint8Array>;
  /** Gets what is printed, while it is. */
  readonly told?: { out: string; err: string };
}

/** Runs a command of the command line in this process. Files that it writes are added to `files`. */
export async function cli(
  args: readonly string[],
  around: Around = {},
  written: Record<string, string> = {},
): Promise<Told> {
  const {
    env = {},
    stdin = "",
    files = {},
    terminal,
    signal = new AbortController().signal,
    told = { out: "", err: "" },
  } = around;
  const decoder = new TextDecoder();
  const stream = (name: "out" | "err") => ({
    isTTY: terminal === true,
    columns: 80,
    write(data: string | Uint8Array) {
      told[name] += typeof data === "string" ? data : decoder.decode(data);
      return true;
    },
  });
  const text = (path: string): string => {
    if (path in files) return files[path]!;
    throw Object.assign(new Error(`ENOENT: no such file or directory, open '${path}'`), { code: "ENOENT" });
  };
  async function* bytes(content: string): AsyncGenerator<Uint8Array> {
    yield new TextEncoder().encode(content);
  }
  const code = await main({
    ...{
      args,
      env,
      signal,
      pid: process.pid,
      stdin: around.pieces ?? bytes(stdin),
      stdout: stream("out"),
      stderr: stream("err"),
    },
    readText: text,
    readBytes: (path) => bytes(text(path)),
    writeText: (path, content) => void (written[path] = content),
  });
  return { code, ...told };
}
