import { builtin } from "../../builtins.ts";
import { ClosedError, DamagedError, NotFoundError, ReadOnlyError } from "../../errors.ts";
import { typed } from "../../memory/check.ts";
import type { Lease } from "../../memory/lease.ts";
import { FileLock } from "../../memory/lock.ts";
import { CUSTOM, ENCODING } from "../codec/codec.ts";
import type { KeyBytes } from "../keys.ts";
import { removeTemporary, temporaryFolder } from "../temporary.ts";
import type { ColdTier, Damage, NewValue, StoredValue, TierUsage } from "../tier.ts";
import { backup } from "./backup.ts";
import { checkThere, closeAll, closeWell, removeAll, syncLog } from "./closing.ts";
import { Compaction } from "./compaction.ts";
import { bootIdentity, HEAD_NAME, Head, type HeadState } from "./head.ts";
import { LogSnapshot } from "./log-snapshot.ts";
import type { CommittedPart, LogOptions, OpenLog } from "./open-log.ts";
import { attach, checkWhole, dropIndex, openForWriting, rebuildPrivately, use } from "./opening.ts";
import { type Identity, isSame, OFFSETS, type Segment } from "./segment.ts";
import { Table } from "./table.ts";

const LOCK_NAME = "chest.lock";
/** So often a reader tries to follow a writer that is at work. */
const ATTEMPTS = 1000;
/** So often it makes an index of its own when the head changes meanwhile. */
const ROUNDS = 3;
/** Pages of an index that is worth being gone through in order. */
const LARGE_INDEX = 2048;
/** Bytes of memory that a change takes until it is in the index. */
const CHANGE_SIZE = 40;
const LEAST_WASTE: number = 2 ** 20;

/** The default tier: an append-only log of records in segments, and an index over it. docs/chest-format.md. */
export class LogStore implements ColdTier {
  readonly name = "log";
  readonly isQuick = true;
  readonly folder: string;
  readonly readOnly: boolean;
  generation = 0;
  moves = 0;
  #log: OpenLog;
  #lock: FileLock | undefined;
  #compaction: Compaction;
  /** Those that are open. */
  #snapshots: Set<LogSnapshot> = new Set();
  /** Bytes of the log up to the last commit, when known. */
  #logBytes: number | undefined;

