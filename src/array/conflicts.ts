import { ConflictError } from "../errors.ts";
import type { ArrayInfo } from "./catalogue.ts";
import { type DType, itemSize } from "./dtype.ts";
import type { Change, ChangedPages } from "./engine.ts";
import type { PageRun } from "./format.ts";
import type { LogRecord } from "./log.ts";
import { sizeOf } from "./slicing.ts";

const MOST_NAMED = 16;

/** Pages that both changed, a few of them. */
function common(mine: ChangedPages, runs: readonly PageRun[], pageSize: number): number[] {
  const pages = new Set<number>();
  const both = (first: number, end: number): void => {
    for (const { array, page, count } of runs)
      if (array === mine.array)
        for (let i = Math.max(first, page); i < Math.min(end, page + count) && pages.size < MOST_NAMED; i++)
          pages.add(i);
  };
  if (!runs.some(({ array }) => array === mine.array)) return [];
  for (let i = 0; i < mine.count; i++) {
    const [start = 0, length = 0] = [mine.runs[2 * i], mine.runs[2 * i + 1]];
    both(start / pageSize, (start + length) / pageSize);
  }
  for (const [first, end] of mine.zeros) both(first, end);
  return [...pages];
}

/** The last page that was written when it lies behind the array's end as it is now, else undefined. */
function behindEnd({ runs, count }: ChangedPages, { shape, dtype }: ArrayInfo, pageSize: number): number | undefined {
  if (count === 0) return undefined;
  const last = ((runs[2 * count - 2] ?? 0) + (runs[2 * count - 1] ?? 0)) / pageSize - 1;
  return last * pageSize >= sizeOf(shape) * itemSize(dtype as DType) ? last : undefined;
}

/** @throws {ConflictError} when one of the records touched a page, shape or name that the change touches too. */
export function checkConflicts(
  change: Change,
  records: readonly LogRecord[],
  pageSize: number,
  nameOf: (array: number) => string,
): void {
  for (const { runs, meta } of records) {
    for (const info of meta.arrays ?? [])
      if (change.meta.arrays?.some(({ id, name }) => id === info.id || name === info.name))
        throw new ConflictError(info.name, []);
    for (const id of meta.dropped ?? [])
      if (change.pages.some(({ array }) => array === id) || change.meta.arrays?.some((info) => info.id === id))
        throw new ConflictError(nameOf(id), []);
    for (const id of change.meta.dropped ?? [])
      if (runs.some(({ array }) => array === id) || meta.arrays?.some((info) => info.id === id))
        throw new ConflictError(nameOf(id), []);
    if (meta.snapshots !== undefined && change.meta.snapshots !== undefined)
      throw new ConflictError("named snapshots", []);
    for (const mine of change.pages) {
      const info = meta.arrays?.find(({ id }) => id === mine.array);
      const behind = info && behindEnd(mine, info, pageSize);
      if (behind !== undefined) throw new ConflictError(nameOf(mine.array), [behind]);
      const pages = common(mine, runs, pageSize);
      if (pages.length > 0) throw new ConflictError(nameOf(mine.array), pages);
    }
  }
}
