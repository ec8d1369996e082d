// The auditor's list. It has every member of the host (Node, Bun, Deno, workerd) that the library uses beyond
// ECMAScript itself. It is written by hand and replaces @types/node: the library cannot call what is not declared here.
// Why: docs/decisions.md#a-list-of-the-host-by-hand

interface Timer {
  /** Missing in workerd up to 2025 and in jsdom: timers are numbers there. */
  unref?(): this;
}
declare var setTimeout: (callback: () => void, milliseconds: number) => Timer;
declare var clearTimeout: (timer: Timer | undefined) => void;
declare var setImmediate: (callback: () => void) => unknown;

/** Web Crypto. It loads 1 to 2 ms faster than node:crypto, which has random numbers, too. */
declare const crypto: { getRandomValues(bytes: Uint8Array): Uint8Array };

interface Performance {
  now(): number;
}
declare var performance: Performance;
declare const console: { warn(text: string): void };

/** Loads modules when the library first uses them. */
interface Process {
  /** Missing in Node before 20.16. */
  getBuiltinModule?: typeof require & {
    (module: "node:timers"): typeof import("node:timers") | undefined;
    (module: "node:perf_hooks"): { readonly performance: Performance } | undefined;
  };
}
declare var process: Process;

/** The `require` of CommonJS, which loads the same modules. */
declare function require(module: "node:net"): typeof import("node:net");
declare function require(module: "node:tls"): typeof import("node:tls");
declare function require(module: "node:crypto"): typeof import("node:crypto");
declare function require(module: "node:events"): typeof import("node:events");
declare function require(module: "node:fs"): typeof import("node:fs");
declare function require(module: "node:util"): Pick<typeof globalThis, "TextEncoder" | "TextDecoder">;

interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}
interface AbortSignalConstructor {
  prototype: AbortSignal;
}
declare var AbortSignal: AbortSignalConstructor;

interface AbortController {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
}
declare var AbortController: { prototype: AbortController; new (): AbortController };

type BufferEncoding = string;
interface Buffer extends Uint8Array {
  toString(encoding?: BufferEncoding): string;
}
interface BufferConstructor {
  allocUnsafe(length: number): Uint8Array;
  from(buffer: ArrayBufferLike, byteOffset: number, length: number): Buffer;
  from(text: string, encoding: "base64"): Buffer;
}
declare const Buffer: BufferConstructor;

interface TextEncoder {
  encode(text: string): Uint8Array;
  encodeInto(text: string, into: Uint8Array): { read: number; written: number };
}
declare var TextEncoder: { new (): TextEncoder };

interface TextDecoder {
  decode(bytes: Uint8Array): string;
}
interface TextDecoderOptions {
  ignoreBOM?: boolean;
}
declare var TextDecoder: { new (encoding?: string, options?: TextDecoderOptions): TextDecoder };

interface URL {
  readonly hostname: string;
}
declare const URL: { new (text: string): URL };

declare module "node:net" {
  export interface StreamError extends Error {
    readonly code?: string;
    /** The text of OpenSSL. */
    readonly reason?: string;
    /** One error for each address that the host tried. */
    readonly errors?: readonly Error[];
  }
  export interface Socket {
    readonly destroyed: boolean;
    /** True if it is a TLS socket. */
    readonly encrypted?: boolean;
    readonly readableLength: number;
    on(event: "data", listener: (bytes: Uint8Array) => void): this;
    on(event: "connect" | "secureConnect" | "end" | "close", listener: () => void): this;
    on(event: "error", listener: (error: StreamError) => void): this;
    removeAllListeners(event?: string): this;
    write(bytes: Uint8Array, done?: (error?: Error | null) => void): boolean;
    end(): this;
    destroy(): this;
    setNoDelay(on: true): this;
    pause(): this;
    resume(): this;
  }
  export interface ConnectOptions {
    host: string;
    port: number;
    noDelay?: boolean;
    autoSelectFamily?: boolean;
    autoSelectFamilyAttemptTimeout?: number;
    onread?: { buffer: Uint8Array; callback(length: number): boolean };
  }
  export function connect(options: ConnectOptions): Socket;
  export function isIP(text: string): 0 | 4 | 6;
  /** Only the server of `nats-streaming-client/testing` uses it. */
  export interface Server {
    listen(port: number, host: string, listening?: () => void): this;
    close(closed?: (error?: Error) => void): this;
    on(event: "connection", listener: (socket: Socket) => void): this;
    on(event: "error", listener: (error: Error) => void): this;
  }
  export function createServer(options: { noDelay?: boolean }): Server;
}

/** For programs of node-nats-streaming alone. */
declare module "node:events" {
  export class EventEmitter {
    emit(event: string, ...args: unknown[]): boolean;
    listenerCount(event: string): number;
    rawListeners(event: string): Function[];
  }
}

/** For `userCreds` of such programs alone. */
declare module "node:fs" {
  export function readFileSync(path: string, encoding: "utf8"): string;
}

declare module "node:timers" {
  export const setTimeout: typeof globalThis.setTimeout;
  export const clearTimeout: typeof globalThis.clearTimeout;
  export const setImmediate: typeof globalThis.setImmediate;
}

declare module "node:tls" {
  import type { Socket } from "node:net";
  export type SecureContext = object;
  export interface SecureOptions {
    secureContext: SecureContext | undefined;
    rejectUnauthorized: true;
    servername?: string;
    checkServerIdentity?(host: string, certificate: object): Error | undefined;
  }
  export function checkServerIdentity(host: string, certificate: object): Error | undefined;
  export function connect(options: SecureOptions & ({ socket: Socket } | { host: string; port: number })): Socket;
  /** For programs of node-nats-streaming alone. */
  export interface TlsOptions {
    ca?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
    cert?: string | Uint8Array | undefined;
    key?: string | Uint8Array | undefined;
    passphrase?: string | undefined;
    rejectUnauthorized?: boolean | undefined;
  }
  export function createSecureContext(options: {
    ca?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
    cert?: string | Uint8Array | undefined;
    key?: string | Uint8Array | undefined;
    passphrase?: string | undefined;
  }): SecureContext;
}

declare module "node:crypto" {
  export interface KeyObject {
    export(options: { type: "spki"; format: "der" }): Uint8Array;
  }
  export function createPrivateKey(key: { key: Uint8Array; format: "der"; type: "pkcs8" }): KeyObject;
  export function createPublicKey(key: KeyObject): KeyObject;
  export function sign(algorithm: null, data: Uint8Array, key: KeyObject): Uint8Array;
}
