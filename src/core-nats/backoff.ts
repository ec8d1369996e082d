/**
 * Returns how long to wait before a dial, in milliseconds. `attempt` counts the dials in a row, from 0. The first dial
 * does not wait. Each further dial waits longer, and jitter spreads the dials of many clients.
 */
export function backoff(attempt: number): number {
  return attempt === 0 ? 0 : Math.min(2_000, 50 * 2 ** (attempt - 1)) * (0.75 + Math.random() / 2);
}
