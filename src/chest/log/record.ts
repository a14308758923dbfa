import { checksum, checksumFrom } from "../../memory/checksum.ts";
import { isCount, shortChecksum, VarintReader } from "../bytes.ts";

/* The terms and numbers are those of docs/chest-format.md. */
export const PUT = 1;
export const DELETE = 2;
export const COMMIT = 3;
export const END = 4;
const KIND = 15;
export const EXTENT = 16;
export const EXPIRES = 32;
export const TAGS = 64;

/** Values from this many bytes on lie in an extent. */
export const EXTENT_SIZE: number = 32 * 1024;
/** Extents begin at a multiple of this in their file. */
export const EXTENT_ALIGNMENT = 4096;
/** Bytes of a commit record. */
export const COMMIT_SIZE = 54;
let callFrom = 0;

const varint = new VarintReader();

/** crc32c by the cheaper way for the length. */
export function crc(bytes: Uint8Array, start: number, end: number): number {
  if (callFrom === 0) callFrom = checksumFrom();
  return end - start < callFrom ? shortChecksum(bytes, start, end) : checksum(bytes, start, end - start);
}

/** The fields of one record; reused for record after record. Offsets count from the start of `bytes`. */
export class RecordFields {
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  kind = 0;
  flags = 0;
  format = 0;
  sequence = 0;
  /** Milliseconds since 1970, 0 for never. */
  expires = 0;
  tagsStart = 0;
  tagsLength = 0;
  keyStart = 0;
  keyLength = 0;
  valueStart = 0;
  valueLength = 0;
  /** crc32c of an extent. */
  valueCheck = 0;
  /** Where what the checksum covers ends. */
  covered = 0;
  /** Where the next record begins. */
  end = 0;

  /**
   * Reads the record at `start`. `base` is what `start` counts from in the file, so that extents can be found.
   * Returns false when there cannot be a record; whether its bytes are intact is for `intact` to say.
   */
  parse(bytes: Uint8Array, start: number, base: number): boolean {
    const limit = bytes.length;
    if (start + 6 > limit) return false;
    const first = bytes[start + 4]!;
    this.bytes = bytes;
    this.start = start;
    this.kind = first & KIND;
    this.flags = first & ~KIND;
    this.format = bytes[start + 5]!;
    this.expires = 0;
    this.tagsLength = 0;
    this.valueLength = 0;
    if (this.kind === PUT || this.kind === DELETE) return this.#body(bytes, start + 6, limit, base);
    if (this.flags !== 0 || this.format !== 0) return false;
    this.keyLength = 0;
    this.covered = this.end = start + (this.kind === COMMIT ? COMMIT_SIZE : 6);
    return (this.kind === COMMIT || this.kind === END) && this.end <= limit;
  }

  #body(bytes: Uint8Array, start: number, limit: number, base: number): boolean {
    const keyLength = varint.read(bytes, start, limit);
    if (varint.at < 0) return false;
    const valueLength = varint.read(bytes, varint.at, limit);
    if (varint.at < 0) return false;
    this.sequence = varint.read(bytes, varint.at, limit);
    if (varint.at < 0) return false;
    let at = varint.at;
    const { flags } = this;
    if (flags !== 0) {
      if (this.kind === DELETE || flags > 112) return false;
      if (flags & EXPIRES) {
        if (at + 8 > limit) return false;
        this.expires = new DataView(bytes.buffer, bytes.byteOffset + at, 8).getFloat64(0, true);
        at += 8;
      }
      if (flags & TAGS) {
        this.tagsLength = varint.read(bytes, at, limit);
        if (varint.at < 0) return false;
        this.tagsStart = varint.at;
        at = this.tagsStart + this.tagsLength;
      }
      if (flags & EXTENT) {
        if (at + 4 > limit) return false;
        this.valueCheck = (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
        at += 4;
      }
    }
    this.keyStart = at;
    this.keyLength = keyLength;
    at += keyLength;
    this.valueLength = valueLength;
    if (flags & EXTENT) {
      this.covered = at;
      const inFile = base + at;
      this.valueStart = at + ((EXTENT_ALIGNMENT - (inFile % EXTENT_ALIGNMENT)) % EXTENT_ALIGNMENT);
      this.end = this.valueStart + valueLength;
      return this.covered <= limit;
    }
    if (valueLength >= EXTENT_SIZE) return false;
    this.valueStart = at;
    this.covered = this.end = at + valueLength;
    return this.end <= limit;
  }

