import { PubMsg } from "../../pb/data.ts";
import type { Settings } from "../settings.ts";
import type { Guids } from "./guid.ts";
import type { InFlight } from "./in-flight.ts";
import { Stage } from "./pending-publish.ts";
import type { PendingPublish } from "./pending-publish.ts";
import type { PublishRegistration } from "./publish-registration.ts";
import type { Slabs } from "./slab.ts";

/**
 * A payload of at least this size is sent from its slab, without a second copy. Measured: at 16 KiB, the second copy
 * takes half the CPU.
 */
const ATTACHED_SIZE = 32 * 1024;
/** Up to this many bytes, a loop copies faster than the host makes and copies a view. */
const SHORT = 64;

/** Sends publishes. It encodes each one straight into the outgoing bytes of the connection. */
export class Sender {
  /** Undefined while no publish can be sent. */
  registration: PublishRegistration | undefined;
  readonly #settings: Settings;
  /** The start of the reply subjects. */
  readonly #acks: string;
  readonly #guids: Guids;
  readonly #slabs: Slabs;
  readonly #inFlight: InFlight;
  readonly #head: { envelope: Uint8Array; guid: Uint8Array };

  constructor(settings: Settings, acks: string, guids: Guids, slabs: Slabs, inFlight: InFlight) {
    this.#settings = settings;
    this.#acks = acks;
    this.#guids = guids;
    this.#slabs = slabs;
    this.#inFlight = inFlight;
    this.#head = { envelope: new Uint8Array(0), guid: guids.bytes };
  }

  /** Whether the publish may be sent now: the window limits count and bytes, and the outbox must not be full. */
  maySend({ start, end }: PendingPublish): boolean {
    const { maxPubAcksInFlight, maxPubBytesInFlight } = this.#settings;
    // The outbox counts first: it may hold publishes that were given up, and these are not in flight any more.
    if (this.registration === undefined || this.registration.connection.outbox.full) return false;
    const { count, bytes } = this.#inFlight;
    return count === 0 || (count < maxPubAcksInFlight && bytes + end - start <= maxPubBytesInFlight);
  }

  /**
   * Sends a publish that may be sent. `given` is the data of the caller, which is valid during the call. Returns
   * undefined, or the size of the encoded message if the server takes no message of that size.
   */
  send(publish: PendingPublish, given?: string | Uint8Array): number | undefined {
    const { template, start, end, reply } = publish;
    const { connection, session } = this.registration!;
    const { clientId } = this.#settings;
    template.encode(session, clientId, this.#acks);
    this.#head.envelope = reply === "" ? template.envelope : template.envelopeWith(reply, session, clientId);
    const size = PubMsg.size(this.#head, end - start);
    if (size > connection.maxPayload) return size;
    this.#inFlight.add(publish, size, connection);
    publish.session = session;
    publish.stage = Stage.sent;
    this.#write(publish, size, given);
    return undefined;
  }

  #write(publish: PendingPublish, size: number, given: string | Uint8Array | undefined): void {
    const { template, slab, start, end, number } = publish;
    const length = end - start;
    this.#guids.set(number);
    const { outbox } = this.registration!.connection;
    const attached = length >= ATTACHED_SIZE && !slab.shared;
    let at = outbox.begin(template.head, this.#inFlight.token(number), size, attached ? size - length : size);
    const { bytes } = outbox;
    at = PubMsg.writeHead(this.#head, length, bytes, at);
    if (attached) {
      slab.users++;
      outbox.attach(slab.bytes.subarray(start, end), () => this.#slabs.release(slab));
    } else if (length > SHORT) bytes.set(typeof given === "object" ? given : slab.bytes.subarray(start, end), at);
    else for (let i = 0; i < length; i++) bytes[at + i] = slab.bytes[start + i];
  }
}
