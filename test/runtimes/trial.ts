import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { user, userSeed } from "../support/nkeys.ts";
import { Proxy } from "../support/proxy.ts";
import { RealServer } from "../support/server.ts";
import { install, pack, root } from "../support/tarball.ts";
import type { Runtime, Way } from "./runtimes.ts";

/** What the smoke suite checks, in its order; "exit": the program ends by itself, and well. */
export const checks = ["connect", "publish", "consume", "reconnect", "TLS", "testing", "exit"] as const;

/** What came of a run of the smoke suite. */
export interface Outcome {
  /** The checks that passed: all that the runtime can pass, or those before the one that failed. */
  readonly passed: readonly string[];
  /** What it printed, if not all of them passed. */
  readonly problem: string | undefined;
}

/** By which the smoke suite asks to have the link cut. */
const CUT = "cut!";

/** A run that takes longer has failed. Milliseconds. */
const TIMEOUT = 30_000;

const here = join(root, "test", "runtimes");
/** What runs there, in the runtimes: plain JavaScript. */
const scripts = readdirSync(here).filter((name) => /\.[mc]js$/.test(name));

/** A user's project with the packed library installed, and the servers that its programs talk to. */
export class Trial {
  readonly #folder: string;
  readonly #project: string;
  readonly #server: RealServer;
  readonly #proxy: Proxy;
  readonly #tlsServer: RealServer;
  #runs = 0;

  private constructor(
    folder: string,
    project: string,
    server: RealServer,
    proxy: Proxy,
    tlsServer: RealServer,
  ) {
    this.#folder = folder;
    this.#project = project;
    this.#server = server;
    this.#proxy = proxy;
    this.#tlsServer = tlsServer;
  }

  /** Packs the library, installs it, and starts the servers. */
  static async start(): Promise<Trial> {
    const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-runtimes-"));
    const project = join(folder, "project");
    install(pack(folder), project);
    for (const script of scripts) copyFileSync(join(here, script), join(project, script));
    mkdirSync(join(folder, "bundle"));
    // More than the load has under way, and not all that it leaves behind.
    const server = await RealServer.start({ args: ["-mm", "60000"] });
    return new Trial(folder, project, server, await Proxy.start(server.port), await startTls(folder));
  }

  /** Runs the smoke suite in a runtime. `bins` are the folders of its executables. Several may run at once. */
  async run(runtime: Runtime, way: Way, bins: readonly string[]): Promise<Outcome> {
    const command = runtime.command(way, this.#project, bins);
    const { said, printed, ending } = await this.#execute(`${runtime.name}-${way}`, command, this.#proxy.url);
    const passed = said.filter((line) => line !== CUT);
    if (ending === "" && passed.length > 0) passed.push("exit");
    const complete = checks.every((check) => passed.includes(check) !== (runtime.without ?? []).includes(check));
    return { passed, problem: complete ? undefined : `${printed}${ending}` };
  }

  /** Runs the load in a runtime, against the server itself. Returns what it says of it. Throws if it fails. */
  async load(runtime: Runtime, command: readonly string[]): Promise<string> {
    const { said, printed, ending } = await this.#execute(`${runtime.name}-load`, command, this.#server.url);
    if (ending !== "" || said.length !== 1) throw new Error(`${runtime.title}: the load failed\n${printed}${ending}`);
    return said[0]!;
  }

  /** Returns what was said to us, all that was printed, and why it did not end well, if so. */
  async #execute(
    runtime: string,
    command: readonly string[],
    url: string,
  ): Promise<{ said: readonly string[]; printed: string; ending: string }> {
    const name = `${runtime}-${++this.#runs}`.replaceAll(".", "-");
    const orders = {
      url,
      tlsUrl: `nats://localhost:${this.#tlsServer.port}`,
      ca: readFileSync(pem("ca"), "utf8"),
      nkeySeed: userSeed,
      clusterId: this.#server.clusterId,
      clientId: name,
      channel: name,
    };
    const [program, ...args] = command;
    const said: string[] = [];
    let printed = "";
    const ending = await new Promise<string>((resolve) => {
      const child = spawn(program!, args, {
        cwd: this.#project,
        env: { PATH: process.env["PATH"], HOME: this.#folder, SMOKE: JSON.stringify(orders) },
        stdio: ["ignore", "pipe", "pipe"],
      });
      const late = setTimeout(() => child.kill("SIGKILL"), TIMEOUT);
      let line = "";
      child.stdout!.setEncoding("utf8").on("data", (text) => {
        printed += text;
        const lines = (line + text).split("\n");
        line = lines.pop()!;
        for (const [, words] of lines.map((line) => /\bsmoke: (.*)$/.exec(line) ?? [])) {
          if (words === undefined) continue;
          said.push(words);
          if (words === CUT) this.#proxy.cut();
        }
      });
      child.stderr!.setEncoding("utf8").on("data", (text) => (printed += text));
      child.once("error", (error) => resolve(error.message));
      child.once("close", (code, signal) => {
        clearTimeout(late);
        resolve(
          code === 0 ? "" : signal === null ? `exit code ${code}` : `${signal} after ${TIMEOUT} ms at the latest`,
        );
      });
    });
    return { said, printed, ending };
  }

  /** Stops the servers and removes all files. */
  async stop(): Promise<void> {
    await this.#proxy.stop();
    await Promise.all([this.#server.stop(), this.#tlsServer.stop()]);
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** A server that demands TLS and an nkey. */
function startTls(folder: string): Promise<RealServer> {
  const seedFile = join(folder, "streaming.nk");
  writeFileSync(seedFile, userSeed);
  return RealServer.start({
    config: `tls { cert_file: ${pem("server")}, key_file: ${pem("server-key")}, timeout: 5 }
      authorization { users: [ { nkey: ${user} } ] }
      streaming { id: test-cluster, nkey_seed_file: ${seedFile},
        tls { client_ca: ${pem("ca")}, server_name: localhost } }`,
    args: ["-secure"],
  });
}

function pem(name: string): string {
  return join(root, "test", "fixtures", "tls", `${name}.pem`);
}
