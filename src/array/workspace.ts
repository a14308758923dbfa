import { ClosedError, TransactionError } from "../errors.ts";
import { ArrayMemory, bytesOf } from "./array-memory.ts";
import { BigArray } from "./big-array.ts";
import { type Block, BulkWrites, type Written } from "./bulk-writes.ts";
import type { ArrayInfo } from "./catalogue.ts";
import { Changes } from "./changes.ts";
import type { DType } from "./dtype.ts";
import type { ArrayEngine, ChangedPages, Durability } from "./engine.ts";
import type { MetaChange } from "./format.ts";
import type { LayeredView } from "./layered-view.ts";
import { OpenArrays } from "./open-arrays.ts";
import { Savepoints } from "./savepoints.ts";
import { ScratchFile } from "./scratch-file.ts";
import { SpillFile } from "./spill-file.ts";
import { SpillTimer } from "./spill-timer.ts";
import { StoreBacking } from "./store-backing.ts";
import type { StoreOptions } from "./store-options.ts";
import { type Savepoint, Transaction } from "./transaction.ts";

const nothing: MetaChange = {};

/** What a connection works on: its arrays, their memory, and the transaction that changes them. */
export class Workspace {
  readonly folder: string;
  readonly changes: Changes = new Changes();
  readonly arrays: OpenArrays;
  readonly #engine: ArrayEngine;
  readonly #options: StoreOptions;
  readonly #memory: ArrayMemory;
  readonly #spills: SpillFile;
  readonly #scratch = new ScratchFile();
  readonly #spillTimer: SpillTimer;
  readonly #spillBytes: number;
  readonly #bulk: BulkWrites;
  readonly #savepoints: Savepoints;
  #transaction: Transaction | undefined;
  /** Bytes written in bulk since the last spill. */
  #unspilled = 0;
  #closed = false;

  constructor(engine: ArrayEngine, options: StoreOptions) {
    const { spillBytes = 2 ** 30, directBytes = 2 ** 20, reserve, spillInterval = 1000, at } = options;
    this.folder = engine.folder;
    this.#engine = engine;
    this.#options = options;
    this.#spillBytes = spillBytes;
    this.#spills = new SpillFile(engine.folder);
    this.arrays = new OpenArrays(engine, this.changes);
    this.#memory = new ArrayMemory(engine, this.arrays, this.changes, this.#spills, reserve);
    this.#bulk = new BulkWrites(engine, this.#spills, this.#scratch, directBytes, spillBytes);
    this.#savepoints = new Savepoints(engine, this.arrays, this.#memory, this.changes, this.#spills);
    /* Other ways to find changed pages take too long to be used again and again. */
    const interval = engine.dirtyWay === "scan" && at === undefined ? spillInterval : 0;
    this.#spillTimer = new SpillTimer(this, interval, spillBytes);
  }

  get transaction(): Transaction | undefined {
    return this.#transaction;
  }

