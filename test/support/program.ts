import { spawn } from "node:child_process";
import { onTestFinished } from "vitest";
import { until } from "./until.ts";

/** How a program has ended, and all that it has printed. */
export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
}

/** A program that runs under Node in a process of its own, until the test ends at the latest. */
export interface Program {
  readonly pid: number;
  /** What it has printed so far. */
  out(): string;
  err(): string;
  /** Waits until it has printed such a text, and returns all that it has printed. */
  printed(pattern: RegExp): Promise<string>;
  /** Gives it the whole of its stdin. */
  give(text: string): void;
  /** Reads its stdout no more: what it prints from now on fails with EPIPE. */
  leave(): void;
  kill(signal: string): void;
  /** Resolves when it has ended. */
  readonly ended: Promise<Ended>;
}

/** Starts a compiled program. What it inherits of the environment is overridden by `env`. */
export function start(
  file: string,
  args: readonly string[] = [],
  env: Record<string, string | undefined> = {},
): Program {
  const stdio = ["pipe", "pipe", "pipe"] as const;
  const child = spawn(process.execPath, [file, ...args], { env: { ...process.env, ...env }, stdio });
  let out = "";
  let err = "";
  let over = false;
  child.stdout!.setEncoding("utf8").on("data", (text) => (out += text));
  child.stderr!.setEncoding("utf8").on("data", (text) => (err += text));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      over = true;
      resolve({ code, signal, out, err });
    });
  });
  onTestFinished(async () => {
    if (!over) child.kill("SIGKILL");
    await ended;
  });
  return {
    pid: child.pid!,
    out: () => out,
    err: () => err,
    async printed(pattern) {
      const seen = () => (over && !pattern.test(out) ? "ended" : pattern.test(out));
      if ((await until(`${file} prints ${pattern.source}`, seen)) === "ended") {
        throw new Error(`${file} ended without printing ${pattern.source}: ${out}${err}`);
      }
      return out;
    },
    give(text) {
      child.stdin!.write(text);
      child.stdin!.end();
    },
    leave: () => void child.stdout!.destroy(),
    kill: (signal) => void child.kill(signal),
    ended,
  };
}
