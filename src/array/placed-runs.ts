import type { Runs } from "../memory/private-view.ts";

/**
 * Where in a file those parts of runs lie that are still the same there: triples (start, length, offset in the file). The
 * runs, pairs (start, length) of ascending starts, lie in it one behind the other from `offset` on.
 */
export function placedRuns(runs: Float64Array, count: number, same: Runs, offset: number): number[] {
  const triples: number[] = [];
  let at = offset;
  let next = 0;
  for (let i = 0; i < 2 * count; i += 2) {
    const [start = 0, length = 0] = [runs[i], runs[i + 1]];
    /* Runs of pages that are the same may reach over several runs, and runs have several of them. */
    for (; next < same.count; next++) {
      const from = Math.max(start, same.data[2 * next] ?? 0);
      const end = Math.min(start + length, (same.data[2 * next] ?? 0) + (same.data[2 * next + 1] ?? 0));
      if (from < end) triples.push(from, end - from, at + from - start);
      if (end >= start + length) break;
    }
    at += length;
  }
  return triples;
}

/** Starts of those pages of the runs, pairs of ascending starts, that are not among the same ones. */
export function pagesBeside(runs: Float64Array, same: Runs, pageSize: number): number[] {
  const pages: number[] = [];
  let next = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const [start = 0, length = 0] = [runs[i], runs[i + 1]];
    for (let at = start; at < start + length; at += pageSize) {
      while (next < same.count && (same.data[2 * next] ?? 0) + (same.data[2 * next + 1] ?? 0) <= at) next++;
      if (next >= same.count || (same.data[2 * next] ?? 0) > at) pages.push(at);
    }
  }
  return pages;
}
