import { clearTimeout, elapsed, now, setTimeout } from "../core-nats/clock.ts";

/** Something that happens once, at a time of the clock. */
export type Alarm = { readonly due: number; readonly ring: () => void };

/** A clock that follows the host's and can be moved ahead of it. It never goes back. */
export class Clock {
  #offset = now() - elapsed();
  /** In the order in which they ring: by time, then in the order in which they were set. */
  readonly #alarms: Alarm[] = [];
  #timer: Timer | undefined;
  #held = false;
  #last = 0;

  /** Milliseconds since 1970, with fractions. No two calls return the same. */
  now(): number {
    return (this.#last = Math.max(this.#last + 0.001, elapsed() + this.#offset));
  }

  /** When the next alarm rings. Infinity: no alarm will ring. */
  get next(): number {
    return this.#held || this.#alarms.length === 0 ? Infinity : this.#alarms[0].due;
  }

  /** Sets an alarm. It never rings within this call. */
  at(due: number, ring: () => void): Alarm {
    const alarm = { due, ring };
    let at = this.#alarms.length;
    while (at > 0 && this.#alarms[at - 1].due > due) at--;
    this.#alarms.splice(at, 0, alarm);
    if (at === 0) this.#arm();
    return alarm;
  }

  cancel(alarm: Alarm | undefined): void {
    const at = alarm === undefined ? -1 : this.#alarms.indexOf(alarm);
    if (at >= 0) this.#alarms.splice(at, 1);
  }

  /** Moves ahead to a time. Does nothing if the time is in the past. */
  moveTo(time: number): void {
    this.#offset += Math.max(0, time - this.now());
    this.#arm();
  }

  /** Rings the alarms that are due. */
  ring(): void {
    for (const end = this.now(); this.next <= end; ) this.#alarms.shift()!.ring();
    this.#arm();
  }

  /** While it is held no alarm rings. Time goes on. */
  hold(held: boolean): void {
    this.#held = held;
    this.#arm();
  }

  /** Forgets all alarms. */
  clear(): void {
    this.#alarms.length = 0;
    this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.next === Infinity) return;
    // The host's timers take at most 31 bits.
    this.#timer = setTimeout(() => this.ring(), Math.min(Math.max(0, Math.ceil(this.next - this.now())), 2 ** 31 - 1));
  }
}
