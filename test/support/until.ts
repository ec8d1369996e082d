/**
 * Waits until the check gives something truthy, and returns that. Asks again every few milliseconds; a check that
 * throws counts as "not yet". After `timeout` milliseconds (10 000) it rejects, saying what was waited for.
 */
export async function until<T>(
  what: string,
  check: () => T | Promise<T>,
  timeout = 10_000,
): Promise<Exclude<T, undefined | null | false | 0 | "">> {
  const deadline = performance.now() + timeout;
  let last: unknown;
  do {
    try {
      last = await check();
      if (last) return last as Exclude<T, undefined | null | false | 0 | "">;
    } catch (error) {
      last = error;
    }
    await new Promise<void>((resolve) => setTimeout(resolve, 5));
  } while (performance.now() < deadline);
  throw new Error(`waited ${timeout} ms in vain until ${what}; last seen: ${String(last)}`);
}
