import { InvalidArgumentError, LimitError } from "../../errors.ts";
import { copyRange } from "../../memory/file-copy.ts";
import type { KeyBytes } from "../keys.ts";
import type { NewValue } from "../tier.ts";
import {
  COMMIT_SIZE,
  type Commit,
  crc,
  DELETE,
  END,
  EXPIRES,
  EXTENT,
  EXTENT_ALIGNMENT,
  EXTENT_SIZE,
  PUT,
  type RecordFields,
  TAGS,
  writeCommit,
} from "./record.ts";
import { type Identity, MOST_SEGMENTS, OFFSETS, SEGMENT_HEADER, type Segment } from "./segment.ts";
import type { Segments } from "./segments.ts";

const BUFFER = 512 * 1024;
const PIECE: number = 2 ** 20;
export const END_SIZE = 6;
/** Most bytes of a removal beside the key. */
const REMOVAL_SIZE = 16;

const encoder = new TextEncoder();

const varintSize = (value: number): number => {
  let size = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) size++;
  return size;
};

/** An extent of another log. */
export interface ExtentSource {
  readonly segment: Segment;
  readonly offset: number;
  /** Its checksum, which goes with it: damage that it has is found when it is read. */
  readonly check: number;
}

/** Inside the kernel where that can be, else piece by piece. */
function copyExtent({ segment, offset }: ExtentSource, target: Segment, targetOffset: number, length: number): void {
  let done = copyRange(segment.file, offset, target.file, targetOffset, length);
  for (const piece = new Uint8Array(Math.min(PIECE, length - done)); done < length; done += PIECE) {
    const part = piece.subarray(0, Math.min(PIECE, length - done));
    segment.copy(offset + done, part);
    target.file.write(targetOffset + done, part);
  }
}

/** The end of the log, where records are added: a buffer in front of the active segment. */
export class Appender {
  /** Records that are not in the file yet begin at this offset of the active segment. */
  drained: number;
  /** Bytes added since the last commit. */
  staged = 0;
  /** Of these, bytes of extents. */
  stagedExtents = 0;
  #active: Segment;
  #segments: Segments;
  #segmentSize: number;
  #identity: Identity;
  #capacity: number;
  #buffer: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #buffered = 0;

  private constructor(segments: Segments, segmentSize: number, identity: Identity, active: Segment, capacity: number) {
    this.#segments = segments;
    this.#segmentSize = segmentSize;
    this.#identity = identity;
    this.#active = active;
    active.isActive = true;
    this.drained = active.end;
    this.#capacity = capacity;
  }

  /** Records that are added go here. */
  get active(): Segment {
    return this.#active;
  }

  set active(segment: Segment) {
    this.#active.isActive = false;
    segment.isActive = true;
    this.#active = segment;
  }

  /** Adds to a new segment. */
  static start(segments: Segments, segmentSize: number, identity: Identity, id: number): Appender {
    const capacity = Math.max(segmentSize, SEGMENT_HEADER + COMMIT_SIZE + END_SIZE);
    return new Appender(segments, segmentSize, identity, create(segments, id, capacity, identity), capacity);
  }

  /** Goes on behind `end` of a segment, which is not changed before `extend` is called. */
  static resume(segments: Segments, segmentSize: number, identity: Identity, segment: Segment, end: number): Appender {
    segment.end = end;
    return new Appender(segments, segmentSize, identity, segment, end);
  }

  /** Position behind what was added last. */
  get end(): number {
    return this.active.id * OFFSETS + this.drained + this.#buffered;
  }

  /** Holds records that are not in the file yet. */
  get buffer(): Uint8Array {
    return this.#buffer;
  }

  /** Bytes of memory that it takes. */
  get resident(): number {
    return this.#buffer.length;
  }

