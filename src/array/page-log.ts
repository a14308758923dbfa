import { builtin } from "../builtins.ts";
import {
  ConflictError,
  CorruptError,
  DiskFullError,
  LockedError,
  LogFullError,
  NotFoundError,
  PoisonedError,
  SnapshotTooOldError,
  StoreFormatError,
  SystemError,
  UnsupportedFileError,
} from "../errors.ts";
import { pageSize as systemPageSize } from "../memory/page.ts";
import { type DirtyWay, PrivateView } from "../memory/private-view.ts";
import { announce, StoreFile, syncFolder } from "../memory/store-file.ts";
import { type ArrayInfo, advance, type Catalogue, emptyCatalogue } from "./catalogue.ts";
import { type DType, itemSize } from "./dtype.ts";
import type { ArrayEngine, Change, ChangedPages, Durability } from "./engine.ts";
import { encodeRecord, type MetaChange, type PageRun, SUPERBLOCK_BYTES, type Superblock } from "./format.ts";
import { LayeredView } from "./layered-view.ts";
import { after, type Cursor, Log, type LogRecord } from "./log.ts";
import { mutations } from "./mutations.ts";
import { SharedState } from "./shared-state.ts";
import { sizeOf } from "./slicing.ts";
import { readSuperblock, writeSuperblock } from "./superblocks.ts";

/** How a PageLog works; all have defaults. */
export interface PageLogOptions {
  /** Make the store when there is none. Default true. */
  create?: boolean;
  /** Bytes of a log segment; half of one begins a checkpoint. Default 64 MiB. */
  segmentBytes?: number;
  /** Bytes the log may reach while a snapshot keeps it from being shortened. Default 16 GiB. */
  logLimit?: number;
  /** Milliseconds after which another's snapshot no longer keeps the log. Default Infinity. */
  maxSnapshotAge?: number;
  /** Milliseconds to wait for locks. Default 10 000. */
  lockTimeout?: number;
  /** Bytes from which on fresh pages go to the array's own file at once, past the log. Default 1 MiB. */
  directBytes?: number;
  /** How changed pages are found. Default: the best that the system has. */
  dirtyWay?: DirtyWay;
}

const MOST_LAYERS = 8192;

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The engine of a store in a folder of this machine; docs/array-format.md describes files and protocol. */
export class PageLog implements ArrayEngine {
  readonly folder: string;
  readonly pageSize: number;
  readonly dirtyWay: DirtyWay;
  catalogue: Catalogue = emptyCatalogue;
  #options: Required<PageLogOptions>;
  #shared: SharedState;
  #head: StoreFile;
  #log: Log;
  #homes = new Map<number, StoreFile>();
  #views = new Map<number, LayeredView>();
  #super: Superblock;
  /** Catalogue and position up to which all is applied and folded into the catalogue. */
  #base: Catalogue = emptyCatalogue;
  #baseEnd: Cursor;
  /** Records after #baseEnd, up to the cursor. */
  #records: LogRecord[] = [];
  #cursor: Cursor;
  /** Records that are read but not shown: a commit met them and failed. "reset" when views must begin anew. */
  #unseen: LogRecord[] | "reset" = [];
  #poison: unknown;
  #closed = false;

  private constructor(folder: string, options: Required<PageLogOptions>, shared: SharedState, head: StoreFile) {
    this.folder = folder;
    this.#options = options;
    this.#shared = shared;
    this.#head = head;
    this.dirtyWay = options.dirtyWay;
    this.#super = readSuperblock(head);
    this.pageSize = this.#super.pageSize;
    if (this.pageSize !== systemPageSize())
      throw new StoreFormatError(head.path, `pages of ${this.pageSize} bytes; this machine's have ${systemPageSize()}`);
    this.#log = new Log(folder, this.pageSize, options.segmentBytes);
    this.#cursor = this.#baseEnd = this.#start(this.#super);
    this.#base = this.catalogue = this.#super.catalogue;
  }

