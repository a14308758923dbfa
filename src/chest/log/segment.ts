import { builtin } from "../../builtins.ts";
import { ClosedError, FormatError, MappedIoError, TruncatedError } from "../../errors.ts";
import { typed } from "../../memory/check.ts";
import { DataFile } from "../../memory/data-file.ts";
import type { Lease } from "../../memory/lease.ts";
import { Mapping } from "../../memory/mapping.ts";
import { shortChecksum, unfilled } from "../bytes.ts";
import { Pool } from "./pool.ts";
import { EXTENT_ALIGNMENT } from "./record.ts";

export const SEGMENT_HEADER = 64;
export const FORMAT_VERSION = 1;
/** A position is segment * 2^28 + offset: 48 bits. */
export const OFFSETS: number = 2 ** 28;
export const MOST_SEGMENTS: number = 2 ** 20 - 1;
const MAGIC = "OCCHEST\n";
/** Memory is accounted in blocks of this size. */
const BLOCK_BITS = 16;
/** Bytes from which on writing them to the disk begins while others are made. */
const MUCH = 4 * 2 ** 20;
/** Segments are mapped into views of at most this length; beyond lie extents, read by range. */
const LONGEST = 2 ** 30;

/** What all files of one chest share. */
export interface Identity {
  readonly id: Uint8Array;
  readonly seed: number;
}

export function isSame(one: Identity, other: Identity): boolean {
  return one.seed === other.seed && one.id.every((byte, i) => byte === other.id[i]);
}

export const segmentName = (id: number): string => `${id.toString(16).padStart(8, "0")}.log`;

/** The ids of the segments in a folder, in ascending order. */
export function listSegments(folder: string): number[] {
  const ids: number[] = [];
  for (const name of typed("list", folder, () => builtin("fs").readdirSync(folder))) {
    const match = /^([0-9a-f]{8})\.log$/.exec(name);
    if (match) ids.push(Number.parseInt(match[1]!, 16));
  }
  return ids.sort((a, b) => a - b);
}

function header(id: number, identity: Identity): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(MAGIC));
  view.setUint32(8, FORMAT_VERSION, true);
  view.setUint32(12, id, true);
  bytes.set(identity.id, 16);
  view.setUint32(32, identity.seed, true);
  view.setFloat64(40, Date.now(), true);
  view.setUint32(60, shortChecksum(bytes, 0, 60), true);
  return bytes;
}

/** The first bytes of a file, fewer when it has fewer; nothing is waited for, whatever stands in its place. */
export function readStart(path: string, length: number): Uint8Array {
  const file = DataFile.open(path, false);
  try {
    const bytes = new Uint8Array(Math.min(length, file.size()));
    file.readInto(0, bytes);
    return bytes;
  } finally {
    file.close();
  }
}

/** Reads whose a segment is; undefined when its header is damaged. */
export function readSegmentHeader(file: string): SegmentIdentity | undefined {
  return parseSegmentHeader(file, readStart(file, SEGMENT_HEADER));
}

type SegmentIdentity = Identity & { readonly segment: number };

/** A flag for each block of a file of this size that records can begin in. */
const blocksOf = (size: number): Uint8Array => new Uint8Array((Math.min(size, LONGEST) >> BLOCK_BITS) + 1);

/** Whose a segment is that begins with these bytes; undefined when they are damaged. */
export function parseSegmentHeader(file: string, bytes: Uint8Array): SegmentIdentity | undefined {
  if (bytes.length < SEGMENT_HEADER) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, SEGMENT_HEADER);
  if (shortChecksum(bytes, 0, 60) !== view.getUint32(60, true)) return undefined;
  if (new TextDecoder().decode(bytes.slice(0, 8)) !== MAGIC) return undefined;
  const version = view.getUint32(8, true);
  if (version > FORMAT_VERSION)
    throw new FormatError(file, `format version ${version} is newer than ${FORMAT_VERSION}, which this release knows`);
  return { id: bytes.slice(16, 32), seed: view.getUint32(32, true), segment: view.getUint32(12, true) };
}

