import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { type Client, connect } from "../../src/index.ts";
import type { Random } from "../support/random.ts";
import type { RealServer } from "../support/server.ts";
import { type Entry, Ledger } from "./ledger.ts";
import { bounded, type Course, judge, type Load, type LoadOptions, pause, type Result } from "./load.ts";

/** What the process of a load is asked to do: to start it, or to call one of its methods. */
export type Request =
  | { readonly number: number; readonly call: "start"; readonly seed: number; readonly options: LoadOptions }
  | { readonly number: number; readonly call: "healed"; readonly what: string; readonly at: number }
  | { readonly number: number; readonly call: "recovered" | "ready" | "settle" | "leave" };

/** What it tells: what its ledger has taken down, and how a request has ended. */
export type Report =
  | { readonly entries: readonly Entry[] }
  | { readonly number: number; readonly value: unknown }
  | { readonly number: number; readonly error: string };

/** `number` is given later. */
type Unnumbered<T> = T extends unknown ? Omit<T, "number"> : never;

/**
 * A load in a process of its own, which can be made to stand still while the world goes on: here, another client
 * publishes to its channel, and the oracle takes down what it tells. Runs as compiled program only.
 */
export class RemoteLoad {
  readonly ledger: Ledger;
  readonly channel: string;
  readonly clientIds: Load["clientIds"];
  readonly #process: ChildProcess;
  readonly #calls: Calls;
  readonly #feeder: Client;
  readonly #feeding: Promise<void>;
  #publishing = true;

  private constructor(process: ChildProcess, calls: Calls, ledger: Ledger, names: Names, feeder: Client) {
    this.#process = process;
    this.#calls = calls;
    this.ledger = ledger;
    this.channel = names.channel;
    this.clientIds = names.clientIds;
    this.#feeder = feeder;
    this.#feeding = this.#feed();
  }

  static async start(random: Random, options: LoadOptions): Promise<RemoteLoad> {
    const ledger = new Ledger();
    const process = fork(join(__dirname, "child.js"), []);
    const calls = new Calls(process, (entry) => ledger.enter(entry));
    try {
      const names = await calls.make<Names>({ call: "start", seed: random.bits(), options });
      const [servers] = options.servers;
      const feeder = await connect({
        clusterId: "test-cluster",
        clientId: `${names.channel}-feeder`,
        servers,
        onStatus: () => undefined,
      });
      return new RemoteLoad(process, calls, ledger, names, feeder);
    } catch (error) {
      process.kill("SIGKILL");
      throw error;
    }
  }

  /** Its process stands still from now on. */
  pause(): void {
    this.#process.kill("SIGSTOP");
  }

  /** Its process goes on, which ends an outage. */
  resume(): void {
    const at = Date.now();
    this.#process.kill("SIGCONT");
    this.#calls.make({ call: "healed", what: "a freeze", at }).catch(() => undefined);
  }

  async recovered(): Promise<void> {
    await this.#calls.make({ call: "recovered" });
  }

  async ready(): Promise<void> {
    await this.#calls.make({ call: "ready" });
  }

  finish(server: RealServer): Promise<Result> {
    return judge(this, server);
  }

  async settle(): Promise<void> {
    this.#publishing = false;
    await this.#feeding;
    await this.#calls.make({ call: "settle" });
  }

  leave(): Promise<Course> {
    return this.#calls.make<Course>({ call: "leave" });
  }

  /** Ends everything, whatever state it is in. */
  async stop(): Promise<void> {
    this.#publishing = false;
    this.#process.kill("SIGKILL");
    await this.#calls.ended;
    await this.#feeder.close();
  }

  async #feed(): Promise<void> {
    for (let i = 1; this.#publishing; i++) {
      const id = `fed${i}`;
      this.ledger.note(id, "pending");
      await this.#feeder.publish(this.channel, `${id} `).then(
        () => this.ledger.note(id, "stored"),
        (error: unknown) => this.ledger.violation(`${id} was not published, with nothing in the way: ${String(error)}`),
      );
      await pause(5);
    }
  }
}

type Names = Pick<Load, "channel" | "clientIds">;

/** The requests that are under way, and their answers. */
class Calls {
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>;
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #made = 0;

  constructor(process: ChildProcess, entered: (entry: Entry) => void) {
    this.#process = process;
    process.on("message", (message) => {
      const report = message as Report;
      if ("entries" in report) return report.entries.forEach(entered);
      const call = this.#waiting.get(report.number);
      if ("error" in report) call?.reject(new Error(report.error));
      else call?.resolve(report.value);
    });
    this.ended = new Promise((resolve) => {
      process.once("exit", (code, signal) => {
        for (const call of this.#waiting.values()) call.reject(new Error(`its process has ended: ${signal ?? code}`));
        resolve();
      });
    });
  }

  /** Waits longer than what is asked waits, which says more when it waits in vain. */
  async make<T>(request: Unnumbered<Request>): Promise<T> {
    const number = ++this.#made;
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(number, { resolve, reject }));
    this.#process.send({ ...request, number });
    try {
      return (await bounded(`its process answers to "${request.call}"`, answer, 150_000, () => "")) as T;
    } finally {
      this.#waiting.delete(number);
    }
  }
}
