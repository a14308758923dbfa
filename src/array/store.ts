import { builtin } from "../builtins.ts";
import {
  ClosedError,
  ConflictError,
  InvalidArgumentError,
  LimitError,
  NameInUseError,
  NotFoundError,
  TransactionError,
  TruncatedError,
} from "../errors.ts";
import { PrivateView, type Runs } from "../memory/private-view.ts";
import { BigArray } from "./big-array.ts";
import type { ArrayInfo, Catalogue } from "./catalogue.ts";
import { Changes, type SavedChanges } from "./changes.ts";
import { CutPages } from "./cut-pages.ts";
import { type DType, itemSize } from "./dtype.ts";
import type { ChangedPages, Durability } from "./engine.ts";
import type { FreshPages } from "./fresh-arrays.ts";
import type { LayeredView } from "./layered-view.ts";
import type { PageLog } from "./page-log.ts";
import { checkShape, MOST_BYTES, sizeOf } from "./slicing.ts";
import { SpillFile } from "./spill-file.ts";
import { SpillTimer } from "./spill-timer.ts";
import { StoreBacking } from "./store-backing.ts";
import type { ArrayOptions, StoreOptions } from "./store-options.ts";
import { type Savepoint, Transaction } from "./transaction.ts";

/** From so many bytes on what is overwritten in bulk does not go through memory: making the file for it takes time. */
const MUCH: number = 2 ** 26;
/* Pages are copied from file to file in parts of this many bytes. */
const PIECE: number = 2 ** 20;

interface SavedState extends SavedChanges {
  readonly spilled: ReadonlyMap<number, readonly unknown[]>;
  readonly fresh: ReadonlyMap<number, readonly FreshPages[]>;
}

/**
 * Arrays in a folder that change by transactions: this connection sees one snapshot at a time. Another process, Worker
 * or part of the program opens its own. Writes go through `begin` ... `commit`; what is written to a view outside a
 * transaction belongs to the next one.
 */
export class ArrayStore implements Disposable {
  /** Absolute path of the store. */
  readonly folder: string;
  readonly #engine: PageLog;
  readonly #options: StoreOptions;
  #transaction: Transaction | undefined;
  readonly #changes = new Changes();
  /** What the last transaction began with. */
  #begunWith: Catalogue | undefined;
  readonly #arrays = new Map<number, BigArray>();
  readonly #spills: SpillFile;
  readonly #spillTimer: SpillTimer;
  readonly #spillBytes: number;
  #unspilled = 0;
  #closed = false;
  #saved = new WeakMap<Savepoint, SavedState>();
  /** The transaction has one. */
  #hasSavepoint = false;
  readonly #cut: CutPages;
  #watchers = new Set<ReturnType<typeof setInterval>>();

  /** @internal */
  constructor(engine: PageLog, options: StoreOptions) {
    this.#engine = engine;
    this.#cut = new CutPages(engine.pageSize);
    this.#options = options;
    this.folder = engine.folder;
    this.#spills = new SpillFile(engine.folder);
    this.#spillBytes = options.spillBytes ?? 2 ** 30;
    /* Other ways to find changed pages take too long to be used again and again. */
    const interval = engine.dirtyWay === "scan" && options.at === undefined ? (options.spillInterval ?? 1000) : 0;
    this.#spillTimer = new SpillTimer(this, interval, this.#spillBytes);
  }

  /** The engine, for tools and tests. @internal */
  get engine(): PageLog {
    return this.#engine;
  }

  #live(): void {
    if (this.#closed) throw new ClosedError(this.folder);
  }

  /** The running transaction. */
  get transaction(): Transaction | undefined {
    return this.#transaction;
  }

  /** Number of the state that views show. */
  get snapshot(): number {
    return this.#engine.snapshot;
  }

  /** @internal @throws {ReadOnlyError} when this is a named snapshot. */
  checkWritable(): void {
    this.#live();
    this.#engine.checkWritable();
  }

  #required(): void {
    this.checkWritable();
    if (this.#transaction === undefined) throw new TransactionError("this needs a transaction: call begin() first");
  }

