import { type ChildProcess, spawn } from "node:child_process";
import type { CopyOptions, CopyReport } from "../../src/bridge/index.ts";
import { until } from "../support/until.ts";
import { pause } from "./load.ts";

/** Runs the built bridge, and prints the report, or the error. */
const CODE = `
const [path, options] = process.argv.slice(1);
require(path).copy(JSON.parse(options)).then(
  (report) => console.log(JSON.stringify({ report })),
  ({ code, message }) => console.log(JSON.stringify({ error: { code, message } })),
);`;

/** What ends a bridge, and does not again once the servers are back. */
const PASSES = ["SOURCE_UNREACHABLE", "TARGET_UNREACHABLE", "NO_JETSTREAM", "NO_MONITOR", "BRIDGE_RUNS"];

/** How a process of the bridge has ended: undefined if it was killed. */
interface Outcome {
  readonly report?: CopyReport;
  readonly error?: { readonly code: string; readonly message: string };
}

/** A bridge in processes of its own, one after the other: whenever one is killed, or ends since a server is away. */
export class BridgeProcess {
  /** What has ended a process and should not have. */
  readonly problems: string[] = [];
  readonly #path: string;
  readonly #options: CopyOptions;
  #child: ChildProcess | undefined;
  #running = true;
  readonly #done: Promise<void>;

  /** `path` is that of the built bridge. */
  constructor(path: string, options: CopyOptions) {
    this.#path = path;
    this.#options = options;
    this.#done = this.#run();
  }

  /** kill -9. Another one is started. */
  kill(): void {
    this.#child?.kill("SIGKILL");
  }

  /** Ends it by kill -9. */
  async end(): Promise<void> {
    this.#running = false;
    this.kill();
    await this.#done;
  }

  async #run(): Promise<void> {
    while (this.#running) {
      const { report, error } = await this.#once({ ...this.#options, watch: true });
      const ended = error ?? report?.channels.find((channel) => channel.error !== undefined)?.error;
      if (ended !== undefined && !PASSES.includes(ended.code)) this.problems.push(`${ended.code}: ${ended.message}`);
      if (ended !== undefined) await pause(100);
    }
  }

  /** Copies once more, up to the ends of the channels. Resolves with the report. */
  async finish(): Promise<CopyReport> {
    let last: Outcome = {};
    return await until(
      `the last copy comes to its end: ${JSON.stringify(last)}`,
      async () => {
        last = await this.#once(this.#options);
        return last.report;
      },
      120_000,
    );
  }

  #once(options: CopyOptions): Promise<Outcome> {
    return new Promise((resolve) => {
      const stdio = ["ignore", "pipe", "inherit"] as const;
      const child = spawn(process.execPath, ["-e", CODE, this.#path, JSON.stringify(options)], { stdio });
      this.#child = child;
      let out = "";
      child.stdout!.setEncoding("utf8").on("data", (text) => (out += text));
      child.once("close", (code, signal) => {
        if (signal !== null) return resolve({});
        if (out === "") this.problems.push(`a bridge ended with the code ${code}, without a word`);
        resolve(out === "" ? {} : (JSON.parse(out) as Outcome));
      });
    });
  }
}
