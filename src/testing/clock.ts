import { clearTimeout, elapsed, now, setTimeout } from "../core-nats/clock.ts";

/** Something that happens at a time of the clock, once. */
export type Alarm = { readonly due: number; readonly ring: () => void };

/** A clock that goes with the host's, and can be moved ahead of it. It never goes back. */
export class Clock {
  #offset = now() - elapsed();
  /** In the order in which they ring: by time, and those of one time in the order in which they were set. */
  readonly #alarms: Alarm[] = [];
  #timer: Timer | undefined;
  #held = false;
  #last = 0;

  /** Milliseconds since 1970, with fractions. No two calls give the same. */
  now(): number {
    return (this.#last = Math.max(this.#last + 0.001, elapsed() + this.#offset));
  }

  /** When the next alarm rings; Infinity: none will. */
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

  /** Moves ahead to a time, if that is not in the past. */
  moveTo(time: number): void {
    this.#offset += Math.max(0, time - this.now());
    this.#arm();
  }

  /** Rings what is due. */
  ring(): void {
    for (const end = this.now(); this.next <= end; ) this.#alarms.shift()!.ring();
    this.#arm();
  }

  /** While held nothing rings; time goes on. */
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
    // The host's timers take no more than 31 bits.
    this.#timer = setTimeout(() => this.ring(), Math.min(Math.max(0, Math.ceil(this.next - this.now())), 2 ** 31 - 1));
  }
}
