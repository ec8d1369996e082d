import { connect } from "node:net";
import type { Socket } from "node:net";
import { ConnectRequest, ConnectResponse, PubAck, PubMsg } from "../../src/pb/protocol.ts";
import { encode } from "../../src/pb/codec.ts";
import { bytesOf, concat } from "../../test/support/bytes.ts";
import { RawClient } from "../../test/support/raw.ts";
import type { Competitor, Outcome, Place, Task } from "../task.ts";
import { measured, payloadOf } from "../workloads.ts";

const CLIENT_ID = "bare-socket";
const CONN_ID = "BARE-SOCKET-9876543210";
const GUID = "0123456789ABCDEFGHIJKL";
const ACKS = "_INBOX.bare-socket.acks";
/** Copies of a message are written in pieces of about so many bytes. */
const PIECE = 256 * 1024;

/**
 * No client at all, but what is left of one: bytes made beforehand go out, and what comes in is counted. What the server
 * takes is the limit that a client can come near to. It makes no promise, looks at no answer and watches no session.
 */
class BareSocket implements Competitor {
  #registered!: RawClient;
  #socket!: Socket;
  #pubPrefix = "";
  /** Called with the number of acks that have come. */
  #acknowledged: (acks: number) => void = () => undefined;

  async open({ url, clusterId }: Place): Promise<void> {
    const port = Number(/:(\d+)$/.exec(url)![1]);
    // Registers by a link of its own, so that nothing but PUBs and acks is on the one that is measured.
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
          if (text.startsWith("INFO ")) this.#socket.write('CONNECT {"verbose":false,"pedantic":false,"protocol":1}\r\n' + `SUB ${ACKS} 1\r\nPING\r\n`);
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

  /** Answers the PING that a server sends now and then. Returns how many bytes of these are no acks. */
  #pinged(bytes: Uint8Array): number {
    // What a socket gives is a Buffer, which finds texts.
    if ((bytes as Uint8Array & { indexOf(text: string): number }).indexOf("PING\r\n") < 0) return 0;
    this.#socket.write("PONG\r\n");
    return "PING\r\n".length;
  }

  run({ workload, channel, messages, size, window }: Task): Promise<Outcome> {
    const head = { envelope: PubMsg.envelope({ clientID: CLIENT_ID, subject: channel, reply: "", connID: bytesOf(CONN_ID) }), guid: bytesOf(GUID) };
    const encoded = new Uint8Array(PubMsg.size(head, size));
    encoded.set(payloadOf(size), PubMsg.writeHead(head, size, encoded, 0));
    const message = concat([bytesOf(`PUB ${this.#pubPrefix}.${channel} ${ACKS} ${encoded.length}\r\n`), encoded, bytesOf("\r\n")]);
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

  #publish(message: Uint8Array, messages: number, window: number, each: () => void = () => undefined): Promise<void> {
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
        each();
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
export const create = (): Competitor => new BareSocket();
