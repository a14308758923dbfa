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

const bytesOf = ({ shape, dtype }: ArrayInfo): number => sizeOf(shape) * itemSize(dtype as DType);

/** Bytes of an array that became shorter; Infinity for one that did not. Where it ends now, nobody else may write. */
function shrunk(array: number, infos: readonly ArrayInfo[] = [], before: readonly ArrayInfo[]): number {
  const [now, then] = [infos, before].map((list) => list.find(({ id }) => id === array));
  return now !== undefined && then !== undefined && bytesOf(now) < bytesOf(then)
    ? bytesOf(now)
    : Number.POSITIVE_INFINITY;
}

/** The last page that was written, -1 for none. */
function lastPage({ runs, count, fresh }: ChangedPages, pageSize: number): number {
  const last = count === 0 ? -1 : ((runs[2 * count - 2] ?? 0) + (runs[2 * count - 1] ?? 0)) / pageSize - 1;
  return Math.max(last, ...fresh.map(({ end }) => end - 1));
}

/** A page behind the new end of an array that one side made shorter and the other wrote to. */
function behindEnd(
  change: Change,
  { runs, meta }: LogRecord,
  before: readonly ArrayInfo[],
  pageSize: number,
): [number, number] | undefined {
  for (const mine of change.pages) {
    const last = lastPage(mine, pageSize);
    if ((last + 1) * pageSize > shrunk(mine.array, meta.arrays, before)) return [mine.array, last];
  }
  for (const { array, page, count, kind } of runs)
    if (kind !== "zero" && (page + count) * pageSize > shrunk(array, change.meta.arrays, before))
      return [array, page + count - 1];
  return undefined;
}

/**
 * `before`: arrays as the transaction's snapshot knew them.
 * @throws {ConflictError} when one of the records touched a page, shape or name that the change touches too.
 */
export function checkConflicts(
  change: Change,
  records: readonly LogRecord[],
  pageSize: number,
  nameOf: (array: number) => string,
  before: readonly ArrayInfo[],
): void {
  for (const record of records) {
    const { runs, meta } = record;
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
    const behind = behindEnd(change, record, before, pageSize);
    if (behind !== undefined) throw new ConflictError(nameOf(behind[0]), [behind[1]]);
    for (const mine of change.pages) {
      const pages = common(mine, runs, pageSize);
      if (pages.length > 0) throw new ConflictError(nameOf(mine.array), pages);
    }
  }
}
