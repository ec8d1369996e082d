const ROUNDS = 7;

/** Measures several rounds of so many times each. Prints the best, the median and the worst: nanoseconds per time. */
export function measure(what: string, times: number, run: (times: number) => void): void {
  run(times);
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    run(times);
    rounds.push(((performance.now() - start) * 1e6) / times);
  }
  rounds.sort((a, b) => a - b);
  const figures = [rounds[0]!, rounds[ROUNDS >> 1]!, rounds[ROUNDS - 1]!];
  const columns = figures.map((figure) => figure.toFixed(1).padStart(10));
  process.stdout.write(`${what.padEnd(48)}${columns.join("")} ns\n`);
}