  private constructor(log: OpenLog) {
    this.#log = log;
    log.onStale = () => this.refresh();
    this.folder = log.folder;
    this.readOnly = log.readOnly;
    this.#compaction = new Compaction({
      identity: log.identity,
      records: log.records,
      walker: log.walker,
      allSegments: () => log.allSegments(),
      isOldest: ({ id }) => log.segments.ids()[0] === id,
      find: (key) => log.findWhole(key),
      isActive: (segment) => log.isActive(segment),
      rotate: () => log.appender!.rotate(0),
      move: (key, value, before) => this.#move(key, value, before),
      remove: (key, before) => this.remove(key, before),
      secure: (segment) => {
        /* The last commit must be where it is looked for when the segment is gone. */
        if (segment.id === Math.floor(log.state.committed / OFFSETS)) this.#commit(log.state.count, false);
        if (log.options.sync) syncLog(log);
      },
      retire: (segment) => this.#retire(segment),
    });
  }

  /**
   * Opens the chest in a folder; a writer creates what is missing.
   *
   * @throws {LockedError} when another writer has it.
   * @throws {NotFoundError} when there is none and it is to be read only.
   * @throws {FormatError} when it is of a newer version, or the folder holds something else.
   */
  static open(folder: string, options: LogOptions): LogStore {
    if (options.readOnly) return LogStore.#openReader(folder, options);
    builtin("fs").mkdirSync(folder, { recursive: true, mode: 0o700 });
    const lock = FileLock.tryAcquire(builtin("path").join(folder, LOCK_NAME));
    let store: LogStore | undefined;
    try {
      store = new LogStore(attach(folder, options));
      store.#lock = lock;
      openForWriting(store.#log);
      return store;
    } catch (error) {
      store?.close();
      lock.release();
      throw error;
    }
  }

  static #openReader(folder: string, options: LogOptions): LogStore {
    if (!builtin("fs").existsSync(folder)) throw new NotFoundError(folder);
    const store = new LogStore(attach(folder, options));
    try {
      store.refresh();
      if (!store.#log.index?.isPrivate) checkWhole(store.#log, () => store.refresh());
      return store;
    } catch (error) {
      store.close();
      throw error;
    }
  }

  /** What all files of the chest share. */
  get identity(): Identity {
    return this.#log.identity;
  }

  get damage(): readonly Damage[] {
    return this.#log.damage;
  }

  get nextSequence(): number {
    return this.#log.nextSequence;
  }

  set nextSequence(next: number) {
    this.#log.nextSequence = next;
  }

  /* ---- reading ---- */

  get foundSequence(): number {
    return this.#log.records.foundSequence;
  }

  get foundExpires(): number {
    return this.#log.records.foundExpires;
  }

  get isFoundDamaged(): boolean {
    return this.#log.records.isFoundDamaged;
  }

  find(key: KeyBytes): number {
    return this.#log.find(key);
  }

  read(position: number): StoredValue {
    return this.#log.records.read(position);
  }

  tagsAt(position: number): readonly string[] {
    return this.#log.records.tagsAt(position);
  }

  lease(position: number): { readonly lease: Lease; readonly format: number } | undefined {
    return this.#log.records.lease(position);
  }

  matches(position: number, format: number, bytes: Uint8Array, length: number): boolean {
    return this.#log.records.matches(position, format, bytes, length);
  }

  keyAt(position: number, key: KeyBytes): boolean {
    return this.#log.records.keyAt(position, key);
  }

  prefetch(position: number): void {
    this.#log.records.prefetch(position);
  }

  scan(from: number, to: number, visit: (sequence: number, position: number) => void): void {
    const log = this.#log;
    log.usable();
    log.segments.pin();
    try {
      /* A reader looks at what there is first, and then at what counts of it: what is live now is in one of these. */
      const segments = log.allSegments();
      /* Of those that it left another file may have the name now. */
      const there = this.refresh() ? segments.map(({ id }) => log.segments.at(id)) : segments;
      log.walker.scan(there, from, to, visit);
    } finally {
      log.segments.unpin();
    }
  }

  refresh(): boolean {
    const log = this.#log;
    if (!this.readOnly) return false;
    log.usable();
    log.head ??= this.#lateHead();
    if (log.head === undefined) {
      if (log.index !== undefined) return false;
      this.#goPrivate(log.headVersion);
      log.head = this.#lateHead();
      if (log.head === undefined) return true;
      dropIndex(log);
    }
    if (log.head.version() === log.headVersion && !log.isDistrusted) return false;
    for (let round = 1; ; round++) {
      const followed = this.#follow(log.head);
      if (followed !== undefined) return followed || round > 1;
      const version = log.head.version();
      const isNew = this.#goPrivate(version);
      /* While it went through the log a writer may have cut it, and written there anew. */
      if (log.head.version() === version || round === ROUNDS) return isNew || round > 1;
      dropIndex(log);
    }
  }

  /** Goes by the head and its index; whether there is something new. Undefined when they cannot be relied on now. */
  #follow(head: Head): boolean | undefined {
    const log = this.#log;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const version = head.settledVersion(() => this.#isWriterDead());
      if (version === undefined || log.isDistrusted) return undefined;
      if (version === log.headVersion) return attempt > 0;
      const state = head.read();
      /* The writer changes it again. */
      if (head.version() !== version) continue;
      /* It is damaged. */
      if (state === undefined) return undefined;
      if (state.dropped) throw new NotFoundError(this.folder);
      /* Written before the system went down: nobody has repaired the index yet. */
      if (!state.clean && state.boot !== bootIdentity()) return undefined;
      if (state.generation === log.distrusted) return undefined;
      if (log.index?.isPrivate && state.committed < log.state.committed) {
        /* In the log it has seen a commit that the head does not tell of yet. */
        log.headVersion = version;
        return attempt > 0;
      }
      if (!this.#useTable(state)) continue;
      log.headVersion = version;
      log.segments.leaveAfter(log.state.committed);
      use(log, state);
      log.segments.prune();
      this.generation++;
      return true;
    }
    return undefined;
  }

  /** A reader that found none looks again: a writer may have made one. */
  #lateHead(): Head | undefined {
    const head = Head.open(this.folder, false);
    if (head === undefined || isSame(head.identity, this.identity)) return head;
    head.close();
    return undefined;
  }

  #isWriterDead(): boolean {
    try {
      return !FileLock.isHeld(builtin("path").join(this.folder, LOCK_NAME));
    } catch {
      /* It may not be looked at: there may be one. */
      return false;
    }
  }

  /** Opens the table that the head names. False when it is gone already, or cannot have as many keys as the head says. */
  #useTable({ generation, clean, count }: HeadState): boolean {
    const log = this.#log;
    const { index } = log;
    if (index === undefined || index.isPrivate || index.table.generation !== generation) {
      const table = Table.open(this.folder, generation, log.identity, false);
      if (table === undefined) return false;
      index?.close();
      log.adopt(table);
    }
    const { table } = log.index!;
    if (!table.canHold(count)) return false;
    if (clean) table.checkPages((page) => this.#distrust(table, page));
    else table.trustPages();
    return true;
  }

  #distrust(table: Table, page: number): never {
    const log = this.#log;
    const detail = "the index is not as it was closed";
    const error = new DamagedError(table.file, Table.offsetOf(page), detail);
    /* Unless the next writer has begun to change it. */
    if (log.head!.versionAfter() === log.headVersion) {
      log.distrusted = table.generation;
      log.reportDamage(error.path, error.offset, Table.pageSize, detail);
    }
    throw error;
  }

  /** Makes an index of its own from the log, once for each version of a head that cannot be trusted. */
  #goPrivate(version: number): boolean {
    const log = this.#log;
    if (log.index?.isPrivate && version === log.headVersion) return false;
    for (let attempt = 1; ; attempt++) {
      try {
        rebuildPrivately(log);
        break;
      } catch (error) {
        /* The writer has compacted what was being read. */
        if (!(error instanceof NotFoundError) || attempt === ATTEMPTS) throw error;
      }
    }
    log.headVersion = version;
    this.generation++;
    return true;
  }

  /* ---- writing ---- */

  #writable(): void {
    const log = this.#log;
    log.usable();
    if (this.readOnly) throw new ReadOnlyError(this.folder);
    /* From here on the head no longer says that all was closed well. */
    const { state } = log;
    if (!state.clean) return;
    state.boot = bootIdentity();
    log.head!.write({ ...state, clean: false });
    if (log.options.sync) log.head!.sync();
    log.appender!.extend();
    /* Not sooner: what has failed is done again. */
    state.clean = false;
  }

  put(key: KeyBytes, value: NewValue, before: number): number {
    this.#writable();
    const log = this.#log;
    const position = log.appender!.put(key, value);
    log.state.dead += log.records.supersede(before);
    log.changes.add(key.h1, key.tag, position, before);
    return position;
  }

  transfer(key: KeyBytes, from: ColdTier, position: number, sequence: number, before: number): number | undefined {
    if (!(from instanceof LogStore) || from === this) return undefined;
    const extent = from.#log.records.extentAt(position);
    if (extent === undefined || (extent.value.format & ENCODING) === CUSTOM) return undefined;
    this.#writable();
    const log = this.#log;
    const to = log.appender!.put(key, { ...extent.value, sequence }, extent.source);
    log.state.dead += log.records.supersede(before);
    log.changes.add(key.h1, key.tag, to, before);
    return to;
  }

  reserve(removals: number, keyBytes: number): void {
    this.#writable();
    this.#log.appender!.reserve(removals, keyBytes);
  }

  remove(key: KeyBytes, before: number): void {
    this.#writable();
    const log = this.#log;
    const position = log.appender!.remove(key);
    log.state.dead += log.records.supersede(before);
    log.changes.add(key.h1, key.tag, position, before, true);
  }

  #move(key: KeyBytes, value: NewValue, before: number): void {
    const log = this.#log;
    log.changes.add(key.h1, key.tag, log.appender!.put(key, value), before);
    this.moves++;
  }

  get staged(): number {
    const { appender, changes } = this.#log;
    const { staged = 0, stagedExtents = 0 } = appender ?? {};
    /* A byte of an extent costs no memory here, and less time than others when the log is read after a crash. */
    return staged - stagedExtents * (3 / 4) + changes.length * CHANGE_SIZE;
  }

  get storedCount(): number {
    return this.#log.index?.table.count ?? 0;
  }

  commit(count: number, sync: boolean): void {
    const log = this.#log;
    log.usable();
    if (log.changes.length === 0) {
      if (sync) syncLog(log);
      return;
    }
    this.#writable();
    this.#commit(count, sync);
  }

  #commit(count: number, sync: boolean): void {
    const log = this.#log;
    const { state, nextSequence } = log;
    const { commits, synced } = state;
    const appender = log.appender!;
    appender.commit({ number: commits + 1, count, nextSequence, synced, time: Date.now(), reserved: 0 });
    state.commits++;
    state.committed = appender.end;
    state.count = count;
    state.nextSequence = nextSequence;
    if (this.#logBytes !== undefined) this.#logBytes += appender.staged;
    appender.staged = 0;
    appender.stagedExtents = 0;
    if (sync) {
      syncLog(log);
      checkThere(log);
    }
    this.#applyAll();
  }

  #applyAll(): void {
    const { changes, state, mapped } = this.#log;
    const index = this.#log.index!;
    index.reserve(changes.inserts);
    /* Where it fails, readers go on waiting, and then by the log, until it has succeeded. */
    this.#log.head!.begin();
    changes.apply((h1, tag, position, before, removed) => {
      if (removed) index.remove(h1, tag, before);
      else index.put(h1, tag, position, before);
    }, index.table.pages > LARGE_INDEX);
    changes.clear();
    state.applied = state.committed;
    state.count = index.table.count;
    this.#log.head!.write(state);
    /* Changed pages are resident; give them back when they are many. */
    mapped.touch(0);
  }

  /* ---- all of it ---- */

  usage(): TierUsage {
    let disk = 0;
    let files = 0;
    for (const name of typed("list", this.folder, () => builtin("fs").readdirSync(this.folder))) {
      const file = builtin("path").join(this.folder, name);
      const status = typed("stat", file, () => builtin("fs").lstatSync(file, { throwIfNoEntry: false }));
      /* A writer removes and makes files meanwhile. */
      if (status === undefined) continue;
      disk += Math.min(status.size, status.blocks * 512);
      files++;
    }
    return { disk, dead: this.#log.state.dead, resident: this.resident, files };
  }

  get resident(): number {
    return this.#log.mapped.touched + this.#log.buffered;
  }

  get isWasteful(): boolean {
    const log = this.#log;
    const { dead } = log.state;
    if (dead < LEAST_WASTE) return false;
    const { staged } = log.appender!;
    this.#logBytes ??= log.allSegments().reduce((sum, segment) => sum + segment.end, 0) - staged;
    return dead > (this.#logBytes + staged) / 2;
  }

  compactStep(milliseconds: number, all: boolean, commit: () => void): boolean {
    this.#writable();
    return this.#compaction.step(milliseconds, all, commit);
  }

  #retire(segment: Segment): void {
    const { state, segments } = this.#log;
    state.dead = Math.max(0, state.dead - Math.max(0, segment.dead));
    this.generation++;
    this.#logBytes = undefined;
    segments.retire(segment);
    this.#sweep();
  }

  #sweep(): void {
    const { segments, options } = this.#log;
    if (segments.sweep() && options.sync) segments.syncFolder();
  }

  /** Keeps all segments there, to a reader as far as it has descriptors. */
  #pin(): void {
    const { segments } = this.#log;
    segments.pin();
    if (this.readOnly) segments.hold();
  }

  #unpin(): void {
    const { segments } = this.#log;
    if (this.readOnly) segments.letGo();
    segments.unpin();
    if (!this.#log.closed) this.#sweep();
  }

  /** The chest as of the last commit. */
  snapshot(): LogSnapshot {
    const log = this.#log;
    log.usable();
    const folder = temporaryFolder();
    this.#pin();
    const end = (): void => {
      removeTemporary(folder);
      this.#unpin();
    };
    let copy: Table | undefined;
    try {
      this.refresh();
      const table = log.steadily(() => {
        copy?.discard();
        copy = undefined;
        /* What the index points to now must be open before the writer removes it. */
        if (this.readOnly) log.segments.openAll();
        copy = log.index!.table.copyTo(folder, 1, log.identity);
        return copy;
      });
      const snapshot = new LogSnapshot(log.records, table, () => {
        this.#snapshots.delete(snapshot);
        end();
      });
      this.#snapshots.add(snapshot);
      /* It is mapped: so nothing is left of one that is given up. Windows removes no open file. */
      if (builtin("process").platform !== "win32") removeTemporary(folder);
      return snapshot;
    } catch (error) {
      copy?.close();
      end();
      throw error;
    }
  }

  /** A copy of what belongs to the last commit in another folder. */
  async backup(folder: string): Promise<void> {
    this.#log.usable();
    this.#pin();
    try {
      await backup(folder, () => this.#committedParts());
    } finally {
      this.#unpin();
    }
  }

  /** What belongs to the last commit, open. */
  #committedParts(): CommittedPart[] {
    const log = this.#log;
    for (let attempt = 1; ; attempt++) {
      this.refresh();
      try {
        const parts = log.committedParts();
        /* What was there when the files were looked at. */
        if (!this.refresh() || attempt === ATTEMPTS) return parts;
      } catch (error) {
        if (!this.readOnly || attempt === ATTEMPTS || !(error instanceof NotFoundError)) throw error;
      }
    }
  }

  close(): void {
    const log = this.#log;
    if (log.closed) return;
    for (const snapshot of [...this.#snapshots]) snapshot.close();
    try {
      if (!this.readOnly && !log.hasFailed && log.index !== undefined && log.appender !== undefined) closeWell(log);
    } finally {
      try {
        closeAll(log);
      } finally {
        this.#lock?.release();
      }
    }
  }

  drop(): void {
    const log = this.#log;
    /* Others may have the head mapped for long, and another chest its place by then. */
    if (!log.closed) log.head?.write({ ...log.state, clean: false, dropped: true });
    log.fail(new ClosedError(this.folder));
    this.close();
    removeAll(this.folder, [HEAD_NAME, LOCK_NAME]);
  }
}
