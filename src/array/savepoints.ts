import { LimitError, TransactionError } from "../errors.ts";
import type { ArrayMemory } from "./array-memory.ts";
import type { Changes, SavedChanges } from "./changes.ts";
import { CutPages } from "./cut-pages.ts";
import type { ArrayEngine } from "./engine.ts";
import type { FreshPages } from "./fresh-arrays.ts";
import type { OpenArrays } from "./open-arrays.ts";
import type { SpillFile } from "./spill-file.ts";
import type { Savepoint, Transaction } from "./transaction.ts";

/* Pages are copied from file to file in parts of this many bytes. */
const PIECE: number = 2 ** 20;

interface SavedState extends SavedChanges {
  readonly spilled: ReadonlyMap<number, readonly unknown[]>;
  readonly fresh: ReadonlyMap<number, readonly FreshPages[]>;
}

/** States of a transaction that it can come back to. All changed pages of such a state lie on the disk. */
export class Savepoints {
  readonly #engine: ArrayEngine;
  readonly #arrays: OpenArrays;
  readonly #memory: ArrayMemory;
  readonly #changes: Changes;
  readonly #spills: SpillFile;
  /** In the order in which they were made. */
  readonly #states = new Map<Savepoint, SavedState>();
  readonly #cut = new CutPages();

  constructor(engine: ArrayEngine, arrays: OpenArrays, memory: ArrayMemory, changes: Changes, spills: SpillFile) {
    this.#engine = engine;
    this.#arrays = arrays;
    this.#memory = memory;
    this.#changes = changes;
    this.#spills = spills;
  }

  /** Whether the transaction has one. */
  get any(): boolean {
    return this.#states.size > 0;
  }

  save(transaction: Transaction): Savepoint {
    this.#memory.spill();
    /* What stays in memory a rollback could not bring back. */
    if (this.#memory.changedBytes() > 0)
      throw new LimitError("maps", "too many pages are changed for a savepoint: they are too scattered to be mapped");
    const savepoint: Savepoint = { transaction };
    const spilled = new Map<number, readonly unknown[]>();
    const fresh = new Map<number, readonly FreshPages[]>();
    for (const id of this.#arrays.used) {
      const info = this.#arrays.find(id);
      if (info !== undefined && this.#engine.isMapped(id)) spilled.set(id, this.#memory.of(info).spilled);
      fresh.set(id, [...this.#engine.fresh(id)]);
    }
    this.#states.set(savepoint, { ...this.#changes.saved(), spilled, fresh });
    return savepoint;
  }

  restore(savepoint: Savepoint): void {
    const state = this.#states.get(savepoint);
    if (state === undefined)
      throw new TransactionError("the savepoint is no more: the transaction came back to an earlier one");
    let isLater = false;
    for (const each of [...this.#states.keys()]) {
      if (isLater) this.#states.delete(each);
      isLater ||= each === savepoint;
    }
    this.#changes.restore(state);
    for (const id of this.#arrays.used) {
      if (this.#changes.created.has(id) && !state.infos.has(id)) {
        this.#changes.created.delete(id);
        this.#arrays.forget(id);
        this.#engine.cutFresh(id, [], 0);
        continue;
      }
      const info = this.#arrays.find(id);
      if (info === undefined || !this.#engine.isMapped(id)) continue;
      const view = this.#memory.of(info);
      this.#engine.reset(id);
      const fresh = state.fresh.get(id) ?? [];
      this.#engine.cutFresh(id, fresh, Number.POSITIVE_INFINITY);
      const cut = fresh.flatMap((pages) => this.#cut.of(pages));
      this.#memory.bringBack(id, view, state.spilled.get(id) ?? [], cut);
    }
  }

  /** An array loses its pages from `from` on: what was written home there is copied, for a savepoint may want it back. */
  keepCut(id: number, from: number): void {
    if (!this.any) return;
    const { pageSize } = this.#engine;
    for (const fresh of this.#engine.fresh(id)) {
      const first = Math.max(from, fresh.first);
      const length = (fresh.end - first) * pageSize;
      if (length <= 0) continue;
      const place = this.#spills.writeBlocks(length, (at) =>
        this.#engine.readFresh(id, first * pageSize + at, Math.min(PIECE, length - at)),
      );
      this.#cut.add(fresh, { first, end: fresh.end, ...place });
    }
  }

  /** The transaction has ended. */
  clear(): void {
    this.#states.clear();
  }
}
