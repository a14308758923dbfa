import { builtin } from "../../builtins.ts";
import {
  ClosedError,
  DamagedError,
  FormatError,
  InvalidArgumentError,
  LimitError,
  NameInUseError,
  NotFoundError,
  OutcoreError,
  ReadOnlyError,
} from "../../errors.ts";
import { Lease } from "../../memory/lease.ts";
import { FileLock } from "../../memory/lock.ts";
import { KeyBytes } from "../keys.ts";
import type { ColdTier, Damage, NewValue, StoredValue, TierUsage } from "../tier.ts";
import { Changes } from "./changes.ts";
import { bootIdentity, emptyState, HEAD_NAME, Head, type HeadState } from "./head.ts";
import { LogSnapshot } from "./log-snapshot.ts";
import {
  COMMIT_SIZE,
  crc,
  DELETE,
  END,
  EXPIRES,
  EXTENT,
  EXTENT_ALIGNMENT,
  EXTENT_SIZE,
  PUT,
  RecordFields,
  TAGS,
  writeCommit,
} from "./record.ts";
import { recover } from "./recovery.ts";
import {
  type Identity,
  listSegments,
  MOST_SEGMENTS,
  OFFSETS,
  readSegmentHeader,
  SEGMENT_HEADER,
  Segment,
  segmentName,
} from "./segment.ts";
import { Table } from "./table.ts";

export interface LogOptions {
  readonly readOnly: boolean;
  readonly sync: boolean;
  /** Bytes of a segment. */
  readonly segmentSize: number;
  /** Bytes of mapped memory that may be resident. */
  readonly mappedLimit: number;
}

const BUFFER = 512 * 1024;
const FIRST_PAGES = 4;
const END_SIZE = 6;
const NO_TAGS: readonly string[] = [];
const LOCK_NAME = "chest.lock";
/** A segment is worth compacting when this part of it is dead. */
const WORTH = 0.25;
const LEAST_WASTE: number = 2 ** 20;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const varintSize = (value: number): number => {
  let size = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) size++;
  return size;
};

/** The default tier: an append-only log of records in segments, and an index over it. docs/chest-format.md. */
export class LogStore implements ColdTier {
  readonly name = "log";
  readonly folder: string;
  readonly readOnly: boolean;
  readonly damage: Damage[] = [];
  nextSequence = 0;
  generation = 0;
  moves = 0;
  foundSequence = 0;
  foundExpires = 0;
  /** @internal */
  readonly segments: Map<number, Segment> = new Map();
  /** @internal */
  identity: Identity;
  #options: LogOptions;
  #lock: FileLock | undefined;
  #head: Head | undefined;
  #headVersion = -1;
  #state: HeadState = emptyState();
  #table: Table | undefined;
  /** A reader's own index, where the chest has none to be trusted. */
  #privateFolder: string | undefined;
  #active: Segment | undefined;
  #capacity = 0;
  /** Records that are not in the file yet begin at this offset of the active segment. */
  #drained = 0;
  #buffer: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #buffered = 0;
  #changes: Changes = new Changes();
  #stagedBytes = 0;
  #touched = 0;
  #closed = false;
  #failure: unknown;
  #record: RecordFields = new RecordFields();
  #match: RecordFields = new RecordFields();
  #last: Segment | undefined;
  #key: KeyBytes | undefined;
  #isMatch: (position: number) => boolean = (position) => this.#matches(position);
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
  #pins = 0;
  #retired: Segment[] = [];
  #compaction: { segment: Segment; at: number; oldest: boolean } | undefined;
  #dirtyFolder = false;
  /** Bytes of the log up to the last commit, when known. */
  #logBytes: number | undefined;

  private constructor(folder: string, options: LogOptions, identity: Identity) {
    this.folder = folder;
    this.#options = options;
    this.readOnly = options.readOnly;
    this.identity = identity;
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
      const head = Head.open(folder, true);
      store = new LogStore(folder, options, head?.identity ?? LogStore.#identify(folder));
      store.#head = head;
      store.#lock = lock;
      store.#openWriter();
      return store;
    } catch (error) {
      store?.close();
      lock.release();
      throw error;
    }
  }

