import { ConflictError, InvalidArgumentError, NameInUseError, NotFoundError, TransactionError } from "../errors.ts";
import { asJson, checkName, described } from "./array-description.ts";
import type { BigArray } from "./big-array.ts";
import type { ArrayInfo, Catalogue } from "./catalogue.ts";
import { checkDurability } from "./check-options.ts";
import { CommitWatch } from "./commit-watch.ts";
import type { DType } from "./dtype.ts";
import type { ArrayEngine, Durability } from "./engine.ts";
import type { PageLog } from "./page-log.ts";
import type { ArrayOptions, StoreOptions } from "./store-options.ts";
import type { Transaction } from "./transaction.ts";
import { Workspace } from "./workspace.ts";

/**
 * Arrays in a folder that change by transactions: this connection sees one snapshot at a time. Another process, Worker
 * or part of the program opens its own. Writes go through `begin` ... `commit`; what is written to a view outside a
 * transaction belongs to the next one.
 */
export class ArrayStore implements Disposable {
  /** Absolute path of the store. */
  readonly folder: string;
  readonly #engine: ArrayEngine;
  readonly #workspace: Workspace;
  readonly #watch: CommitWatch;
  /** What the last transaction began with. */
  #begunWith: Catalogue | undefined;

  /** @internal */
  constructor(engine: ArrayEngine, options: StoreOptions) {
    this.#engine = engine;
    this.#workspace = new Workspace(engine, options);
    this.#watch = new CommitWatch(
      () => engine.newest(),
      () => engine.snapshot,
    );
    this.folder = engine.folder;
  }

  /** The engine of a folder, for tools and tests: nothing in here knows which engine it is. @internal */
  get engine(): PageLog {
    return this.#engine as PageLog;
  }

  /** Its arrays and their memory, for tests. @internal */
  get workspace(): Workspace {
    return this.#workspace;
  }

  /** The running transaction. */
  get transaction(): Transaction | undefined {
    return this.#workspace.transaction;
  }

  /** Number of the state that views show. */
  get snapshot(): number {
    return this.#engine.snapshot;
  }

  /**
   * Begins a transaction on the newest state, which every view of this connection shows from now on.
   * @throws {TransactionError} when there is one already, or views were written to outside any on an older state.
   */
  begin(): Transaction {
    const { arrays } = this.#workspace;
    this.#workspace.checkOpen();
    if (this.transaction !== undefined) throw new TransactionError("a transaction is running already");
    this.#engine.begin(() => this.#workspace.refuseStrays());
    const { catalogue } = this.#engine;
    if (catalogue !== this.#begunWith) {
      const known = new Set(catalogue.arrays.map(({ id }) => id));
      for (const id of arrays.used) if (!known.has(id)) arrays.forget(id);
      this.#begunWith = catalogue;
    }
    return this.#workspace.begun();
  }

  /** Takes back what was written to views outside a transaction. */
  discard(): void {
    this.#workspace.checkOpen();
    if (this.transaction !== undefined) throw new TransactionError("a transaction is running: abort it");
    this.#engine.settle();
    this.#workspace.abortChanges();
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
    if (typeof work !== "function") throw new InvalidArgumentError("transact takes a function");
    if (!(retries >= 0)) throw new InvalidArgumentError(`retries is a number from 0 on, not ${retries}`);
    checkDurability(durability);
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

  /** Names of the arrays. */
  get names(): string[] {
    this.#workspace.checkOpen();
    return this.#workspace.arrays.all().map(({ name }) => name);
  }

  /**
   * Makes an array of zeros; it is there for others after the commit.
   * @throws {InvalidArgumentError} when it is not described as `ArrayOptions` says.
   * @throws {NameInUseError} when there is one of that name.
   * @throws {RangeError} when it has more than 2^47 bytes.
   */
  create<D extends DType>(name: string, options: ArrayOptions<D>): BigArray<D> {
    this.#workspace.checkInTransaction();
    checkName(name, "an array");
    const { dtype, shape, order, attributes } = described(options);
    const { arrays, changes } = this.#workspace;
    if (arrays.all().some((info) => info.name === name)) throw new NameInUseError(name);
    const id = arrays.newId();
    const info: ArrayInfo = { id, name, dtype, shape, order, highWater: 0, ...attributes };
    changes.infos.set(id, info);
    changes.created.add(id);
    return this.#workspace.arrayOf(info) as unknown as BigArray<D>;
  }

  /**
   * An array by name. With `dtype` its type is checked, and known to the compiler.
   * @throws {NotFoundError} when there is none. {InvalidArgumentError} when its dtype is another.
   */
  array<D extends DType = DType>(name: string, dtype?: D): BigArray<D> {
    this.#workspace.checkOpen();
    const info = this.#workspace.arrays.named(name);
    if (dtype !== undefined && info.dtype !== dtype)
      throw new InvalidArgumentError(`array "${name}" has dtype ${info.dtype}, not ${dtype}`);
    return this.#workspace.arrayOf(info) as unknown as BigArray<D>;
  }

  /** A copy of what is kept with an array. @throws {NotFoundError} when there is none. */
  attributes(name: string): Readonly<Record<string, unknown>> {
    this.#workspace.checkOpen();
    return structuredClone(this.#workspace.arrays.named(name).attributes ?? {});
  }

  /** Replaces what is kept with an array, as part of the transaction. */
  setAttributes(name: string, attributes: Readonly<Record<string, unknown>>): void {
    this.#workspace.checkInTransaction();
    const { arrays, changes } = this.#workspace;
    const info = arrays.named(name);
    changes.infos.set(info.id, { ...info, attributes: asJson(attributes) });
  }

  /** Removes an array, as part of the transaction. */
  drop(name: string): void {
    this.#workspace.checkInTransaction();
    const { arrays, changes } = this.#workspace;
    const info = arrays.named(name);
    changes.dropped.add(info.id);
    changes.infos.delete(info.id);
  }

  /**
   * Pins the transaction's own snapshot under a name, as part of the transaction: the state before its changes. Whoever
   * opens `openStore(path, { at: name })` reads it, until the name is dropped.
   */
  keepSnapshot(name: string): void {
    this.#workspace.checkInTransaction();
    checkName(name, "a snapshot");
    const known = this.snapshots;
    if (Object.hasOwn(known, name)) throw new NameInUseError(name);
    this.#workspace.changes.snapshots = { ...known, [name]: this.#engine.snapshot };
  }

  /** Lets go of a named snapshot, as part of the transaction. Who has it open keeps it until it is closed. */
  dropSnapshot(name: string): void {
    this.#workspace.checkInTransaction();
    const { [name]: _, ...rest } = this.snapshots;
    if (!Object.hasOwn(this.snapshots, name)) throw new NotFoundError(`snapshot "${name}" in ${this.folder}`);
    this.#workspace.changes.snapshots = rest;
  }

  /** Named snapshots and the states they stand at. */
  get snapshots(): Readonly<Record<string, number>> {
    this.#workspace.checkOpen();
    return this.#workspace.changes.snapshots ?? this.#engine.catalogue.snapshots;
  }

  /**
   * Calls back when another connection has committed what this one does not show yet, from a timer; returns a function
   * that ends it.
   * @param interval milliseconds between looks, default 20; a look costs under a microsecond.
   */
  watch(listener: (txid: number) => void, interval = 20): () => void {
    this.#workspace.checkOpen();
    if (typeof listener !== "function") throw new InvalidArgumentError("watch takes a function");
    return this.#watch.start(listener, interval);
  }

  /** Brings the arrays' files up to date, as far as no snapshot in use forbids it, and shortens the log. */
  async checkpoint(): Promise<void> {
    this.#workspace.checkOpen();
    if (this.transaction !== undefined) throw new TransactionError("a transaction is running");
    await this.#engine.checkpoint();
  }

  /** Ends the transaction, detaches every view and closes. May be called twice. */
  close(): void {
    if (this.#workspace.closed) return;
    this.#watch.close();
    this.#workspace.close();
  }

  /** The same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
