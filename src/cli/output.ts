import type { Message } from "../index.ts";
import type { Host } from "./host.ts";

const COLOURS = { red: 31, green: 32, yellow: 33, bold: 1, dim: 2 } as const;
/** @internal The name of a colour. */
export type Colour = keyof typeof COLOURS;

/** @internal What a command prints, and how: for people on a terminal, for programs on a pipe. */
export class Output {
  /** True with --json. */
  readonly json: boolean;
  /** Whether stdout is a terminal. */
  readonly terminal: boolean;
  readonly #host: Host;
  readonly #coloured: boolean;
  /** Whether progress is drawn: stderr is a terminal. */
  readonly draws: boolean;
  #drawn = false;

  constructor(host: Host, json: boolean) {
    const { NO_COLOR, TERM } = host.env;
    this.#host = host;
    this.json = json;
    this.terminal = host.stdout.isTTY === true;
    this.#coloured = this.terminal && !NO_COLOR && TERM !== "dumb";
    this.draws = host.stderr.isTTY === true && TERM !== "dumb";
  }

  /** Prints a line on stdout; the progress makes room for it. */
  say(line: string): void {
    this.progress("");
    this.#host.stdout.write(`${line}\n`);
  }

  /** Prints bytes and a line's end. */
  raw(bytes: Uint8Array): void {
    this.progress("");
    this.#host.stdout.write(bytes);
    this.#host.stdout.write("\n");
  }

  /** Prints a value as one line of JSON. */
  value(value: unknown): void {
    this.say(JSON.stringify(value));
  }

  /** Prints a line on stderr if that is a terminal: what a script need not know. */
  note(line: string): void {
    this.progress("");
    if (this.#host.stderr.isTTY === true && !this.json) this.#host.stderr.write(`${line}\n`);
  }

  /** Prints a line on stderr: what everybody has to know. */
  warn(line: string): void {
    this.progress("");
    this.#host.stderr.write(`${line}\n`);
  }

  /** Draws a line in place of the one before, cut to the terminal's width; "" erases it. Else nothing. */
  progress(line: string): void {
    if (!this.draws || this.json || (line === "" && !this.#drawn)) return;
    this.#host.stderr.write(`\r\x1b[K${line.slice(0, (this.#host.stderr.columns || 80) - 1)}`);
    this.#drawn = line !== "";
  }

  /** Empties the terminal, for what is drawn anew again and again. */
  clear(): void {
    if (this.terminal) this.#host.stdout.write("\x1b[H\x1b[2J");
  }

  /** The text in a colour, if colours are wanted. */
  paint(text: string, colour: Colour | undefined): string {
    return this.#coloured && colour !== undefined ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text;
  }
}

/** @internal A number with a blank after each three digits. */
export function grouped(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, " ");
}

/** @internal A size in bytes, KiB, MiB or GiB, with three digits. */
export function bytesIn(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  for (; size >= 1024 && unit < units.length - 1; unit++) size /= 1024;
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toPrecision(3)} ${units[unit]}`;
}

/** @internal "1 message", "2 messages". */
export function counted(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** @internal What an error says, in one line. */
export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/[\s\p{Cc}]+/gu, " ");
}

/** @internal The data of a message in JSON. Bytes that are not UTF-8 would not come back from the text. */
export function contentOf(message: Message): { data: string } | { base64: string } {
  const text = message.text();
  if (!text.includes("\uFFFD")) return { data: text };
  let bytes = "";
  // A call takes only so many arguments.
  for (let i = 0; i < message.data.length; i += 8_192) {
    bytes += String.fromCharCode(...message.data.subarray(i, i + 8_192));
  }
  return { base64: btoa(bytes) };
}
