import { PubMsg } from "../../pb/data.ts";
import type { Registration } from "../session/registration.ts";
import type { Settings } from "../settings.ts";
import type { Guids } from "./guid.ts";
import type { InFlight } from "./in-flight.ts";
import { Stage } from "./pending-publish.ts";
import type { PendingPublish } from "./pending-publish.ts";
import type { Slabs } from "./slab.ts";

/** Payloads from this size on are sent from where they were copied to, not copied once more. Measured: at 16 KiB, to copy takes half the CPU. */
const ATTACHED_SIZE = 32 * 1024;
/** Up to this many bytes a loop copies faster than a view can be made and copied by the host. */
const SHORT = 64;

/** Sends publishes: encodes each straight into the outgoing bytes of the connection. */
export class Sender {
  /** Undefined while nothing can be sent. */
  registration: Registration | undefined;
  readonly #settings: Settings;
  /** What the subjects start with that acks come to. */
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

  /** Whether a publish may be sent now: by count, by bytes, and by what the socket has taken. */
  maySend({ start, end }: PendingPublish): boolean {
    const { maxPubAcksInFlight, maxPubBytesInFlight } = this.#settings;
    // First of all: what was given up is not in flight any more, and may still wait to be written.
    if (this.registration === undefined || this.registration.connection.outbox.full) return false;
    const { count, bytes } = this.#inFlight;
    return count === 0 || (count < maxPubAcksInFlight && bytes + end - start <= maxPubBytesInFlight);
  }

  /**
   * Sends a publish that may be sent. `given` is its data as the caller has it, during the call only. Returns undefined, or
   * the size of the encoded message if the server takes none of that size.
   */
  send(publish: PendingPublish, given?: string | Uint8Array): number | undefined {
    const { channel, start, end, reply } = publish;
    const { connection, session } = this.registration!;
    const { clientId } = this.#settings;
    channel.encode(session, clientId, this.#acks);
    this.#head.envelope = reply === "" ? channel.envelope : channel.envelopeWith(reply, session, clientId);
    const size = PubMsg.size(this.#head, end - start);
    if (size > connection.maxPayload) return size;
    this.#inFlight.add(publish, size, connection);
    publish.session = session;
    publish.stage = Stage.sent;
    this.#write(publish, size, given);
    return undefined;
  }

  #write({ channel, slab, start, end, number }: PendingPublish, size: number, given: string | Uint8Array | undefined): void {
    const length = end - start;
    this.#guids.set(number);
    const { outbox } = this.registration!.connection;
    const attached = length >= ATTACHED_SIZE && !slab.shared;
    let at = outbox.begin(channel.head, this.#inFlight.token(number), size, attached ? size - length : size);
    const { bytes } = outbox;
    at = PubMsg.writeHead(this.#head, length, bytes, at);
    if (attached) {
      slab.users++;
      outbox.attach(slab.bytes.subarray(start, end), () => this.#slabs.release(slab));
    } else if (length > SHORT) bytes.set(typeof given === "object" ? given : slab.bytes.subarray(start, end), at);
    else for (let i = 0; i < length; i++) bytes[at + i] = slab.bytes[start + i];
  }
}
