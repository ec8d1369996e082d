/** What somebody wants to hear: one SUB of a client, or a subject that the streaming server itself listens on. */
export interface Interest {
  /** May have wildcards. */
  readonly subject: string;
  /** Of all interests with the same queue one gets the message; empty: this one gets every message. */
  readonly queue: string;
  deliver(subject: string, reply: string, payload: Uint8Array): void;
}

/** A wildcard is one only as a whole token: `foo*` is a subject like any other. */
const WILDCARD = /(^|\.)[*>](\.|$)/;

/** All interests of a NATS server, and the way of a message to them. */
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

  /** Delivers to all interests, and of a queue to one. Returns how many got it: none, where a token is empty. */
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

/** Whether this may be subscribed to. */
export function isSubject(subject: string): boolean {
  const tokens = subject.split(".");
  return tokens.every((token, i) => token !== "" && (token !== ">" || i === tokens.length - 1));
}

/** Whether a subject is that or, by its wildcards, stands for it. */
export function covers(pattern: string, subject: string): boolean {
  return matches(pattern.split("."), subject.split("."));
}

function matches(pattern: readonly string[], tokens: readonly string[]): boolean {
  const last = pattern.length - 1;
  const open = pattern[last] === ">";
  if (open ? tokens.length <= last : tokens.length !== pattern.length) return false;
  return pattern.every((wanted, i) => wanted === "*" || wanted === tokens[i] || (open && i === last));
}