  /** Whose the segments in a folder are; a new identity when there is none. */
  static #identify(folder: string): Identity {
    let damaged = false;
    for (const id of listSegments(folder)) {
      const header = readSegmentHeader(builtin("path").join(folder, segmentName(id)));
      if (header !== undefined) return header;
      damaged = true;
    }
    if (damaged) throw new FormatError(folder, "no segment has an intact header");
    const random = builtin("crypto").randomBytes(20);
    return {
      id: new Uint8Array(random.subarray(0, 16)),
      seed: new DataView(random.buffer, random.byteOffset + 16, 4).getUint32(0),
    };
  }

  static #openReader(folder: string, options: LogOptions): LogStore {
    if (!builtin("fs").existsSync(folder)) throw new NotFoundError(folder);
    const head = Head.open(folder, false);
    if (head === undefined && listSegments(folder).length === 0)
      throw new NotFoundError(builtin("path").join(folder, HEAD_NAME));
    const store = new LogStore(folder, options, head?.identity ?? LogStore.#identify(folder));
    store.#head = head;
    try {
      if (!store.refresh() || store.#table === undefined) store.#rebuildPrivately();
      return store;
    } catch (error) {
      store.close();
      throw error;
    }
  }

  /** A reader of a chest that was not closed before the machine went down: nobody has repaired the index yet. */
  #rebuildPrivately(): void {
    this.#privateFolder = builtin("fs").mkdtempSync(builtin("path").join(builtin("os").tmpdir(), "outcore-chest-"));
    this.#table = Table.create(this.#privateFolder, 1, FIRST_PAGES, this.identity);
    this.#recover(0);
  }

  #openWriter(): void {
    const ids = listSegments(this.folder);
    const state = this.#head?.read();
    if (this.#head !== undefined) this.#head.repairVersion();
    if (ids.length === 0) {
      this.#create();
      return;
    }
    const sound = state !== undefined && this.#openSound(state, ids);
    if (!sound) {
      this.#table?.close();
      this.#table = Table.create(this.folder, (state?.generation ?? 0) + 1, FIRST_PAGES, this.identity);
      const known = state?.clean ? { synced: state.committed } : { synced: state?.synced ?? 0 };
      this.#state = { ...emptyState(), ...known, generation: this.#table.generation, boot: bootIdentity() };
      this.#head ??= Head.create(this.folder, this.identity, this.#state);
      this.#recover(0);
    }
    this.#removeOthers();
  }

  /** Uses head and index as they are, and what the log has beyond them. False when they cannot be trusted. */
  #openSound(state: HeadState, ids: readonly number[]): boolean {
    const table = Table.open(this.folder, state.generation, this.identity, true);
    if (table === undefined) return false;
    this.#table = table;
    const last = Math.floor(state.committed / OFFSETS);
    const isLast = last === ids.at(-1);
    const size = isLast ? builtin("fs").statSync(builtin("path").join(this.folder, segmentName(last))).size : -1;
    if (state.clean && isLast && size <= state.committed % OFFSETS) {
      table.checkPages(() => this.#rebuildDamaged());
      this.#adopt(state);
      this.#reopenActive(last, size);
      return true;
    }
    /* Not closed by its last writer, but the system has not been down since: pages are as they were written. */
    const boot = bootIdentity();
    if (state.boot === "" || state.boot !== boot || table.isTorn()) return false;
    this.#adopt(state);
    this.#recover(state.applied);
    return true;
  }

  #adopt(state: HeadState): void {
    this.#state = state;
    this.nextSequence = state.nextSequence;
    this.#table!.count = state.count;
  }

  #reopenActive(id: number, size: number): void {
    const end = this.#state.committed % OFFSETS;
    const segment = this.segment(id);
    if (size < end) {
      this.#reportDamage(segment.path, size, end - size, "the end of the log is missing");
      this.#startSegment(id + 1, 0);
      return;
    }
    /* It is extended with the first change, so that a chest which is only read stays closed on the disk. */
    segment.end = end;
    this.#active = segment;
    this.#drained = end;
    this.#capacity = end;
  }

  #makeActive(segment: Segment, end: number): void {
    segment.file.truncate(end);
    segment.end = end;
    this.#active = segment;
    this.#drained = end;
    this.#buffered = 0;
    this.#extend();
  }

  #extend(): void {
    this.#capacity = Math.max(this.#options.segmentSize, this.#drained);
    this.#active!.file.truncate(this.#capacity);
    this.#active!.refresh();
  }

  #create(): void {
    this.#table = Table.create(this.folder, 1, FIRST_PAGES, this.identity);
    this.#state = { ...emptyState(), generation: 1, boot: bootIdentity() };
    this.#startSegment(1, 0);
    this.#state.committed = this.#state.applied = this.#end();
    this.#head?.close();
    this.#head = Head.create(this.folder, this.identity, this.#state);
  }

  #rebuildDamaged(): never {
    const table = this.#table!;
    const { file } = table;
    /* Next time it is built anew from the log. */
    this.#table = undefined;
    this.#fail(new DamagedError(file, 0, "the index is not as it was closed; open the chest again to rebuild it"));
    table.discard();
    throw this.#failure;
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
  }

  /** Replays the log from a position (0: all of it) into the index. */
  #recover(from: number): void {
    const writable = !this.readOnly;
    const proven = this.#state.clean ? this.#state.committed : this.#state.synced;
    const result = recover(this, from, proven, {
      find: (key) => this.find(key),
      put: (key, position, before) => this.#apply(key.h1, key.tag, position, before),
      remove: (key, before) => this.#table!.remove(key.h1, key.tag, before),
      damage: (segment, offset, length, detail) => this.#reportDamage(segment.path, offset, length, detail),
    });
    const { commit } = result;
    const end = result.end === 0 ? this.#state.committed : result.end;
    this.nextSequence = Math.max(this.nextSequence, result.nextSequence);
    this.#state.committed = this.#state.applied = end;
    this.#state.commits = Math.max(this.#state.commits, commit?.number ?? 0);
    this.#state.synced = Math.max(this.#state.synced, commit?.synced ?? 0);
    if (from !== 0 && commit !== undefined && this.damage.length === 0) this.#table!.count = commit.count;
    if (from === 0) this.#table!.recount();
    this.#state.count = this.#table!.count;
    this.#state.nextSequence = this.nextSequence;
    if (!writable) return;
    this.#continueAfter(end);
    this.#state.boot = bootIdentity();
    this.#state.clean = false;
    this.#state.generation = this.#table!.generation;
    this.#head!.write(this.#state);
  }

  /** Drops what was never committed and goes on behind the last commit. */
  #continueAfter(end: number): void {
    const last = Math.floor(end / OFFSETS);
    for (const id of listSegments(this.folder)) {
      if (id <= last) continue;
      this.segments.get(id)?.close();
      this.segments.delete(id);
      this.#last = undefined;
      builtin("fs").rmSync(builtin("path").join(this.folder, segmentName(id)));
    }
    const ids = listSegments(this.folder);
    if (end === 0 || !ids.includes(last)) {
      this.#startSegment((ids.at(-1) ?? 0) + 1, 0);
      this.#state.committed = this.#state.applied = this.#end();
      return;
    }
    const segment = this.segment(last);
    if (segment.file.size() < end % OFFSETS) this.#startSegment(last + 1, 0);
    else this.#makeActive(segment, end % OFFSETS);
    if (this.#active !== segment) this.#state.committed = this.#state.applied = this.#end();
  }

  #removeOthers(): void {
    for (const name of builtin("fs").readdirSync(this.folder))
      if (name.endsWith(".index") && name !== builtin("path").basename(this.#table!.file))
        builtin("fs").rmSync(builtin("path").join(this.folder, name), { force: true });
  }

  #reportDamage(file: string, offset: number, length: number, detail: string): void {
    this.damage.push({ path: file, offset, length, detail });
  }

  /* ---- segments ---- */

  /** @internal */
  segment(id: number): Segment {
    if (this.#last?.id === id) return this.#last;
    let segment = this.segments.get(id);
    if (segment === undefined) {
      segment = Segment.open(this.folder, id, !this.readOnly);
      this.segments.set(id, segment);
    }
    this.#last = segment;
    return segment;
  }

  #startSegment(id: number, least: number): void {
    if (id > MOST_SEGMENTS) throw new LimitError("segments", `${this.folder} has used up its segment numbers`);
    const capacity = Math.max(this.#options.segmentSize, SEGMENT_HEADER + least + COMMIT_SIZE + END_SIZE);
    const segment = Segment.create(this.folder, id, capacity, this.identity);
    this.segments.set(id, segment);
    this.#active = segment;
    this.#capacity = capacity;
    this.#drained = SEGMENT_HEADER;
    this.#buffered = 0;
    this.#dirtyFolder = true;
  }

  #end(): number {
    return this.#active!.id * OFFSETS + this.#drained + this.#buffered;
  }

  /** Makes sure that the active segment has room for a record, and the buffer for its head. */
  #room(head: number, total: number): void {
    const at = this.#drained + this.#buffered;
    const needed = at + total + COMMIT_SIZE + END_SIZE;
    if (needed > this.#capacity || at >= OFFSETS - COMMIT_SIZE) this.#rotate(total);
    if (this.#buffered + head <= this.#buffer.length) return;
    this.#drain();
    if (this.#buffer.length < head || this.#buffer.length > 2 * BUFFER) {
      this.#buffer = new Uint8Array(Math.max(BUFFER, head));
      this.#view = new DataView(this.#buffer.buffer);
    }
  }

  #rotate(least: number): void {
    const before = this.#active!;
    const end = this.#drained + this.#buffered;
    this.#drain();
    /* The next segment exists before this one says that it has ended. */
    const next = before.id + 1;
    const finish = new Uint8Array(END_SIZE);
    finish[4] = END;
    new DataView(finish.buffer).setUint32(0, crc(finish, 4, END_SIZE), true);
    before.file.write(end, finish);
    before.end = end + END_SIZE;
    before.file.truncate(before.end);
    this.#startSegment(next, least);
  }

  /** Writes the buffer to the file. @throws {DiskFullError} and the buffer stays. */
  #drain(): void {
    if (this.#buffered === 0) return;
    const active = this.#active!;
    active.synced = false;
    active.file.write(this.#drained, this.#buffer.subarray(0, this.#buffered));
    this.#drained += this.#buffered;
    active.end = this.#drained;
    this.#buffered = 0;
  }

  /* ---- reading ---- */

  /** Fills `into` with the record at a position. False when there cannot be one. */
  #load(position: number, into: RecordFields): boolean {
    const id = Math.floor(position / OFFSETS);
    const offset = position - id * OFFSETS;
    const active = this.#active;
    if (active !== undefined && active.id === id && offset >= this.#drained)
      return into.parse(this.#buffer, offset - this.#drained, this.#drained);
    const segment = this.segment(id);
    let { bytes } = segment;
    if (offset + EXTENT_SIZE > bytes.length && this.readOnly) {
      segment.refresh();
      bytes = segment.bytes;
    }
    const more = segment.touch(offset);
    if (more !== 0) this.#touch(more);
    return into.parse(bytes, offset, 0);
  }

  #touch(bytes: number): void {
    this.#touched += bytes;
    if (this.#touched > this.#options.mappedLimit) this.trim();
  }

  /** Gives back the memory of everything mapped. */
  trim(): void {
    for (const segment of this.segments.values()) segment.trim();
    this.#table?.trim();
    this.#touched = 0;
  }

  #matches(position: number): boolean {
    const record = this.#match;
    if (!this.#load(position, record) || record.kind !== PUT) throw this.#damaged(position, "there is no record");
    if (this.#key!.equals(record.bytes, record.keyStart, record.keyLength)) {
      this.foundSequence = record.sequence;
      this.foundExpires = record.expires;
      return true;
    }
    if (!record.intact()) throw this.#damaged(position, "the record's checksum does not match");
    return false;
  }

  #damaged(position: number, detail: string): DamagedError {
    const id = Math.floor(position / OFFSETS);
    return new DamagedError(builtin("path").join(this.folder, segmentName(id)), position % OFFSETS, detail);
  }

  find(key: KeyBytes): number {
    if (this.#failure !== undefined || this.#closed) this.#usable();
    this.#key = key;
    if (this.#changes.hasStaged) {
      const staged = this.#changes.find(key.h1, key.tag, (position) => this.#matchesStaged(position));
      if (staged !== undefined) return staged;
    }
    const table = this.#table!;
    const more = table.touch(key.h1);
    if (more !== 0) this.#touch(more);
    return table.find(key.h1, key.tag, this.#isMatch);
  }

  /** Position when it is a put of the key, 0 when it is a removal of it, undefined when it is another key's. */
  #matchesStaged(position: number): number | undefined {
    const record = this.#match;
    if (!this.#load(position, record)) throw this.#damaged(position, "there is no record");
    if (!this.#key!.equals(record.bytes, record.keyStart, record.keyLength)) return undefined;
    this.foundSequence = record.sequence;
    this.foundExpires = record.expires;
    return record.kind === PUT ? position : 0;
  }

  #usable(): void {
    if (this.#closed) throw new ClosedError(this.folder);
    if (this.#failure !== undefined) throw this.#failure;
  }

  #intact(position: number): RecordFields {
    const record = this.#record;
    if (!this.#load(position, record) || record.kind !== PUT) throw this.#damaged(position, "there is no record");
    if (!record.intact()) throw this.#damaged(position, "the record's checksum does not match");
    return record;
  }

  read(position: number): StoredValue {
    const record = this.#intact(position);
    const value = this.#value;
    value.format = record.format;
    value.sequence = record.sequence;
    value.expires = record.expires;
    value.tags = record.tagsLength === 0 ? NO_TAGS : this.#tags(record);
    if (record.flags & EXTENT) {
      /* Read, not mapped: a copy needs the memory once. */
      const segment = this.segment(Math.floor(position / OFFSETS));
      const copy = new Uint8Array(record.valueLength);
      try {
        segment.copy(record.valueStart, copy);
      } catch (error) {
        throw error instanceof OutcoreError && error.code === "TRUNCATED"
          ? this.#damaged(position, "the value is cut short")
          : error;
      }
      this.#verify(segment, position, record, copy);
      value.bytes = copy;
      value.start = 0;
      value.end = copy.length;
      value.owned = true;
    } else {
      value.bytes = record.bytes;
      value.start = record.valueStart;
      value.end = record.valueStart + record.valueLength;
      value.owned = false;
    }
    return value;
  }

  #verify(segment: Segment, position: number, record: RecordFields, bytes: Uint8Array): void {
    if (segment.isVerified(record.valueStart)) return;
    if (!record.isExtent(bytes)) throw this.#damaged(position, "the value's checksum does not match");
    segment.verified(record.valueStart);
  }

  #tags(record: RecordFields): readonly string[] {
    const { bytes, tagsStart, tagsLength } = record;
    return JSON.parse(decoder.decode(bytes.subarray(tagsStart, tagsStart + tagsLength))) as string[];
  }

  lease(position: number): { readonly lease: Lease; readonly format: number } | undefined {
    const record = this.#intact(position);
    if ((record.flags & EXTENT) === 0 || record.format > 31) return undefined;
    const segment = this.segment(Math.floor(position / OFFSETS));
    const { valueStart, valueLength, format } = record;
    if (segment.file.size() < valueStart + valueLength) throw this.#damaged(position, "the value is cut short");
    const inner = segment.lease(valueStart, valueLength);
    try {
      this.#verify(segment, position, record, inner.bytes);
    } catch (error) {
      inner.release();
      throw error;
    }
    const lessor = {
      endLease: (): void => {
        inner.release();
        segment.trimLease(valueStart, valueLength);
      },
    };
    return { lease: new Lease(lessor, valueStart, inner.bytes), format };
  }

  matches(position: number, format: number, bytes: Uint8Array, length: number): boolean {
    const record = this.#record;
    if (!this.#load(position, record)) throw this.#damaged(position, "there is no record");
    if (record.format !== format || record.valueLength !== length) return false;
    if (record.flags & EXTENT) return crc(bytes, 0, length) === record.valueCheck;
    for (let i = 0; i < length; i++) if (bytes[i] !== record.bytes[record.valueStart + i]) return false;
    return true;
  }

  keyAt(position: number, key: KeyBytes): void {
    const record = this.#record;
    if (!this.#load(position, record)) throw this.#damaged(position, "there is no record");
    key.setBytes(record.bytes, record.keyStart, record.keyLength);
  }

  prefetch(position: number): void {
    const record = this.#record;
    if (!this.#load(position, record)) return;
    const segment = this.segment(Math.floor(position / OFFSETS));
    if (record.flags & EXTENT) segment.file.advise(3, record.valueStart, record.valueLength);
  }

  /* ---- writing ---- */

  #writable(): void {
    this.#usable();
    if (this.readOnly) throw new ReadOnlyError(this.folder);
    /* From here on the head no longer says that all was closed well. */
    if (!this.#state.clean) return;
    this.#state.clean = false;
    this.#state.boot = bootIdentity();
    this.#head!.write(this.#state);
    if (this.#options.sync) this.#head!.sync();
    if (this.#capacity === this.#drained) this.#extend();
  }

  put(key: KeyBytes, value: NewValue, before: number): number {
    this.#writable();
    const position = this.#append(key, value);
    this.#supersede(before);
    this.#changes.add(key.h1, key.tag, position, before);
    return position;
  }

  #append(key: KeyBytes, value: NewValue): number {
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
    const active = this.#active!;
    const start = this.#drained + this.#buffered;
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
      check = crc(value.bytes, 0, length);
      this.#view.setUint32(at, check, true);
      at += 4;
    }
    at = this.#copy(key.bytes, keyLength, at);
    if (!inExtent) at = this.#copy(value.bytes, length, at);
    this.#view.setUint32(from, crc(buffer, from + 4, at), true);
    this.#buffered = at;
    this.#stagedBytes += total;
    if (inExtent) this.#writeExtent(active, start, value);
    if (active.dead >= 0) this.#note(active, sequence);
    return active.id * OFFSETS + start;
  }

  #note(segment: Segment, sequence: number): void {
    if (segment.least < 0 || sequence < segment.least) segment.least = sequence;
    if (sequence > segment.most) segment.most = sequence;
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
  #writeExtent(active: Segment, start: number, value: NewValue): void {
    const headEnd = this.#drained + this.#buffered;
    const padding = (EXTENT_ALIGNMENT - (headEnd % EXTENT_ALIGNMENT)) % EXTENT_ALIGNMENT;
    this.#buffer.fill(0, this.#buffered, this.#buffered + padding);
    this.#buffered += padding;
    try {
      this.#drain();
      const { bytes, length } = value;
      active.file.write(this.#drained, bytes.length === length ? bytes : bytes.subarray(0, length));
    } catch (error) {
      /* What is in the file behind the last record is written over by the next one. */
      if (this.#drained >= start) {
        this.#drained = start;
        this.#buffered = 0;
      } else this.#buffered = start - this.#drained;
      throw error;
    }
    active.verified(this.#drained);
    this.#drained += value.length;
    active.end = this.#drained;
  }

  /** The record at a position is dead from now on. */
  #supersede(position: number): void {
    if (position === 0) return;
    const segment = this.segment(Math.floor(position / OFFSETS));
    const record = this.#match;
    if (!this.#load(position, record)) return;
    const size = record.end - record.start;
    this.#state.dead += size;
    if (segment.dead >= 0) segment.dead += size;
  }

  remove(key: KeyBytes, before: number): void {
    this.#writable();
    const keyLength = key.length;
    const size = 6 + varintSize(keyLength) + 2 + keyLength;
    this.#room(size, size);
    const active = this.#active!;
    const from = this.#buffered;
    const start = this.#drained + from;
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
    this.#stagedBytes += size;
    this.#supersede(before);
    this.#changes.add(key.h1, key.tag, active.id * OFFSETS + start, before, true);
  }

  get staged(): number {
    return this.#stagedBytes + this.#changes.length * 100;
  }

  get storedCount(): number {
    return this.#table?.count ?? 0;
  }

  commit(count: number, sync: boolean): void {
    this.#usable();
    if (this.#changes.length === 0) {
      if (sync) this.#sync();
      return;
    }
    this.#writable();
    this.#room(COMMIT_SIZE, COMMIT_SIZE);
    const state = this.#state;
    writeCommit(this.#buffer, this.#buffered, {
      number: state.commits + 1,
      count,
      nextSequence: this.nextSequence,
      synced: state.synced,
      time: Date.now(),
      reserved: 0,
    });
    this.#buffered += COMMIT_SIZE;
    try {
      this.#drain();
    } catch (error) {
      /* Not written whole: what is staged stays staged. */
      this.#buffered -= COMMIT_SIZE;
      throw error;
    }
    state.commits++;
    state.committed = this.#end();
    state.count = count;
    state.nextSequence = this.nextSequence;
    if (this.#logBytes !== undefined) this.#logBytes += this.#stagedBytes;
    this.#stagedBytes = 0;
    if (sync) this.#sync();
    this.#applyAll();
  }

  #sync(): void {
    if (this.#state.synced === this.#state.committed) return;
    try {
      for (const segment of this.segments.values()) segment.sync();
      if (this.#dirtyFolder) this.#syncFolder();
    } catch (error) {
      /* After a failed sync nobody knows what is on the disk, and asking again says nothing. */
      this.#fail(error);
      throw error;
    }
    this.#state.synced = this.#state.committed;
  }

  #syncFolder(): void {
    const fd = builtin("fs").openSync(this.folder, "r");
    try {
      builtin("fs").fsyncSync(fd);
    } finally {
      builtin("fs").closeSync(fd);
    }
    this.#dirtyFolder = false;
  }

  #applyAll(): void {
    const changes = this.#changes;
    const table = this.#table!;
    if (!table.hasRoom(changes.inserts)) this.#grow(table.count + changes.inserts);
    changes.forEach((h1, tag, position, before, removed) => {
      if (removed) this.#table!.remove(h1, tag, before);
      else this.#apply(h1, tag, position, before);
    });
    changes.clear();
    this.#state.applied = this.#state.committed;
    this.#state.count = this.#table!.count;
    this.#head!.write(this.#state);
    /* Changed pages are resident; give them back when they are many. */
    this.#touch(0);
  }

  #apply(h1: number, tag: number, position: number, before: number): void {
    const more = this.#table!.touch(h1);
    if (more !== 0) this.#touch(more);
    if (this.#table!.put(h1, tag, position, before)) return;
    this.#grow(this.#table!.count + 1);
    if (!this.#table!.put(h1, tag, position, before))
      throw new LimitError("index", `the index of ${this.folder} is full`);
  }

  #grow(keys: number): void {
    const before = this.#table!;
    const grown = before.grow(this.#privateFolder ?? this.folder, this.identity, keys);
    this.#table = grown;
    if (this.#privateFolder === undefined && this.#head !== undefined) {
      this.#state.generation = grown.generation;
      this.#head.write(this.#state);
    }
    before.discard();
  }

  /* ---- all of it ---- */

  /** @internal The segments in order, as they are on the disk now. */
  allSegments(): Segment[] {
    if (this.#active !== undefined) this.#drain();
    const retired = new Set(this.#retired.map(({ id }) => id));
    return listSegments(this.folder)
      .filter((id) => !retired.has(id))
      .map((id) => this.segment(id));
  }

  scan(from: number, to: number, visit: (sequence: number, position: number) => void): void {
    this.#usable();
    const record = new RecordFields();
    const key = new KeyBytes(this.identity.seed);
    for (const segment of this.allSegments()) {
      if (segment.most >= 0 && (segment.most < from || segment.least >= to)) continue;
      const known = segment.most >= 0;
      const base = segment.id * OFFSETS;
      let least = Number.POSITIVE_INFINITY;
      let most = 0;
      this.#walk(segment, record, SEGMENT_HEADER, () => {
        if (record.kind !== PUT) return true;
        const { sequence, start } = record;
        least = Math.min(least, sequence);
        most = Math.max(most, sequence);
        if (sequence < from || sequence >= to) return true;
        key.setBytes(record.bytes, record.keyStart, record.keyLength);
        if (this.find(key) === base + start) visit(sequence, base + start);
        return true;
      });
      if (!known && segment !== this.#active && !this.readOnly) {
        segment.least = least;
        segment.most = most;
      }
    }
  }

  /** Where a segment's records end. */
  #endOf(segment: Segment): number {
    if (segment === this.#active) return this.#drained;
    const committed = this.#state.committed;
    if (this.readOnly && Math.floor(committed / OFFSETS) === segment.id) return committed % OFFSETS;
    return this.readOnly ? segment.file.size() : segment.end;
  }

  /** Visits the records of [from, end), leaping over damage, until `visit` says false. Returns where it stopped. */
  #walk(segment: Segment, record: RecordFields, from: number, visit: () => boolean | undefined): number {
    const end = this.#endOf(segment);
    let at = from;
    let hole = -1;
    while (at + 6 <= end) {
      const { bytes } = segment;
      const more = segment.touch(at);
      if (more !== 0) this.#touch(more);
      if (!(record.parse(bytes, at, 0) && record.end <= end && record.intact())) {
        /* Byte by byte to the next record that is whole. */
        if (hole < 0) hole = at;
        at++;
        continue;
      }
      if (hole >= 0) this.#foundDamage(segment, hole, at);
      hole = -1;
      at = record.end;
      if (record.kind === END) return end;
      if (visit() === false) return at;
    }
    if (hole >= 0) this.#foundDamage(segment, hole, end);
    return end;
  }

  #foundDamage(segment: Segment, from: number, to: number): void {
    segment.damaged = true;
    if (this.damage.some(({ path: file, offset }) => file === segment.path && offset === from)) return;
    this.#reportDamage(segment.path, from, to - from, "no whole record is there");
  }

  refresh(): boolean {
    if (!this.readOnly || this.#head === undefined || this.#privateFolder !== undefined) return false;
    this.#usable();
    const version = this.#head.version();
    if (version === this.#headVersion) return false;
    const state = this.#head.read();
    if (state === undefined) return false;
    if (!state.clean && state.boot !== bootIdentity()) return false;
    if (this.#table?.generation !== state.generation) {
      const table = Table.open(this.folder, state.generation, this.identity, false);
      /* The writer is about to name another one. */
      if (table === undefined) return this.#table !== undefined;
      this.#table?.close();
      this.#table = table;
    }
    this.#headVersion = version;
    this.#state = state;
    this.nextSequence = state.nextSequence;
    this.#table.count = state.count;
    this.generation++;
    return true;
  }

  usage(): TierUsage {
    let disk = 0;
    let files = 0;
    for (const name of builtin("fs").readdirSync(this.folder)) {
      const status = builtin("fs").statSync(builtin("path").join(this.folder, name));
      disk += Math.min(status.size, status.blocks * 512);
      files++;
    }
    return { disk, dead: this.#state.dead, resident: this.#touched + this.#buffer.length, files };
  }

  get isWasteful(): boolean {
    const { dead } = this.#state;
    if (dead < LEAST_WASTE) return false;
    this.#logBytes ??= this.allSegments().reduce((sum, segment) => sum + segment.end, 0) - this.#stagedBytes;
    return dead > (this.#logBytes + this.#stagedBytes) / 2;
  }

  get resident(): number {
    return this.#touched + this.#buffer.length;
  }

  /* ---- compaction ---- */

  compactStep(milliseconds: number, all: boolean, commit: () => void): boolean {
    this.#writable();
    const until = performance.now() + milliseconds;
    this.#compaction ??= this.#choose(all);
    const job = this.#compaction;
    if (job === undefined) return true;
    const record = new RecordFields();
    const key = new KeyBytes(this.identity.seed);
    const { segment } = job;
    let count = 0;
    job.at = this.#walk(segment, record, job.at, () => {
      if (segment.damaged) return false;
      this.#move(segment, record, key, job.oldest);
      return (++count & 15) !== 0 || performance.now() < until;
    });
    if (segment.damaged) {
      this.#compaction = undefined;
      return false;
    }
    if (job.at + 6 <= segment.end) return false;
    commit();
    this.#compaction = undefined;
    this.#retire(segment);
    return false;
  }

  #choose(all: boolean): { segment: Segment; at: number; oldest: boolean } | undefined {
    const segments = this.allSegments();
    const active = this.#active!;
    let best: Segment | undefined;
    let bestPart = all ? 0 : WORTH;
    for (const segment of segments) {
      if (segment.dead < 0) segment.dead = this.#measure(segment);
      if (segment === active || segment.damaged) continue;
      const part = segment.dead / Math.max(1, segment.end - SEGMENT_HEADER - END_SIZE);
      if (part > bestPart) {
        best = segment;
        bestPart = part;
      }
    }
    if (best === undefined && all && !active.damaged && active.dead > WORTH * (this.#drained - SEGMENT_HEADER)) {
      this.#rotate(0);
      best = active;
    }
    return best && { segment: best, at: SEGMENT_HEADER, oldest: segments[0] === best };
  }

  /** Dead bytes of a segment, by looking each record up. */
  #measure(segment: Segment): number {
    const record = new RecordFields();
    const key = new KeyBytes(this.identity.seed);
    let dead = 0;
    this.#walk(segment, record, SEGMENT_HEADER, () => {
      if (record.kind === PUT) {
        key.setBytes(record.bytes, record.keyStart, record.keyLength);
        if (this.find(key) === segment.id * OFFSETS + record.start) return true;
      }
      if (record.kind === PUT) dead += record.end - record.start;
      return true;
    });
    return dead;
  }

  #move(segment: Segment, record: RecordFields, key: KeyBytes, oldest: boolean): void {
    if (record.kind !== PUT && record.kind !== DELETE) return;
    key.setBytes(record.bytes, record.keyStart, record.keyLength);
    const position = segment.id * OFFSETS + record.start;
    const now = this.find(key);
    if (record.kind === DELETE) {
      /* An older segment may still have a put of the key, and nothing newer says otherwise. */
      if (now === 0 && !oldest) this.remove(key, 0);
      return;
    }
    if (now !== position) return;
    const { format, sequence, expires, valueStart, valueLength, flags } = record;
    const tags = record.tagsLength === 0 ? NO_TAGS : this.#tags(record);
    let bytes: Uint8Array;
    if (flags & EXTENT) {
      bytes = new Uint8Array(valueLength);
      try {
        segment.copy(valueStart, bytes);
        this.#verify(segment, position, record, bytes);
      } catch (error) {
        this.#compaction = undefined;
        segment.damaged = true;
        throw error;
      }
    } else bytes = record.bytes.slice(valueStart, valueStart + valueLength);
    const moved = this.#append(key, { format, sequence, expires, tags, bytes, length: valueLength });
    if (segment.dead >= 0) segment.dead += record.end - record.start;
    this.#changes.add(key.h1, key.tag, moved, position);
    this.moves++;
  }

  #retire(segment: Segment): void {
    this.#state.dead = Math.max(0, this.#state.dead - Math.max(0, segment.dead));
    this.generation++;
    this.#logBytes = undefined;
    this.#retired.push(segment);
    if (this.#pins === 0) this.#removeRetired();
  }

  #removeRetired(): void {
    for (const segment of this.#retired) {
      this.segments.delete(segment.id);
      if (this.#last === segment) this.#last = undefined;
      segment.close();
      builtin("fs").rmSync(segment.path, { force: true });
      this.#dirtyFolder = true;
    }
    this.#retired = [];
    if (this.#options.sync && this.#dirtyFolder) this.#syncFolder();
  }

  /** Keeps all segments there until `unpin`. */
  pin(): void {
    this.#pins++;
  }

  unpin(): void {
    this.#pins--;
    if (this.#pins === 0 && !this.#closed) this.#removeRetired();
  }

  /** @internal Whether the record at a position has a key. */
  hasKey(position: number, key: KeyBytes): boolean {
    const record = this.#match;
    if (!this.#load(position, record)) throw this.#damaged(position, "there is no record");
    return key.equals(record.bytes, record.keyStart, record.keyLength);
  }

  /** The chest as of the last commit. */
  snapshot(): LogSnapshot {
    this.#usable();
    const folder = builtin("fs").mkdtempSync(builtin("path").join(builtin("os").tmpdir(), "outcore-chest-"));
    const table = this.#table!.copyTo(folder, 1, this.identity);
    this.pin();
    return new LogSnapshot(this, table, () => {
      builtin("fs").rmSync(folder, { recursive: true, force: true });
      this.unpin();
    });
  }

  /** Copies what belongs to the last commit, segment by segment; cloned by the file system where it can. */
  async backup(folder: string): Promise<void> {
    this.#usable();
    builtin("fs").mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (builtin("fs").readdirSync(folder).length > 0) throw new NameInUseError(folder);
    this.pin();
    try {
      for (const { segment, length } of this.#committedParts()) {
        const target = builtin("path").join(folder, segmentName(segment.id));
        await builtin("fs").promises.copyFile(segment.path, target, builtin("fs").constants.COPYFILE_FICLONE);
        await builtin("fs").promises.truncate(target, length);
        const handle = await builtin("fs").promises.open(target, "r+");
        await handle.sync();
        await handle.close();
      }
    } finally {
      this.unpin();
    }
  }

  /** Bytes of each segment that belong to the last commit, oldest first. */
  #committedParts(): { segment: Segment; length: number }[] {
    const last = Math.floor(this.#state.committed / OFFSETS);
    return this.allSegments()
      .filter(({ id }) => id <= last)
      .map((segment) => ({
        segment,
        length: segment.id === last ? this.#state.committed % OFFSETS : segment.file.size(),
      }));
  }

  /* ---- the end ---- */

  close(): void {
    if (this.#closed) return;
    try {
      if (!this.readOnly && this.#failure === undefined && this.#table !== undefined && this.#active !== undefined)
        this.#closeWell();
    } finally {
      this.#closed = true;
      this.#table?.close();
      if (this.#privateFolder !== undefined)
        builtin("fs").rmSync(this.#privateFolder, { recursive: true, force: true });
      for (const segment of [...this.segments.values(), ...this.#retired]) segment.close();
      this.segments.clear();
      this.#head?.close();
      this.#lock?.release();
    }
  }

  #closeWell(): void {
    const { sync } = this.#options;
    const active = this.#active!;
    if (this.#changes.length > 0) this.#rollBack();
    this.#pins = 0;
    this.#removeRetired();
    const end = this.#state.committed;
    active.file.truncate(end % OFFSETS);
    if (this.#state.clean) return;
    if (sync) {
      active.synced = false;
      this.#state.synced = -1;
      this.#sync();
      if (this.#dirtyFolder) this.#syncFolder();
      this.#writeClosingCommit(active);
    }
    this.#table!.seal(sync);
    this.#state.nextSequence = this.nextSequence;
    this.#state.count = this.#table!.count;
    this.#state.clean = sync;
    this.#head!.write(this.#state);
    if (sync) this.#head!.sync();
  }

  /** Says that all before it is on the disk, should the head be lost. */
  #writeClosingCommit(active: Segment): void {
    const state = this.#state;
    const bytes = new Uint8Array(COMMIT_SIZE);
    const { commits, count, nextSequence, synced } = state;
    writeCommit(bytes, 0, { number: commits + 1, count, nextSequence, synced, time: Date.now(), reserved: 0 });
    try {
      active.file.write(state.committed % OFFSETS, bytes);
      active.file.sync();
    } catch {
      active.file.truncate(state.committed % OFFSETS);
      return;
    }
    state.commits++;
    state.committed += COMMIT_SIZE;
    state.applied = state.synced = state.committed;
  }

  /** Gives up what was staged: the log ends at the last commit again. */
  #rollBack(): void {
    const last = Math.floor(this.#state.committed / OFFSETS);
    for (const [id, segment] of this.segments) {
      if (id <= last) continue;
      segment.close();
      builtin("fs").rmSync(segment.path, { force: true });
      this.segments.delete(id);
    }
    this.#last = undefined;
    this.#active = this.segment(last);
    this.#changes.clear();
  }

  drop(): void {
    this.#failure ??= new ClosedError(this.folder);
    this.close();
    for (const name of builtin("fs").readdirSync(this.folder))
      if (/^[0-9a-f]{8}\.(log|index)$/.test(name) || name === HEAD_NAME || name === LOCK_NAME)
        builtin("fs").rmSync(builtin("path").join(this.folder, name), { force: true });
    try {
      builtin("fs").rmdirSync(this.folder);
    } catch {
      /* Something of somebody else's is in it. */
    }
  }
}
