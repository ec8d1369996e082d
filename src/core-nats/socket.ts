import { clearTimeout, setImmediate, setTimeout } from "./clock.ts";
import type { ConnectOptions, Socket as Stream, StreamError } from "node:net";
import type { SecureContext, SecureOptions } from "node:tls";
import { noop, onAbort } from "./async.ts";
import { builtin } from "./builtin.ts";
import { NatsError } from "./errors.ts";
import type { AbortSignalLike } from "./lifetime.ts";

/**
 * How TLS is spoken. Certificates and keys are PEM texts (or their bytes), not paths: the library reads no files.
 * Certificates and their host names are always verified.
 */
export interface TlsOptions {
  /** The authorities to trust, in place of the host's list. */
  ca?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
  /** The client's certificate, with intermediate ones behind it, for servers that demand one. It needs `key`. */
  cert?: string | Uint8Array | undefined;
  /** The private key of `cert`. */
  key?: string | Uint8Array | undefined;
  /** Decrypts `key`. */
  passphrase?: string | undefined;
  /** The host name, or IP address, that the server's certificate must be for. Default: the configured host. */
  servername?: string | undefined;
  /**
   * True: the TLS handshake comes first, for servers with `handshake_first`. Default false: the handshake follows the
   * server's first line, which comes in clear.
   */
  handshakeFirst?: boolean | undefined;
}

/** @internal Where a socket leads. */
export interface Address {
  /** A host name or an IP address; an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  /** The name that the certificate must be for, unless `TlsOptions.servername` gives one: the host as configured. */
  readonly servername: string;
}

/** @internal What a socket calls, after its owner's `await` of `Socket.dial` has continued. These must not throw. */
export interface SocketEvents {
  /** Takes bytes from the peer, which are valid during the call only. It is not called after `end()` or `destroy()`. */
  data(bytes: Uint8Array): void;
  /** The socket is closed. It is called once, last. There is no error if this side called `end()` or `destroy()`. */
  closed(error: NatsError | undefined): void;
}

/**
 * How long one of several addresses of a host may take to answer before the next one is tried, in milliseconds. Node's
 * default of 250 cuts off links that are only slow. The last address has no such limit.
 */
const ADDRESS_TIMEOUT = 1_000;

// Why: docs/decisions.md#one-read-buffer-for-each-socket
/**
 * Without TLS everything is read into one buffer of this size. Node's usual way, a new buffer for each read, was
 * seen to take half as much CPU again with messages of 16 KiB, and 5 to 10 MiB.
 */
const READ_SIZE = 64 * 1024;

// Why: docs/decisions.md#a-host-that-takes-the-read-buffer-away
/**
 * Whether the host leaves that buffer to this library, as far as is known: workerd detaches it and gives another
 * view.
 */
let keepsBuffer = true;

/** How long `end()` waits for the peer to read what was written and to end its side, too, in milliseconds. */
const LINGER = 1_000;

/** The common failures of TLS, by the codes of OpenSSL and Node, in words. */
const TLS_FAILURES: ReadonlyMap<string | undefined, string> = new Map([
  ["CERT_HAS_EXPIRED", "the server's certificate has expired"],
  ["CERT_NOT_YET_VALID", "the server's certificate is not valid yet"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "the server's certificate is self-signed and not in tls.ca"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "the server's certificate is signed by an unknown authority, see tls.ca"],
  ["UNABLE_TO_GET_ISSUER_CERT", "the server's certificate is signed by an unknown authority, see tls.ca"],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "the server's certificate is signed by an unknown authority, see tls.ca"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "the server's certificate is signed by an unknown authority, see tls.ca"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "the server's certificate is for another host"],
  ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "the server demands a client certificate, see tls.cert and tls.key"],
  ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", "the server does not know the authority of the client certificate"],
  ["ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE", "the server refused the client certificate, or demands one"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "the server answered with something that is not TLS"],
  ["ERR_SSL_PACKET_LENGTH_TOO_LONG", "the server answered with something that is not TLS"],
]);

/**
 * @internal
 * A stream of bytes to one address, by TCP or TLS. All it knows of NATS is that TLS may begin in the middle of a
 * connection. The client meets the network here. `node:tls` is loaded only when TLS is spoken.
 */
export class Socket {
  readonly #address: Address;
  readonly #tls: TlsOptions | undefined;
  readonly #events: SocketEvents;
  #context: SecureContext | undefined;
  /** The TCP socket, and after an upgrade the TLS socket around it. */
  #stream!: Stream;
  /** Rejects the `dial` or `upgrade` that is under way. */
  #fail: ((error: NatsError) => void) | undefined;
  #dialled = false;
  #encrypted = false;
  /** True once nothing but `closed` is called any more. */
  #ended = false;
  #reason: NatsError | undefined;
  #linger: Timer | undefined;