  /** Drops what is in the active segment behind its end and gives it room. */
  extend(): void {
    if (this.#capacity !== this.drained) return;
    const { file } = this.active;
    file.truncate(this.drained);
    const capacity = Math.max(this.#segmentSize, this.drained);
    file.truncate(capacity);
    this.active.refresh();
    this.#capacity = capacity;
  }

  /** Fills `into` with a record that is not in the file yet; undefined when the one at this place is. */
  parse(id: number, offset: number, into: RecordFields): boolean | undefined {
    if (this.active.id !== id || offset < this.drained) return undefined;
    return into.parse(this.#buffer, offset - this.drained, this.drained);
  }

  /** Visits the records that are not in the file yet, with the base of their positions. */
  forEachBuffered(record: RecordFields, visit: (base: number) => void): void {
    const base = this.active.id * OFFSETS + this.drained;
    for (let at = 0; at < this.#buffered && record.parse(this.#buffer, at, this.drained); at = record.end) visit(base);
  }

  /** Makes sure that the active segment has room for a record, and the buffer for its head. */
  #room(head: number, total: number): void {
    const at = this.drained + this.#buffered;
    const needed = at + total + COMMIT_SIZE + END_SIZE;
    if (needed > this.#capacity || at >= OFFSETS - COMMIT_SIZE) this.rotate(total);
    if (this.#buffered + head <= this.#buffer.length) return;
    this.drain();
    if (this.#buffer.length < head || this.#buffer.length > 2 * BUFFER) {
      this.#buffer = new Uint8Array(Math.max(BUFFER, head));
      this.#view = new DataView(this.#buffer.buffer);
    }
  }

  /** Ends the active segment and begins the next one, with room for at least so much. */
  rotate(least: number): void {
    const before = this.active;
    const end = this.drained + this.#buffered;
    this.drain();
    /* First the next one: when there is no room or descriptor for it, all stays as it is. */
    const capacity = Math.max(this.#segmentSize, SEGMENT_HEADER + least + COMMIT_SIZE + END_SIZE);
    const next = create(this.#segments, before.id + 1, capacity, this.#identity);
    const finish = new Uint8Array(END_SIZE);
    finish[4] = END;
    new DataView(finish.buffer).setUint32(0, crc(finish, 4, END_SIZE), true);
    try {
      before.synced = false;
      before.file.write(end, finish);
      before.file.truncate(end + END_SIZE);
    } catch (error) {
      this.#segments.remove(next.id);
      throw error;
    }
    before.end = end + END_SIZE;
    this.active = next;
    this.#capacity = capacity;
    this.drained = SEGMENT_HEADER;
    this.#buffered = 0;
  }

  /** Writes the buffer to the file. @throws {DiskFullError} and the buffer stays. */
  drain(): void {
    if (this.#buffered === 0) return;
    const { active } = this;
    active.synced = false;
    active.file.write(this.drained, this.#buffer.subarray(0, this.#buffered));
    this.drained += this.#buffered;
    this.#buffered = 0;
    active.written(this.drained);
  }

  /** Adds a value, whose bytes are those of `source` when there is one; returns its position. */
  put(key: KeyBytes, value: NewValue, source?: ExtentSource): number {
    const { length, sequence } = value;
    const inExtent = length >= EXTENT_SIZE;
    const tags = value.tags.length === 0 ? undefined : encoder.encode(JSON.stringify(value.tags));
    const keyLength = key.length;
    let head = 6 + varintSize(keyLength) + varintSize(length) + varintSize(sequence) + keyLength;
    if (value.expires !== 0) head += 8;
    if (tags !== undefined) head += varintSize(tags.length) + tags.length;
    if (inExtent) head += 4;
    const total = head + length + (inExtent ? EXTENT_ALIGNMENT : 0);
    if (head > OFFSETS / 2) throw new InvalidArgumentError(`a key has at most ${OFFSETS / 2} bytes`);
    this.#room(inExtent ? head + EXTENT_ALIGNMENT : head + length, total);
    const { active } = this;
    const start = this.drained + this.#buffered;
    const buffer = this.#buffer;
    const from = this.#buffered;
    let at = from + 4;
    buffer[at++] =
      PUT | (inExtent ? EXTENT : 0) | (value.expires !== 0 ? EXPIRES : 0) | (tags !== undefined ? TAGS : 0);
    buffer[at++] = value.format;
    at = this.#varint(at, keyLength);
    at = this.#varint(at, length);
    at = this.#varint(at, sequence);
    if (value.expires !== 0) {
      this.#view.setFloat64(at, value.expires, true);
      at += 8;
    }
    if (tags !== undefined) {
      at = this.#varint(at, tags.length);
      buffer.set(tags, at);
      at += tags.length;
    }
    let check = 0;
    if (inExtent) {
      check = source?.check ?? crc(value.bytes, 0, length);
      this.#view.setUint32(at, check, true);
      at += 4;
    }
    at = this.#copy(key.bytes, keyLength, at);
    if (!inExtent) at = this.#copy(value.bytes, length, at);
    this.#view.setUint32(from, crc(buffer, from + 4, at), true);
    this.#buffered = at;
    this.staged += total;
    if (inExtent) this.#writeExtent(active, start, value, source);
    if (active.dead >= 0) active.note(sequence);
    return active.id * OFFSETS + start;
  }

  #copy(source: Uint8Array, length: number, at: number): number {
    const buffer = this.#buffer;
    if (length < 40) for (let i = 0; i < length; i++) buffer[at + i] = source[i]!;
    else buffer.set(source.length === length ? source : source.subarray(0, length), at);
    return at + length;
  }

  #varint(start: number, value: number): number {
    const buffer = this.#buffer;
    let at = start;
    let rest = value;
    while (rest > 127) {
      buffer[at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    buffer[at++] = rest;
    return at;
  }

  /** The padding goes with the head; the value straight from where it is. */
  #writeExtent(active: Segment, start: number, value: NewValue, source?: ExtentSource): void {
    const headEnd = this.drained + this.#buffered;
    const padding = (EXTENT_ALIGNMENT - (headEnd % EXTENT_ALIGNMENT)) % EXTENT_ALIGNMENT;
    this.#buffer.fill(0, this.#buffered, this.#buffered + padding);
    this.#buffered += padding;
    try {
      this.drain();
      const { bytes, length } = value;
      if (source !== undefined) copyExtent(source, active, this.drained, length);
      else active.file.write(this.drained, bytes.length === length ? bytes : bytes.subarray(0, length));
    } catch (error) {
      /* What is in the file behind the last record is written over by the next one. */
      if (this.drained >= start) {
        this.drained = start;
        this.#buffered = 0;
      } else this.#buffered = start - this.drained;
      throw error;
    }
    if (source === undefined) active.verified(this.drained);
    this.drained += value.length;
    this.stagedExtents += value.length;
    active.written(this.drained);
  }

  /** Makes room for removals, in the active segment and in the buffer: they will not call upon the disk. */
  reserve(removals: number, keyBytes: number): void {
    const total = keyBytes + removals * REMOVAL_SIZE;
    if (total > OFFSETS / 2)
      throw new LimitError("batch", `keys to be removed at once take more than ${OFFSETS / 2} bytes`);
    this.#room(total, total);
  }

  /** Adds the removal of a key; returns its position. */
  remove(key: KeyBytes): number {
    const keyLength = key.length;
    const size = 6 + varintSize(keyLength) + 2 + keyLength;
    this.#room(size, size);
    const from = this.#buffered;
    const start = this.drained + from;
    const buffer = this.#buffer;
    let at = from + 4;
    buffer[at++] = DELETE;
    buffer[at++] = 0;
    at = this.#varint(at, keyLength);
    buffer[at++] = 0;
    buffer[at++] = 0;
    at = this.#copy(key.bytes, keyLength, at);
    this.#view.setUint32(from, crc(buffer, from + 4, at), true);
    this.#buffered = at;
    this.staged += size;
    return this.active.id * OFFSETS + start;
  }

  /** Adds a commit and writes all to the file. @throws {DiskFullError} and what was staged stays staged. */
  commit(commit: Commit): void {
    this.#room(COMMIT_SIZE, COMMIT_SIZE);
    writeCommit(this.#buffer, this.#buffered, commit);
    this.#buffered += COMMIT_SIZE;
    try {
      this.drain();
    } catch (error) {
      this.#buffered -= COMMIT_SIZE;
      throw error;
    }
  }
}

function create(segments: Segments, id: number, capacity: number, identity: Identity): Segment {
  if (id > MOST_SEGMENTS) throw new LimitError("segments", `${segments.folder} has used up its segment numbers`);
  return segments.create(id, capacity, identity);
}
