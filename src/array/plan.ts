import type { ChangedPages } from "./engine.ts";
import type { MetaChange, PageRun } from "./format.ts";
import type { History } from "./history.ts";

/** How the changed pages of one array come to the disk. */
export interface Plan {
  readonly change: ChangedPages;
  readonly runs: readonly PageRun[];
  /** (start, length) in bytes of what goes into the log. */
  readonly images: Float64Array;
  /** The same of what goes home at once, and is not there yet. */
  readonly direct: Float64Array;
  readonly highWater: number;
  readonly newHighWater: number;
}

/** Pages of (start, length) pairs. */
export function pagesOf(runs: Float64Array, pageSize: number): number {
  let bytes = 0;
  for (let i = 1; i < runs.length; i += 2) bytes += runs[i] ?? 0;
  return bytes / pageSize;
}

/** Splits what changed into pages for the log and pages that nobody can see yet, which go home at once. */
export function planCommit(
  history: History,
  changes: readonly ChangedPages[],
  meta: MetaChange,
  directBytes: number,
): Plan[] {
  const size = history.log.pageSize;
  let body = 0;
  const plans = changes.map((change) => {
    const { array } = change;
    const known = history.info(array) ?? meta.arrays?.find(({ id }) => id === array);
    const highWater = known?.highWater ?? 0;
    const zero = (page: number, end: number): PageRun => ({ array, kind: "zero", page, count: end - page, body: 0 });
    /* Behind the high water all is zeros, and direct pages may be written there. */
    const runs = change.zeros
      .filter(([page]) => page < highWater)
      .map(([page, end]) => zero(page, Math.min(end, highWater)));
    const images: number[] = [];
    const direct: number[] = [];
    let end = highWater;
    const add = (page: number, count: number, kind: "image" | "direct"): void => {
      runs.push({ array, page, count, kind, body: kind === "image" ? body : 0 });
      (kind === "image" ? images : direct).push(page * size, count * size);
      if (kind === "image") body += count;
      end = Math.max(end, page + count);
    };
    for (const { first, end: to } of change.fresh) {
      runs.push({ array, page: first, count: to - first, kind: "direct", body: 0 });
      end = Math.max(end, to);
    }
    for (let i = 0; i < change.count; i++) {
      const page = (change.runs[2 * i] ?? 0) / size;
      const count = (change.runs[2 * i + 1] ?? 0) / size;
      const below = Math.min(count, Math.max(0, highWater - page));
      if ((count - below) * size < directBytes) {
        add(page, count, "image");
        continue;
      }
      if (below > 0) add(page, below, "image");
      add(page + below, count - below, "direct");
    }
    return {
      change,
      runs,
      images: Float64Array.from(images),
      direct: Float64Array.from(direct),
      highWater,
      newHighWater: end,
    };
  });
  /* Checksums of direct pages follow those of the images. */
  let place = body;
  return plans.map((plan) => ({
    ...plan,
    runs: plan.runs.map((run) => {
      if (run.kind !== "direct") return run;
      place += run.count;
      return { ...run, body: place - run.count };
    }),
  }));
}