  /**
   * Opens a store, or makes one; recovers it when nobody else has it open.
   *
   * @throws {NotFoundError} when there is none and `create` is false.
   * @throws {PermissionError} when the folder cannot be written to.
   * @throws {UnsupportedFileError} when it lies on a network file system.
   * @throws {CorruptError | StoreFormatError} when it is damaged, or was written by a later version.
   */
  static open(folder: string, options: PageLogOptions = {}): PageLog {
    const { existsSync, mkdirSync } = builtin("fs");
    const { join } = builtin("path");
    const full: Required<PageLogOptions> = {
      create: true,
      segmentBytes: 2 ** 26,
      logLimit: 2 ** 34,
      maxSnapshotAge: Number.POSITIVE_INFINITY,
      lockTimeout: 10_000,
      directBytes: 2 ** 20,
      dirtyWay: PrivateView.way(),
      ...options,
    };
    const path = join(folder, "head");
    if (!full.create && !existsSync(path)) throw new NotFoundError(path);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const shared = SharedState.open(folder, full.lockTimeout);
    let head: StoreFile | undefined;
    let engine: PageLog | undefined;
    try {
      if (shared.alone && !PageLog.#made(path)) PageLog.#make(path, folder);
      head = StoreFile.open(path, true);
      if (head.file.status().fileSystem === "network")
        throw new UnsupportedFileError(folder, "on a network file system", "locks there are not to be relied on");
      engine = new PageLog(folder, full, shared, head);
      if (shared.alone) engine.#recover();
      shared.settle();
      engine.begin();
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

  /** A store whose making was interrupted has no superblock and nothing else. */
  static #made(path: string): boolean {
    const { existsSync, statSync, readdirSync } = builtin("fs");
    if (!existsSync(path)) return false;
    const others = readdirSync(builtin("path").dirname(path)).some((name) => /^(log\.|a\d)/.test(name));
    return others || statSync(path).size >= SUPERBLOCK_BYTES;
  }

  static #make(path: string, folder: string): void {
    const head = StoreFile.create(path, false);
    const pageSize = systemPageSize();
    const first = { sequence: 0, epoch: 1, applied: 0, chain: 0, segment: 1, offset: 0, pageSize };
    head.truncate(2 * SUPERBLOCK_BYTES);
    writeSuperblock(head, { ...first, catalogue: emptyCatalogue });
    head.close();
    syncFolder(folder);
  }

  #start({ segment, offset, applied, chain }: Superblock): Cursor {
    return { segment, offset, txid: applied, chain };
  }

  get snapshot(): number {
    return this.#cursor.txid;
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
    return this.#log.distance(this.#super, this.#cursor);
  }

  #live(): void {
    if (this.#poison !== undefined) throw new PoisonedError(this.folder, this.#poison);
  }

  #nameOf = (array: number): string => this.catalogue.arrays.find(({ id }) => id === array)?.name ?? `number ${array}`;

