/** Measures one round of a participant and returns its cost. */
export type Participant = (round: number) => number | Promise<number>;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The value that a share of all values does not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
}

export interface RoundOptions {
  /** Rounds that count. */
  readonly rounds: number;
  /** Rounds before them, for compilers and caches. */
  readonly warmup: number;
}

/**
 * Runs the participants in turns, so that what disturbs the machine disturbs all of them alike, and returns the median
 * of each. The order turns round with every round.
 */
export async function interleave(
  participants: Readonly<Record<string, Participant>>,
  { rounds, warmup }: RoundOptions,
): Promise<Record<string, number>> {
  const names = Object.keys(participants);
  const costs: Record<string, number[]> = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < warmup + rounds; round++) {
    const order = round % 2 === 0 ? names : [...names].reverse();
    for (const name of order) {
      const cost = await (participants[name] as Participant)(round);
      if (round >= warmup) costs[name]?.push(cost);
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(costs[name] ?? [])]));
}

/** Nanoseconds per operation of a synchronous function that does `count` of them. */
export function timed(count: number, work: () => void): number {
  const started = performance.now();
  work();
  return ((performance.now() - started) * 1e6) / count;
}
