/** What is known of a message: how its publish ended. */
export type Outcome =
  /** Not settled. */
  | "pending"
  /** Resolved: it is stored. */
  | "stored"
  /** Rejected with `UNCONFIRMED`, or a part of a `publishMany` that failed: it may be stored. */
  | "unknown"
  /** Rejected with any other code: it is not stored. */
  | "refused";

/** A message as a log holds it. */
export interface Logged {
  readonly sequence: number;
  readonly id: string;
}

/**
 * What a ledger takes down, in a form that another process can be told. Views are numbered in the order in which they
 * came.
 */
export type Entry =
  | readonly ["published", id: string, outcome: Outcome]
  | readonly ["view", name: string]
  | readonly ["begin", view: number, key: string, id: string]
  | readonly ["end", view: number, key: string, id: string, well: boolean]
  | readonly ["anew", view: number]
  | readonly ["buried", view: number, id: string]
  | readonly ["received", view: number, deliveries: number];

/** What the oracle found. */
export interface Verdict {
  readonly messages: number;
  readonly lost: number;
  /** What a store that forgets had when it was told to: stored, and not handled everywhere. */
  readonly lostWithStore: number;
  /**
   * What a new leader took for acknowledged, and nobody had handled: it was sent by a leader that died, and is not sent
   * again.
   */
  readonly forgotten: number;
  readonly unknown: number;
  /** Handled to the end more than once by one that should have handled it once. */
  readonly duplicates: number;
  /** What was put into dead letters instead of being handled well. */
  readonly deadLetters: number;
  /**
   * Deliveries of what had been delivered before: to a subscription that went on, or because an ack did not come in
   * time.
   */
  readonly replayed: number;
}

/**
 * The handlers of one subscription, or of the members of one queue group in one client. Watches over the promise that
 * one message has one run at a time, and none after one that ended well, for as long as its client is the same.
 */
export class View {
  /** The views of one name handle a channel together. */
  readonly name: string;
  readonly handled = new Map<string, number>();
  /** All that a handler was started for, by key. */
  readonly begun = new Set<string>();
  /** The ids that a handler was started for since the leader was changed last. */
  readonly begunSince = new Set<string>();
  /** What is in the dead letters, and where: once told, it is done, as what was handled well is. */
  readonly buried = new Set<string>();
  /** The key of an id, where messages with one key are handled one at a time and in order; else undefined. */
  readonly #keyOf: ((id: string) => string) | undefined;
  readonly #runningKeys = new Set<string>();
  /** When the last message of each key was stored that was handled well. */
  readonly #lastWell = new Map<string, bigint>();
  /** Whose handler failed last time, by id. Whether it was acknowledged all the same is known there. */
  readonly failed = new Map<string, { readonly finished: boolean }>();
  readonly #running = new Set<string>();
  readonly #finished = new Set<string>();
  readonly #number: number;
  readonly #ledger: Ledger;
  #deliveries = 0;
  #toldAnew = false;

  constructor(name: string, number: number, ledger: Ledger, keyOf?: (id: string) => string) {
    this.name = name;
    this.#keyOf = keyOf;
    this.#number = number;
    this.#ledger = ledger;
  }

  /** How many messages came in, those that came again included. */
  get deliveries(): number {
    return this.#deliveries;
  }

  /** Whether it was told that the channel began anew. */
  get toldAnew(): boolean {
    return this.#toldAnew;
  }

