import { afterAll, beforeAll, describe } from "vitest";
import { StreamingServer as Embedded } from "../../src/testing/server.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer } from "../support/suite.ts";
import { Peer } from "./peer.ts";

/** What both servers can be started with. */
export interface Variant {
  readonly heartbeat?: { interval: number; timeout: number; failCount: number };
  readonly limits?: { channels?: number; subscriptions?: number; messages?: number };
}

/** A server of either kind that runs for the tests of a suite. */
export interface Server {
  readonly port: number;
  /** Lets so many milliseconds go by: for the real one they pass, for the embedded one its clock is moved. */
  pass(milliseconds: number): Promise<void>;
  /**
   * `describe` for tests that let time go by: at once, where it is real; one after the other, where they move a clock.
   */
  readonly timed: (name: string, tests: () => void) => void;
  /** A NATS connection of a client that is not registered yet. Ended after the suite. */
  peer(fields?: Record<string, unknown>): Promise<Peer>;
  /** A registered client. */
  client(): Promise<Peer>;
}

/** Runs the tests against the embedded server and against nats-streaming-server 0.25.6. */
export function describeServers(name: string, variant: Variant, tests: (server: Server) => void): void {
  describe(`${name}, embedded`, () => {
    suite(describe, async () => {
      const server = await Embedded.start({ ...variant });
      return { port: server.port, stop: () => server.stop(), pass: (milliseconds) => server.advance(milliseconds) };
    }, tests);
  });
  describeWithServer(`${name}, nats-streaming-server`, () => {
    suite(describe.concurrent, async () => {
      const server = await RealServer.start({ args: argumentsFor(variant) });
      const pass = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
      return { port: server.port, stop: () => server.stop(), pass };
    }, tests);
  });
}

interface Started {
  readonly port: number;
  stop(): Promise<void>;
  pass(milliseconds: number): Promise<void>;
}

function suite(timed: Server["timed"], start: () => Promise<Started>, tests: (server: Server) => void): void {
  let started: Started | undefined;
  const peers: Peer[] = [];
  beforeAll(async () => {
    started = await start();
  });
  afterAll(async () => {
    for (const peer of peers) peer.destroy();
    await started?.stop();
  });
  const server: Server = {
    timed,
    get port() {
      return started!.port;
    },
    pass: (milliseconds) => started!.pass(milliseconds),
    async peer(fields) {
      const peer = await Peer.dial(started!.port, fields);
      peers.push(peer);
      return peer;
    },
    async client() {
      const peer = await server.peer();
      await peer.register();
      return peer;
    },
  };
  tests(server);
}

/** The command line of the real server. */
export function argumentsFor({ heartbeat, limits = {} }: Variant): string[] {
  const args: string[] = [];
  if (heartbeat !== undefined) {
    args.push("-hbi", `${heartbeat.interval}ms`, "-hbt", `${heartbeat.timeout}ms`, "-hbf", String(heartbeat.failCount));
  }
  if (limits.channels !== undefined) args.push("-mc", String(limits.channels));
  if (limits.subscriptions !== undefined) args.push("-msu", String(limits.subscriptions));
  if (limits.messages !== undefined) args.push("-mm", String(limits.messages));
  return args;
}
