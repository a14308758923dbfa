import { DamagedError, OutcoreError } from "../../errors.ts";
import { Lease } from "../../memory/lease.ts";
import { unfilled } from "../bytes.ts";
import { decodeKey, describeKey, type KeyBytes } from "../keys.ts";
import type { NewValue, StoredValue } from "../tier.ts";
import type { Appender, ExtentSource } from "./appender.ts";
import type { MappedMemory } from "./mapped.ts";
import { crc, DELETE, EXTENT, EXTENT_SIZE, PUT, RecordFields } from "./record.ts";
import { OFFSETS, type Segment } from "./segment.ts";
import type { Segments } from "./segments.ts";

const NO_TAGS: readonly string[] = [];
const NO_BYTES = new Uint8Array(0);
/** Longer keys are not put into messages. */
const LONGEST_NAMED = 200;
const decoder = new TextDecoder();

/** The key that a record, which may be damaged, seems to have. */
function keyName({ bytes, keyStart, keyLength }: RecordFields): string | undefined {
  if (keyLength > LONGEST_NAMED) return undefined;
  try {
    return describeKey(decodeKey(bytes, keyStart, keyStart + keyLength));
  } catch {
    return undefined;
  }
}

/** Whether a damaged record is whole with the key's bytes in place of its own: then it is that key's, and nothing else is damaged. */
function isWholeWith(record: RecordFields, key: KeyBytes): boolean {
  const { bytes, start, keyStart, keyLength, covered } = record;
  if (keyLength !== key.length) return false;
  const copy = bytes.slice(start, covered);
  copy.set(key.bytes.subarray(0, keyLength), keyStart - start);
  return crc(copy, 4, copy.length) === new DataView(copy.buffer, copy.byteOffset).getUint32(0, true);
}