  /**
   * Begins a transaction on the newest state, which every view of this connection shows from now on.
   * @throws {TransactionError} when there is one already, or views were written to outside any on an older state.
   */
  begin(): Transaction {
    this.#live();
    if (this.#transaction !== undefined) throw new TransactionError("a transaction is running already");
    this.#engine.begin(() => this.#refuseStrays());
    const { catalogue } = this.#engine;
    if (catalogue !== this.#begunWith) {
      const known = new Set(catalogue.arrays.map(({ id }) => id));
      for (const id of [...this.#arrays.keys()]) if (!known.has(id)) this.#forget(id);
      this.#begunWith = catalogue;
    }
    this.#transaction = new Transaction(this, this.#engine.snapshot);
    this.#spillTimer.start();
    return this.#transaction;
  }

  #refuseStrays(): void {
    for (const id of this.#arrays.keys())
      if (!this.#changes.created.has(id) && this.#runs(id).count > 0)
        throw new TransactionError(
          `array "${this.#engineInfo(id)?.name}" was written to outside a transaction, on a state that is no longer the newest; call discard()`,
        );
  }

  /** Takes back what was written to views outside a transaction. */
  discard(): void {
    this.#live();
    if (this.#transaction !== undefined) throw new TransactionError("a transaction is running: abort it");
    this.#engine.settle();
    this.abortChanges();
  }

  /** Shows the newest state. */
  refresh(): void {
    this.begin().abort();
  }

  /**
   * Runs `work` in a transaction and commits; again from the start after a conflict.
   * @param options.retries after conflicts, default 10.
   */
  async transact<T>(
    work: (transaction: Transaction) => T | Promise<T>,
    options: { retries?: number; durability?: Durability } = {},
  ): Promise<T> {
    const { retries = 10, durability } = options;
    for (let attempt = 0; ; attempt++) {
      const transaction = this.begin();
      try {
        const result = await work(transaction);
        if (transaction.state === "active") await transaction.commit(durability === undefined ? {} : { durability });
        return result;
      } catch (error) {
        if (transaction.state === "active") transaction.abort();
        if (!(error instanceof ConflictError) || attempt >= retries) throw error;
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 2 ** Math.min(attempt, 6)));
      }
    }
  }

  #engineInfo(id: number): ArrayInfo | undefined {
    return this.#engine.catalogue.arrays.find((info) => info.id === id);
  }

  /** @internal */
  info(id: number, name: string): ArrayInfo {
    this.#live();
    const info = this.#changes.dropped.has(id) ? undefined : (this.#changes.infos.get(id) ?? this.#engineInfo(id));
    if (info === undefined)
      throw new ClosedError(`array "${name}" (dropped, or its creation was aborted) in ${this.folder}`);
    return info;
  }

  #all(): ArrayInfo[] {
    const byId = new Map(this.#engine.catalogue.arrays.map((info) => [info.id, info]));
    for (const [id, info] of this.#changes.infos) byId.set(id, info);
    for (const id of this.#changes.dropped) byId.delete(id);
    return [...byId.values()];
  }

  /** Names of the arrays. */
  get names(): string[] {
    this.#live();
    return this.#all().map(({ name }) => name);
  }

  /**
   * Makes an array of zeros; it is there for others after the commit.
   * @throws {NameInUseError} when there is one of that name.
   * @throws {RangeError} when it has more than 2^47 bytes.
   */
  create<D extends DType>(name: string, options: ArrayOptions<D>): BigArray<D> {
    this.#required();
    const { dtype, order = "C", record, attributes } = options;
    const shape = typeof options.shape === "number" ? [options.shape] : [...options.shape];
    if (record !== undefined) shape.push(record);
    if (typeof name !== "string" || name === "") throw new InvalidArgumentError("an array needs a name");
    if (order !== "C" && order !== "F") throw new InvalidArgumentError(`order is "C" or "F", not ${String(order)}`);
    checkShape(shape, itemSize(dtype));
    if (this.#all().some((info) => info.name === name)) throw new NameInUseError(name);
    const id = this.#engine.reserve(
      Math.max(this.#engine.catalogue.nextId, ...[...this.#changes.infos.keys()].map((each) => each + 1)),
    );
    const info: ArrayInfo = { id, name, dtype, shape, order, highWater: 0, ...(attributes ? { attributes } : {}) };
    this.#changes.infos.set(id, info);
    this.#changes.created.add(id);
    return this.#arrayOf(info) as unknown as BigArray<D>;
  }

  #arrayOf(info: ArrayInfo): BigArray {
    let array = this.#arrays.get(info.id);
    if (array === undefined) {
      array = new BigArray(new StoreBacking(this, info), info.dtype as DType);
      this.#arrays.set(info.id, array);
    }
    return array;
  }

  /**
   * An array by name. With `dtype` its type is checked, and known to the compiler.
   * @throws {NotFoundError} when there is none. {InvalidArgumentError} when its dtype is another.
   */
  array<D extends DType = DType>(name: string, dtype?: D): BigArray<D> {
    this.#live();
    const info = this.#all().find((each) => each.name === name);
    if (info === undefined) throw new NotFoundError(`array "${name}" in ${this.folder}`);
    if (dtype !== undefined && info.dtype !== dtype)
      throw new InvalidArgumentError(`array "${name}" has dtype ${info.dtype}, not ${dtype}`);
    return this.#arrayOf(info) as unknown as BigArray<D>;
  }

  /** What is kept with an array. */
  attributes(name: string): Readonly<Record<string, unknown>> {
    return this.#all().find((each) => each.name === name)?.attributes ?? {};
  }

  /** Replaces what is kept with an array, as part of the transaction. */
  setAttributes(name: string, attributes: Readonly<Record<string, unknown>>): void {
    this.#required();
    const info = this.#all().find((each) => each.name === name);
    if (info === undefined) throw new NotFoundError(`array "${name}" in ${this.folder}`);
    this.#changes.infos.set(info.id, { ...info, attributes });
  }

  /** Removes an array, as part of the transaction. */
  drop(name: string): void {
    this.#required();
    const info = this.#all().find((each) => each.name === name);
    if (info === undefined) throw new NotFoundError(`array "${name}" in ${this.folder}`);
    this.#changes.dropped.add(info.id);
    this.#changes.infos.delete(info.id);
  }

  /**
   * Pins the transaction's own snapshot under a name, as part of the transaction: the state before its changes. Whoever
   * opens `openStore(path, { at: name })` reads it, until the name is dropped.
   */
  keepSnapshot(name: string): void {
    this.#required();
    const known = this.snapshots;
    if (Object.hasOwn(known, name)) throw new NameInUseError(name);
    this.#changes.snapshots = { ...known, [name]: this.#engine.snapshot };
  }

  /** Lets go of a named snapshot, as part of the transaction. Who has it open keeps it until it is closed. */
  dropSnapshot(name: string): void {
    this.#required();
    const { [name]: gone, ...rest } = this.snapshots;
    if (gone === undefined) throw new NotFoundError(`snapshot "${name}" in ${this.folder}`);
    this.#changes.snapshots = rest;
  }

  /** Named snapshots and the states they stand at. */
  get snapshots(): Readonly<Record<string, number>> {
    return this.#changes.snapshots ?? this.#engine.catalogue.snapshots;
  }

  #bytesOf(info: ArrayInfo): number {
    return sizeOf(info.shape) * itemSize(info.dtype as DType);
  }

  /** Bytes of whole pages that hold an array. */
  #extent(info: ArrayInfo): number {
    return Math.ceil(this.#bytesOf(info) / this.#engine.pageSize) * this.#engine.pageSize;
  }

  /** @internal The memory of an array; mapped at the first use. */
  memory(id: number): LayeredView {
    const info = this.info(id, "");
    const { pageSize } = this.#engine;
    const known = Math.max(this.#extent(info), (this.#engineInfo(id)?.highWater ?? 0) * pageSize, pageSize);
    const wanted = this.#options.reserve ?? Math.max(2 ** 36, known * 2);
    let view: LayeredView;
    try {
      view = this.#engine.view(id, Math.min(MOST_BYTES, Math.max(known, Math.ceil(wanted / pageSize) * pageSize)));
    } catch (error) {
      if (!(error instanceof LimitError) || error.limit !== "memory") throw error;
      view = this.#engine.view(id, known);
    }
    if (view.view.length >= this.#extent(info)) return view;
    /* Another connection has made it longer than what was kept free here. */
    this.#enlarge(id, info);
    return this.#engine.view(id, known);
  }

  /** @internal */
  resize(id: number, name: string, shape: readonly number[]): void {
    this.#required();
    const info = this.info(id, name);
    const { pageSize } = this.#engine;
    const next = { ...info, shape: [...shape] };
    if (this.#extent(next) > this.memory(id).view.length) this.#enlarge(id, next);
    const memory = this.memory(id);
    const [before, after] = [this.#extent(info), this.#extent(next)];
    const bytes = this.#bytesOf(next);
    if (bytes > this.#bytesOf(info)) memory.clear(this.#bytesOf(info), before, after);
    if (this.#bytesOf(info) > bytes) {
      const tail = Math.min(after, before) - bytes;
      if (tail > 0) memory.view.bytes(bytes, tail).fill(0);
      if (after < before) {
        if (this.#hasSavepoint) this.#keepCut(id, after / pageSize);
        this.#engine.cutFresh(id, this.#engine.fresh(id), after / pageSize);
        memory.lay(after, before - after, undefined, 0);
        memory.cutSpilled(after);
        this.#changes.addZeros(id, after / pageSize, before / pageSize);
      }
    }
    this.#changes.infos.set(id, next);
  }

  /**
   * The array outgrows the address space that was kept free for it, and moves: views that were handed out have length 0
   * from then on. What the transaction has changed comes along by way of the disk.
   */
  #enlarge(id: number, next: ArrayInfo): void {
    const old = this.#engine.view(id, 0);
    const { length } = old.view;
    this.#spillView(old, length);
    if (old.unspilled(length, this.#engine.dirtyWay) > 0)
      throw new LimitError("maps", `"${next.name}" outgrows its address space, and too many pages of it are changed`);
    const { spilled } = old;
    this.#engine.forget(id);
    const needed = this.#extent(next);
    let error: unknown;
    for (const wanted of [Math.min(MOST_BYTES, 2 * needed), needed, length])
      try {
        this.#bringBack(id, this.#engine.view(id, wanted), spilled);
        if (wanted >= needed) return;
        throw error;
      } catch (reason) {
        if (!(reason instanceof LimitError) || reason === error) throw reason;
        error = reason;
      }
  }

  /** After a reset: the transaction's zeros, what it has written home, what was cut off of that, and what it has spilled. */
  #bringBack(id: number, view: LayeredView, spilled: readonly unknown[], cut: readonly FreshPages[] = []): void {
    const { pageSize } = this.#engine;
    for (const [first, end] of this.#changes.zeros.get(id) ?? [])
      view.lay(first * pageSize, (end - first) * pageSize, undefined, 0);
    this.#engine.showFresh(id);
    for (const pages of cut) this.#cut.each(pages, (...part) => view.laySpilled(...part));
    view.restoreSpilled(spilled);
  }

  /** Copies what was written home from page `from` on: a savepoint may want it back. */
  #keepCut(id: number, from: number): void {
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

  /**
   * @internal Writes what it can of [offset, offset + length) past the memory; the bytes [from, to) that it has written.
   * What nobody has seen goes to where it is to stay, the rest to where spills go.
   */
  bulk(id: number, offset: number, length: number, block: (at: number) => Uint8Array): { from: number; to: number } {
    const { pageSize } = this.#engine;
    const none = { from: offset, to: offset };
    if (this.#transaction === undefined || length < (this.#options.directBytes ?? 2 ** 20)) return none;
    const memory = this.memory(id);
    const end = Math.floor((offset + length) / pageSize) * pageSize;
    if (end > memory.view.length) return none;
    const part = (from: number, to: number) => (at: number) => {
      const bytes = block(from - offset + at);
      return at + bytes.length > to - from ? bytes.subarray(0, to - from - at) : bytes;
    };
    const start = Math.ceil(offset / pageSize) * pageSize;
    const first = Math.min(end, Math.max(start, (this.#engine.firstFresh(id) ?? Number.POSITIVE_INFINITY) * pageSize));
    const isSpilled = first - start >= Math.min(MUCH, this.#spillBytes) && PrivateView.fits(1);
    if (isSpilled) {
      const { file, offset: place } = this.#spills.writeBlocks(first - start, part(start, first));
      memory.laySpilled(start, first - start, file, place);
    }
    if (end > first) this.#engine.writeFresh(id, first / pageSize, (end - first) / pageSize, part(first, end));
    const from = isSpilled ? start : first;
    return end > from && (isSpilled || end > first) ? { from, to: end } : none;
  }

  /** What a view of this array showed was not what the store holds, and never will be again. */
  #truncated(id: number): TruncatedError {
    const path = this.#engine.homePath(id);
    const size = builtin("fs").statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    return new TruncatedError(path, this.memory(id).view.lostAt, size);
  }

  /** @internal @throws {TruncatedError} when pages of an array were lost because a file was truncated from outside. */
  checkWhole(id: number): void {
    if (this.#options.at !== undefined) this.#engine.checkSnapshot();
    if (this.memory(id).view.lost) throw this.#truncated(id);
  }

  /** @internal Bulk writes are spilled before they fill the memory. */
  wrote(bytes: number): void {
    this.#unspilled += bytes;
    if (this.#transaction !== undefined && this.#unspilled > this.#spillBytes) this.spill();
  }

  #runs(id: number): Runs {
    const info = this.#changes.infos.get(id) ?? this.#engineInfo(id);
    if (info === undefined) return { data: new Float64Array(0), count: 0 };
    return this.memory(id).changed(this.#extent(info), this.#engine.dirtyWay);
  }

  /** Zeros behind the last element: what was written there is of nobody's. */
  #zeroTail(id: number, runs: Runs): void {
    const info = this.info(id, "");
    const bytes = this.#bytesOf(info);
    const last = this.#extent(info);
    if (bytes === last || runs.count === 0) return;
    const end = (runs.data[2 * runs.count - 2] ?? 0) + (runs.data[2 * runs.count - 1] ?? 0);
    if (end === last)
      this.memory(id)
        .view.bytes(bytes, last - bytes)
        .fill(0);
  }

  /** @internal */
  async commitChanges(durability: Durability = this.#options.durability ?? "full"): Promise<number> {
    this.#live();
    if (this.#options.at !== undefined)
      this.#engine.checkWritable([...this.#arrays.keys()].some((id) => this.#runs(id).count > 0));
    const pages: ChangedPages[] = [];
    for (const id of this.#arrays.keys()) {
      if (this.#changes.dropped.has(id)) continue;
      if (this.#changes.infos.get(id) === undefined && this.#engineInfo(id) === undefined) continue;
      const view = this.memory(id);
      if (view.view.lost) throw this.#truncated(id);
      const runs = this.#runs(id);
      this.#zeroTail(id, runs);
      const zeros = this.#changes.zeros.get(id) ?? [];
      const fresh = this.#engine.fresh(id);
      if (runs.count === 0 && zeros.length === 0 && fresh.length === 0) continue;
      pages.push({ array: id, view, runs: runs.data, count: runs.count, zeros, fresh, keepsFresh: this.#hasSavepoint });
    }
    const meta = this.#changes.meta();
    if (pages.length === 0 && Object.keys(meta).length === 0) {
      this.#engine.checkSnapshot();
      this.#engine.dropEqual();
      this.#ended(true);
      return this.#engine.snapshot;
    }
    const txid = await this.#engine.commit({ pages, meta }, durability);
    for (const id of this.#changes.dropped) this.#forget(id);
    this.#ended(true);
    return txid;
  }

  #forget(id: number): void {
    this.#engine.forget(id);
    this.#arrays.delete(id);
  }

  #ended(committed: boolean): void {
    this.#changes.clear();
    this.#transaction = undefined;
    this.#hasSavepoint = false;
    this.#unspilled = 0;
    this.#spills.drop();
    this.#engine.end(committed);
  }

  /** @internal */
  abortChanges(): void {
    this.#changes.dropped.clear();
    for (const id of this.#arrays.keys()) {
      if (this.#changes.created.has(id)) {
        this.#forget(id);
        continue;
      }
      if (this.#engineInfo(id) === undefined) continue;
      const view = this.memory(id);
      if (this.#changes.zeros.has(id) || view.spilled.length > 0 || this.#engine.fresh(id).length > 0)
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

  /** The memory of each array that is there, and how much of it. */
  *#memories(): Generator<[view: LayeredView, extent: number]> {
    for (const id of this.#arrays.keys()) {
      const info = this.#changes.dropped.has(id) ? undefined : (this.#changes.infos.get(id) ?? this.#engineInfo(id));
      if (info !== undefined) yield [this.memory(id), this.#extent(info)];
    }
  }

  /** @internal */
  get transactionState(): Transaction["state"] | undefined {
    return this.#transaction?.state;
  }

  /** @internal Bytes of changed pages in memory. */
  changedBytes(): number {
    let bytes = 0;
    for (const [view, extent] of this.#memories()) bytes += view.unspilled(extent, this.#engine.dirtyWay);
    return bytes;
  }

  /** @internal */
  spill(): number {
    this.#unspilled = 0;
    return this.spillSome(Number.POSITIVE_INFINITY);
  }

  /** @internal At most so many bytes. */
  spillSome(most: number): number {
    let bytes = 0;
    for (const [view, extent] of this.#memories())
      if (bytes < most) bytes += this.#spillView(view, extent, most - bytes);
    return bytes;
  }

  #spillView(view: LayeredView, bytes: number, most?: number): number {
    return view.spill(bytes, this.#engine.dirtyWay, (runs) => this.#spills.write(view.view, runs), most);
  }

  /** @internal */
  save(transaction: Transaction): Savepoint {
    this.spill();
    /* What stays in memory a rollback could not bring back. */
    if (this.changedBytes() > 0)
      throw new LimitError("maps", "too many pages are changed for a savepoint: they are too scattered to be mapped");
    const savepoint: Savepoint = { transaction };
    const spilled = new Map<number, readonly unknown[]>();
    for (const id of this.#arrays.keys()) if (!this.#changes.dropped.has(id)) spilled.set(id, this.memory(id).spilled);
    const fresh = new Map([...this.#arrays.keys()].map((id) => [id, [...this.#engine.fresh(id)]]));
    this.#hasSavepoint = true;
    this.#saved.set(savepoint, { ...this.#changes.saved(), spilled, fresh });
    return savepoint;
  }

  /** @internal */
  restore(savepoint: Savepoint): void {
    const state = this.#saved.get(savepoint);
    if (state === undefined) throw new TransactionError("the savepoint is unknown");
    this.#changes.restore(state);
    for (const id of [...this.#arrays.keys()]) {
      if (this.#changes.created.has(id) && !state.infos.has(id)) {
        this.#changes.created.delete(id);
        this.#forget(id);
        this.#engine.cutFresh(id, [], 0);
        continue;
      }
      if (this.#changes.dropped.has(id)) continue;
      const view = this.memory(id);
      this.#engine.reset(id);
      const fresh = state.fresh.get(id) ?? [];
      this.#engine.cutFresh(id, fresh, Number.POSITIVE_INFINITY);
      this.#bringBack(id, view, state.spilled.get(id) ?? [], fresh);
    }
  }

  /**
   * Calls back when another connection has committed, from a timer; returns a function that ends it.
   * @param interval milliseconds between looks, default 20; a look costs under a microsecond.
   */
  watch(listener: (txid: number) => void, interval = 20): () => void {
    this.#live();
    let known = this.#engine.newest();
    const timer = setInterval(() => {
      const now = this.#engine.newest();
      if (now === known) return;
      known = now;
      listener(now);
    }, interval);
    this.#watchers.add(timer);
    return () => {
      clearInterval(timer);
      this.#watchers.delete(timer);
    };
  }

  /** Brings the arrays' files up to date, as far as no snapshot in use forbids it, and shortens the log. */
  async checkpoint(): Promise<void> {
    this.#live();
    if (this.#transaction !== undefined) throw new TransactionError("a transaction is running");
    await this.#engine.checkpoint();
  }

  /** Ends the transaction, detaches every view and closes. May be called twice. */
  close(): void {
    if (this.#closed) return;
    if (this.#transaction?.state === "active") this.#transaction.abort();
    for (const timer of this.#watchers) clearInterval(timer);
    this.#spillTimer.stop();
    this.#closed = true;
    this.#spills.drop();
    this.#engine.close();
  }

  /** The same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