  #info(array: number): ArrayInfo | undefined {
    return this.catalogue.arrays.find(({ id }) => id === array);
  }

  homePath(array: number): string {
    return builtin("path").join(this.folder, `a${array}.dat`);
  }

  #home(array: number): StoreFile {
    const known = this.#homes.get(array);
    if (known !== undefined) return known;
    const path = this.homePath(array);
    let file: StoreFile;
    try {
      file = StoreFile.open(path, true);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      file = StoreFile.create(path, false);
      syncFolder(this.folder);
    }
    file.random();
    this.#homes.set(array, file);
    return file;
  }

  /* ---- reading the log ---- */

  #take(record: LogRecord): void {
    this.#records.push(record);
    this.#cursor = after(record);
    this.catalogue = advance(this.catalogue, record.runs, record.meta);
  }

  /** Reads on until the cursor stands at `target`; the records that are new, or undefined when all views must be reset. */
  #follow(target: number): LogRecord[] | undefined {
    const fresh: LogRecord[] = [];
    let reloaded = false;
    for (let attempt = 0; this.#cursor.txid < target; ) {
      const record = this.#log.next(this.#cursor);
      if (record !== undefined) {
        this.#take(record);
        fresh.push(record);
        continue;
      }
      /* A checkpoint took the log away before we had read it. */
      this.#super = readSuperblock(this.#head);
      if (this.#super.applied > this.#cursor.txid) {
        this.#base = this.catalogue = this.#super.catalogue;
        this.#cursor = this.#baseEnd = this.#start(this.#super);
        this.#records = [];
        reloaded = true;
      } else if (++attempt > 100) {
        const { segment, offset, txid } = this.#cursor;
        throw new CorruptError(this.#log.path(segment), offset, `the record of transaction ${txid + 1} is not there`);
      }
    }
    return reloaded ? undefined : fresh;
  }

  begin(): void {
    this.#live();
    const { head, applied } = this.#shared.acquire();
    if (head === this.#cursor.txid && this.#unseen.length === 0) return;
    this.#read(head);
    this.#fold(applied);
    this.#show(applied);
  }

  end(): void {
    this.#shared.release();
  }

  /** @throws {SnapshotTooOldError} when the snapshot was given up. */
  checkSnapshot(): void {
    this.#live();
    if (this.#shared.evicted) throw new SnapshotTooOldError(this.folder);
  }

  /** Records that are applied need not be remembered: the catalogue takes them in. */
  #fold(applied: number): void {
    let count = 0;
    for (const record of this.#records) {
      if (record.txid > applied) break;
      this.#base = advance(this.#base, record.runs, record.meta);
      this.#baseEnd = after(record);
      count++;
    }
    if (count > 0) this.#records.splice(0, count);
  }

  /* ---- views ---- */

  /** Reads on; what is new is remembered as unseen. */
  #read(target: number): void {
    const fresh = this.#follow(target);
    if (fresh === undefined || this.#unseen === "reset") this.#unseen = "reset";
    else this.#unseen.push(...fresh);
  }

  /** Makes views show what is unseen. */
  #show(applied: number, own?: ReadonlyMap<number, number>): void {
    this.#refresh(this.#unseen === "reset" ? undefined : this.#unseen, applied, own);
    this.#unseen = [];
  }

  /** Makes views show records that others have committed. `own`: what is above these pages is not in the files yet. */
  #refresh(
    fresh: readonly LogRecord[] | undefined,
    applied: number,
    own: ReadonlyMap<number, number> = new Map(),
  ): void {
    for (const [array, view] of this.#views) {
      const info = this.#info(array);
      if (info === undefined) continue;
      if (fresh === undefined || view.layered > MOST_LAYERS) {
        this.reset(array);
        continue;
      }
      const home = info.highWater > 0 ? this.#home(array).file : undefined;
      view.growHome(home, (own.get(array) ?? info.highWater) * this.pageSize);
      for (const record of fresh) this.#layRecord(view, array, record, record.txid <= applied);
    }
  }

  #layRecord(view: LayeredView, array: number, record: LogRecord, inHome: boolean): void {
    const size = this.pageSize;
    const images: number[] = [];
    for (const { array: id, page, count, kind, body } of record.runs) {
      if (id !== array || kind === "direct") continue;
      const [start, length] = [page * size, count * size];
      if (inHome) {
        const end = Math.min(start + length, view.homeBytes);
        if (start < end) view.lay(start, end - start, this.#home(array).file, start);
      } else if (kind === "zero") {
        view.lay(start, length, undefined, 0);
      } else {
        images.push(start, length, record.offset + record.headBytes + body * size);
      }
    }
    if (images.length === 0) return;
    const segment = this.#log.segment(record.segment);
    if (segment === undefined) throw new NotFoundError(this.#log.path(record.segment));
    view.layRuns(Float64Array.from(images), images.length / 3, segment.file);
  }

  view(array: number, reserve: number): LayeredView {
    const known = this.#views.get(array);
    if (known !== undefined) return known;
    const view = new LayeredView(`array "${this.#nameOf(array)}" of ${this.folder}`, reserve);
    this.#views.set(array, view);
    this.reset(array);
    return view;
  }

  fetch(array: number, reserve: number): Promise<LayeredView> {
    return Promise.resolve(this.view(array, reserve));
  }

  reset(array: number): void {
    const view = this.#views.get(array);
    if (view === undefined) return;
    const highWater = this.#info(array)?.highWater ?? 0;
    const home = highWater > 0 ? this.#home(array) : undefined;
    if (home !== undefined && home.size() < highWater * this.pageSize)
      throw new CorruptError(home.path, home.size(), `array "${this.#nameOf(array)}" was truncated from outside`);
    view.reset(home?.file, highWater * this.pageSize);
    for (const record of this.#records) this.#layRecord(view, array, record, false);
  }

  forget(array: number): void {
    this.#views.get(array)?.view.close();
    this.#views.delete(array);
  }

  /* ---- applying the log ---- */

  /** The newest transaction that may be applied: no older snapshot, nor this connection's `own`, may see its pages. */
  #limit(own = Number.POSITIVE_INFINITY): number {
    if (mutations.ignoreSnapshots) return this.#shared.durable;
    const named = Object.values(this.catalogue.snapshots);
    return Math.min(own, this.#shared.durable, this.#shared.oldestOther(this.#options.maxSnapshotAge), ...named);
  }

  #applyRecord(record: LogRecord): void {
    const size = this.pageSize;
    /* As in oc_apply_runs: no large folios. */
    const step = Math.max(1, Math.floor(2 ** 16 / size));
    for (const { array, page, count, kind, body } of record.runs) {
      const info = this.#info(array);
      if (info === undefined || kind === "direct") continue;
      const home = this.#home(array);
      if (home.size() < info.highWater * size) home.truncate(info.highWater * size);
      if (kind === "zero") {
        const end = Math.min(page + count, info.highWater);
        if (end > page) home.punch(page * size, (end - page) * size);
        continue;
      }
      for (let at = 0; at < count; at += step) {
        const pages = Math.min(step, count - at);
        home.write((page + at) * size, this.#log.images(record, body + at, pages));
      }
    }
  }

  /** Brings the home files up to `limit`. The commit lock is held, and all records up to the head are known. */
  #apply(limit: number): void {
    const applied = this.#shared.applied;
    for (const record of this.#records) if (record.txid > applied && record.txid <= limit) this.#applyRecord(record);
    if (limit > applied) this.#shared.applied = limit;
    this.#fold(this.#shared.applied);
  }

  /**
   * Makes every record up to the one that ends at `end` durable: the home files must never be ahead of the log. `own`:
   * this connection has just written the last of them itself.
   */
  #syncLog(end: Cursor, own = false): void {
    const { durable } = this.#shared;
    if (durable >= end.txid) return;
    this.#log.sync();
    if (!own || durable < end.txid - 1)
      for (let segment = this.#super.segment; segment <= end.segment; segment++) this.#log.syncSegment(segment);
    this.#shared.durable = end.txid;
  }

  /** The same, made durable, and the log before it given up. The commit lock is held. */
  #checkpoint(own?: number): void {
    this.#syncLog(this.#cursor);
    this.#apply(this.#limit(own));
    this.#persist(this.#super.epoch);
  }

  #persist(epoch: number): void {
    const end = this.#baseEnd;
    const whole = this.#records.length === 0;
    if (end.txid === this.#super.applied && epoch === this.#super.epoch) return;
    if (!mutations.noHomeSync)
      for (const { id, highWater } of this.#base.arrays) if (highWater > 0) this.#home(id).sync();
    const next: Superblock = {
      pageSize: this.pageSize,
      sequence: this.#super.sequence + 1,
      epoch,
      applied: end.txid,
      chain: end.chain,
      segment: whole ? end.segment + 1 : end.segment,
      offset: whole ? 0 : end.offset,
      catalogue: this.#base,
    };
    writeSuperblock(this.#head, next);
    this.#super = next;
    this.#shared.sequence = next.sequence;
    if (whole) this.#cursor = this.#baseEnd = this.#start(next);
    this.#log.removeBelow(mutations.recycleEarly ? this.#cursor.segment + 1 : next.segment);
    this.#removeDropped();
  }

  #removeDropped(): void {
    const { readdirSync, rmSync } = builtin("fs");
    const known = new Set([...this.#base.arrays, ...this.catalogue.arrays].map(({ id }) => id));
    for (const name of readdirSync(this.folder)) {
      const id = Number(/^a(\d+)\.dat$/.exec(name)?.[1] ?? Number.NaN);
      if (Number.isNaN(id) || known.has(id) || id >= this.#base.nextId) continue;
      if (announce("remove", this.homePath(id), 0, 0)) rmSync(this.homePath(id), { force: true });
    }
  }

  /** The store was opened by nobody else: what the log holds is made true, all else undone. */
  #recover(): void {
    for (let record = this.#log.next(this.#cursor); record !== undefined; record = this.#log.next(this.#cursor)) {
      const bad = mutations.noPageSums ? -1 : this.#log.firstBad(record);
      if (bad >= 0) {
        /* The end of the log may be torn; a record that another one follows was whole once. */
        if (record.meta.unsynced !== true && this.#log.next(after(record)) !== undefined)
          throw this.#log.badPage(record, bad, this.#nameOf);
        break;
      }
      this.#take(record);
    }
    this.#shared.head = this.#cursor.txid;
    for (let segment = this.#super.segment; segment <= this.#cursor.segment; segment++) this.#log.syncSegment(segment);
    this.#shared.durable = this.#cursor.txid;
    this.#shared.applied = this.#super.applied;
    this.#shared.sequence = this.#super.sequence;
    for (const { id, highWater } of this.catalogue.arrays) {
      if (highWater === 0 && !builtin("fs").existsSync(this.homePath(id))) continue;
      const home = this.#home(id);
      const bytes = highWater * this.pageSize;
      const isLogged = this.#records.some(({ runs }) => runs.some(({ array }) => array === id));
      if (home.size() > bytes && !mutations.noTruncate) {
        home.truncate(bytes);
        home.sync();
      } else if (home.size() < bytes) {
        if (!isLogged) throw new CorruptError(home.path, home.size(), `array "${this.#nameOf(id)}" lost its end`);
        home.truncate(bytes);
      }
    }
    const hadRecords = this.#records.length > 0;
    this.#apply(Math.min(this.#shared.head, ...Object.values(this.catalogue.snapshots)));
    if (hadRecords) this.#persist(this.#records.length === 0 ? this.#super.epoch + 1 : this.#super.epoch);
  }

  /* ---- committing ---- */

  async #locked<T>(work: () => T): Promise<T> {
    const end = performance.now() + this.#options.lockTimeout;
    for (let wait = 0; !this.#shared.tryCommitLock(); wait = Math.min(wait + 1, 20)) {
      if (performance.now() > end) throw new LockedError(builtin("path").join(this.folder, "lock"));
      await pause(wait);
    }
    try {
      this.#live();
      return work();
    } finally {
      this.#shared.commitUnlock();
    }
  }

  /** Reads what others have committed, and a whole record that somebody left who died before saying so. */
  #catchUp(): void {
    this.#read(this.#shared.head);
    this.#followSuperblock();
    for (;;) {
      const orphan = this.#log.next(this.#cursor);
      if (orphan === undefined || this.#log.firstBad(orphan) >= 0) return;
      this.#take(orphan);
      this.#syncLog(this.#cursor);
      if (this.#unseen !== "reset") this.#unseen.push(orphan);
      this.#shared.head = orphan.txid;
    }
  }

  /** Another's checkpoint may have removed the segment where this connection saw the log end: it goes on elsewhere. */
  #followSuperblock(): void {
    if (this.#shared.sequence === this.#super.sequence) return;
    this.#super = readSuperblock(this.#head);
    this.#fold(this.#super.applied);
    if (this.#super.applied === this.#cursor.txid) this.#cursor = this.#baseEnd = this.#start(this.#super);
  }

  #checkConflicts(change: Change, fresh: readonly LogRecord[]): void {
    const size = this.pageSize;
    for (const { runs, meta } of fresh) {
      for (const info of meta.arrays ?? [])
        if (change.meta.arrays?.some(({ id, name }) => id === info.id || name === info.name))
          throw new ConflictError(info.name, []);
      for (const id of meta.dropped ?? [])
        if (change.pages.some(({ array }) => array === id)) throw new ConflictError(this.#nameOf(id), []);
      if (meta.snapshots !== undefined && change.meta.snapshots !== undefined)
        throw new ConflictError("named snapshots", []);
      for (const mine of change.pages) {
        const shorter = meta.arrays?.find(({ id }) => id === mine.array);
        const [start = 0, length = 0] = mine.runs.subarray(2 * mine.count - 2, 2 * mine.count);
        const end = start + length;
        if (shorter !== undefined && mine.count > 0 && end > Math.ceil(bytesOf(shorter) / size) * size)
          throw new ConflictError(shorter.name, [end / size - 1]);
        const pages: number[] = [];
        const both = (first: number, end: number): void => {
          for (const { array, page, count } of runs)
            if (array === mine.array)
              for (let i = Math.max(first, page); i < Math.min(end, page + count) && pages.length < 16; i++)
                pages.push(i);
        };
        if (!runs.some(({ array }) => array === mine.array)) continue;
        for (let i = 0; i < mine.count; i++) {
          const [start = 0, length = 0] = [mine.runs[2 * i], mine.runs[2 * i + 1]];
          both(start / size, (start + length) / size);
        }
        for (const [first, end] of mine.zeros) both(first, end);
        if (pages.length > 0) throw new ConflictError(this.#nameOf(mine.array), [...new Set(pages)]);
      }
    }
  }

  /** Splits what changed into pages for the log and pages that nobody can see yet, which go home at once. */
  #plan(changes: readonly ChangedPages[], meta: MetaChange): Plan[] {
    const size = this.pageSize;
    let body = 0;
    return changes.map((change) => {
      const known = this.#info(change.array) ?? meta.arrays?.find(({ id }) => id === change.array);
      const highWater = known?.highWater ?? 0;
      /* Above the high water all is zeros, and others may write there directly before this is applied. */
      const runs: PageRun[] = change.zeros
        .filter(([page]) => page < highWater)
        .map(([page, end]) => ({
          array: change.array,
          kind: "zero",
          page,
          count: Math.min(end, highWater) - page,
          body: 0,
        }));
      const images: number[] = [];
      const direct: number[] = [];
      let end = highWater;
      const add = (page: number, count: number, kind: "image" | "direct"): void => {
        runs.push({ array: change.array, kind, page, count, body: kind === "image" ? body : 0 });
        (kind === "image" ? images : direct).push(page * size, count * size);
        if (kind === "image") body += count;
        end = Math.max(end, page + count);
      };
      for (let i = 0; i < change.count; i++) {
        const page = (change.runs[2 * i] ?? 0) / size;
        const count = (change.runs[2 * i + 1] ?? 0) / size;
        const below = Math.min(count, Math.max(0, highWater - page));
        if ((count - below) * size < this.#options.directBytes) {
          add(page, count, "image");
          continue;
        }
        if (below > 0) add(page, below, "image");
        add(page + below, count - below, "direct");
      }
      return {
        change,
        runs,
        images: Float64Array.from(images),
        direct: Float64Array.from(direct),
        highWater,
        newHighWater: end,
      };
    });
  }

  commit(change: Change, durability: Durability): Promise<number> {
    return this.#locked(() => {
      this.checkSnapshot();
      this.#catchUp();
      if (this.#unseen === "reset") throw new SnapshotTooOldError(this.folder);
      if (!mutations.noConflicts) this.#checkConflicts(change, this.#unseen);
      return this.#write(change, durability);
    });
  }

  #write(change: Change, durability: Durability): number {
    const size = this.pageSize;
    /* Should this commit fail, its views must still show the snapshot. */
    const own = (this.#unseen as LogRecord[])[0]?.txid ?? this.#cursor.txid + 1;
    if (this.#log.distance(this.#super, this.#cursor) > this.#options.segmentBytes / 2) this.#checkpoint(own - 1);
    else if (change.pages.some(({ view }) => view.layered > MOST_LAYERS / 2)) this.#checkpoint(own - 1);
    const plans = this.#plan(change.pages, change.meta);
    const runs = plans.flatMap((plan) => plan.runs);
    const total = plans.reduce((sum, { images }) => sum + pagesOf(images, size), 0);
    const sums = new Uint32Array(total);
    let at = 0;
    for (const { images, change: changed } of plans) {
      const pages = pagesOf(images, size);
      if (pages > 0)
        sums.set(changed.view.view.checksums(images, images.length / 2, size, pages).subarray(0, pages), at);
      at += pages;
    }
    const meta = durability === "none" ? { ...change.meta, unsynced: true } : change.meta;
    const txid = this.#cursor.txid + 1;
    const { epoch } = this.#super;
    const { head, crc } = encodeRecord({ epoch, txid, previous: this.#cursor.chain, runs, sums, meta }, size);
    const bytes = head.length + total * size;
    if (this.#log.distance(this.#super, this.#cursor) + bytes > this.#options.logLimit)
      throw new LogFullError(this.folder, this.#options.logLimit);
    const place = this.#log.place(this.#cursor, bytes);
    try {
      this.#writeHomes(plans);
    } catch (error) {
      throw this.#failed(error);
    }
    try {
      const segment = this.#log.prepare(place, bytes);
      let offset = place.offset;
      let rest = head;
      for (const { images, change: changed } of plans) {
        if (images.length === 0) continue;
        segment.writeRuns(offset, rest, changed.view.view, images, images.length / 2);
        offset += rest.length + pagesOf(images, size) * size;
        rest = new Uint8Array(0);
      }
      if (rest.length > 0) segment.write(offset, rest);
      if (durability === "full") {
        const end = { ...place, txid, chain: crc };
        if (mutations.noLogSync) this.#shared.durable = txid;
        else this.#syncLog(end, true);
      }
    } catch (error) {
      this.#unwrite(place.segment, place.offset);
      throw this.#failed(error);
    }
    this.#shared.head = txid;
    this.#take({
      epoch,
      txid,
      previous: this.#cursor.chain,
      crc,
      runs,
      sums,
      meta,
      headBytes: head.length,
      bodyBytes: total * size,
      ...place,
    });
    try {
      this.#publish(plans, txid);
    } catch (error) {
      /* It is committed; what shows it could not be set up. */
      this.#poison = error;
      throw new PoisonedError(this.folder, error);
    }
    return txid;
  }

  /** Nobody may take what was written for a commit, not even after a power loss: it was said to have failed. */
  #unwrite(segment: number, offset: number): void {
    if (mutations.noUnwrite) return;
    try {
      const file = this.#log.segment(segment);
      if (file === undefined || file.size() <= offset) return;
      file.write(offset, new Uint8Array(this.pageSize));
      file.sync();
    } catch (error) {
      this.#poison = error;
    }
  }

  /** An I/O error leaves unknown what is on the disk. */
  #failed(error: unknown): unknown {
    if (!(error instanceof SystemError)) return error;
    this.#poison = error;
    return new PoisonedError(this.folder, error);
  }

  #writeHomes(plans: readonly Plan[]): void {
    for (const { change, direct, highWater, newHighWater } of plans) {
      if (newHighWater <= highWater) continue;
      const home = this.#home(change.array);
      /* What somebody left here who died before the commit. */
      if (home.size() > highWater * this.pageSize && !mutations.noTruncate) {
        home.truncate(highWater * this.pageSize);
        home.sync();
      }
      home.truncate(newHighWater * this.pageSize);
      if (direct.length === 0) continue;
      home.applyRuns(change.view.view, direct, direct.length / 2);
      /* Whatever the commit's durability: a later one makes the record durable, and knows nothing of this. */
      if (!mutations.noDirectSync) home.sync();
    }
  }

  /** The images go home at once; false when there is no room there, and the log must serve them. */
  #writeBack(plans: readonly Plan[], txid: number): boolean {
    try {
      this.#apply(txid - 1);
      for (const { change, images, runs, newHighWater } of plans) {
        if (newHighWater === 0) continue;
        const home = this.#home(change.array);
        for (const { kind, page, count } of runs) {
          const end = Math.min(page + count, newHighWater);
          if (kind === "zero" && end > page) home.punch(page * this.pageSize, (end - page) * this.pageSize);
        }
        if (images.length > 0) home.applyRuns(change.view.view, images, images.length / 2);
      }
      return true;
    } catch (error) {
      if (error instanceof DiskFullError) return false;
      throw error;
    }
  }

  /** After the commit: views show it from files, not from private pages, and the memory is given back. */
  #publish(plans: readonly Plan[], txid: number): void {
    const eager = this.#limit() >= txid && this.#writeBack(plans, txid);
    const own = new Map(plans.map(({ change, highWater }) => [change.array, highWater]));
    this.#show(eager ? txid - 1 : this.#shared.applied, own);
    const record = this.#records.at(-1);
    for (const { change, newHighWater, highWater } of plans) {
      const { view } = change;
      const home = newHighWater > 0 ? this.#home(change.array) : undefined;
      if (newHighWater > highWater) view.growHome(home?.file, newHighWater * this.pageSize);
      if (!eager) {
        if (record !== undefined) this.#layRecord(view, change.array, record, false);
      } else if (change.zeros.length > 0 || view.layered > 2 || view.spilled.length > 0) {
        /* Something else than the home file may lie there. */
        for (let i = 0; i < change.count; i++) {
          const [start = 0, length = 0] = [change.runs[2 * i], change.runs[2 * i + 1]];
          if (home !== undefined) view.lay(start, length, home.file, start);
        }
      } else {
        view.view.restore(change.runs, change.count);
      }
      view.forgetSpilled();
    }
    if (eager) {
      this.#shared.applied = txid;
      this.#fold(txid);
    }
  }

  /** Applies what no snapshot keeps, makes it durable and shortens the log. */
  checkpoint(): Promise<void> {
    return this.#locked(() => {
      this.#catchUp();
      this.#show(this.#shared.applied);
      this.#checkpoint();
    });
  }

  /** Verifies every checksum of superblocks and log; what is wrong. */
  verify(): CorruptError[] {
    const found: CorruptError[] = [];
    let cursor = this.#start(readSuperblock(this.#head));
    for (let record = this.#log.next(cursor); record !== undefined; record = this.#log.next(cursor)) {
      const bad = this.#log.firstBad(record);
      if (bad >= 0) found.push(this.#log.badPage(record, bad, this.#nameOf));
      cursor = after(record);
    }
    if (cursor.txid < this.#shared.head)
      found.push(
        new CorruptError(this.#log.path(cursor.segment), cursor.offset, `transaction ${cursor.txid + 1} is damaged`),
      );
    for (const { id, name, highWater } of this.catalogue.arrays) {
      const home = highWater > 0 ? this.#home(id) : undefined;
      if (home !== undefined && home.size() < highWater * this.pageSize)
        found.push(new CorruptError(home.path, home.size(), `array "${name}" was truncated from outside`));
    }
    return found;
  }

  /** Closes; checkpoints first if nobody is committing and nothing failed. */
  close(): void {
    if (this.#closed) return;
    this.#shared.release();
    try {
      if (this.#poison === undefined && this.#shared.tryCommitLock())
        try {
          this.#catchUp();
          this.#checkpoint();
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
    for (const view of this.#views.values()) view.view.close();
    for (const home of this.#homes.values()) home.close();
    this.#log.close();
    this.#head.close();
    this.#shared.close();
  }
}

interface Plan {
  readonly change: ChangedPages;
  readonly runs: readonly PageRun[];
  readonly images: Float64Array;
  readonly direct: Float64Array;
  readonly highWater: number;
  readonly newHighWater: number;
}

/** Bytes of an array's elements. */
function bytesOf({ shape, dtype }: ArrayInfo): number {
  return sizeOf(shape) * itemSize(dtype as DType);
}

function pagesOf(runs: Float64Array, pageSize: number): number {
  let bytes = 0;
  for (let i = 1; i < runs.length; i += 2) bytes += runs[i] ?? 0;
  return bytes / pageSize;
}
