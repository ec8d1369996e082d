import type { Outcome } from "./task.ts";

/** Runs `work` and measures it. `work` may note latencies, and may return the seconds that count. */
export async function measured(
  messages: number,
  work: (latencies: Latencies) => Promise<number | void>,
): Promise<Outcome> {
  const latencies = new Latencies(messages);
  const cpu = process.cpuUsage();
  const start = performance.now();
  const seconds = (await work(latencies)) ?? (performance.now() - start) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return { messages, seconds, cpu: user + system, ...latencies.summary() };
}

/** The milliseconds that single messages took. */
export class Latencies {
  readonly #values: Float64Array;
  #count = 0;

  constructor(most: number) {
    this.#values = new Float64Array(most);
  }

  add(milliseconds: number): void {
    this.#values[this.#count++] = milliseconds;
  }

  summary(): Pick<Outcome, "latency"> {
    if (this.#count === 0) return {};
    const sorted = this.#values.subarray(0, this.#count).sort();
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    return { latency: { p50: at(0.5), p99: at(0.99) } };
  }
}
