import { builtin } from "../builtins.ts";
import {
  ClosedError,
  type CorruptError,
  LockedError,
  NotFoundError,
  PoisonedError,
  ReadOnlyError,
  SnapshotTooOldError,
  SystemError,
  TruncatedError,
} from "../errors.ts";
import type { DirtyWay } from "../memory/private-view.ts";
import { makeFolder, StoreFile } from "../memory/store-file.ts";
import { Applier } from "./applier.ts";
import type { Catalogue } from "./catalogue.ts";
import { catchUp } from "./catch-up.ts";
import { Committer } from "./committer.ts";
import { checkConflicts } from "./conflicts.ts";
import type { ArrayEngine, Change, Durability } from "./engine.ts";
import { FreshArrays, type FreshPages } from "./fresh-arrays.ts";
import { History } from "./history.ts";
import { Homes } from "./homes.ts";
import type { LayeredView } from "./layered-view.ts";
import { Log } from "./log.ts";
import { mutations } from "./mutations.ts";
import { type PageLogOptions, withDefaults } from "./page-log-options.ts";
import { isMade, makeStore, recover } from "./recovery.ts";
import { Settler } from "./settler.ts";
import { SharedState } from "./shared-state.ts";
import { removeSpills } from "./spill-file.ts";
import { Upkeep } from "./upkeep.ts";
import { verifyStore } from "./verify.ts";
import { Views } from "./views.ts";

export type { PageLogOptions } from "./page-log-options.ts";

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The engine of a store in a folder of this machine; docs/array-format.md describes files and protocol. */
export class PageLog implements ArrayEngine {
  readonly folder: string;
  readonly pageSize: number;
  readonly dirtyWay: DirtyWay;
  readonly #options: Required<PageLogOptions>;
  readonly #shared: SharedState;
  readonly #head: StoreFile;
  readonly #history: History;
  readonly #homes: Homes;
  readonly #views: Views;
  readonly #applier: Applier;
  readonly #settler: Settler;
  readonly #fresh: FreshArrays;
  readonly #committer: Committer;
  readonly #upkeep: Upkeep;
  /** A transaction is running. */
  #active = false;
  #closed = false;
  /** The superblock after which files were closed last. */
  #tidied = -1;
  /** The named snapshot that this connection stands at. */
  #at: string | undefined;

