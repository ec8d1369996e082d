/** Who gets the messages to a subject: one SUB of a client, or the streaming server itself. */
export interface Interest {
  /** May have wildcards. */
  readonly subject: string;
  /** One of the interests with the same queue gets a message. With "" this one gets every message. */
  readonly queue: string;
  deliver(subject: string, reply: string, payload: Uint8Array): void;
}

/** A wildcard is one only as a whole token: `foo*` is a subject like any other. */
const WILDCARD = /(^|\.)[*>](\.|$)/;

/** All interests of a NATS server. It finds those that get a message. */
export class Subjects {
  readonly #literal = new Map<string, Set<Interest>>();
  readonly #wildcard = new Map<Interest, readonly string[]>();
  #turn = 0;

  add(interest: Interest): void {
    const { subject } = interest;
    const others = this.#literal.get(subject);
    if (WILDCARD.test(subject)) this.#wildcard.set(interest, subject.split("."));
    else if (others === undefined) this.#literal.set(subject, new Set([interest]));
    else others.add(interest);
  }

  remove(interest: Interest): void {
    this.#wildcard.delete(interest);
    const others = this.#literal.get(interest.subject);
    if (others?.delete(interest) && others.size === 0) this.#literal.delete(interest.subject);
  }

  /** Delivers to every interest, and to one of each queue. Returns how many get it: none if a token is empty. */
  publish(subject: string, reply: string, payload: Uint8Array): number {
    const chosen: Interest[] = [];
    const queues = new Map<string, Interest[]>();
    const tokens = subject.split(".");
    if (tokens.includes("")) return 0;
    const open = [...this.#wildcard.keys()].filter((interest) => matches(this.#wildcard.get(interest)!, tokens));
    for (const interest of [...(this.#literal.get(subject) ?? []), ...open]) {
      const members = queues.get(interest.queue);
      if (interest.queue === "") chosen.push(interest);
      else if (members === undefined) queues.set(interest.queue, [interest]);
      else members.push(interest);
    }
    this.#turn++;
    for (const members of queues.values()) chosen.push(members[this.#turn % members.length]);
    for (const interest of chosen) interest.deliver(subject, reply, payload);
    return chosen.length;
  }
}

/** Whether a client may subscribe to it. */
export function isSubject(subject: string): boolean {
  const tokens = subject.split(".");
  return tokens.every((token, i) => token !== "" && (token !== ">" || i === tokens.length - 1));
}

/** Whether a subject equals the pattern or matches its wildcards. */
export function covers(pattern: string, subject: string): boolean {
  return matches(pattern.split("."), subject.split("."));
}

function matches(pattern: readonly string[], tokens: readonly string[]): boolean {
  const last = pattern.length - 1;
  const open = pattern[last] === ">";
  if (open ? tokens.length <= last : tokens.length !== pattern.length) return false;
  return pattern.every((wanted, i) => wanted === "*" || wanted === tokens[i] || (open && i === last));
}
