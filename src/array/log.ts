import { builtin } from "../builtins.ts";
import { CorruptError, NotFoundError } from "../errors.ts";
import { crc32c } from "../memory/crc32c.ts";
import { announce, StoreFile, syncFolder } from "../memory/store-file.ts";
import { decodeRecord, headLength, type Position, type RecordHead } from "./format.ts";
import { mutations } from "./mutations.ts";
import { TxRange } from "./tx-range.ts";

/** A record and where it lies. */
export interface LogRecord extends RecordHead, Position {}

/** Where the next record is to be, and what it must continue. */
export interface Cursor extends Position {
  readonly txid: number;
  readonly chain: number;
}

export function after(record: LogRecord): Cursor {
  const { segment, offset, headBytes, bodyBytes, txid, crc } = record;
  return { segment, offset: offset + headBytes + bodyBytes, txid, chain: crc };
}

const STEP: number = 2 ** 22;
const ROOM: number = 2 ** 20;

/** The segments `log.N` of a store. */
export class Log {
  readonly folder: string;
  readonly pageSize: number;
  readonly segmentBytes: number;
  #segments = new Map<number, StoreFile>();
  /** Removed, and not closed yet: views may lie over them still. */
  #removed: StoreFile[] = [];
  /** Segment that has been written and not synced. */
  #unsynced: StoreFile | undefined;
  /** How long a segment is at least: nobody makes it shorter. */
  #known: { readonly file: StoreFile; readonly size: number } | undefined;
  /** Bytes of the last record that was written here. */
  #lastBytes = 0;
  /** Segments whose names are known to be on the disk. */
  #named = new Set<number>();
  /** Whose records this connection has written, with no sync that failed since: its next one tells whether they are safe. */
  readonly own: TxRange = new TxRange();

  constructor(folder: string, pageSize: number, segmentBytes: number) {
    this.folder = folder;
    this.pageSize = pageSize;
    this.segmentBytes = segmentBytes;
  }

  path(segment: number): string {
    return builtin("path").join(this.folder, `log.${segment}`);
  }