  private constructor(folder: string, options: Required<PageLogOptions>, shared: SharedState, head: StoreFile) {
    this.folder = folder;
    this.#options = options;
    this.#shared = shared;
    this.#head = head;
    this.dirtyWay = options.dirtyWay;
    const history = new History(
      head,
      (pageSize) => new Log(folder, pageSize, options.segmentBytes),
      () => shared.proven,
    );
    const homes = new Homes(folder);
    this.pageSize = history.log.pageSize;
    const views = new Views(folder, history, homes, this.pageSize, shared);
    const applier = new Applier(history, homes, shared, head, options.maxSnapshotAge);
    this.#history = history;
    this.#homes = homes;
    this.#views = views;
    this.#applier = applier;
    this.#fresh = new FreshArrays(homes, shared, this.pageSize);
    this.#settler = new Settler(history, applier, shared);
    const settler = this.#settler;
    const fresh = this.#fresh;
    this.#upkeep = new Upkeep({
      options,
      history,
      shared,
      applier,
      settler,
      state: () => (this.#closed || this.poisoned ? "ended" : this.#active ? "busy" : "idle"),
      shortened: () => this.#closeRemoved(),
      failed: (error) => {
        this.#committer.poison = error;
      },
    });
    const begun = (): void => this.#upkeep.soon();
    this.#committer = new Committer(folder, options, { history, homes, views, applier, fresh, shared, settler, begun });
  }

  /**
   * Opens a store, or makes one; recovers it when nobody else has it open. `at`: for reading, at a named snapshot.
   *
   * @throws {NotFoundError} when there is none and `create` is false, or no snapshot of that name.
   * @throws {PermissionError} when the folder cannot be written to.
   * @throws {UnsupportedFileError} when it lies on a network file system.
   * @throws {CorruptError | StoreFormatError} when it is damaged, or was written by a later version.
   */
  static open(folder: string, options: PageLogOptions = {}, at?: string): PageLog {
    const { join } = builtin("path");
    const full = withDefaults(at === undefined ? options : { ...options, create: false });
    const path = join(folder, "head");
    if (!full.create && !builtin("fs").existsSync(path)) throw new NotFoundError(path);
    makeFolder(folder);
    const shared = SharedState.open(folder, full.lockTimeout);
    let head: StoreFile | undefined;
    let engine: PageLog | undefined;
    try {
      if (shared.alone && !isMade(path)) makeStore(path, folder);
      head = StoreFile.open(path, true);
      engine = new PageLog(folder, full, shared, head);
      if (shared.alone) removeSpills(folder);
      if (shared.alone) recover(engine.#history, engine.#homes, shared, engine.#applier);
      shared.settle();
      if (shared.unhealed) engine.#heal();
      engine.begin();
      if (at !== undefined) engine.#standAt(at);
      engine.end();
      return engine;
    } catch (error) {
      engine?.[Symbol.dispose]();
      if (engine === undefined) {
        head?.close();
        shared.close();
      }
      throw error;
    }
  }

  get catalogue(): Catalogue {
    return this.#history.shown.catalogue;
  }

  get snapshot(): number {
    return this.#history.shown.txid;
  }

  newest(): number {
    return this.#shared.head;
  }

  /** Newest transaction that the home files hold. */
  get applied(): number {
    return this.#shared.applied;
  }

  /** Bytes of the log that a checkpoint could free. */
  get logBytes(): number {
    return this.#history.logBytes;
  }

  lostPages(array: number, offset: number): TruncatedError {
    const path = this.#homes.path(array);
    return new TruncatedError(path, offset, builtin("fs").statSync(path, { throwIfNoEntry: false })?.size ?? 0);
  }

  /** Whether the disk has failed, here or where home files were synced: it does nothing any more. @internal */
  get poisoned(): boolean {
    if (this.#committer.poison === undefined && this.#shared.doubted)
      this.#committer.poison = new Error("home files that another connection wrote did not reach the disk");
    return this.#committer.poison !== undefined;
  }

  #live(): void {
    if (this.poisoned) throw new PoisonedError(this.folder, this.#committer.poison);
  }

  /** Home files are in doubt: before anybody reads them here they are written anew out of the log. */
  #heal(): void {
    this.#shared.withCommitLock(() => {
      this.#catchUp();
      this.#applier.checkpoint();
      this.#shared.heal();
    });
  }

  /** Nobody applies anything while the commit lock is held, and nobody beyond this state once its slot is taken. */
  #standAt(name: string): void {
    this.#shared.withCommitLock(() => {
      this.#catchUp();
      const { snapshots } = this.#history.catalogue;
      const txid = Object.hasOwn(snapshots, name) ? snapshots[name] : undefined;
      if (txid === undefined) throw new NotFoundError(`snapshot "${name}" in ${this.folder}`);
      this.#history.rewind(txid);
      this.#shared.stand(txid);
    });
    this.#at = name;
  }

  /** @throws {ReadOnlyError} when this connection stands at a named snapshot. `throughViews`: they were written to. */
  checkWritable(throughViews = false): void {
    if (this.#at !== undefined) throw new ReadOnlyError(`snapshot "${this.#at}" of ${this.folder}`, throughViews);
  }

  begin(mayShow: () => void = () => {}): void {
    if (this.#at !== undefined) {
      this.checkSnapshot();
      this.#active = true;
      return;
    }
    this.settle();
    const history = this.#history;
    const { head, applied } = this.#shared.acquire();
    try {
      if (head !== history.cursor.txid || history.unseen.length > 0) {
        mayShow();
        history.read(head);
        history.fold(applied);
        this.#views.show(applied);
      } else if (this.#tidied !== this.#shared.sequence) history.fold(applied);
      this.#views.tidy(this.dirtyWay);
      if (this.#tidied !== this.#shared.sequence || history.log.hasRemoved) this.#closeRemoved();
    } catch (error) {
      this.end();
      throw error;
    }
    this.#active = true;
  }

  /** Files that a checkpoint has removed, here or elsewhere, once no record or view needs them. */
  #closeRemoved(): void {
    const history = this.#history;
    const known = new Set([...history.base.arrays, ...history.everKnown()].map(({ id }) => id));
    this.#homes.closeBut(
      (array) =>
        known.has(array) || this.#fresh.firstFree(array) !== undefined || this.#views.find(array) !== undefined,
    );
    if (this.#settler.due) return;
    const kept = history.records[0]?.segment ?? Number.POSITIVE_INFINITY;
    history.log.closeRemoved(kept, ({ file }) => this.#views.shows(file));
    this.#tidied = this.#shared.sequence;
  }

  /** What a commit left for later: its views show it out of files. Between transactions only. */
  settle(): void {
    this.#live();
    if (!this.#settler.due) return;
    const locked = this.#shared.tryCommitLock();
    try {
      this.#settler.settle(locked);
    } catch (error) {
      this.#committer.poison = error;
      throw new PoisonedError(this.folder, error);
    } finally {
      if (locked) this.#shared.commitUnlock();
    }
  }

  end(committed = false): void {
    if (this.#closed) return;
    this.#active = false;
    this.#fresh.release(committed);
    if (this.#at === undefined) this.#shared.release();
  }

  /** @throws {SnapshotTooOldError} when the snapshot was given up. */
  checkSnapshot(): void {
    this.#live();
    if (this.#shared.evicted) throw new SnapshotTooOldError(this.folder);
  }

  view(array: number, reserve: number): LayeredView {
    if (this.#closed) throw new ClosedError(this.folder);
    return this.#views.get(array, reserve);
  }

  isMapped(array: number): boolean {
    return this.#views.find(array) !== undefined;
  }

  /** All of a store lies on this machine. */
  fetch(): Promise<void> {
    return this.#closed ? Promise.reject(new ClosedError(this.folder)) : Promise.resolve();
  }

  reserve(first: number): number {
    return this.#fresh.reserve(first);
  }

  firstFresh(array: number): number | undefined {
    return this.#fresh.firstFree(array);
  }

  writeFresh(array: number, first: number, pages: number, block: (at: number) => Uint8Array): void {
    try {
      const home = this.#fresh.write(array, first, pages, block);
      this.#views.find(array)?.layFresh(first * this.pageSize, pages * this.pageSize, home);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  fresh(array: number): readonly FreshPages[] {
    return this.#fresh.ranges(array);
  }

  showFresh(array: number): void {
    for (const { first, end } of this.#fresh.ranges(array))
      this.#views
        .find(array)
        ?.layFresh(first * this.pageSize, (end - first) * this.pageSize, this.#homes.get(array).file);
  }

  readFresh(array: number, start: number, length: number): Uint8Array {
    return this.#homes.get(array).read(start, length);
  }

  cutFresh(array: number, keep: readonly FreshPages[], end: number): void {
    if (this.#fresh.ranges(array).length === 0) return;
    this.#fresh.cut(array, ({ sums }) => Math.min(end, keep.find((kept) => kept.sums === sums)?.end ?? 0));
  }

  reset(array: number): void {
    this.#views.reset(array);
  }

  dropEqual(): void {
    if (this.dirtyWay === "compare") this.#views.restoreAll();
  }

  forget(array: number): void {
    this.#views.forget(array);
    this.#tidied = -1;
  }

  /** After an I/O error nobody knows what is on the disk: a sync that works then proves nothing. */
  #failed(error: unknown): unknown {
    if (!(error instanceof SystemError)) return error;
    this.#committer.poison = error;
    return new PoisonedError(this.folder, error);
  }

  async #waitForLock(): Promise<void> {
    const end = performance.now() + this.#options.lockTimeout;
    for (let wait = 0; !this.#shared.tryCommitLock(); wait = Math.min(wait + 1, 20)) {
      if (performance.now() > end) throw new LockedError(builtin("path").join(this.folder, "lock"));
      await pause(wait);
      if (this.#closed) throw new ClosedError(this.folder);
    }
  }

  async #locked<T>(work: () => T): Promise<T> {
    if (!this.#shared.tryCommitLock()) await this.#waitForLock();
    try {
      this.#live();
      return work();
    } catch (error) {
      throw this.#failed(error);
    } finally {
      this.#shared.commitUnlock();
    }
  }

  /** What this connection's own transaction may see nothing newer than in the home files. */
  get #own(): number {
    return this.#active ? this.snapshot : Number.POSITIVE_INFINITY;
  }

  #catchUp(): void {
    catchUp(this.#history, this.#applier, this.#shared);
  }

  commit(changeNow: () => Change, durability: Durability): Promise<number> {
    return this.#locked(() => {
      const history = this.#history;
      this.checkSnapshot();
      const change = changeNow();
      this.#catchUp();
      if (history.unseen === "reset") throw new SnapshotTooOldError(this.folder);
      if (!mutations.noConflicts)
        checkConflicts(change, history.unseen, this.pageSize, history.nameOf, history.shown.catalogue.arrays);
      return this.#committer.write(change, durability);
    });
  }

  /** Applies what no snapshot keeps, makes it durable and shortens the log. */
  async checkpoint(): Promise<void> {
    this.checkWritable();
    await this.#locked(() => {
      this.#settler.settle(true);
      this.#catchUp();
      /* While this waited for the lock a transaction may have begun here. */
      this.#applier.checkpoint(this.#own);
      this.#closeRemoved();
    });
  }

  /** Verifies every checksum of superblocks, log and home files; what is wrong. */
  verify(): CorruptError[] {
    this.checkWritable();
    const locked = (work: () => void): void =>
      this.#shared.withCommitLock(() => {
        this.#live();
        try {
          this.#catchUp();
          this.#applier.apply(this.#applier.limit(this.#own));
        } catch (error) {
          throw this.#failed(error);
        }
        work();
      });
    return verifyStore({ head: this.#head, history: this.#history, homes: this.#homes, shared: this.#shared, locked });
  }

  /** Closes; checkpoints first if nobody is committing and nothing failed. */
  close(): void {
    if (this.#closed) return;
    this.#shared.release();
    try {
      if (this.#at === undefined && !this.poisoned && this.#shared.tryCommitLock())
        try {
          this.#catchUp();
          this.#applier.checkpoint();
        } catch (error) {
          throw this.#failed(error);
        } finally {
          this.#shared.commitUnlock();
        }
    } finally {
      this[Symbol.dispose]();
    }
  }

  /** Closes without a checkpoint. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#fresh.release(true);
    this.#upkeep.stop();
    this.#views.close();
    this.#homes.close();
    this.#history.log.close();
    this.#head.close();
    this.#shared.close();
  }
}