  /**
   * A handler starts. `key` tells a stored message from all others, also from one with its number in an earlier life of
   * the channel.
   */
  begin(key: string, id: string): void {
    this.#ledger.copy?.(["begin", this.#number, key, id]);
    if (this.#running.has(key)) this.#ledger.violation(`${this.name}: two handlers at once for ${id} (${key})`);
    if (this.#finished.has(key)) {
      this.#ledger.violation(`${this.name}: ${id} (${key}) is handled again, though it is finished`);
    }
    const lane = this.#keyOf?.(id);
    if (lane !== undefined && this.#runningKeys.has(lane)) {
      this.#ledger.violation(`${this.name}: two handlers at once for ${lane}, ${id} (${key}) is the second`);
    }
    if (lane !== undefined) this.#runningKeys.add(lane);
    this.begun.add(key);
    this.begunSince.add(id);
    this.#running.add(key);
  }

  end(key: string, id: string, well: boolean): void {
    this.#ledger.copy?.(["end", this.#number, key, id, well]);
    this.#running.delete(key);
    const lane = this.#keyOf?.(id);
    if (lane !== undefined) this.#runningKeys.delete(lane);
    if (!well) return;
    this.#finished.add(key);
    this.handled.set(id, (this.handled.get(id) ?? 0) + 1);
    if (lane !== undefined) this.#inOrder(lane, BigInt(key.split("@")[1]!), id);
  }

  /** Its dead letter is stored. */
  bury(id: string): void {
    this.#ledger.copy?.(["buried", this.#number, id]);
    if (this.handled.has(id)) this.#ledger.violation(`${this.name}: ${id} is in the dead letters, and was handled`);
    if (this.buried.has(id)) this.#ledger.violation(`${this.name}: ${id} is told to be in the dead letters twice`);
    this.buried.add(id);
  }

  /** By the time at which messages were stored: numbers begin again with their channel. */
  #inOrder(lane: string, time: bigint, id: string): void {
    const last = this.#lastWell.get(lane) ?? 0n;
    if (time < last) this.#ledger.violation(`${this.name}: ${id} is handled after a later one of ${lane}`);
    else this.#lastWell.set(lane, time);
  }

  anew(): void {
    this.#ledger.copy?.(["anew", this.#number]);
    this.#toldAnew = true;
  }

  /** So many messages came in, of which nothing was noted yet. */
  received(deliveries: number): void {
    this.#ledger.copy?.(["received", this.#number, deliveries]);
    this.#deliveries += deliveries;
  }
}

/** The oracle: what was published, and what became of it. */
export class Ledger {
  readonly violations: string[] = [];
  readonly views: View[] = [];
  /** Told of each entry. */
  readonly copy: ((entry: Entry) => void) | undefined;
  readonly #outcomes = new Map<string, Outcome>();
  /** What was published before the store lost all. */
  readonly #excusable = new Set<string>();
  /** What was published before the leader was changed last. */
  readonly #former = new Set<string>();
  /** What `missing` leaves out. */
  readonly #forgotten = new Set<string>();

  constructor(copy?: (entry: Entry) => void) {
    this.copy = copy;
  }

  /** Takes down what another ledger did. */
  enter(entry: Entry): void {
    switch (entry[0]) {
      case "published":
        return this.note(entry[1], entry[2]);
      case "view":
        return void this.view(entry[1]);
      case "begin":
        return this.views[entry[1]]!.begin(entry[2], entry[3]);
      case "end":
        return this.views[entry[1]]!.end(entry[2], entry[3], entry[4]);
      case "buried":
        return this.views[entry[1]]!.bury(entry[2]);
      case "anew":
        return this.views[entry[1]]!.anew();
      case "received":
        return this.views[entry[1]]!.received(entry[2]);
    }
  }

  violation(text: string): void {
    if (this.violations.length < 50) this.violations.push(text);
  }

  /** `keyOf`: the key of an id, where messages with one key are to be handled one at a time and in order. */
  view(name: string, keyOf?: (id: string) => string): View {
    this.copy?.(["view", name]);
    const view = new View(name, this.views.length, this, keyOf);
    this.views.push(view);
    return view;
  }

  note(id: string, outcome: Outcome): void {
    this.copy?.(["published", id, outcome]);
    this.#outcomes.set(id, outcome);
  }