/** One file of the log: an append-only run of records, mapped for reading. */
export class Segment {
  readonly id: number;
  readonly path: string;
  /** Where records end, as far as this process knows. */
  end: number;
  /** Bytes of records that nothing refers to any more; -1 when not known. */
  dead = -1;
  /** Sequence numbers of its puts, when known. */
  least = -1;
  most = -1;
  synced = true;
  /** When it was used last, as `Pool.now` counts. */
  used = 0;
  /** Records are being added to it. */
  isActive = false;
  /** Compacting it would make damage worse. */
  damaged = false;
  #file: DataFile | undefined;
  #writable: boolean;
  #pool: Pool;
  #isClosed = false;
  #mapping: Mapping | undefined;
  #leased: Mapping[] = [];
  /** Others that were made before: records that were found there may still be looked at. */
  #outdated: Mapping[] = [];
  #bytes: Uint8Array = new Uint8Array(0);
  #touched: Uint8Array = new Uint8Array(0);
  #verified: Set<number> | undefined;
  /** Before this offset writing to the disk has begun. */
  #begun = 0;
  #leases = 0;
  #isRetired = false;

  private constructor(id: number, path: string, file: DataFile | undefined, writable: boolean, pool: Pool) {
    this.id = id;
    this.path = path;
    this.end = SEGMENT_HEADER;
    this.#file = file;
    this.#writable = writable;
    this.#pool = pool;
    if (file !== undefined) pool.add(this);
  }

  /** Opened again when it has been at rest. */
  get file(): DataFile {
    this.used = ++Pool.now;
    return this.#file ?? this.#wake();
  }

  #wake(): DataFile {
    if (this.#isClosed) throw new ClosedError(this.path);
    this.#pool.makeRoom();
    this.#file = this.#pool.withRoom(() => DataFile.open(this.path, this.#writable));
    this.#pool.add(this);
    return this.#file;
  }

  /** Creates a segment that has room for `capacity` bytes: a hole, which takes blocks as it is written. */
  static create(folder: string, id: number, capacity: number, identity: Identity, pool: Pool): Segment {
    const name = builtin("path").join(folder, segmentName(id));
    const { openSync, closeSync, existsSync, rmSync } = builtin("fs");
    pool.makeRoom();
    pool.withRoom(() =>
      typed("create", name, () => {
        /* One that could neither be made nor removed. */
        if (existsSync(name)) rmSync(name, { force: true });
        closeSync(openSync(name, "wx", 0o600));
      }),
    );
    let file: DataFile | undefined;
    try {
      file = pool.withRoom(() => DataFile.open(name, true));
      file.write(0, header(id, identity));
      file.truncate(capacity);
      const segment = new Segment(id, name, file, true, pool);
      segment.dead = 0;
      segment.synced = false;
      return segment;
    } catch (error) {
      file?.close();
      try {
        builtin("fs").rmSync(name, { force: true });
      } catch {
        /* It stays, without records. */
      }
      throw error;
    }
  }

  static open(folder: string, id: number, writable: boolean, pool: Pool): Segment {
    const name = builtin("path").join(folder, segmentName(id));
    const segment = new Segment(id, name, undefined, writable, pool);
    segment.end = segment.file.size();
    return segment;
  }

  /** Whether its header does not say that it is another segment, or another chest's. One that is damaged says nothing. */
  isOf(identity: Identity): boolean {
    const bytes = new Uint8Array(Math.min(SEGMENT_HEADER, this.end));
    this.copy(0, bytes);
    const header = parseSegmentHeader(this.path, bytes);
    return header === undefined || (header.segment === this.id && isSame(header, identity));
  }

  /** All its bytes, as far as the file reaches now and a view can. */
  get bytes(): Uint8Array {
    this.used = ++Pool.now;
    if (this.#mapping === undefined) this.#map();
    return this.#bytes;
  }

  #map(): void {
    const size = this.file.size();
    this.#mapping = Mapping.ofFile(this.file, "read", size);
    this.#bytes = this.#mapping.bytes(0, Math.min(size, LONGEST));
    this.#touched = blocksOf(size);
  }

  /**
   * Whether pages that were looked at behind the file's end are gone from the mapping: it does not show what is written
   * there when the file, which another process has cut, grows again.
   */
  get hasLost(): boolean {
    return this.#mapping?.lost ?? false;
  }

