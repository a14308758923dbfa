import { CorruptError, StoreFormatError } from "../errors.ts";
import { pageSize as systemPageSize } from "../memory/page.ts";
import type { StoreFile } from "../memory/store-file.ts";
import { type ArrayInfo, advance, type Catalogue } from "./catalogue.ts";
import type { Superblock } from "./format.ts";
import { after, type Cursor, type Log, type LogRecord } from "./log.ts";
import { readNewest } from "./superblocks.ts";

/** Where the log begins that a superblock speaks of. */
export function startOf({ segment, offset, applied, chain }: Superblock): Cursor {
  return { segment, offset, txid: applied, chain };
}

function oldestOf({ snapshots }: Catalogue): number {
  let oldest = Number.POSITIVE_INFINITY;
  for (const txid of Object.values(snapshots)) oldest = Math.min(oldest, txid);
  return oldest;
}

/** A record, and where the log and the catalogue stand behind it. */
interface Following {
  readonly record: LogRecord;
  readonly cursor: Cursor;
  readonly catalogue: Catalogue;
}

/**
 * What one connection has read: the newest superblock, the log behind it, and the catalogue that follows from both. It
 * stands at one transaction, the cursor.
 */
export class History {
  readonly #head: StoreFile;
  readonly #log: Log;
  readonly #proven: () => number;
  superblock: Superblock;
  catalogue: Catalogue;
  /** Catalogue and position up to which all is applied and folded into the catalogue. */
  base: Catalogue;
  baseEnd: Cursor;
  /** Records after baseEnd, up to the cursor. */
  records: LogRecord[] = [];
  cursor: Cursor;
  /** Records that are read but not shown: a commit met them and failed. "reset" when views must begin anew. */
  unseen: LogRecord[] | "reset" = [];
  /** What views show while there is something unseen. */
  #shown: { catalogue: Catalogue; txid: number } | undefined;

  /**
   * `proven`: sequence of the newest superblock that is on the disk.
   * @throws {StoreFormatError} when the store was made with pages of another size.
   */
  constructor(head: StoreFile, log: (pageSize: number) => Log, proven: () => number) {
    this.#head = head;
    this.#proven = proven;
    this.superblock = readNewest(head, proven);
    const { pageSize } = this.superblock;
    if (pageSize !== systemPageSize())
      throw new StoreFormatError(head.path, `pages of ${pageSize} bytes; this machine's have ${systemPageSize()}`);
    this.#log = log(pageSize);
    this.cursor = this.baseEnd = startOf(this.superblock);
    this.base = this.catalogue = this.superblock.catalogue;
  }

  get log(): Log {
    return this.#log;
  }

  info(array: number): ArrayInfo | undefined {
    return this.catalogue.arrays.find(({ id }) => id === array);
  }

  nameOf = (array: number): string => this.info(array)?.name ?? `number ${array}`;

  /** The arrays, and those that were dropped since the base: a snapshot in between may show them. */
  everKnown(): ArrayInfo[] {
    const byId = new Map(this.catalogue.arrays.map((info) => [info.id, info]));
    if (!this.records.some(({ meta }) => meta.dropped !== undefined)) return [...byId.values()];
    let at = this.base;
    for (const { runs, meta } of this.records) {
      for (const info of at.arrays) if (meta.dropped?.includes(info.id)) byId.set(info.id, info);
      at = advance(at, runs, meta);
    }
    return [...byId.values()];
  }

  /**
   * The oldest transaction that a named snapshot stands at: of those that have a name now, and of those that have one
   * again when a power loss takes back what was committed after `durable`.
   */
  oldestNamed(durable: number): number {
    let oldest = oldestOf(this.catalogue);
    if (!this.records.some(({ txid, meta }) => txid > durable && meta.snapshots !== undefined)) return oldest;
    let at = this.base;
    for (const { txid, runs, meta } of this.records) {
      if (txid > durable) oldest = Math.min(oldest, oldestOf(at));
      at = advance(at, runs, meta);
    }
    return oldest;
  }

  /** What this connection will have read with a record that continues the cursor. */
  following(record: LogRecord): Following {
    return { record, cursor: after(record), catalogue: advance(this.catalogue, record.runs, record.meta) };
  }

  /** It has read it. */
  accept({ record, cursor, catalogue }: Following): void {
    this.records.push(record);
    this.cursor = cursor;
    this.catalogue = catalogue;
  }

