import { NotFoundError } from "../errors.ts";
import type { Homes } from "./homes.ts";
import type { Log, LogRecord } from "./log.ts";
import { PageSet } from "./page-set.ts";

/**
 * Writes home what records did to the arrays, once more: each page as the last of them left it, so that nobody who shows
 * the home files sees anything older meanwhile. Direct pages are on the disk since before their record.
 */
export function rewriteHomes(records: readonly LogRecord[], arrays: ReadonlySet<number>, log: Log, homes: Homes): void {
  const size = log.pageSize;
  const done = new Map<number, PageSet>();
  for (const record of records.toReversed())
    for (const { array, page, count, kind, body } of record.runs.toReversed()) {
      if (!arrays.has(array)) continue;
      const pages = done.get(array) ?? new PageSet();
      done.set(array, pages);
      for (const [first, end] of pages.add(page, page + count)) {
        const length = (end - first) * size;
        const from = body + first - page;
        if (kind === "zero") {
          homes.get(array).punch(first * size, length);
          homes.sums(array).punch(first * 4, (end - first) * 4);
          continue;
        }
        homes.putSums(array, first, record.sums.subarray(from, from + end - first));
        if (kind === "direct") continue;
        const segment = log.segment(record.segment);
        if (segment === undefined) throw new NotFoundError(log.path(record.segment));
        const place = record.offset + record.headBytes + from * size;
        homes.get(array).copyRuns(segment, place, Float64Array.of(first * size, length), 1);
      }
    }
}