  private constructor(address: Address, tls: TlsOptions | undefined, events: SocketEvents) {
    this.#address = address;
    this.#tls = tls;
    this.#events = events;
  }

  /**
   * Connects to the first address of the host that answers. With `tls.handshakeFirst` it continues in TLS at once.
   * The peer must speak first, since it may be dialled twice. Without `tls` TLS cannot begin on the socket later.
   *
   * Rejects with a `NatsError`: with `TLS` if the options are malformed (before anything is dialled) or the
   * handshake failed; with `CONNECT`, each address and its cause for everything else. If the signal aborts, it
   * rejects with the signal's reason when the attempt has ended. The signal has no effect on a socket that is open.
   */
  static async dial(
    address: Address,
    tls: TlsOptions | undefined,
    events: SocketEvents,
    signal: AbortSignalLike,
  ): Promise<Socket> {
    if (signal.aborted) throw signal.reason;
    const socket = new Socket(address, tls, events);
    if (tls !== undefined) socket.#context = secureContext(tls);
    const target = {
      host: address.host,
      port: address.port,
      noDelay: true,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_TIMEOUT,
    };
    if (tls?.handshakeFirst === true) {
      const stream = builtin.tls.connect({ ...socket.#secure(), ...target });
      // Node 20 ignores the option here: a second small write would wait until the peer confirms the first, for 40 ms.
      socket.#use(stream.setNoDelay(true));
      await socket.#opened("secureConnect", signal);
    } else {
      const buffer = new Uint8Array(READ_SIZE);
      const callback = (length: number): boolean => {
        if (buffer.length > 0) socket.#received(buffer.subarray(0, length));
        else socket.#dialAgain(target);
        return true;
      };
      // Why: docs/decisions.md#no-read-buffer-where-tls-may-begin
      // Not where TLS may begin. Node can begin TLS on such a socket, but Deno then reads no more (2.9.6), and Bun
      // loses what came in clear (1.4.5). Nothing that they do before tells them from Node.
      const reused = tls === undefined && keepsBuffer;
      socket.#connect(reused ? { ...target, onread: { buffer, callback } } : target);
      await socket.#opened("connect", signal);
    }
    return socket;
  }

  /** True when the TLS handshake is done. The peer's certificate and its host name are verified then. */
  get encrypted(): boolean {
    return this.#encrypted;
  }

  /**
   * Continues in TLS on the same connection, which was dialled with `tls`. The owner calls it within `data`, when
   * the last byte has come that the peer sends in clear. `residue` says whether more bytes came behind it: anybody
   * may have sent those, so the connection ends. Bytes that come later are taken for the handshake, which fails if
   * they are something else. From now on `data` gets decrypted bytes alone, and `write` sends nothing in clear.
   *
   * Rejects with the `NatsError` that `closed` gets. A server that refuses the client's certificate may say so only
   * after the handshake (TLS 1.3): then the upgrade succeeds, and `closed` gets the `TLS` error.
   */
  async upgrade(residue: boolean): Promise<void> {
    const plain = this.#stream;
    plain.pause();
    plain.removeAllListeners("data");
    if (residue || plain.readableLength > 0) {
      this.#distrust();
    } else if (!plain.destroyed) {
      this.#use(builtin.tls.connect({ ...this.#secure(), socket: plain }));
    }
    await this.#opened("secureConnect");
  }

  /**
   * Writes, and calls `written` when the host has taken the bytes over. The bytes must not change before. The bytes
   * that are not taken over yet tell how far the peer is behind. If the connection ends first, `written` is never
   * called.
   */
  write(bytes: Uint8Array, written: () => void): void {
    if (this.#ended) return;
    const stream = this.#stream;
    stream.write(bytes, (error) => {
      // Node reports no error for a write that was under way when the stream was destroyed.
      if (!error && !stream.destroyed) written();
    });
  }

  /** Ends the connection when everything is written. A peer that does not end its side within a second is cut off. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#linger = setTimeout(() => this.#stream.destroy(), LINGER);
    this.#stream.end();
  }

  /** Ends the connection now. What is not written yet is lost. */
  destroy(): void {
    this.#ended = true;
    this.#stream.destroy();
  }

  get #label(): string {
    const { host, port } = this.#address;
    return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  }

  #connect(options: ConnectOptions): void {
    const stream = builtin.net.connect(options);
    // `#opened` lets data flow.
    stream.pause();
    this.#use(stream);
  }

  /**
   * The host has detached the buffer at the first read. Some hosts that do so cannot read again. Nothing is lost:
   * the peer has only greeted, and it greets again.
   */
  #dialAgain(options: ConnectOptions): void {
    keepsBuffer = false;
    this.#stream.destroy();
    if (this.#ended) return;
    this.#connect(options);
    this.#opened("connect").catch(noop);
  }

  /** Makes `stream` the current one. Events of the stream that it replaces or wraps count no more. */
  #use(stream: Stream): void {
    this.#stream = stream;
    // These listeners stay: an "error" that nobody listens to ends the process.
    stream.on("error", (error) => {
      if (stream === this.#stream && !this.#ended) this.#reason ??= this.#explain(error);
    });
    // A server that has ended its side reads no more: there is nothing to flush.
    stream.on("end", () => stream.destroy());
    stream.on("close", () => {
      if (stream === this.#stream) this.#closed();
    });
  }

  /** Waits until the stream is open, and then lets data flow. */
  #opened(event: "connect" | "secureConnect", signal?: AbortSignalLike): Promise<void> {
    const stream = this.#stream;
    return new Promise((resolve, reject) => {
      const release = signal && onAbort(() => stream.destroy(), signal);
      this.#fail = (error) => {
        release?.();
        reject(signal?.aborted ? signal.reason : error);
      };
      stream.on(event, () => {
        release?.();
        this.#fail = undefined;
        this.#dialled = true;
        this.#encrypted = event === "secureConnect";
        // After the caller's `await` has continued: data may have come together with the end of the handshake.
        setImmediate(() => {
          // A plain Uint8Array: Node's Buffer makes subarrays slowly, and its slices are no copies.
          stream.on("data", (chunk) => {
            this.#received(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
          });
          stream.resume();
        });
        resolve();
      });
    });
  }