  /** Whether the checksum over the record's head, key and inline value matches. */
  intact(): boolean {
    const { bytes, start } = this;
    const stored =
      (bytes[start]! | (bytes[start + 1]! << 8) | (bytes[start + 2]! << 16) | (bytes[start + 3]! << 24)) >>> 0;
    return crc(bytes, start + 4, this.covered) === stored;
  }

  /** Whether bytes that were read for the record's extent are those that were written. */
  isExtent(bytes: Uint8Array): boolean {
    return crc(bytes, 0, bytes.length) === this.valueCheck;
  }
}

const SHORT_RECORD = 2 ** 16;
/** Bytes of long candidates that one search may look at: hostile bytes must not make it endless. */
const MOST_SEARCHED = 2 ** 31;
const MOST_ZEROS = 2 ** 16;
/** Records begin before this offset, whatever the length of the file. */
const LAST_BEGIN = 2 ** 28;

/** A place with only zeros before it, close before the next byte that is none, or beyond `last`. */
function afterZeros(bytes: Uint8Array, from: number, last: number): number {
  const aligned = from + ((4 - ((bytes.byteOffset + from) % 4)) % 4);
  const length = Math.min(bytes.length, last + 8) - aligned;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset + aligned, Math.max(0, length) >> 2);
  const found = words.findIndex((word) => word !== 0);
  return found < 0 ? bytes.length : aligned + Math.max(0, found * 4 - 8);
}

/** Where the next whole record begins behind damage, byte by byte; it is in `record`. -1 when there is none before `end`. */
export function resync(record: RecordFields, bytes: Uint8Array, from: number, end: number = bytes.length): number {
  let zeros = 0;
  let searched = 0;
  const last = Math.min(end - 6, LAST_BEGIN - 1);
  for (let at = from; at <= last; at++) {
    const first = bytes[at + 4]!;
    zeros = first === 0 ? zeros + 1 : 0;
    if (zeros > MOST_ZEROS) {
      at = afterZeros(bytes, at, last);
      zeros = 0;
      continue;
    }
    const kind = first & KIND;
    if (kind < PUT || kind > END || !record.parse(bytes, at, 0) || record.covered > end) continue;
    const size = record.covered - at;
    if (size > SHORT_RECORD) {
      if (searched + size > MOST_SEARCHED) continue;
      searched += size;
    }
    if (record.intact()) return at;
  }
  return -1;
}

/** What a commit record says. */
export interface Commit {
  readonly number: number;
  /** Keys in the chest. */
  readonly count: number;
  /** The sequence number that the next new key gets. */
  readonly nextSequence: number;
  /** Everything before this position was on the disk before the commit was written. */
  readonly synced: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Most keys that any state of the chest had numbers for; reserved. */
  readonly reserved: number;
}

/** What is no number that a commit can have counts as 0, which says nothing. */
export function readCommit(record: RecordFields): Commit {
  const { bytes, start } = record;
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, COMMIT_SIZE);
  const at = (field: number): number => {
    const value = view.getFloat64(6 + field * 8, true);
    return isCount(value) ? value : 0;
  };
  return { number: at(0), count: at(1), nextSequence: at(2), synced: at(3), time: at(4), reserved: at(5) };
}

export function writeCommit(target: Uint8Array, start: number, commit: Commit): void {
  const view = new DataView(target.buffer, target.byteOffset + start, COMMIT_SIZE);
  view.setUint8(4, COMMIT);
  view.setUint8(5, 0);
  const { number, count, nextSequence, synced, time, reserved } = commit;
  [number, count, nextSequence, synced, time, reserved].forEach((value, field) => {
    view.setFloat64(6 + field * 8, value, true);
  });
  view.setUint32(0, crc(target, start + 4, start + COMMIT_SIZE), true);
}