  /** An open segment, or undefined when there is none of that number. */
  segment(number: number): StoreFile | undefined {
    const known = this.#segments.get(number);
    if (known !== undefined) return known;
    /* Mostly it is not there, and an error would take its time. */
    if (!builtin("fs").existsSync(this.path(number))) return undefined;
    try {
      const file = StoreFile.open(this.path(number), true);
      this.#segments.set(number, file);
      return file;
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  #headAt(segment: number, offset: number): RecordHead | undefined {
    const file = this.segment(segment);
    if (file === undefined) return undefined;
    const size = file.size();
    if (offset + this.pageSize > size) return undefined;
    const first = file.read(offset, this.pageSize);
    const length = headLength(first);
    if (length === undefined || offset + length > size) return undefined;
    return decodeRecord(length === this.pageSize ? first : file.read(offset, length), this.pageSize);
  }

  /** The record that continues the cursor, its images not verified; undefined when there is none. */
  next(cursor: Cursor): LogRecord | undefined {
    const places: Position[] = [cursor, { segment: cursor.segment + 1, offset: 0 }];
    for (const { segment, offset } of places) {
      const head = this.#headAt(segment, offset);
      if (head === undefined || head.txid !== cursor.txid + 1 || head.previous !== cursor.chain) continue;
      const size = this.segment(segment)?.size() ?? 0;
      if (offset + head.headBytes + head.bodyBytes > size) continue;
      return { ...head, segment, offset };
    }
    return undefined;
  }

  /**
   * A record behind a place where the log seems to end that was written when all before it was on the disk: then the
   * log does not end there, but is damaged.
   */
  settledAfter(end: Cursor, epoch: number): RecordHead | undefined {
    let from = end.offset;
    for (let number = end.segment; ; number++, from = 0) {
      const size = this.segment(number)?.size();
      /* Where all before was applied the next segment need not be there yet, nor need this one. */
      if (size === undefined && number > end.segment) return undefined;
      for (let at = from; at + this.pageSize <= (size ?? 0); at += this.pageSize) {
        const head = this.#headAt(number, at);
        if (head?.settled === true && head.epoch === epoch && head.txid > end.txid + 1) return head;
      }
    }
  }

  /** Bytes of the images of `count` pages from `first` on. */
  images(record: LogRecord, first: number, count: number): Uint8Array {
    const file = this.segment(record.segment);
    if (file === undefined) throw new NotFoundError(this.path(record.segment));
    return file.read(record.offset + record.headBytes + first * this.pageSize, count * this.pageSize);
  }

  /** Index of the first image whose checksum does not hold, -1 when all do. */
  firstBad(record: LogRecord): number {
    const pages = record.bodyBytes / this.pageSize;
    const step = Math.max(1, Math.floor(2 ** 20 / this.pageSize));
    for (let first = 0; first < pages; first += step) {
      const count = Math.min(step, pages - first);
      const bytes = this.images(record, first, count);
      for (let i = 0; i < count; i++)
        if (crc32c(bytes.subarray(i * this.pageSize, (i + 1) * this.pageSize)) !== record.sums[first + i])
          return first + i;
    }
    return -1;
  }

  /** The error for a page of a record whose checksum does not hold. */
  badPage(record: LogRecord, index: number, nameOf: (array: number) => string): CorruptError {
    const run = record.runs.find(({ kind, body, count }) => kind === "image" && index >= body && index < body + count);
    const page = run === undefined ? -1 : run.page + index - run.body;
    const offset = record.offset + record.headBytes + index * this.pageSize;
    const what = `page ${page} of array "${nameOf(run?.array ?? 0)}" is corrupt: its checksum does not hold`;
    return new CorruptError(this.path(record.segment), offset, what);
  }

  /** Where a record of so many bytes goes. */
  place(cursor: Cursor, bytes: number): Position {
    const { segment, offset } = cursor;
    return offset > 0 && offset + bytes > this.segmentBytes ? { segment: segment + 1, offset: 0 } : { segment, offset };
  }

  /**
   * The segment to write to, made if there is none, with room that is already on the disk: a sync of what replaces
   * zeros need not wait for the file system's own books.
   */
  prepare(place: Position, bytes: number): StoreFile {
    let file = this.segment(place.segment);
    file ??= this.#create(place.segment);
    /* Who made it may have died before its name was on the disk. */
    if (place.offset === 0 && !this.#named.has(place.segment) && !mutations.trustNames) syncFolder(this.folder);
    this.#named.add(place.segment);
    if (this.#unsynced !== undefined && this.#unsynced !== file) this.sync();
    if (this.#known?.file !== file || place.offset + bytes > this.#known.size) {
      const size = file.size();
      this.#known = { file, size };
      const step = Math.min(STEP, this.segmentBytes / 4);
      if (bytes < step && place.offset + bytes > size)
        file.write(size, new Uint8Array(Math.min(step, Math.max(bytes, this.segmentBytes - size))));
    }
    this.#lastBytes = bytes;
    this.#unsynced = file;
    return file;
  }

  /**
   * Writes and syncs zeros behind the cursor, so that the next records find room there. Done between commits, by the
   * holder of the commit lock.
   */
  makeRoom(cursor: Cursor): void {
    const { segment, offset } = cursor;
    const step = Math.min(STEP, this.segmentBytes / 4);
    const wanted = Math.min(this.segmentBytes, offset + Math.max(step, 2 * this.#lastBytes));
    let file = this.segment(segment);
    if (file === undefined) {
      if (offset > 0) return;
      file = this.#create(segment);
    }
    const size = file.size();
    if (size - offset >= Math.min(wanted - offset, Math.max(step / 2, this.#lastBytes)) || wanted <= size) return;
    for (let at = size; at < wanted; at += ROOM) file.write(at, new Uint8Array(Math.min(ROOM, wanted - at)));
    this.#sync(file);
  }

  #create(segment: number): StoreFile {
    const file = StoreFile.create(this.path(segment), false);
    this.#segments.set(segment, file);
    syncFolder(this.folder);
    this.#named.add(segment);
    return file;
  }

  #sync(file: StoreFile): void {
    try {
      file.sync();
    } catch (error) {
      if (!mutations.trustFailed) this.own.clear();
      throw error;
    }
  }

  /** Waits until all that was written is on the disk. */
  sync(): void {
    if (this.#unsynced !== undefined) this.#sync(this.#unsynced);
    this.#unsynced = undefined;
  }

  /** Makes sure that a segment which somebody else wrote is on the disk. */
  syncSegment(number: number): void {
    const file = this.segment(number);
    if (file !== undefined) this.#sync(file);
  }

  /**
   * Writes records of others again, and syncs: a sync tells only of what was written since its file was opened, and once.
   * @throws {CorruptError} when one is not what it was.
   */
  rewrite(records: readonly LogRecord[], nameOf: (array: number) => string): void {
    for (const record of mutations.trustLog ? [] : records) {
      const { segment, offset, headBytes, bodyBytes, crc, txid } = record;
      const file = this.segment(segment);
      if (file === undefined) throw new NotFoundError(this.path(segment));
      if (decodeRecord(file.read(offset, headBytes), this.pageSize)?.crc !== crc)
        throw new CorruptError(file.path, offset, `the record of transaction ${txid} is not what it was`);
      const bad = this.firstBad(record);
      if (bad >= 0) throw this.badPage(record, bad, nameOf);
      const end = offset + headBytes + bodyBytes;
      for (let at = offset; at < end; at += ROOM) file.write(at, file.read(at, Math.min(ROOM, end - at)));
    }
    for (const segment of new Set(records.map(({ segment }) => segment))) this.syncSegment(segment);
  }

  /** Removes the segments below `first`. Who has them mapped keeps them. */
  removeBelow(first: number): void {
    const { readdirSync, rmSync } = builtin("fs");
    for (const name of readdirSync(this.folder)) {
      const number = /^log\.(\d+)$/.exec(name)?.[1];
      if (number === undefined || Number(number) >= first) continue;
      const file = this.#segments.get(Number(number));
      if (file !== undefined) this.#removed.push(file);
      this.#segments.delete(Number(number));
      this.#named.delete(Number(number));
      if (announce("remove", this.path(Number(number)), 0, 0)) rmSync(this.path(Number(number)), { force: true });
    }
  }

  /** Removed segments are still open here. */
  get hasRemoved(): boolean {
    return this.#removed.length > 0;
  }

  /**
   * Closes segments below `first` that were removed, here or by others, unless they are in use here: only then are their
   * blocks the file system's again.
   */
  closeRemoved(first: number, isUsed: (file: StoreFile) => boolean): void {
    for (const [number, file] of this.#segments) {
      if (number >= first || builtin("fs").existsSync(this.path(number))) continue;
      this.#removed.push(file);
      this.#segments.delete(number);
      this.#named.delete(number);
    }
    this.#removed = this.#removed.filter((file) => {
      if (isUsed(file)) return true;
      /* The home files hold what it held, on the disk. */
      if (file === this.#unsynced) this.#unsynced = undefined;
      file.close();
      return false;
    });
  }

  /** Bytes from one place to another. */
  distance(from: Position, to: Position): number {
    let bytes = to.offset - from.offset;
    for (let i = from.segment; i < to.segment; i++) bytes += this.segment(i)?.size() ?? 0;
    return bytes;
  }

  close(): void {
    for (const file of [...this.#segments.values(), ...this.#removed]) file.close();
    this.#segments.clear();
  }
}
