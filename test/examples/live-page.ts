// Opens the live page in headless Chromium, and looks whether its numbers and curves move:
//   npm run -s programs && node build/test/examples/live-page.js [SCREENSHOT.png]
//
// Without Chromium it says so, loudly, and passes: nothing is installed from here. Debian's package is "chromium".
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../support/until.ts";

const NAMES = ["pubd", "recvd", "ackd"];
/** What the page shows: the number and the curve of each graph. */
type Shown = Record<string, { readonly number: string; readonly curve: string }>;

const LOOK = `Object.fromEntries(${JSON.stringify(NAMES)}.map((name, i) => [name, {
  number: document.getElementById(name)?.textContent ?? "",
  curve: document.querySelectorAll("polyline")[i]?.getAttribute("points") ?? "",
}]))`;

/** Chromium, told what to do by the DevTools protocol: JSON with a 0 behind, by way of the file descriptors 3 and 4. */
class Browser {
  readonly #process: ChildProcess;
  readonly #profile = mkdtempSync(join(tmpdir(), "nats-streaming-client-page-"));
  readonly #waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>();
  #last = 0;
  #session: string | undefined;

  constructor(binary: string) {
    // Without the sandbox, which needs rights that containers do not give: the page is our own.
    const args = [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--remote-debugging-pipe",
    ];
    this.#process = spawn(binary, [...args, `--user-data-dir=${this.#profile}`, "--window-size=900,900"], {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    });
    let text = "";
    this.#process.stdio[4]!.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
      for (let end = text.indexOf("\0"); end >= 0; end = text.indexOf("\0")) {
        this.#hear(JSON.parse(text.slice(0, end)) as { id?: number; result?: never; error?: { message: string } });
        text = text.slice(end + 1);
      }
    });
    this.#process.once("exit", () => this.#lose(new Error("Chromium has ended")));
    this.#process.once("error", (error) => this.#lose(error));
  }

  async open(url: string): Promise<void> {
    const { targetId } = await this.tell<{ targetId: string }>("Target.createTarget", { url });
    const { sessionId } = await this.tell<{ sessionId: string }>("Target.attachToTarget", { targetId, flatten: true });
    this.#session = sessionId;
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result } = await this.tell<{ result: { value: T } }>("Runtime.evaluate", {
      expression,
      returnByValue: true,
    });
    return result.value;
  }

  tell<T>(method: string, params: object): Promise<T> {
    const id = ++this.#last;
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#process.stdio[3]!.write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    });
  }

  /** By its own word: killed, it would leave processes behind that still write into its profile. */
  async close(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.pid !== undefined) {
      const gone = new Promise<void>((resolve) => this.#process.once("close", () => resolve()));
      const late = setTimeout(() => this.#process.kill("SIGKILL"), 10_000);
      this.#session = undefined;
      this.tell("Browser.close", {}).catch(() => undefined);
      await gone;
      clearTimeout(late);
    }
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  #hear({ id, result, error }: { id?: number; result?: never; error?: { message: string } }): void {
    if (id === undefined) return;
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result!);
    else waiting?.reject(new Error(error.message));
  }

  #lose(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

function findChromium(): string | undefined {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  return names.find((name) => spawnSync(name, ["--version"], { encoding: "utf8", timeout: 20_000 }).status === 0);
}

async function main(screenshot: string | undefined): Promise<void> {
  const chromium = findChromium();
  if (chromium === undefined) {
    const missing = "Chromium is not in PATH (Debian: apt-get install chromium)";
    process.stdout.write(`SKIPPED, NOT TESTED: the live page in a browser: ${missing}\n`);
    return;
  }
  const program = join(__dirname, "../../examples/live.js");
  const live = spawn(process.execPath, [program, "--page", "--port", "0", "--in-flight", "8"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  live.stdout!.setEncoding("utf8").on("data", (text) => (out += text));
  const ended = new Promise<void>((resolve) => live.once("close", () => resolve()));
  const browser = new Browser(chromium);
  try {
    const url = await until("the page is served", () => /^page: (\S+)$/m.exec(out)?.[1], 60_000);
    await browser.open(url);
    const look = (): Promise<Shown> => browser.evaluate<Shown>(LOOK);
    const number = (shown: Shown, name: string): number => Number(shown[name]!.number.replaceAll(",", ""));
    const first = await until("all three numbers are there", async () => {
      const shown = await look();
      return NAMES.every((name) => number(shown, name) > 0) && shown;
    }, 30_000);
    const later = await until("all three numbers and curves have moved", async () => {
      const shown = await look();
      const moved = (name: string): boolean =>
        shown[name]!.number !== first[name]!.number && shown[name]!.curve !== first[name]!.curve;
      return NAMES.every(moved) && shown;
    }, 30_000);
    for (const name of NAMES) {
      process.stdout.write(`${name}: ${first[name]!.number}, later ${later[name]!.number} per second\n`);
    }
    if (screenshot !== undefined) {
      const { data } = await browser.tell<{ data: string }>("Page.captureScreenshot", { format: "png" });
      writeFileSync(screenshot, Uint8Array.from(atob(data), (character) => character.charCodeAt(0)));
    }
    process.stdout.write("the live page: its numbers move\n");
  } finally {
    live.kill("SIGINT");
    await ended;
    await browser.close();
  }
}

main(process.argv[2]).catch((error: unknown) => {
  process.stderr.write(`the live page: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
