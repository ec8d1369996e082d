import type { NatsError } from "./errors.ts";
import { readHeader } from "./headers.ts";
import { decodeText, NO_BYTES } from "./text.ts";

/**
 * One received message: where its parts are, not copies of them.
 *
 * A parser has one instance and fills it again for each message, and the bytes belong to the connection. A receiver
 * copies during the call what it needs later.
 */
export class Delivery {
  /** The number that SUB gave the subscription. */
  sid = 0;
  /** Holds the header block from `headerStart` to `start`, and the payload from `start` to `end`. */
  bytes: Uint8Array = NO_BYTES;
  /** Equals `start` if there are no headers. */
  headerStart = 0;
  start = 0;
  end = 0;
  /** The status in the headers, or 0. 503 says that nobody listens on the subject of a request. */
  status = 0;
  /** Holds the subject and the reply subject. Without a reply subject `replyStart` equals `replyEnd`. */
  head: Uint8Array = NO_BYTES;
  subjectStart = 0;
  subjectEnd = 0;
  replyStart = 0;
  replyEnd = 0;

  /** The subject. Each call makes a new string. */
  subject(): string {
    return decodeText(this.head, this.subjectStart, this.subjectEnd);
  }

  /** The reply subject, or "" when there is none. Each call makes a new string. */
  reply(): string {
    return decodeText(this.head, this.replyStart, this.replyEnd);
  }

  /** The value of a header, or undefined. See `readHeader`. Each call searches the block. */
  header(name: string): string | undefined {
    return readHeader(this.bytes, this.headerStart, this.start, name);
  }
}

/** Takes what arrives for one subscription. */
export interface Receiver {
  /** Takes a delivery, in the turn in which its bytes arrive. The delivery is valid during the call only. */
  deliver(delivery: Delivery): void;
  /** The server denied the subscription: it does not exist. */
  denied(error: NatsError): void;
}
