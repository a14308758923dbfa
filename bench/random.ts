/** Uniform integers below `limit`: splitmix32, the same sequence in every runtime for the same seed. */
export function randomIntegers(seed: number): (limit: number) => number {
  let state = seed | 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) | 0;
    let z = state ^ (state >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  return (limit) => {
    const fraction = (next() * 2 ** 21 + (next() >>> 11)) / 2 ** 53;
    return Math.floor(fraction * limit);
  };
}

/** The integers below `count` in random order. */
export function shuffled(count: number, random: (limit: number) => number): number[] {
  const order = Array.from({ length: count }, (_, index) => index);
  for (let i = count - 1; i > 0; i--) {
    const j = random(i + 1);
    const kept = order[i] ?? 0;
    order[i] = order[j] ?? 0;
    order[j] = kept;
  }
  return order;
}
