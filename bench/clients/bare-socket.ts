import { connect } from "node:net";
import type { Socket } from "node:net";
import { ConnectRequest, ConnectResponse } from "../../src/pb/control.ts";
import { PubMsg } from "../../src/pb/data.ts";
import { encode } from "../../src/pb/codec.ts";
import { PubAck } from "../../src/testing/messages.ts";
import { bytesOf, concat } from "../../test/support/bytes.ts";
import { RawClient } from "../../test/support/raw.ts";
import { measured } from "../measurement.ts";
import { payloadOf } from "../task.ts";
import type { ClientOptions, Outcome, Task, TaskRunner } from "../task.ts";

const CLIENT_ID = "bare-socket";
const CONN_ID = "BARE-SOCKET-9876543210";
const GUID = "0123456789ABCDEFGHIJKL";
const ACKS = "_INBOX.bare-socket.acks";
const GREETING = `CONNECT {"verbose":false,"pedantic":false,"protocol":1}\r\nSUB ${ACKS} 1\r\nPING\r\n`;
/** Copies of a message are written in pieces of about this size. Bytes. */
const PIECE = 256 * 1024;

/**
 * Writes bytes made beforehand and counts the bytes that come in: the limit that the server sets to every client. It
 * makes no promise, reads no answer and watches no session.
 */
class BareSocket implements TaskRunner {
  #registered!: RawClient;
  #socket!: Socket;
  #pubPrefix = "";
  /** Is told the number of acks that have come. */
  #acknowledged: (acks: number) => void = () => undefined;

  async open({ url, clusterId }: ClientOptions): Promise<void> {
    const port = Number(/:(\d+)$/.exec(url)![1]);
    // Registers by another connection, so that the measured one carries nothing but PUBs and acks.
    this.#registered = await RawClient.connect(port);
    this.#registered.subscribe("_INBOX.bare-socket.heartbeats");
    const request = {
      clientID: CLIENT_ID,
      heartbeatInbox: "_INBOX.bare-socket.heartbeats",
      protocol: 1,
      connID: bytesOf(CONN_ID),
      pingInterval: 5,
      pingMaxOut: 3,
    };
    const answer = await this.#registered.request(`_STAN.discover.${clusterId}`, encode(ConnectRequest, request));
    this.#pubPrefix = ConnectResponse.read(answer.payload).pubPrefix;

    this.#socket = connect({ host: "127.0.0.1", port, noDelay: true });
    const ackSize = `MSG ${ACKS} 1 24\r\n\r\n`.length + encode(PubAck, { guid: GUID, error: "" }).length;
    await new Promise<void>((resolve, reject) => {
      let ready = false;
      let unread = 0;
      this.#socket.on("error", reject);
      this.#socket.on("data", (bytes) => {
        if (!ready) {
          const text = new TextDecoder().decode(bytes);
          if (text.startsWith("INFO ")) this.#socket.write(GREETING);
          ready = text.includes("PONG\r\n");
          if (ready) resolve();
          return;
        }
        unread += bytes.length - this.#pinged(bytes);
        const acks = Math.floor(unread / ackSize);
        unread -= acks * ackSize;
        if (acks > 0) this.#acknowledged(acks);
      });
    });
  }

  /** Answers the PING that a server sends now and then. Returns how many of the bytes are no acks. */
  #pinged(bytes: Uint8Array): number {
    // A socket gives a Buffer, which finds texts.
    if ((bytes as Uint8Array & { indexOf(text: string): number }).indexOf("PING\r\n") < 0) return 0;
    this.#socket.write("PONG\r\n");
    return "PING\r\n".length;
  }

  run({ workload, channel, messages, size, window }: Task): Promise<Outcome> {
    const fields = { clientID: CLIENT_ID, subject: channel, reply: "", connID: bytesOf(CONN_ID) };
    const head = { envelope: PubMsg.envelope(fields), guid: bytesOf(GUID) };
    const encoded = new Uint8Array(PubMsg.size(head, size));
    encoded.set(payloadOf(size), PubMsg.writeHead(head, size, encoded, 0));
    const line = `PUB ${this.#pubPrefix}.${channel} ${ACKS} ${encoded.length}\r\n`;
    const message = concat([bytesOf(line), encoded, bytesOf("\r\n")]);
    switch (workload) {
      case "publish":
        return measured(messages, () => this.#publish(message, messages, window));
      case "publish-serially":
        return measured(messages, async (latencies) => {
          let sentAt = performance.now();
          await this.#publish(message, messages, 1, () => {
            const now = performance.now();
            latencies.add(now - sentAt);
            sentAt = now;
          });
        });
      default:
        throw new Error(`a bare socket has no ${workload}`);
    }
  }

  #publish(message: Uint8Array, messages: number, window: number, acknowledged = () => {}): Promise<void> {
    const inPiece = Math.max(1, Math.min(window, Math.floor(PIECE / message.length)));
    const piece = concat(new Array<Uint8Array>(inPiece).fill(message));
    let sent = 0;
    let stored = 0;
    const send = (count: number): void => {
      for (let left = Math.min(count, messages - sent); left > 0; ) {
        const now = Math.min(left, inPiece);
        this.#socket.write(piece.subarray(0, now * message.length));
        sent += now;
        left -= now;
      }
    };
    return new Promise((resolve) => {
      this.#acknowledged = (acks) => {
        stored += acks;
        acknowledged();
        if (stored === messages) resolve();
        else send(acks);
      };
      send(window);
    });
  }

  async close(): Promise<void> {
    this.#socket.destroy();
    this.#registered.destroy();
  }
}

/** For the worker. */
export const create = (): TaskRunner => new BareSocket();
