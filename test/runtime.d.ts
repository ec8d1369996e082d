// What tests, bench and examples use of Node beyond src/runtime.d.ts. Written by hand in place of @types/node.

declare const __dirname: string;
declare const __filename: string;

interface BufferConstructor {
  from(text: string, encoding?: string): Buffer;
  from(bytes: Uint8Array | readonly number[]): Buffer;
  alloc(length: number, fill?: string): Buffer;
  isBuffer(value: unknown): boolean;
  allocUnsafe(size: number): Uint8Array;
  allocUnsafeSlow(size: number): Uint8Array;
  readonly poolSize: number;
}

declare function setInterval(callback: () => void, milliseconds: number): Timer;
declare function clearInterval(timer: Timer | undefined): void;

declare function require(path: string): unknown;
declare function structuredClone<T>(value: T, options?: { transfer: object[] }): T;

declare function atob(base64: string): string;
declare function btoa(bytes: string): string;

interface TextDecoder {
  decode(bytes: Uint8Array, options: { stream?: boolean }): string;
}

interface TextDecoderOptions {
  fatal?: boolean;
}

interface WritableText {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): boolean;
  on(event: "error", listener: (error: Error & { readonly code?: string }) => void): this;
}

interface Process {
  readonly argv: string[];
  readonly execArgv: string[];
  readonly env: Record<string, string | undefined>;
  readonly execPath: string;
  exitCode: number | undefined;
  readonly pid: number;
  readonly platform: string;
  readonly version: string;
  readonly versions: Record<string, string | undefined>;
  readonly stdin: AsyncIterable<Uint8Array> & { readonly isTTY?: boolean };
  readonly stdout: WritableText;
  readonly stderr: WritableText;
  cwd(): string;
  exit(code?: number): never;
  kill(pid: number, signal: string | 0): true;
  cpuUsage(since?: { user: number; system: number }): { user: number; system: number };
  /** `maxRSS` is the peak so far, in KiB. */
  resourceUsage(): { maxRSS: number; voluntaryContextSwitches: number };
  /** To the process that has forked this one. */
  send(message: unknown): boolean;
  disconnect(): void;
  memoryUsage(): { rss: number; heapUsed: number; heapTotal: number; external: number; arrayBuffers: number };
  getActiveResourcesInfo(): string[];
  listenerCount(event: string): number;
  on(event: "exit", listener: (code: number) => void): void;
  on(event: "message", listener: (message: unknown) => void): void;
  on(event: "disconnect", listener: () => void): void;
  on(event: "SIGINT" | "SIGTERM" | "SIGHUP", listener: (signal: string) => void): void;
  on(event: "uncaughtException" | "unhandledRejection" | "warning", listener: (error: unknown) => void): void;
  off(event: string, listener: (value: never) => void): void;
}

interface FetchedResponse {
  readonly ok: boolean;
  readonly status: number;
  readonly body: AsyncIterable<Uint8Array>;
  text(): Promise<string>;
  json(): Promise<unknown>;
}
declare function fetch(url: string, options?: { signal?: AbortSignal }): Promise<FetchedResponse>;

declare module "node:net" {
  export interface Socket {
    readonly localPort?: number;
    readonly remotePort?: number;
    readonly bytesRead: number;
    readonly bytesWritten: number;
    readonly writableLength: number;
    readonly closed: boolean;
    on(event: "drain", listener: () => void): this;
    once(event: "connect" | "secureConnect" | "end" | "close" | "drain", listener: () => void): this;
    once(event: "error", listener: (error: Error) => void): this;
    write(text: string): boolean;
    destroySoon(): void;
    resetAndDestroy(): this;
    listenerCount(event: string): number;
  }
  /** The class; what is made of it can be asked for its file descriptor. */
  export const Socket: { readonly prototype: { connect(this: Socket): unknown } };
  export interface Socket {
    readonly _handle: { readonly fd: number };
  }
  export interface Server {
    readonly listening: boolean;
    listen(port: number, host: string, listening?: () => void): this;
    address(): { address: string; port: number } | null;
    close(closed?: (error?: Error) => void): this;
    on(event: "connection" | "secureConnection", listener: (socket: Socket) => void): this;
    on(event: "tlsClientError", listener: (error: Error, socket: Socket) => void): this;
    on(event: "error", listener: (error: Error) => void): this;
    once(event: "error", listener: (error: Error) => void): this;
    once(event: "listening" | "close", listener: () => void): this;
    off(event: string, listener: (value: never) => void): this;
    ref(): this;
    unref(): this;
  }
  interface ServerOptions {
    pauseOnConnect?: boolean;
    allowHalfOpen?: boolean;
    noDelay?: boolean;
  }
  export function createServer(options: ServerOptions): Server;
}