  get transactionState(): Transaction["state"] | undefined {
    return this.#transaction?.state;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** @throws {ClosedError} when the store is closed. */
  checkOpen(): void {
    if (this.#closed) throw new ClosedError(this.folder);
  }

  /** @throws {ReadOnlyError} when this is a named snapshot. */
  checkWritable(): void {
    this.checkOpen();
    this.#engine.checkWritable();
  }

  /** @throws {TransactionError} when there is no transaction, or it is being committed. */
  checkInTransaction(): void {
    this.checkWritable();
    if (this.#transaction === undefined) throw new TransactionError("this needs a transaction: call begin() first");
    if (!this.#isActive) throw new TransactionError(`this transaction is ${this.#transaction.state}`);
  }

  get #isActive(): boolean {
    return this.#transaction?.state === "active";
  }

  /** A transaction has begun. */
  begun(): Transaction {
    this.#transaction = new Transaction(this, this.#engine.snapshot);
    this.#spillTimer.start();
    return this.#transaction;
  }

  /** @throws {TransactionError} when views were written to outside a transaction. */
  refuseStrays(): void {
    for (const id of this.arrays.used)
      if (this.#memory.changed(id).count > 0)
        throw new TransactionError(
          `array "${this.arrays.find(id)?.name}" was written to outside a transaction, on a state that is no longer the newest; call discard()`,
        );
  }

  /** The array of a description. */
  arrayOf(info: ArrayInfo): BigArray {
    return this.arrays.use(info.id, () => new BigArray(new StoreBacking(this, info), info.dtype as DType));
  }

  /** @throws {ClosedError} when there is no such array any more. */
  info(id: number, name: string): ArrayInfo {
    this.checkOpen();
    const info = this.arrays.find(id);
    if (info === undefined)
      throw new ClosedError(`array "${name}" (dropped, or its creation was aborted) in ${this.folder}`);
    return info;
  }

  memory(id: number): LayeredView {
    return this.#memory.of(this.info(id, ""));
  }

  /** Brings bytes of an array to this machine, as the snapshot has them that is shown when it is done. */
  async fetch(id: number, offset: number, length: number): Promise<void> {
    for (let at: number | undefined; at !== this.#engine.snapshot; ) {
      at = this.#engine.snapshot;
      await this.#engine.fetch(id, offset, length);
      this.checkOpen();
    }
  }

  /** @throws {TruncatedError} when pages of an array were lost because a file was truncated from outside. */
  checkWhole(id: number): void {
    if (this.#options.at !== undefined) this.#engine.checkSnapshot();
    const { view } = this.memory(id);
    if (view.lost) throw this.#engine.lostPages(id, view.lostAt);
  }

  resize(id: number, name: string, shape: readonly number[]): void {
    this.checkInTransaction();
    const info = this.info(id, name);
    const { pageSize } = this.#engine;
    const next = { ...info, shape: [...shape] };
    if (this.#memory.extent(next) > this.memory(id).view.length) this.#memory.enlarge(next);
    const memory = this.memory(id);
    const [before, after] = [this.#memory.extent(info), this.#memory.extent(next)];
    const bytes = bytesOf(next);
    if (bytes > bytesOf(info)) memory.clear(bytesOf(info), before, after);
    if (bytesOf(info) > bytes) {
      const tail = Math.min(after, before) - bytes;
      if (tail > 0) memory.view.bytes(bytes, tail).fill(0);
      if (after < before) {
        this.#savepoints.keepCut(id, after / pageSize);
        this.#engine.cutFresh(id, this.#engine.fresh(id), after / pageSize);
        memory.lay(after, before - after, undefined, 0);
        memory.cutSpilled(after);
        this.changes.addZeros(id, after / pageSize, before / pageSize);
      }
    }
    this.changes.infos.set(id, next);
  }

  bulk(id: number, offset: number, length: number, block: Block): Written {
    /* What is written while it is being committed may be the next one's: it must be seen as any write is. */
    if (!this.#isActive) return { from: offset, to: offset };
    return this.#bulk.write(id, () => this.memory(id), offset, length, block);
  }

  /** Bulk writes are spilled before they fill the memory. */
  wrote(bytes: number): void {
    this.#unspilled += bytes;
    if (this.#isActive && this.#unspilled > this.#spillBytes) this.spill();
  }

  /** Bytes of changed pages in memory. */
  changedBytes(): number {
    return this.#memory.changedBytes();
  }

  spill(): number {
    this.#unspilled = 0;
    return this.#memory.spill();
  }

  /** At most so many bytes. */
  spillSome(most: number): number {
    return this.#memory.spill(most);
  }

  save(transaction: Transaction): Savepoint {
    this.#unspilled = 0;
    return this.#savepoints.save(transaction);
  }

  restore(savepoint: Savepoint): void {
    this.#savepoints.restore(savepoint);
  }

  /** What the pages of each array have become, ready to be written. */
  #changedPages(): ChangedPages[] {
    const pages: ChangedPages[] = [];
    const keepsFresh = this.#savepoints.any;
    for (const id of this.arrays.used) {
      const info = this.arrays.find(id);
      if (info === undefined || !this.#engine.isMapped(id)) continue;
      const view = this.#memory.of(info);
      if (view.view.lost) throw this.#engine.lostPages(id, view.view.lostAt);
      const runs = this.#memory.changedIn(view, info);
      this.#memory.zeroTail(view, info, runs);
      const zeros = this.changes.zeros.get(id) ?? [];
      const fresh = this.#engine.fresh(id);
      if (runs.count === 0 && zeros.length === 0 && fresh.length === 0) continue;
      pages.push({ array: id, view, runs: runs.data, count: runs.count, zeros, fresh, keepsFresh });
    }
    return pages;
  }

  async commitChanges(durability: Durability = this.#options.durability ?? "full"): Promise<number> {
    this.checkOpen();
    if (this.#options.at !== undefined)
      this.#engine.checkWritable(this.arrays.used.some((id) => this.#memory.changed(id).count > 0));
    const pages = this.#changedPages();
    const meta = this.changes.meta();
    if (pages.length === 0 && meta === undefined) {
      this.#engine.checkSnapshot();
      this.#engine.dropEqual();
      this.#ended(true);
      return this.#engine.snapshot;
    }
    let waited = false;
    const committed = this.#engine.commit(
      () => ({ pages: waited ? this.#changedPages() : pages, meta: meta ?? nothing }),
      durability,
    );
    waited = true;
    const txid = await committed;
    for (const id of this.changes.dropped) this.arrays.forget(id);
    this.#ended(true);
    return txid;
  }

  #ended(committed: boolean): void {
    if (this.#closed) return;
    this.changes.clear();
    this.#transaction = undefined;
    this.#savepoints.clear();
    this.#unspilled = 0;
    this.#spills.drop();
    this.#scratch.drop();
    this.#engine.end(committed);
  }

  abortChanges(): void {
    if (this.#closed) return;
    this.changes.dropped.clear();
    for (const id of this.arrays.used) {
      if (this.changes.created.has(id)) {
        this.arrays.forget(id);
        continue;
      }
      if (this.arrays.atSnapshot(id) === undefined || !this.#engine.isMapped(id)) continue;
      const view = this.memory(id);
      if (this.changes.zeros.has(id) || view.spilled.length > 0 || this.#engine.fresh(id).length > 0)
        this.#engine.reset(id);
      else if (this.#engine.dirtyWay !== "compare") {
        const runs = view.changed(view.view.length, this.#engine.dirtyWay);
        view.restore(runs.data, runs.count);
      }
    }
    /* By comparison nothing else was done above: this shows all of a view anew. */
    this.#engine.dropEqual();
    this.#ended(false);
  }

  close(): void {
    if (this.#transaction?.state === "active") this.#transaction.abort();
    this.#spillTimer.stop();
    this.#closed = true;
    this.#spills.drop();
    this.#scratch.close();
    this.#engine.close();
  }
}
