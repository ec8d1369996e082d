import { fork, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { binaries, binaryPath, installBinary } from "../test/support/binaries.ts";
import { npm } from "../test/support/packages.ts";
import { PEERS } from "./peers.ts";
import type { Memory, Outcome, Place, Task } from "./task.ts";
import type { Answer, Order } from "./worker.ts";

/** Who takes part, by the names that tables and results have for them. */
export type ContestantName = "ours" | "node-nats-streaming" | "stan.go" | "bare socket";

/** One client during one case. */
export interface Contestant {
  /** One round. Rejects if it fails, or takes longer than `PATIENCE`. */
  run(task: Task): Promise<Outcome>;
  /** Ends its process. */
  end(): Promise<Memory>;
  /** Ends its process whatever it is doing. */
  kill(): void;
}

interface Entry {
  readonly title: string;
  readonly enter: (place: Place) => Promise<Contestant>;
  /** Installs what it needs, where that is missing. Returns why it cannot take part. */
  readonly prepare: () => string | undefined;
}

/** A round that takes longer has failed. Milliseconds. */
const PATIENCE = 120_000;
/** How often the memory of a process is looked at. Milliseconds. */
const LOOK = 20;

const ourVersion = (JSON.parse(readFileSync("package.json", "utf8")) as { version: string }).version;
const peerVersions = (JSON.parse(readFileSync(join(PEERS, "package.json"), "utf8")) as { dependencies: Record<string, string> }).dependencies;
const always = (): undefined => undefined;

/** All who may take part. */
export const entries: Record<ContestantName, Entry> = {
  ours: { title: `nats-streaming-client ${ourVersion}`, enter: (place) => Worker.start("ours", place), prepare: always },
  "node-nats-streaming": {
    title: `node-nats-streaming ${peerVersions["node-nats-streaming"]}`,
    enter: (place) => Worker.start("node-nats-streaming", place),
    prepare: installPeers,
  },
  "stan.go": {
    title: `stan.go ${binaries.stanBench.version} (stan-bench)`,
    enter: async (place) => new StanBench(place),
    prepare() {
      const found = installBinary(binaries.stanBench);
      return "missing" in found ? found.missing : undefined;
    },
  },
  "bare socket": { title: "bare socket (the limit)", enter: (place) => Worker.start("bare-socket", place), prepare: always },
};

/** Installs the packages of bench/peers/package.json there, unless they are. Returns why it could not be done. */
function installPeers(): string | undefined {
  if (Object.keys(peerVersions).every((name) => existsSync(join(PEERS, "node_modules", name)))) return undefined;
  return npm(["install", "--no-package-lock", "--prefix", PEERS]);
}

/** A client in a Node process that lives for the whole case. */
class Worker implements Contestant {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  static async start(client: string, place: Place): Promise<Worker> {
    const worker = new Worker(fork(join(__dirname, "worker.js"), [client], { execArgv: ["--expose-gc"] }));
    await worker.#tell({ open: place });
    return worker;
  }

  async run(task: Task): Promise<Outcome> {
    return (await this.#tell({ run: task })) as Outcome;
  }

  async end(): Promise<Memory> {
    const memory = (await this.#tell({ close: true })) as Memory;
    this.#process.disconnect();
    return memory;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  #tell(order: Order): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => settle({ failed: `nothing after ${PATIENCE} ms: ${JSON.stringify(order)}` }), PATIENCE);
      const settle = (answer: Answer): void => {
        clearTimeout(late);
        this.#settle = () => undefined;
        if ("failed" in answer) reject(new Error(answer.failed));
        else resolve(answer.done);
      };
      if (this.#settle === undefined) {
        this.#process.on("message", (answer) => this.#settle!(answer as Answer));
        this.#process.once("exit", (code, signal) => this.#settle!({ failed: `the worker ended with ${signal ?? code}` }));
      }
      this.#settle = settle;
      this.#process.send(order);
    });
  }

  #settle: ((answer: Answer) => void) | undefined;
}

/** stan.go by its own benchmark: a process for each round, which counts the time of its work by itself. */
class StanBench implements Contestant {
  readonly #place: Place;
  #rounds = 0;
  #peak = 0;
  #process: ChildProcess | undefined;

  constructor(place: Place) {
    this.#place = place;
  }

  async run(task: Task): Promise<Outcome> {
    const { url, clusterId } = this.#place;
    const args = ["-s", url, "-c", clusterId, "-id", `stan-bench-${this.#rounds++}`];
    args.push("-n", String(task.messages), "-ms", String(task.size), "-mpa", String(task.window), ...flagsOf(task), task.channel);
    const { output, cpu } = await this.#spawn(args);
    // "Pub stats: 11,720 msgs/sec ~ 1.43 MB/sec", of all publishers together, or likewise for subscribers. A line before
    // these has the sum of both.
    const which = task.workload === "publish-and-consume" || task.workload === "serial-publishers" || task.workload === "consume" ? "Sub" : "Pub";
    const rate = new RegExp(`^ *${which} stats: ([\\d,]+) msgs/sec`, "m").exec(output)?.[1];
    if (rate === undefined) throw new Error(`stan-bench ${args.join(" ")} says\n${output}`);
    return { messages: task.messages, seconds: task.messages / Number(rate.replaceAll(",", "")), cpu };
  }

  async end(): Promise<Memory> {
    return { peak: this.#peak };
  }

  kill(): void {
    this.#process?.kill("SIGTERM");
  }

  /** The shell tells the process's number, and, since it waits for it, what CPU the system has put down to it. */
  #spawn(args: readonly string[]): Promise<{ output: string; cpu: number }> {
    const script = '"$@" & pid=$!; trap "kill $pid" TERM; echo "pid $pid"; wait $pid; status=$?; times; exit $status';
    const child = spawn("sh", ["-c", script, "sh", binaryPath(binaries.stanBench), ...args], { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    let output = "";
    let looking: Timer | undefined;
    child.stdout!.setEncoding("utf8").on("data", (text) => {
      output += text;
      const pid = /^pid (\d+)$/m.exec(output)?.[1];
      if (pid !== undefined) looking ??= setInterval(() => this.#look(pid), LOOK);
    });
    child.stderr!.setEncoding("utf8").on("data", (text) => (output += text));
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => child.kill("SIGTERM"), PATIENCE);
      child.once("error", reject);
      child.once("close", (code) => {
        clearTimeout(late);
        clearInterval(looking);
        // The last line is of the shell's children: "0m0.140000s 0m0.040000s", user and system.
        const times = /(\d+)m([\d.]+)s (\d+)m([\d.]+)s\s*$/.exec(output);
        if (code !== 0 || times === null) return reject(new Error(`stan-bench ${args.join(" ")} ended with ${code}\n${output}`));
        const [userMinutes, user, systemMinutes, system] = times.slice(1).map(Number) as [number, number, number, number];
        resolve({ output, cpu: (60 * (userMinutes + systemMinutes) + user + system) * 1e6 });
      });
    });
  }

  #look(pid: string): void {
    try {
      const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      this.#peak = Math.max(this.#peak, Number(peak ?? 0) * 1_024);
    } catch {
      // It has ended, or the system has no /proc: then there is no figure.
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