declare module "node:child_process" {
  export interface ReadableText {
    setEncoding(encoding: "utf8"): this;
    on(event: "data", listener: (text: string) => void): this;
    on(event: "end" | "close", listener: () => void): this;
    destroy(): this;
  }
  export interface ChildProcess {
    readonly pid?: number;
    readonly exitCode: number | null;
    readonly signalCode: string | null;
    readonly stdin: { write(text: string): boolean; end(): void } | null;
    readonly stdout: ReadableText | null;
    readonly stderr: ReadableText | null;
    /** By file descriptor. */
    readonly stdio: readonly ((ReadableText & { write(text: string): boolean }) | null)[];
    send(message: unknown): boolean;
    disconnect(): void;
    kill(signal?: string): boolean;
    on(event: "exit" | "close", listener: (code: number | null, signal: string | null) => void): this;
    on(event: "error", listener: (error: Error) => void): this;
    on(event: "message", listener: (message: unknown) => void): this;
    once(event: "exit" | "close", listener: (code: number | null, signal: string | null) => void): this;
    once(event: "error", listener: (error: Error) => void): this;
    unref(): void;
  }
  export interface SpawnOptions {
    cwd?: string;
    env?: Record<string, string | undefined>;
    /** A number: this process's file descriptor. */
    stdio?: readonly ("ignore" | "pipe" | "inherit" | number)[];
  }
  export function spawn(command: string, args: readonly string[], options?: SpawnOptions): ChildProcess;
  export function fork(
    program: string,
    args: readonly string[],
    options?: { execArgv?: readonly string[]; env?: Record<string, string | undefined> },
  ): ChildProcess;
  export function spawnSync(
    command: string,
    args: readonly string[],
    options: SpawnOptions & { encoding: "utf8"; timeout?: number; input?: string },
  ): { status: number | null; signal: string | null; stdout: string; stderr: string; error?: Error };
}

declare module "node:crypto" {
  interface Hash {
    update(data: Uint8Array | string): this;
    digest(form: "hex"): string;
  }
  export function createHash(algorithm: "sha256"): Hash;
  export function createPublicKey(key: { key: Uint8Array; format: "der"; type: "spki" }): KeyObject;
  export function verify(algorithm: null, data: Uint8Array, key: KeyObject, signature: Uint8Array): boolean;
}

declare module "node:fs" {
  export function accessSync(path: string, mode?: number): void;
  export const constants: { readonly X_OK: number };
  export function copyFileSync(from: string, to: string): void;
  export function cpSync(
    from: string,
    to: string,
    options: { recursive?: boolean; filter?: (from: string) => boolean },
  ): void;
  export function createReadStream(path: string): AsyncIterable<Uint8Array>;
  export function existsSync(path: string): boolean;
  export function mkdirSync(path: string, options?: { recursive?: boolean }): void;
  export function mkdtempSync(prefix: string): string;
  export function readdirSync(path: string, options?: { recursive?: boolean }): string[];
  export function readFileSync(path: string): Uint8Array;
  export function readFileSync(path: string, encoding: "utf8"): string;
  export function renameSync(from: string, to: string): void;
  export function rmSync(path: string, options?: { recursive?: boolean; force?: boolean; maxRetries?: number }): void;
  export function symlinkSync(target: string, path: string): void;
  export function statSync(path: string): { readonly size: number; isDirectory(): boolean; isFile(): boolean };
  export function writeFileSync(
    path: string,
    data: string | Uint8Array,
    options?: { flag?: "w" | "wx"; mode?: number },
  ): void;
}

