import { crc32c } from "../memory/crc32c.ts";
import type { DataFile } from "../memory/data-file.ts";
import type { History } from "./history.ts";
import type { Homes } from "./homes.ts";
import { mutations } from "./mutations.ts";
import type { SharedState } from "./shared-state.ts";

/* A long write makes the page cache use large folios, into which small writes then cost ten times as much. */
const PIECE: number = 2 ** 16;

/** Pages [first, end) that were written, and their checksums. */
export interface FreshPages {
  readonly first: number;
  readonly end: number;
  readonly sums: Uint32Array;
}

/**
 * Pages behind an array's high water that a transaction writes home before it commits: nobody sees them there. Who
 * does that, or commits anything that lies behind the high water, holds the array's growth lock; so no two do, and what
 * somebody left who died is cut off first.
 */
export class Growth {
  readonly #history: History;
  readonly #homes: Homes;
  readonly #shared: SharedState;
  /** Arrays whose lock is held, and what was written of them. */
  #held = new Map<number, FreshPages[]>();

  constructor(history: History, homes: Homes, shared: SharedState) {
    this.#history = history;
    this.#homes = homes;
    this.#shared = shared;
  }

  #highWater(array: number): number {
    return this.#history.info(array)?.highWater ?? 0;
  }

  /** Takes the lock; false when another transaction has it. `early`: before the commit lock is held. */
  claim(array: number, early: boolean): boolean {
    if (this.#held.has(array)) return true;
    if (!this.#shared.growthLock(array)) return false;
    /* Somebody may have moved the high water since the snapshot; from now on nobody can. */
    if (early && this.#shared.head !== this.#history.cursor.txid) {
      this.#shared.growthUnlock(array);
      return false;
    }
    this.#held.set(array, []);
    const bytes = this.#highWater(array) * this.#history.log.pageSize;
    if (this.#homes.exists(array) && !mutations.noTruncate) {
      const home = this.#homes.get(array);
      if (home.size() > bytes) {
        home.truncate(bytes);
        /* Before it grows again: else a power loss may bring back what is cut off. */
        home.sync();
      }
    }
    return true;
  }

  /** What was written of an array, in the order of writing. */
  ranges(array: number): readonly FreshPages[] {
    return this.#held.get(array) ?? [];
  }

  /** The first page from which on nothing was written, or undefined when another transaction is at it. */
  firstFree(array: number): number | undefined {
    if (!this.claim(array, true)) return undefined;
    return Math.max(this.#highWater(array), ...this.ranges(array).map(({ end }) => end));
  }

  /** Writes whole pages home, block by block; the home file. */
  write(array: number, first: number, pages: number, block: (at: number) => Uint8Array): DataFile {
    const size = this.#history.log.pageSize;
    const home = this.#homes.get(array);
    const [start, length] = [first * size, pages * size];
    const sums = new Uint32Array(pages);
    try {
      for (let at = 0; at < length; ) {
        const bytes = block(at).subarray(0, PIECE);
        home.write(start + at, bytes);
        for (let i = 0; i < bytes.length; i += size) sums[(at + i) / size] = crc32c(bytes.subarray(i, i + size));
        at += bytes.length;
      }
    } catch (error) {
      if (home.size() > start) home.punch(start, length);
      throw error;
    }
    this.#held.get(array)?.push({ first, end: first + pages, sums });
    return home.file;
  }

  /** Gives up what was written from page `keep` of each range on: those places are zeros again. */
  cut(array: number, keep: (range: FreshPages) => number): void {
    const ranges = this.#held.get(array);
    if (ranges === undefined) return;
    const size = this.#history.log.pageSize;
    const left: FreshPages[] = [];
    for (const range of ranges) {
      const { first, end } = range;
      const to = Math.max(first, Math.min(end, keep(range)));
      if (to > first) left.push({ ...range, end: to });
      if (to < end) this.#homes.get(array).punch(to * size, (end - to) * size);
    }
    this.#held.set(array, left);
  }

  /** The transaction has ended. */
  release(committed: boolean): void {
    for (const [array, ranges] of this.#held) {
      const bytes = this.#highWater(array) * this.#history.log.pageSize;
      if (!committed && ranges.length > 0) {
        const home = this.#homes.get(array);
        if (home.size() > bytes) home.truncate(bytes);
      }
      this.#shared.growthUnlock(array);
    }
    this.#held.clear();
  }
}