  /** The store has lost what it held, as a memory store does with its process: that is nobody's fault. */
  storeLost(): void {
    for (const [id, outcome] of this.#outcomes) if (outcome !== "refused") this.#excusable.add(id);
  }

  /**
   * Takes down what the channel of dead letters of a view holds: all that were told, but for those that the store has
   * lost. `doubled`: how many may be there twice, since their publish was unconfirmed.
   */
  deadLetters(view: View, ids: readonly string[], doubled: number): void {
    const stored = new Set(ids);
    for (const id of view.buried) {
      if (!stored.has(id) && !this.#excusable.has(id)) {
        this.violation(`${view.name}: the dead letter of ${id} was told to be stored, and is not`);
      }
    }
    for (const id of stored) {
      if (!view.buried.has(id)) this.violation(`${view.name}: ${id} is in the dead letters, and that was not told`);
    }
    const more = ids.length - stored.size;
    if (more > doubled) this.violation(`${view.name}: ${more} dead letters are doubles, and ${doubled} may be`);
  }

  /** A leader is about to die. The next one may not know all that this one has sent. */
  leaderLost(): void {
    for (const id of this.#outcomes.keys()) this.#former.add(id);
    for (const view of this.views) view.begunSince.clear();
  }

  /**
   * Excuses what is missing in a queue group and was forgotten by a new leader: published before the last one, not
   * delivered since, and no server has anything pending, though the client did not acknowledge it. In a group that can
   * show nowhere: other members could have it. All others find it in the channel.
   */
  forgive(log: readonly Logged[]): void {
    for (const { name, id } of this.#missing(log)) {
      const views = this.views.filter((view) => view.name === name);
      if (!this.#former.has(id) || views.some((view) => view.begunSince.has(id) || view.failed.get(id)?.finished)) {
        continue;
      }
      if (name.includes("group")) this.#forgotten.add(`${name} ${id}`);
    }
  }

  get published(): number {
    return this.#outcomes.size;
  }

  /** The ids in the log that some view has not handled, and that are not excused. */
  missing(log: readonly Logged[]): string[] {
    return this.#missing(log).map(({ name, id }) => `${name} has not handled ${id}`);
  }

  #missing(log: readonly Logged[]): { name: string; id: string; sequence: number }[] {
    return [...this.#handledByName()].flatMap(([name, handled]) =>
      log
        .filter(({ id }) => !handled.has(id) && !this.#forgotten.has(`${name} ${id}`))
        .map((logged) => ({ name, ...logged })),
    );
  }

  /** Judges all, when everything has come to rest. */
  judge(log: readonly Logged[]): Verdict {
    const logged = new Map<string, number>();
    for (const { id } of log) logged.set(id, (logged.get(id) ?? 0) + 1);
    let lost = 0;
    let lostWithStore = 0;
    let unknown = 0;
    for (const [id, outcome] of this.#outcomes) {
      if (outcome === "pending") this.violation(`the publish of ${id} was never settled`);
      if (outcome === "unknown") unknown++;
      if (outcome === "refused" && logged.has(id)) this.violation(`${id} was rejected as not done, and is in the log`);
      if (outcome === "stored" && !logged.has(id) && !this.#excusable.has(id)) {
        lost++;
        this.violation(`${id} was acknowledged, and is not in the log`);
      }
    }
    for (const [id, times] of logged) {
      if (!this.#outcomes.has(id)) this.violation(`${id} is in the log, and nobody published it`);
      if (times > 1) this.violation(`${id} is ${times} times in the log`);
    }
    for (const text of this.missing(log)) {
      lost++;
      this.violation(text);
    }
    for (const [name, handled] of this.#handledByName()) {
      let gone = 0;
      for (const [id, outcome] of this.#outcomes) {
        if (outcome !== "stored" || handled.has(id) || logged.has(id)) continue;
        if (this.#excusable.has(id)) gone++;
        else this.violation(`${name} has not handled ${id}, which is not in the log any more`);
      }
      lostWithStore += gone;
      const told = this.views.some((view) => view.name === name && view.toldAnew);
      if (gone > 0 && !told) this.violation(`${name} has lost ${gone} messages with the store, and was not told`);
    }
    let duplicates = 0;
    for (const handled of this.#handledByName().values()) for (const times of handled.values()) duplicates += times - 1;
    return {
      messages: this.published,
      lost,
      lostWithStore,
      forgotten: this.#forgotten.size,
      unknown,
      duplicates,
      deadLetters: this.views.reduce((sum, view) => sum + view.buried.size, 0),
      replayed: this.#replayed(),
    };
  }

  #replayed(): number {
    const begun = new Set(this.views.flatMap((view) => [...view.begun].map((key) => `${view.name} ${key}`)));
    return this.views.reduce((sum, view) => sum + view.deliveries, 0) - begun.size;
  }

  #handledByName(): Map<string, Map<string, number>> {
    const byName = new Map<string, Map<string, number>>();
    for (const view of this.views) {
      const handled = byName.get(view.name) ?? new Map<string, number>();
      for (const [id, times] of view.handled) handled.set(id, (handled.get(id) ?? 0) + times);
      for (const id of view.buried) handled.set(id, handled.get(id) ?? 1);
      byName.set(view.name, handled);
    }
    return byName;
  }
}
