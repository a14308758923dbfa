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

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

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
  const plans = changes.map((change) => {
    const { array } = change;
    const known = history.info(array) ?? meta.arrays?.find(({ id }) => id === array);
    const highWater = known?.highWater ?? 0;
    const zero = (page: number, end: number): PageRun => ({ array, kind: "zero", page, count: end - page, body: 0 });
    /* Behind the high water all is zeros, and direct pages may be written there. */
    const runs = change.zeros
      .filter(([page]) => page < highWater)
      .map(([page, end]) => zero(page, Math.min(end, highWater)));
    /* Each changed run has at most one part of either kind. */
    const images = new Float64Array(2 * change.count);
    let imageCount = 0;
    const direct: number[] = [];
    let end = highWater;
    const addImage = (page: number, count: number): void => {
      runs.push({ array, kind: "image", page, count, body });
      images[2 * imageCount] = page * size;
      images[2 * imageCount + 1] = count * size;
      imageCount++;
      body += count;
      if (page + count > end) end = page + count;
    };
    const addDirect = (page: number, count: number): void => {
      const run: PageRun = { array, kind: "direct", page, count, body: 0 };
      runs.push(run);
      home.push(run);
      if (page + count > end) end = page + count;
    };
    for (const { first, end: to } of change.fresh) addDirect(first, to - first);
    for (let i = 0; i < change.count; i++) {
      const page = (change.runs[2 * i] ?? 0) / size;
      const count = (change.runs[2 * i + 1] ?? 0) / size;
      const below = Math.min(count, Math.max(0, highWater - page));
      const isKept = change.keepsFresh && change.fresh.some(({ first, end: to }) => first < page + count && page < to);
      if (isKept || (count - below) * size < directBytes) {
        addImage(page, count);
        continue;
      }
      if (below > 0) addImage(page, below);
      addDirect(page + below, count - below);
      direct.push((page + below) * size, (count - below) * size);
    }
    return {
      change,
      runs,
      images: images.subarray(0, 2 * imageCount),
      direct: Float64Array.from(direct),
      highWater,
      newHighWater: end,
    };
  });
  const imagePages = body;
  /* Checksums of direct pages follow those of the images. */
  for (const run of home) {
    run.body = body;
    body += run.count;
  }
  return { plans, imagePages, sumCount: body };
}