  /** Sees that the file has grown; views handed out stay valid. */
  refresh(): void {
    if (this.#mapping === undefined) return;
    if (this.#mapping.lost) {
      this.#mapping.trim();
      this.#outdated.push(this.#mapping);
      this.#map();
      return;
    }
    const size = this.#mapping.refresh();
    this.#bytes = this.#mapping.bytes(0, Math.min(size, LONGEST));
    if (this.#bytes.length > this.#touched.length << BLOCK_BITS) this.#touched = blocksOf(size);
  }

  #unmap(): void {
    const mappings = [this.#mapping, ...this.#leased];
    for (const mapping of this.#outdated.splice(0)) {
      try {
        mapping.close();
      } catch (error) {
        /* What it has lost was read elsewhere. */
        if (!(error instanceof MappedIoError || error instanceof TruncatedError)) throw error;
      }
    }
    this.#mapping = undefined;
    this.#leased = [];
    this.#bytes = new Uint8Array(0);
    for (const mapping of mappings) {
      try {
        mapping?.close();
      } catch (error) {
        /*
         * Closed segments lose the hole at their end, which no record was in; where there is no room for it, even looking
         * for records there loses it.
         */
        const isHole = error instanceof MappedIoError && error.offset >= this.end;
        if (!isHole && !(error instanceof TruncatedError)) throw error;
      }
    }
  }

  /** Bytes of mapped memory that reading here adds to what is resident; 0 when it was counted before. */
  touch(offset: number): number {
    const block = offset >> BLOCK_BITS;
    if (this.#touched[block] !== 0) return 0;
    this.#touched[block] = 1;
    return 1 << BLOCK_BITS;
  }

  /** Gives the memory of the mapping back; views stay valid. */
  trim(): void {
    this.#mapping?.trim();
    this.#touched.fill(0);
  }

  /** A view for the user: private, so that writing to it neither crashes nor changes the file. */
  lease(offset: number, length: number): Lease {
    let mapping = this.#leased.at(-1);
    if (mapping === undefined || mapping.length < offset + length) {
      mapping = Mapping.ofFile(this.file, "private", this.file.size());
      this.#leased.push(mapping);
    }
    const lease = mapping.lease(offset, length);
    this.#leases++;
    return lease;
  }

  endLease(): void {
    this.#leases--;
    if (this.#isRetired && this.#leases === 0) this.close();
  }

  /** Nothing depends on its being open. */
  get isIdle(): boolean {
    return this.#leases === 0 && !this.isActive;
  }

  /** Closes the file until it is used again. */
  rest(): void {
    this.#unmap();
    this.#pool.delete(this);
    const file = this.#file;
    this.#file = undefined;
    file?.close();
  }

  get isLeased(): boolean {
    return this.#leases > 0;
  }

  /** Closes it once nothing of it is leased any more. True when that is so now. */
  retire(): boolean {
    this.#isRetired = true;
    if (this.#leases > 0) return false;
    this.close();
    return true;
  }

  trimLease(offset: number, length: number): void {
    for (const mapping of this.#leased)
      if (!mapping.closed && offset + length <= mapping.length && length > 0) mapping.trim(offset, length);
  }

  /** Copies an extent without touching the mapping's memory. */
  copy(offset: number, target: Uint8Array): void {
    this.file.readInto(offset, target);
  }

  /**
   * Whether the file has these bytes at an offset. Through the mapping, which saves a copy; its memory is given back.
   * @throws {TruncatedError} when the file does not reach that far.
   */
  holds(offset: number, bytes: Uint8Array, length: number): boolean {
    const { Buffer } = builtin("buffer");
    const stored = this.bytes.subarray(offset, offset + length);
    if (stored.length < length) {
      const copy = unfilled(length);
      this.copy(offset, copy);
      return Buffer.compare(copy, bytes.subarray(0, length)) === 0;
    }
    const isEqual = Buffer.compare(stored, bytes.subarray(0, length)) === 0;
    /* Pages that the file has lost are zeros, as the value may be: the last byte decides nothing. */
    this.#mapping!.verify(offset, length, 0);
    this.#mapping!.trim(offset, length);
    return isEqual;
  }

  /** Whether the extent at `offset` has been found intact, or was written, by this process. */
  isVerified(offset: number): boolean {
    return this.#verified?.has(offset) ?? false;
  }

  verified(offset: number): void {
    this.#verified ??= new Set();
    this.#verified.add(offset);
  }

  /** It has a put with this sequence number. */
  note(sequence: number): void {
    if (this.least < 0 || sequence < this.least) this.least = sequence;
    if (sequence > this.most) this.most = sequence;
  }

  /**
   * Records were written to the file up to `end`. What is to be on the disk, and is much, begins to go there: a sync
   * finds little left to wait for. The last page is still being filled.
   */
  written(end: number): void {
    this.end = end;
    if (!this.#pool.syncs || end - this.#begun < MUCH) return;
    const whole = end - (end % EXTENT_ALIGNMENT);
    this.file.beginSync(this.#begun, whole - this.#begun);
    this.#begun = whole;
  }

  sync(): void {
    if (this.synced) return;
    this.file.sync();
    this.synced = true;
  }

  close(): void {
    this.#isClosed = true;
    this.rest();
  }
}
