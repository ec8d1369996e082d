import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import type { ClientOptions, Memory, Outcome, Task } from "./task.ts";
import type { Answer, Command } from "./worker.ts";

/** A round that takes longer has failed. Milliseconds. */
export const ROUND_TIMEOUT = 120_000;

/** The process of one client during one case. */
export interface ClientProcess {
  /** Runs one round. Rejects if the round fails, or takes longer than `ROUND_TIMEOUT`. */
  run(task: Task): Promise<Outcome>;
  /** Ends the process. */
  end(): Promise<Memory>;
  /** Ends the process whatever it is doing. */
  kill(): void;
}

/** A client in a Node process that lives for the whole case. */
export class WorkerProcess implements ClientProcess {
  readonly #process: ChildProcess;
  #settle: (answer: Answer) => void = () => undefined;

  private constructor(process: ChildProcess) {
    this.#process = process;
    process.on("message", (answer) => this.#settle(answer as Answer));
    process.once("exit", (code, signal) => this.#settle({ failed: `the worker ended with ${signal ?? code}` }));
  }

  static async start(client: string, options: ClientOptions): Promise<WorkerProcess> {
    const worker = new WorkerProcess(fork(join(__dirname, "worker.js"), [client], { execArgv: ["--expose-gc"] }));
    await worker.#send({ open: options });
    return worker;
  }

  async run(task: Task): Promise<Outcome> {
    return (await this.#send({ run: task })) as Outcome;
  }

  async end(): Promise<Memory> {
    const memory = (await this.#send({ close: true })) as Memory;
    this.#process.disconnect();
    return memory;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  #send(command: Command): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const failed = `nothing after ${ROUND_TIMEOUT} ms: ${JSON.stringify(command)}`;
      const late = setTimeout(() => settle({ failed }), ROUND_TIMEOUT);
      const settle = (answer: Answer): void => {
        clearTimeout(late);
        this.#settle = () => undefined;
        if ("failed" in answer) reject(new Error(answer.failed));
        else resolve(answer.done);
      };
      this.#settle = settle;
      this.#process.send(command);
    });
  }
}
