import { ConflictError, ReadOnlyError, TransactionError } from "../errors.ts";
import { checkDurability } from "./check-options.ts";
import type { Durability } from "./engine.ts";

/** A state of a transaction that `Transaction.rollback` comes back to. */
export interface Savepoint {
  /** The transaction that it belongs to. */
  readonly transaction: Transaction;
}

/** What a transaction asks of its store. */
export interface TransactionHost {
  readonly closed: boolean;
  commitChanges(durability: Durability | undefined): Promise<number>;
  abortChanges(): void;
  spill(): number;
  save(transaction: Transaction): Savepoint;
  restore(savepoint: Savepoint): void;
}

/** What commits and aborts together. */
export class Transaction {
  readonly #store: TransactionHost;
  /** The transaction whose state it began with. */
  readonly snapshot: number;
  #state: "active" | "committing" | "committed" | "aborted" = "active";

  /** @internal */
  constructor(store: TransactionHost, snapshot: number) {
    this.#store = store;
    this.snapshot = snapshot;
  }

  /** What has become of it. */
  get state(): "active" | "committing" | "committed" | "aborted" {
    return this.#state === "committing" && this.#store.closed ? "aborted" : this.#state;
  }

  #active(): void {
    if (this.#state !== "active") throw new TransactionError(`this transaction is ${this.#state}`);
  }

  /**
   * Makes everything that was written true, for everybody, at once and for good; the number of the new state. While it
   * waits for others who commit, views may be written to, which is part of it; arrays cannot be made, changed or dropped.
   *
   * @throws {InvalidArgumentError} for a durability that there is not: it stays as it was.
   * @throws {ConflictError} when another commit changed the same page or shape; this transaction is then aborted.
   * @throws {DiskFullError | LogFullError} when there is no room: the transaction stays as it was.
   * @throws {LimitError} when names, shapes and attributes of all arrays take more than 64 KiB: it stays as it was.
   * @throws {PoisonedError} when the disk failed: the store must be opened again.
   * @throws {LockedError} when others kept the commit lock too long: the transaction stays as it was.
   * @throws {ReadOnlyError} when the store was opened at a named snapshot; this transaction is then aborted.
   * @throws {ClosedError} when the store was closed meanwhile; this transaction is then aborted.
   * @throws {SnapshotTooOldError} when the transaction took longer than `maxSnapshotAge` and lost its snapshot.
   */
  async commit(options: { durability?: Durability } = {}): Promise<number> {
    this.#active();
    checkDurability(options.durability);
    this.#state = "committing";
    try {
      const txid = await this.#store.commitChanges(options.durability);
      this.#state = "committed";
      return txid;
    } catch (error) {
      this.#state = "active";
      if (error instanceof ConflictError || error instanceof ReadOnlyError || this.#store.closed) this.abort();
      throw error;
    }
  }

  /** Takes everything back: each view ever handed out shows the snapshot again. */
  abort(): void {
    if (this.state === "aborted") return;
    this.#active();
    this.#state = "aborted";
    this.#store.abortChanges();
  }

  /** Moves changed pages to the disk, where only this transaction sees them, and gives their memory back; bytes. */
  spill(): number {
    this.#active();
    return this.#store.spill();
  }

  /** Remembers the present state; costs what changed since the last one. */
  savepoint(): Savepoint {
    this.#active();
    return this.#store.save(this);
  }

  /** Takes back what was changed since the savepoint, and those that were made after it. */
  rollback(savepoint: Savepoint): void {
    this.#active();
    if (savepoint?.transaction !== this) throw new TransactionError("the savepoint belongs to another transaction");
    this.#store.restore(savepoint);
  }
}