  take(record: LogRecord): void {
    this.accept(this.following(record));
  }

  /** Reads on until the cursor stands at `target`; the new records, or undefined when all views must be reset. */
  #follow(target: number): LogRecord[] | undefined {
    const fresh: LogRecord[] = [];
    let reloaded = false;
    for (let attempt = 0; this.cursor.txid < target; ) {
      const record = this.#log.next(this.cursor);
      if (record !== undefined) {
        this.take(record);
        fresh.push(record);
        continue;
      }
      /* A checkpoint took the log away before we had read it. */
      this.superblock = readNewest(this.#head, this.#proven);
      if (this.superblock.applied > this.cursor.txid) {
        this.base = this.catalogue = this.superblock.catalogue;
        this.cursor = this.baseEnd = startOf(this.superblock);
        this.records = [];
        reloaded = true;
      } else if (this.superblock.applied === this.cursor.txid && !this.#isAtStart()) {
        this.#goToStart();
      } else if (++attempt > 100) {
        const { segment, offset, txid } = this.cursor;
        throw new CorruptError(this.#log.path(segment), offset, `the record of transaction ${txid + 1} is not there`);
      }
    }
    return reloaded ? undefined : fresh;
  }

  /** Another's checkpoint may have removed the segment where this connection saw the log end: it goes on elsewhere. */
  followSuperblock(): void {
    this.superblock = readNewest(this.#head, this.#proven);
    this.fold(this.superblock.applied);
    if (this.superblock.applied === this.cursor.txid) this.#goToStart();
  }

  #isAtStart(): boolean {
    const { segment, offset } = this.superblock;
    return segment === this.cursor.segment && offset === this.cursor.offset;
  }

  /** Where all that is read is applied the log goes on where the superblock says. */
  #goToStart(): void {
    this.fold(this.superblock.applied);
    this.cursor = this.baseEnd = startOf(this.superblock);
  }

  /** The state that views show: it is older than the cursor while records are unseen. */
  get shown(): { catalogue: Catalogue; txid: number } {
    return this.#shown ?? { catalogue: this.catalogue, txid: this.cursor.txid };
  }

  /** Views show everything up to the cursor. */
  seen(): void {
    this.unseen = [];
    this.#shown = undefined;
  }

  /** Takes a record that views are not to show yet. What it returns takes it back, as long as nothing else was taken. */
  takeUnseen(record: LogRecord): () => void {
    const { cursor, catalogue } = this;
    const shown = this.#shown;
    this.#shown = this.shown;
    this.take(record);
    if (this.unseen !== "reset") this.unseen.push(record);
    return () => {
      this.#shown = shown;
      this.cursor = cursor;
      this.catalogue = catalogue;
      this.records.pop();
      if (this.unseen !== "reset") this.unseen.pop();
    };
  }

  /** Reads on; what is new is remembered as unseen. */
  read(target: number): void {
    if (this.cursor.txid < target) this.#shown = this.shown;
    const fresh = this.#follow(target);
    if (fresh === undefined || this.unseen === "reset") this.unseen = "reset";
    else this.unseen.push(...fresh);
  }

  /** Records that are applied need not be remembered: the catalogue takes them in. */
  fold(applied: number): void {
    let count = 0;
    for (const record of this.records) {
      if (record.txid > applied) break;
      this.base = advance(this.base, record.runs, record.meta);
      this.baseEnd = after(record);
      count++;
    }
    if (count > 0) this.records.splice(0, count);
  }

  /**
   * Goes back to a state that a named snapshot keeps. Whoever calls holds the commit lock.
   * @throws {CorruptError} when the store holds only later ones.
   */
  rewind(txid: number): void {
    this.superblock = readNewest(this.#head, this.#proven);
    this.base = this.catalogue = this.superblock.catalogue;
    this.cursor = this.baseEnd = startOf(this.superblock);
    this.records = [];
    this.#follow(txid);
    this.seen();
    if (this.cursor.txid !== txid)
      throw new CorruptError(this.#head.path, 0, `the state after transaction ${txid} is not there any more`);
  }

  /** A checkpoint has written this superblock. */
  persisted(next: Superblock): void {
    this.superblock = next;
    if (this.records.length === 0) this.cursor = this.baseEnd = startOf(next);
  }

  /** Bytes of the log that a checkpoint could free. */
  get logBytes(): number {
    return this.#log.distance(this.superblock, this.cursor);
  }
}
