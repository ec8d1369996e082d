import type { Connection } from "../core-nats/connection.ts";
import { headerBlock } from "../core-nats/headers.ts";
import { nuid } from "../core-nats/nuid.ts";
import { encoder } from "../core-nats/text.ts";
import type { Route } from "./stream.ts";
import type { Target } from "./target.ts";

/** What no request of the API can be: it is refused before anything is done. */
const NO_REQUEST = encoder.encode("-");

/**
 * @internal
 * The subjects of the target that the bridge needs for these channels and may not publish to. Each is asked for by a
 * message that does nothing: it is no request of JetStream's API, or one to a consumer that does not exist; and no
 * stream stores it, since it names the stream that it expects. What is denied is told before the PONG.
 */
export async function deniedSubjects(
  connection: Connection,
  target: Target,
  routes: readonly Route[],
): Promise<string[]> {
  const denied: string[] = [];
  const nobody = nuid();
  const headers = headerBlock([["Nats-Expected-Stream", nobody]]);
  connection.publishDenied = (subject) => denied.push(subject.replace(nobody, "*")) > 0;
  for (const subject of routes.flatMap((route) => neededSubjects(target, route, nobody))) {
    connection.publishWithHeaders(subject, headers, NO_REQUEST);
  }
  await connection.flush();
  return denied;
}

function neededSubjects(target: Target, { stream, door, mergeDoor, hole }: Route, consumer: string): string[] {
  const ofStream = ["STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.PURGE", "STREAM.MSG.GET"];
  const ofConsumer = ["CONSUMER.CREATE", "CONSUMER.INFO", "CONSUMER.DELETE", "CONSUMER.MSG.NEXT"];
  return [
    ...[door, mergeDoor, hole],
    ...ofStream.map((name) => target.subject(`${name}.${stream}`)),
    ...ofConsumer.map((name) => target.subject(`${name}.${stream}.${consumer}`)),
    `$JS.ACK.${stream}.${consumer}.1.1.1.1.0`,
  ];
}
