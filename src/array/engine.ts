import type { DirtyWay } from "../memory/private-view.ts";
import type { Catalogue } from "./catalogue.ts";
import type { MetaChange } from "./format.ts";
import type { FreshPages } from "./fresh-arrays.ts";
import type { LayeredView } from "./layered-view.ts";

/** What a transaction changed in one array. */
export interface ChangedPages {
  readonly array: number;
  readonly view: LayeredView;
  /** Runs of changed pages: (start, length) pairs in bytes. */
  readonly runs: Float64Array;
  readonly count: number;
  /** Pages [first, end) that became zeros before the runs were written. */
  readonly zeros: readonly (readonly [number, number])[];
  /** What `writeFresh` has written. */
  readonly fresh: readonly FreshPages[];
  /** A savepoint may come back to what `writeFresh` has written: nothing is written over it before the commit is true. */
  readonly keepsFresh: boolean;
}

/** What a transaction wants to make true. */
export interface Change {
  readonly pages: readonly ChangedPages[];
  readonly meta: MetaChange;
}

/** Whether a commit waits for the disk. */
export type Durability = "full" | "none";

/**
 * What stands behind a store: blocks at a snapshot, commits with a check for conflicts, and word of commits by others.
 * PageLog is one; an engine over a database can be another.
 */
export interface ArrayEngine {
  /** Where this machine keeps what it holds of the store, and what transactions spill. */
  readonly folder: string;
  /** Bytes of a page: what conflicts are about. */
  readonly pageSize: number;
  /** How changed pages are found. */
  readonly dirtyWay: DirtyWay;
  /** What the snapshot knows. */
  readonly catalogue: Catalogue;
  /** The transaction that the snapshot stands at. */
  readonly snapshot: number;
  /** The newest transaction of anybody. */
  newest(): number;
  /**
   * Takes the newest snapshot; every view shows it afterwards. `mayShow` is called before views change, and may throw.
   */
  begin(mayShow?: () => void): void;
  /** What a commit left for later: its views show it out of files. Between transactions only. */
  settle(): void;
  /** @throws {ReadOnlyError} when nothing may be changed here. `throughViews`: they were written to. */
  checkWritable(throughViews?: boolean): void;
  /** @throws {SnapshotTooOldError} when the snapshot was given up. */
  checkSnapshot(): void;
  /** Lets go of the snapshot, and unless the transaction has committed of what it has written. */
  end(committed: boolean): void;
  /** The memory of an array at the snapshot. */
  view(array: number, reserve: number): LayeredView;
  /** Brings bytes of an array at the snapshot to this machine, so that its view shows them. */
  fetch(array: number, offset: number, length: number): Promise<void>;
  /** Whether `view` was called: else nobody can have written to the array. */
  isMapped(array: number): boolean;
  /** Gives the memory of an array back; its views have length 0. */
  forget(array: number): void;
  /** What to throw when the memory of an array has lost the page at byte `offset`. */
  lostPages(array: number, offset: number): Error;
  /** A number for a new array, from `first` on, that no other transaction has. */
  reserve(first: number): number;
  /** The page from which on `writeFresh` may write in this transaction, or undefined when it may not. */
  firstFresh(array: number): number | undefined;
  /** Writes whole pages that nobody has written yet to where they are to stay, without a detour through memory. */
  writeFresh(array: number, first: number, pages: number, block: (at: number) => Uint8Array): void;
  /** What `writeFresh` has written of an array. */
  fresh(array: number): readonly FreshPages[];
  /** Shows what `writeFresh` has written, after a `reset`. */
  showFresh(array: number): void;
  /** Bytes as `writeFresh` has written them, whatever has changed in memory since. */
  readFresh(array: number, start: number, length: number): Uint8Array;
  /** Gives up what `writeFresh` has written, but pages below `end` of those in `keep`. */
  cutFresh(array: number, keep: readonly FreshPages[], end: number): void;
  /** Shows the snapshot again, and nothing of the transaction. */
  reset(array: number): void;
  /** After what a transaction changed is gone: pages that it wrote without changing them show again what others commit. */
  dropEqual(): void;
  /**
   * Makes a change true, all of it or nothing; the new transaction's number. `change` is asked for when it is this
   * commit's turn; from then on until it is written nothing else of this thread runs.
   * @throws {ConflictError} when another commit since the snapshot touched the same page or shape.
   */
  commit(change: () => Change, durability: Durability): Promise<number>;
  /** Brings what readers start from up to date, and gives back what is not needed any more. */
  checkpoint(): Promise<void>;
  close(): void;
}