  #received(bytes: Uint8Array): void {
    if (!this.#ended) this.#events.data(bytes);
  }

  #distrust(): void {
    const reason = `TLS with ${this.#label} failed: more came in clear before it`;
    if (!this.#ended) this.#reason ??= new NatsError("TLS", reason);
    this.#stream.destroy();
  }

  #closed(): void {
    clearTimeout(this.#linger);
    if (!this.#ended) this.#reason ??= new NatsError("CONNECTION_LOST", `${this.#label} ended the connection`);
    this.#ended = true;
    this.#fail?.(this.#reason ?? new NatsError("CLOSED", `${this.#label}: ended by this side`));
    if (this.#dialled) this.#events.closed(this.#reason);
  }

  #explain(error: StreamError): NatsError {
    // System errors have codes like ECONNRESET. Every other error of a TLS socket is one of TLS.
    if (this.#stream.encrypted === true && !/^E(?!RR)/.test(error.code ?? "")) {
      const meaning = TLS_FAILURES.get(error.code) ?? systemCodeOf(error);
      return new NatsError("TLS", `TLS with ${this.#label} failed: ${meaning}`, error);
    }
    if (this.#dialled) {
      return new NatsError("CONNECTION_LOST", `the link to ${this.#label} broke (${systemCodeOf(error)})`, error);
    }
    // With several addresses there is an error for each of them, and no code for all.
    const causes = error.errors === undefined ? systemCodeOf(error) : error.errors.map((one) => one.message).join(", ");
    return new NatsError("CONNECT", `cannot connect to ${this.#label} (${causes})`, error);
  }

  #secure(): SecureOptions {
    const name = this.#tls?.servername ?? this.#address.servername;
    return {
      secureContext: this.#context,
      // Explicit, since an environment variable changes the default.
      rejectUnauthorized: true,
      ...(builtin.net.isIP(name) === 0
        ? { servername: name }
        : // An IP address is verified like a name, but must not be sent as one (RFC 6066).
          { checkServerIdentity: (_host, certificate) => builtin.tls.checkServerIdentity(name, certificate) }),
    };
  }
}

/** The system's code says as much as its words, which the cause has. */
function systemCodeOf(error: StreamError): string {
  return error.code ?? error.reason ?? error.message;
}

/** Throws a `NatsError` that names the option that cannot be used, and shows nothing of its value. */
function secureContext({ ca, cert, key, passphrase }: TlsOptions): SecureContext {
  if ((cert === undefined) !== (key === undefined)) throw new NatsError("TLS", "tls.cert and tls.key need each other");
  // Node ignores a malformed authority, but not a malformed certificate.
  const authorities = Array.isArray(ca) ? ca : [ca];
  for (const authority of authorities) load("tls.ca is not a PEM text", { cert: authority });
  load("tls.cert is not a PEM text", { cert });
  load("tls.key is not a PEM text, or tls.passphrase not its passphrase", { key, passphrase });
  return load("tls.cert and tls.key do not belong together", { ca, cert, key, passphrase });
}

function load(problem: string, options: TlsOptions): SecureContext {
  const { tls } = builtin;
  try {
    return tls.createSecureContext(options);
  } catch (error) {
    // Only OpenSSL's reason is passed on: another message may quote the value.
    const { reason } = error as StreamError;
    throw new NatsError("TLS", reason === undefined ? problem : `${problem} (${reason})`);
  }
}
