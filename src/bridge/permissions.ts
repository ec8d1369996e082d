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
 * Which subjects of the target the bridge needs for these channels and must not publish to, by channel. Each is asked
 * for by a message that does nothing: no request of JetStream's API, or one for a consumer that does not exist; and
 * one that no stream stores, since it names the stream that it expects. What is denied is told before the PONG.
 */
export async function deniedSubjects(
  connection: Connection,
  target: Target,
  routes: readonly Route[],
): Promise<Map<string, string[]>> {
  const denied = new Set<string>();
  const before = connection.publishDenied;
  connection.publishDenied = (subject) => denied.add(subject) !== undefined;
  const nobody = nuid();
  const headers = headerBlock([["Nats-Expected-Stream", nobody]]);
  const asked = routes.map((route) => ({ route, subjects: neededSubjects(target, route, nobody) }));
  for (const { subjects } of asked) {
    for (const subject of subjects) connection.publishWithHeaders(subject, headers, NO_REQUEST);
  }
  await connection.flush();
  connection.publishDenied = before;
  return new Map(
    asked.map(({ route, subjects }) => {
      const names = subjects.filter((subject) => denied.has(subject));
      return [route.channel, names.map((subject) => subject.replace(nobody, "*"))];
    }),
  );
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
