import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { binaries, binaryPath } from "../test/support/binaries.ts";
import { ROUND_TIMEOUT } from "./client-process.ts";
import type { ClientProcess } from "./client-process.ts";
import type { ClientOptions, Memory, Outcome, Task } from "./task.ts";

/** How often the memory of the process is read. Milliseconds. */
const MEMORY_INTERVAL = 20;

/** Runs stan.go by its own benchmark: a process for each round, which counts the time of its work itself. */
export class StanBench implements ClientProcess {
  readonly #options: ClientOptions;
  #rounds = 0;
  #peak = 0;
  #process: ChildProcess | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  async run(task: Task): Promise<Outcome> {
    const { url, clusterId } = this.#options;
    const args = ["-s", url, "-c", clusterId, "-id", `stan-bench-${this.#rounds++}`];
    args.push("-n", String(task.messages), "-ms", String(task.size), "-mpa", String(task.window));
    args.push(...flagsOf(task), task.channel);
    const { output, cpu } = await this.#spawn(args);
    // "Pub stats: 11,720 msgs/sec ~ 1.43 MB/sec" is of all publishers together, and "Sub stats" of all subscribers.
    // A line before these has the sum of both.
    const side = ["consume", "publish-and-consume", "serial-publishers"].includes(task.workload) ? "Sub" : "Pub";
    const rate = new RegExp(`^ *${side} stats: ([\\d,]+) msgs/sec`, "m").exec(output)?.[1];
    if (rate === undefined) throw new Error(`stan-bench ${args.join(" ")} says\n${output}`);
    return { messages: task.messages, seconds: task.messages / Number(rate.replaceAll(",", "")), cpu };
  }

  async end(): Promise<Memory> {
    return { peak: this.#peak };
  }

  kill(): void {
    this.#process?.kill("SIGTERM");
  }

  /** The shell prints the process ID and, since it waits for the process, the CPU time that the system counted. */
  #spawn(args: readonly string[]): Promise<{ output: string; cpu: number }> {
    const script = '"$@" & pid=$!; trap "kill $pid" TERM; echo "pid $pid"; wait $pid; status=$?; times; exit $status';
    const child = spawn("sh", ["-c", script, "sh", binaryPath(binaries.stanBench), ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    let output = "";
    let reading: Timer | undefined;
    child.stdout!.setEncoding("utf8").on("data", (text) => {
      output += text;
      const pid = /^pid (\d+)$/m.exec(output)?.[1];
      if (pid !== undefined) reading ??= setInterval(() => this.#readPeak(pid), MEMORY_INTERVAL);
    });
    child.stderr!.setEncoding("utf8").on("data", (text) => (output += text));
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => child.kill("SIGTERM"), ROUND_TIMEOUT);
      child.once("error", reject);
      child.once("close", (code) => {
        clearTimeout(late);
        clearInterval(reading);
        // The last line has the times of the shell's children, user and system: "0m0.140000s 0m0.040000s".
        const times = /(\d+)m([\d.]+)s (\d+)m([\d.]+)s\s*$/.exec(output);
        if (code !== 0 || times === null) {
          return reject(new Error(`stan-bench ${args.join(" ")} ended with ${code}\n${output}`));
        }
        const [userMinutes, user, systemMinutes, system] = times.slice(1).map(Number);
        resolve({ output, cpu: (60 * (userMinutes + systemMinutes) + user + system) * 1e6 });
      });
    });
  }

  #readPeak(pid: string): void {
    try {
      const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      this.#peak = Math.max(this.#peak, Number(peak ?? 0) * 1_024);
    } catch {
      // The process has ended, or the system has no /proc. Then there is no figure.
    }
  }
}

function flagsOf({ workload, publishers = 1 }: Task): string[] {
  switch (workload) {
    case "publish":
    case "publish-many":
      return ["-np", "1", "-ns", "0"];
    case "publish-serially":
      return ["-np", String(publishers), "-ns", "0", "-sync"];
    case "consume":
      return ["-np", "0", "-ns", "1"];
    case "publish-and-consume":
      return ["-np", "1", "-ns", "1", "-io"];
    case "serial-publishers":
      return ["-np", String(publishers), "-ns", "1", "-io", "-sync"];
    default:
      throw new Error(`stan-bench has no ${workload}`);
  }
}
