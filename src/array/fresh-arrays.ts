import { CorruptError, InvalidArgumentError } from "../errors.ts";
import { crc32c } from "../memory/crc32c.ts";
import type { DataFile } from "../memory/data-file.ts";
import type { StoreFile } from "../memory/store-file.ts";
import type { Homes } from "./homes.ts";
import { mutations } from "./mutations.ts";
import { PageSet } from "./page-set.ts";
import type { SharedState } from "./shared-state.ts";

/* So much is handed over by one call. */
const CALL: number = 2 ** 24;

/** Pages [first, end) that were written, and their checksums. */
export interface FreshPages {
  readonly first: number;
  readonly end: number;
  readonly sums: Uint32Array;
}

/**
 * Arrays that a transaction makes. Their numbers are reserved, so that nobody else writes to their home files, and what
 * is written to them in bulk goes there at once: nobody sees it before the commit.
 */
export class FreshArrays {
  readonly #homes: Homes;
  readonly #shared: SharedState;
  readonly #pageSize: number;
  #held = new Map<number, FreshPages[]>();
  /** Arrays whose last sync failed: what was written before must be written again. */
  #failed = new Set<number>();
  /** Arrays with pages in their home file that a commit put there which then failed. */
  #strayed = new Set<number>();

  constructor(homes: Homes, shared: SharedState, pageSize: number) {
    this.#homes = homes;
    this.#shared = shared;
    this.#pageSize = pageSize;
  }

  /**
   * The first number from `first` on that no array has; it is reserved now. Its home file is made at once: so nobody
   * takes a number that somebody took who died before he told of his commit.
   */
  reserve(first: number): number {
    for (let array = first; ; array++) {
      if (this.#homes.exists(array) || !this.#shared.reserve(array)) continue;
      if (this.#homes.make(array)) {
        this.#held.set(array, []);
        return array;
      }
      this.#shared.unreserve(array);
    }
  }

  /** What was written of an array, in the order of writing. */
  ranges(array: number): readonly FreshPages[] {
    return this.#held.get(array) ?? [];
  }

  /** The first page from which on nothing was written; undefined when the array is not this transaction's own. */
  firstFree(array: number): number | undefined {
    return this.#held.has(array) ? Math.max(0, ...this.ranges(array).map(({ end }) => end)) : undefined;
  }

  /** Writes whole pages home, block by block; the home file. */
  write(array: number, first: number, pages: number, block: (at: number) => Uint8Array): DataFile {
    const size = this.#pageSize;
    const home = this.#homes.get(array);
    const [start, length] = [first * size, pages * size];
    const sums = new Uint32Array(pages);
    try {
      for (let at = 0; at < length; ) {
        const bytes = block(at).subarray(0, CALL);
        if (bytes.length === 0) throw new InvalidArgumentError("the values were a view that is no more");
        home.writePages(start + at, bytes, { page: size, sums: sums.subarray(at / size) });
        at += bytes.length;
      }
    } catch (error) {
      if (home.size() > start) this.#clear(array, first, first + pages);
      throw error;
    }
    this.#held.get(array)?.push({ first, end: first + pages, sums });
    return home.file;
  }

  #clear(array: number, first: number, end: number): void {
    const home = this.#homes.get(array);
    /* The commit that may make the array longer than this syncs it. */
    home.punch(first * this.#pageSize, (end - first) * this.#pageSize);
  }

  /**
   * Waits until a home file is on the disk. After a sync that failed its pages are written again before, but for those in
   * `written`, (start, length) pairs in bytes: they have just been.
   */
  sync(array: number, home: StoreFile, written: Float64Array = new Float64Array(0)): void {
    if (this.#failed.has(array)) this.#rewrite(array, home, written);
    try {
      home.sync();
    } catch (error) {
      if (!mutations.trustFailed && this.#held.has(array)) this.#failed.add(array);
      throw error;
    }
    this.#failed.delete(array);
  }

  #rewrite(array: number, home: StoreFile, written: Float64Array): void {
    const size = this.#pageSize;
    const done = new PageSet();
    for (let i = 0; i < written.length; i += 2)
      done.add((written[i] ?? 0) / size, ((written[i] ?? 0) + (written[i + 1] ?? 0)) / size);
    /* Of a page that was written twice the last is there. */
    for (const range of this.ranges(array).toReversed())
      for (const [from, to] of done.add(range.first, range.end))
        for (let page = from; page < to; page++) {
          const bytes = home.read(page * size, size);
          if (crc32c(bytes) !== range.sums[page - range.first])
            throw new CorruptError(home.path, page * size, "what was written here is not there any more");
          home.write(page * size, bytes);
        }
  }

  /**
   * A commit that failed has written changed runs home, or some of them, with these checksums. Where they replaced what
   * was there before, that is what is there now.
   */
  strayed(array: number, runs: Float64Array, sums: Uint32Array): void {
    if (!this.#held.has(array) || runs.length === 0) return;
    this.#strayed.add(array);
    const size = this.#pageSize;
    const home = this.#homes.get(array);
    let k = 0;
    for (let i = 0; i < runs.length; i += 2)
      for (let at = runs[i] ?? 0; at < (runs[i] ?? 0) + (runs[i + 1] ?? 0); at += size, k++) {
        const page = at / size;
        const range = this.ranges(array).findLast(({ first, end }) => page >= first && page < end);
        if (range === undefined || crc32c(home.read(at, size)) !== sums[k]) continue;
        range.sums[page - range.first] = sums[k] ?? 0;
      }
  }

  /** Before the next commit: what a failed one has left beside the array's pages must not be taken for theirs. */
  clean(array: number, home: StoreFile): void {
    if (!this.#strayed.has(array)) return;
    const size = this.#pageSize;
    let at = 0;
    for (const { first, end } of this.ranges(array).toSorted((a, b) => a.first - b.first)) {
      if (first > at) home.punch(at * size, (first - at) * size);
      at = Math.max(at, end);
    }
    if (home.size() > at * size) home.truncate(at * size);
    this.#strayed.delete(array);
  }

  /** Gives up what was written from page `keep` of each range on: those places are zeros again. */
  cut(array: number, keep: (range: FreshPages) => number): void {
    const left: FreshPages[] = [];
    for (const range of this.ranges(array)) {
      const { first, end } = range;
      const to = Math.max(first, Math.min(end, keep(range)));
      if (to > first) left.push({ ...range, end: to });
      if (to < end) this.#clear(array, to, end);
    }
    this.#held.set(array, left);
  }

  /** The transaction has ended. */
  release(committed: boolean): void {
    for (const array of this.#held.keys()) {
      if (!committed) this.#homes.remove(array);
      this.#shared.unreserve(array);
    }
    if (this.#held.size === 0) return;
    this.#held.clear();
    this.#failed.clear();
    this.#strayed.clear();
  }
}
