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

/** How a whole commit comes to the disk. */
interface Plans {
  readonly plans: readonly Plan[];
  /** Pages of all images. */
  readonly imagePages: number;
  /** Pages of all images and direct runs: the checksums of the record. */
  readonly sumCount: number;
}

const none = new Float64Array(0);

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Whether pages [first, end) lie where the transaction has written home what a savepoint may come back to. */
function coversKept({ keepsFresh, fresh }: ChangedPages, first: number, end: number): boolean {
  return keepsFresh && fresh.some((range) => range.first < end && first < range.end);
}

/** Splits what changed into pages for the log and pages that nobody can see yet, which go home at once. */
export function planCommit(
  history: History,
  changes: readonly ChangedPages[],
  meta: MetaChange,
  directBytes: number,
): Plans {
  const size = history.log.pageSize;
  let body = 0;
  const home: Writable<PageRun>[] = [];
  const plans: Plan[] = [];
  for (const change of changes) {
    const { array, count } = change;
    const known = history.info(array) ?? meta.arrays?.find(({ id }) => id === array);
    const highWater = known?.highWater ?? 0;
    const runs: Writable<PageRun>[] = [];
    /* Behind the high water all is zeros, and direct pages may be written there. */
    for (const [page, end] of change.zeros)
      if (page < highWater) runs.push({ array, kind: "zero", page, count: Math.min(end, highWater) - page, body: 0 });
    for (const { first, end } of change.fresh) {
      const run: PageRun = { array, kind: "direct", page: first, count: end - first, body: 0 };
      runs.push(run);
      home.push(run);
    }
    /* Each changed run has at most one part of either kind. */
    const images = new Float64Array(2 * count);
    let imageCount = 0;
    const direct: number[] = [];
    for (let i = 0; i < count; i++) {
      const page = (change.runs[2 * i] ?? 0) / size;
      const pages = (change.runs[2 * i + 1] ?? 0) / size;
      let below = Math.min(pages, Math.max(0, highWater - page));
      if ((pages - below) * size < directBytes || coversKept(change, page, page + pages)) below = pages;
      if (below > 0) {
        runs.push({ array, kind: "image", page, count: below, body });
        images[imageCount++] = page * size;
        images[imageCount++] = below * size;
        body += below;
      }
      if (below === pages) continue;
      const run: PageRun = { array, kind: "direct", page: page + below, count: pages - below, body: 0 };
      runs.push(run);
      home.push(run);
      direct.push(run.page * size, run.count * size);
    }
    let newHighWater = highWater;
    for (const { kind, page, count: pages } of runs)
      if (kind !== "zero" && page + pages > newHighWater) newHighWater = page + pages;
    plans.push({
      change,
      runs,
      images: imageCount === images.length ? images : images.subarray(0, imageCount),
      direct: direct.length === 0 ? none : Float64Array.from(direct),
      highWater,
      newHighWater,
    });
  }
  const imagePages = body;
  /* Checksums of direct pages follow those of the images. */
  for (const run of home) {
    run.body = body;
    body += run.count;
  }
  return { plans, imagePages, sumCount: body };
}
