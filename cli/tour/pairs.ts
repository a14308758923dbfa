/** Counts every pair of neighbouring bytes into a table of 256 x 256. */
export function countPairs(content: Uint8Array, pairs: Float64Array): void {
  for (let i = 1; i < content.length; i++) {
    const at = (content[i - 1] ?? 0) * 256 + (content[i] ?? 0);
    pairs[at] = (pairs[at] ?? 0) + 1;
  }
}