declare module "node:http" {
  export interface Incoming {
    readonly url: string;
    readonly method: string;
  }
  export interface Outgoing {
    writeHead(status: number, headers: Record<string, string>): this;
    write(text: string): boolean;
    end(text?: string): void;
    on(event: "close", listener: () => void): this;
  }
  export interface HttpServer {
    listen(port: number, host: string, listening?: () => void): this;
    address(): { port: number };
    closeAllConnections(): void;
    close(closed?: () => void): this;
    on(event: "error", listener: (error: Error) => void): this;
  }
  export function createServer(listener: (request: Incoming, response: Outgoing) => void): HttpServer;
  export interface Response {
    readonly statusCode: number;
    setEncoding(encoding: "utf8"): this;
    on(event: "data", listener: (text: string) => void): this;
    on(event: "end", listener: () => void): this;
  }
  export interface Request {
    on(event: "error", listener: (error: Error) => void): this;
    on(event: "timeout", listener: () => void): this;
    destroy(error?: Error): this;
  }
  export function get(
    url: string,
    options: { agent?: false; timeout?: number },
    listener: (response: Response) => void,
  ): Request;
}

declare module "node:os" {
  export function cpus(): { model: string }[];
  export function homedir(): string;
  export function loadavg(): number[];
  export function tmpdir(): string;
  export function totalmem(): number;
}

declare module "node:path" {
  export function basename(path: string, suffix?: string): string;
  export const delimiter: string;
  export function dirname(path: string): string;
  export function join(...parts: string[]): string;
  export function relative(from: string, to: string): string;
  export function resolve(...parts: string[]): string;
}

declare module "node:util" {
  export function inspect(value: unknown, options?: { depth?: number | null; showHidden?: boolean }): string;
  export function parseArgs<T extends Record<string, { type: "string" | "boolean" }>>(config: {
    options: T;
    allowPositionals: boolean;
  }): { values: { [K in keyof T]?: T[K]["type"] extends "string" ? string : boolean }; positionals: string[] };
}

declare module "node:dgram" {
  export interface Socket {
    bind(port: number, host: string, bound?: () => void): this;
    address(): { port: number };
    send(bytes: Uint8Array, port: number, host: string, sent?: (error: Error | null) => void): void;
    on(event: "message", listener: (bytes: Uint8Array) => void): this;
    on(event: "error", listener: (error: Error) => void): this;
    close(): void;
    unref(): this;
  }
  export function createSocket(kind: "udp4"): Socket;
}

declare module "node:tls" {
  import type { Server, Socket } from "node:net";
  export interface ServerOptions {
    cert: string;
    key: string;
    ca?: string;
    requestCert?: boolean;
    maxVersion?: "TLSv1.2";
  }
  export function createServer(options: ServerOptions, secure: (socket: Socket) => void): Server;
  /** As a constructor: the server's side of TLS on a socket that is already open. */
  export const TLSSocket: {
    new (socket: Socket, options: ServerOptions & { isServer: true; rejectUnauthorized: true }): Socket;
  };
}

declare module "node:module" {
  /** Has those that imported a name of a module of the host see what the name stands for now. */
  export function syncBuiltinESMExports(): void;
  export function createRequire(file: string): (name: string) => unknown;
}

declare module "node:dns" {
  type Found = (error: Error | null, addresses: { address: string; family: 4 | 6 }[]) => void;
  const dns: { lookup(host: string, options: { all?: boolean }, found: Found): void };
  export default dns;
}

/** There with --expose-gc. */
declare function gc(): void;

declare module "node:v8" {
  export function setFlagsFromString(flags: string): void;
}

declare module "node:vm" {
  export function createContext(globals: object): object;
  export function runInContext(code: string, context: object): unknown;
  export function runInNewContext(code: string): unknown;
}

declare module "node:async_hooks" {
  interface Hooks {
    init?(id: number, type: string): void;
    before?(id: number): void;
  }
  interface AsyncHook {
    enable(): void;
    disable(): void;
  }
  export function createHook(hooks: Hooks): AsyncHook;
}

declare module "node:events" {
  type Listener = (...args: never[]) => unknown;
  interface EventEmitter {
    on(event: string, listener: Listener): this;
    once(event: string, listener: Listener): this;
    off(event: string, listener: Listener): this;
    prependListener(event: string, listener: Listener): this;
    removeListener(event: string, listener: Listener): this;
    removeAllListeners(event?: string): this;
  }
}
