import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** How to start a server process, and how to know that it serves. */
export interface DaemonOptions {
  readonly binary: string;
  readonly args: readonly string[];
  /** The text in its output that tells that it serves. */
  readonly ready: string;
}

const longestLog = 512 * 1024;
const readyTimeout = 30_000;
const stopTimeout = 10_000;

/** One server process, which may be ended and started again with the same arguments. */
export class Daemon {
  readonly options: DaemonOptions;
  #process: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #log = "";

  constructor(options: DaemonOptions) {
    this.options = options;
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error(`${this.options.binary} is not running`);
    return pid;
  }

  /** All that it has printed, over all its lives; of a lot, the latest. */
  get log(): string {
    return this.#log;
  }

  /** Starts the process and waits until it serves. Rejects with its output when it ends or is not ready in 30 s. */
  async start(): Promise<void> {
    if (this.#process !== undefined) throw new Error(`${this.options.binary} is running already`);
    const { binary, args, ready } = this.options;
    const child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    let said = "";
    let serves = false;
    const settled = new Promise<string | undefined>((resolve) => {
      const timer = setTimeout(() => resolve(`is not ready after ${readyTimeout} ms`), readyTimeout);
      const hear = (text: string): void => {
        this.#log = (this.#log + text).slice(-longestLog);
        if (serves) return;
        said += text;
        if (!said.includes(ready)) return;
        serves = true;
        clearTimeout(timer);
        resolve(undefined);
      };
      child.stdout!.setEncoding("utf8").on("data", hear);
      child.stderr!.setEncoding("utf8").on("data", hear);
      this.#exited = new Promise<void>((exited) => {
        const gone = (why: string): void => {
          clearTimeout(timer);
          guard("end", child.pid);
          this.#process = undefined;
          resolve(why);
          exited();
        };
        child.once("error", (error) => gone(`cannot be started: ${error.message}`));
        child.once("close", (code, signal) => gone(`ended with ${signal ?? `exit code ${code}`}`));
      });
    });
    guard("start", child.pid);
    const failure = await settled;
    if (failure === undefined) return;
    await this.stop("SIGKILL");
    throw new Error(`${binary} ${args.join(" ")} ${failure}\n${said.slice(-4_000)}`);
  }

  /** Ends the process, also a paused one, and waits until it is gone. Does nothing when it is gone already. */
  async stop(signal = "SIGTERM"): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    child.kill(signal);
    child.kill("SIGCONT");
    const late = setTimeout(() => child.kill("SIGKILL"), stopTimeout);
    await this.#exited;
    clearTimeout(late);
  }

  /** Whether a SIGSTOP has taken effect, on all of its threads: they run on for a moment. */
  get standsStill(): boolean {
    let states: string[];
    try {
      const tasks = `/proc/${this.pid}/task`;
      states = readdirSync(tasks).map((task) => /\) (.)/.exec(readFileSync(`${tasks}/${task}/stat`, "utf8"))![1]!);
    } catch {
      states = [spawnSync("ps", ["-o", "state=", "-p", String(this.pid)], { encoding: "utf8" }).stdout.trim()];
    }
    return states.every((state) => state.startsWith("T"));
  }

  /** Sends a signal to the running process. */
  signal(signal: string): void {
    process.kill(this.pid, signal);
  }
}

let guardian: ChildProcess | undefined;

/**
 * Tells the guardian of a server that started or ended. The guardian is a shell that reads from a pipe; when this
 * process is gone, however that came about, the pipe ends and the guardian kills the servers that are left. An exit
 * handler would not do: vitest ends its workers by signals.
 */
function guard(change: "start" | "end", pid: number | undefined): void {
  if (pid === undefined) return;
  if (guardian === undefined) {
    const script = `
      trap '' INT TERM HUP
      pids=' '
      while read -r change pid; do
        case $change in
          start) pids="$pids$pid " ;;
          end) pids="\${pids%% $pid *} \${pids#* $pid }" ;;
        esac
      done
      for pid in $pids; do kill -9 "$pid"; done`;
    guardian = spawn("sh", ["-c", script], { stdio: ["pipe", "ignore", "ignore"] });
    guardian.unref();
  }
  guardian.stdin!.write(`${change} ${pid}\n`);
}
