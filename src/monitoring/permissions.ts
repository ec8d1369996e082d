import type { Connection } from "../core-nats/connection.ts";
import { NO_BYTES } from "../core-nats/text.ts";

/**
 * @internal
 * The lines that are missing in the user's permissions. Each subject is tried by a message that is no request: the
 * streaming server does nothing with it. What is denied is told before the PONG.
 */
export async function deniedLines(connection: Connection, clusterId: string, inboxPrefix: string): Promise<string[]> {
  const denied: string[] = [];
  const lines = new Map<string, string>();
  for (const name of ["sub", "subclose", "unsub", "close"]) lines.set(`_STAN.${name}.${clusterId}`, "");
  for (const name of ["", ".pings"]) lines.set(`_STAN.discover.${clusterId}${name}`, "");
  lines.set(`_STAN.pub.${clusterId}.doctor`, `_STAN.pub.${clusterId}.>`);
  lines.set("_INBOX.doctor", "_INBOX.>");
  connection.publishDenied = (subject) => denied.push(`publish: "${lines.get(subject) || subject}"`) > 0;
  for (const subject of lines.keys()) connection.publish(subject, NO_BYTES);
  for (const subject of [`${inboxPrefix}.>`, "_STAN.acks.>"]) {
    // Only so much as is needed to see whether it may.
    const sid = connection.subscribe(subject.replace(">", "doctor"), {
      deliver: () => {},
      denied: () => denied.push(`subscribe: "${subject}"`),
    });
    await connection.flush();
    connection.unsubscribe(sid);
  }
  return denied;
}
