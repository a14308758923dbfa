/** A number that no other session or reader has: 64 random bits, never 0. */
export function randomId(): bigint {
  const words = new BigUint64Array(1);
  do crypto.getRandomValues(words);
  while (words[0] === 0n);
  return words[0] ?? 1n;
}
