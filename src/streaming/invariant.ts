/** @internal @throws Error with the words if something does not hold that always holds: a bug of this library */
export function invariant(holds: boolean, words: string): asserts holds {
  if (!holds) throw new Error(words);
}