/** Reads records by their positions, wherever they are now. */
export class Records {
  /** The log's end, where records may not be in the file yet. */
  appender: Appender | undefined;
  foundSequence = 0;
  foundExpires = 0;
  #segments: Segments;
  #mapped: MappedMemory;
  #readOnly: boolean;
  #record: RecordFields = new RecordFields();
  #match: RecordFields = new RecordFields();
  /**
   * Where the record in `#match` is, when it is a put that was found by its key just now, in a file: what is in the
   * buffer may be gone from there with the next change.
   */
  #matched = 0;
  #key: KeyBytes | undefined;
  /** Whether the key's own bytes are damaged in the record that was found by it. */
  #isKeyDamaged = false;
  /** What a damaged record says that the search met, and that may be the key's. */
  #hiding: DamagedError | undefined;
  /** Records that were found damaged: nobody knows their lengths. */
  #damaged: Set<number> = new Set();
  #value: { -readonly [Name in keyof StoredValue]: StoredValue[Name] } = {
    format: 0,
    bytes: new Uint8Array(0),
    start: 0,
    end: 0,
    owned: false,
    sequence: 0,
    expires: 0,
    tags: NO_TAGS,
  };

  constructor(segments: Segments, mapped: MappedMemory, readOnly: boolean) {
    this.#segments = segments;
    this.#mapped = mapped;
    this.#readOnly = readOnly;
  }

  /** Fills `into` with the record at a position. False when there cannot be one. */
  load(position: number, into: RecordFields): boolean {
    const id = Math.floor(position / OFFSETS);
    const offset = position - id * OFFSETS;
    const buffered = this.appender?.parse(id, offset, into);
    if (buffered !== undefined) return buffered;
    const segment = this.#segments.at(id);
    let { bytes } = segment;
    /* The writer may have added to the file since its size was looked at, or cut it and added to it. */
    if (this.#readOnly && (segment.hasLost || (offset + EXTENT_SIZE > bytes.length && !into.parse(bytes, offset, 0)))) {
      segment.refresh();
      bytes = segment.bytes;
    }
    const more = segment.touch(offset);
    if (more !== 0) this.#mapped.touch(more);
    return into.parse(bytes, offset, 0);
  }

  /** `record`: what is there, as far as it can be told, for its key. */
  damaged(position: number, detail: string, record?: RecordFields): DamagedError {
    const name = record && keyName(record);
    const what = name === undefined ? detail : `${detail}; its key seems to be ${name}`;
    return new DamagedError(this.#segments.pathOf(position), position % OFFSETS, what);
  }

  /** The key that `isMatch` and `matchesStaged` look for. */
  look(key: KeyBytes): void {
    this.#key = key;
    this.#isKeyDamaged = false;
    this.#hiding = undefined;
  }

  /**
   * Ends a search that `look` began.
   * @throws {DamagedError} when nothing was found, and a damaged record with the key's hash may be its own.
   */
  settle(found: number): number {
    if (found === 0 && this.#hiding !== undefined) throw this.#hiding;
    return found;
  }

  /** Whether what the record found last by its key says beside the key is not to be relied on. */
  get isFoundDamaged(): boolean {
    const position = this.#matched;
    if (this.#isKeyDamaged) return true;
    if (position === 0 || this.#match.intact()) return false;
    this.#damaged.add(position);
    return true;
  }

  /**
   * Whether a put of the key looked for is at a position. The index gives 48 bits of a hash: of a damaged record only its
   * bytes can tell that it is this key's. When they do not the search goes on, and `settle` tells.
   */
  readonly isMatch = (position: number): boolean => {
    const record = this.#match;
    this.#matched = 0;
    const there = this.#isRecord(position, record);
    if (there === false) return false;
    if (this.#key!.equals(record.bytes, record.keyStart, record.keyLength)) {
      this.foundSequence = record.sequence;
      this.foundExpires = record.expires;
      if (record.bytes !== this.appender?.buffer) this.#matched = position;
      return true;
    }
    if (record.intact()) return false;
    if (isWholeWith(record, this.#key!)) {
      this.#isKeyDamaged = true;
      this.#damaged.add(position);
      return true;
    }
    return this.#hides(this.damaged(position, "the record's checksum does not match", record));
  };

  /** False when there is none: it may have been this key's. */
  #isRecord(position: number, record: RecordFields): boolean {
    try {
      /* The index points to puts only: what looks like a removal is a damaged put. */
      if (this.load(position, record) && (record.kind === PUT || record.kind === DELETE)) return true;
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      return this.#hides(error);
    }
    return this.#hides(this.damaged(position, "there is no record"));
  }

  #hides({ path, offset, detail }: DamagedError): false {
    const what = `${detail}; whether it is that of ${describeKey(decodeKey(this.#key!.bytes, 0, this.#key!.length))} cannot be told`;
    this.#hiding ??= new DamagedError(path, offset, what);
    return false;
  }

  /** The position when it is a put of the key, 0 when it is a removal of it, undefined when it is another key's. */
  readonly matchesStaged = (position: number): number | undefined => {
    const record = this.#match;
    this.#matched = 0;
    if (!this.load(position, record)) throw this.damaged(position, "there is no record");
    if (!this.#key!.equals(record.bytes, record.keyStart, record.keyLength)) return undefined;
    this.foundSequence = record.sequence;
    this.foundExpires = record.expires;
    return record.kind === PUT ? position : 0;
  };

  #intact(position: number): RecordFields {
    /* Its segment may rest by now. */
    const known = position === this.#matched && this.#match.bytes.length > 0;
    const record = known ? this.#match : this.#record;
    this.#matched = 0;
    if (!known && (!this.load(position, record) || record.kind !== PUT))
      throw this.damaged(position, "there is no record");
    if (!record.intact()) throw this.damaged(position, "the record's checksum does not match", record);
    return record;
  }

  read(position: number): StoredValue {
    const record = this.#intact(position);
    const value = this.#value;
    value.format = record.format;
    value.sequence = record.sequence;
    value.expires = record.expires;
    value.tags = this.tags(record);
    if (record.flags & EXTENT) {
      value.bytes = this.extent(this.#segments.of(position), position, record);
      value.start = 0;
      value.end = value.bytes.length;
      value.owned = true;
    } else {
      value.bytes = record.bytes;
      value.start = record.valueStart;
      value.end = record.valueStart + record.valueLength;
      value.owned = false;
    }
    return value;
  }

  /** Where the value at a position lies, when it is in an extent, and what else there is to say of it. */
  extentAt(position: number): { source: ExtentSource; value: NewValue } | undefined {
    const record = this.#intact(position);
    if ((record.flags & EXTENT) === 0) return undefined;
    const segment = this.#segments.of(position);
    const { format, sequence, expires, valueStart, valueLength, valueCheck } = record;
    if (segment.file.size() < valueStart + valueLength) throw this.damaged(position, "the value is cut short", record);
    const value = { format, sequence, expires, tags: this.tags(record), bytes: NO_BYTES, length: valueLength };
    return { source: { segment, offset: valueStart, check: valueCheck }, value };
  }

  /** A copy of a record's extent: read, not mapped, because a copy needs the memory once. */
  extent(segment: Segment, position: number, record: RecordFields): Uint8Array {
    const copy = unfilled(record.valueLength);
    try {
      segment.copy(record.valueStart, copy);
    } catch (error) {
      throw error instanceof OutcoreError && error.code === "TRUNCATED"
        ? this.damaged(position, "the value is cut short", record)
        : error;
    }
    this.#verify(segment, position, record, copy);
    return copy;
  }

  #verify(segment: Segment, position: number, record: RecordFields, bytes: Uint8Array): void {
    if (segment.isVerified(record.valueStart)) return;
    if (!record.isExtent(bytes)) throw this.damaged(position, "the value's checksum does not match", record);
    segment.verified(record.valueStart);
  }

  tags(record: RecordFields): readonly string[] {
    const { bytes, tagsStart, tagsLength } = record;
    if (tagsLength === 0) return NO_TAGS;
    return JSON.parse(decoder.decode(bytes.subarray(tagsStart, tagsStart + tagsLength))) as string[];
  }

  tagsAt(position: number): readonly string[] {
    return this.tags(this.#intact(position));
  }

  lease(position: number): { readonly lease: Lease; readonly format: number } | undefined {
    const record = this.#intact(position);
    if ((record.flags & EXTENT) === 0 || record.format > 31) return undefined;
    const segment = this.#segments.of(position);
    const { valueStart, valueLength, format } = record;
    if (segment.file.size() < valueStart + valueLength) throw this.damaged(position, "the value is cut short", record);
    const inner = segment.lease(valueStart, valueLength);
    const end = (): void => {
      inner.release();
      segment.endLease();
    };
    try {
      this.#verify(segment, position, record, inner.bytes);
    } catch (error) {
      end();
      throw error;
    }
    const lessor = {
      endLease: (): void => {
        end();
        segment.trimLease(valueStart, valueLength);
      },
    };
    return { lease: new Lease(lessor, valueStart, inner.bytes), format };
  }

  /** Whether an encoded value is the one at a position. */
  matches(position: number, format: number, bytes: Uint8Array, length: number): boolean {
    const record = this.#record;
    if (!this.load(position, record)) throw this.damaged(position, "there is no record");
    if (record.format !== format || record.valueLength !== length) return false;
    if (record.flags & EXTENT)
      return record.intact() && this.#segments.of(position).holds(record.valueStart, bytes, length);
    for (let i = 0; i < length; i++) if (bytes[i] !== record.bytes[record.valueStart + i]) return false;
    return true;
  }

  keyAt(position: number, key: KeyBytes): boolean {
    const record = this.#record;
    if (!this.load(position, record)) throw this.damaged(position, "there is no record");
    key.setBytes(record.bytes, record.keyStart, record.keyLength);
    return true;
  }

  prefetch(position: number): void {
    const record = this.#record;
    if (!this.load(position, record)) return;
    const segment = this.#segments.of(position);
    if (record.flags & EXTENT) segment.file.advise(3, record.valueStart, record.valueLength);
  }

  /** The record at a position is dead from now on. Returns its bytes, 0 when it cannot be looked at: that is no harm. */
  supersede(position: number): number {
    if (position === 0 || this.#damaged.has(position)) return 0;
    const record = this.#match;
    try {
      if (position !== this.#matched && !this.load(position, record)) return 0;
      const size = record.end - record.start;
      const segment = this.#segments.of(position);
      if (segment.dead >= 0) segment.dead += size;
      return size;
    } catch {
      return 0;
    } finally {
      this.#matched = 0;
    }
  }
}
