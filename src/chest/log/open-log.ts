import { ClosedError, DiskFullError } from "../../errors.ts";
import type { KeyBytes } from "../keys.ts";
import type { Damage } from "../tier.ts";
import { Appender } from "./appender.ts";
import { Changes } from "./changes.ts";
import { emptyState, type Head, type HeadState } from "./head.ts";
import { LogIndex } from "./log-index.ts";
import { MappedMemory } from "./mapped.ts";
import type { RecordFields } from "./record.ts";
import { Records } from "./records.ts";
import { type Identity, OFFSETS, SEGMENT_HEADER, type Segment } from "./segment.ts";
import { FOREIGN, Segments } from "./segments.ts";
import type { Table } from "./table.ts";
import { Walker } from "./walker.ts";

export interface LogOptions {
  readonly readOnly: boolean;
  readonly sync: boolean;
  /** Bytes of a segment. */
  readonly segmentSize: number;
  /** Bytes of mapped memory that may be resident in any case. */
  readonly mappedLimit: number;
  /** Bytes that it may take together with buffers when that is more. */
  readonly spare?: () => number;
}

/** Bytes of a segment that belong to the last commit. */
export interface CommittedPart {
  readonly segment: Segment;
  readonly length: number;
}

/** What the parts of one open log have in common. */
export class OpenLog {
  readonly folder: string;
  readonly options: LogOptions;
  readonly readOnly: boolean;
  readonly identity: Identity;
  readonly damage: Damage[] = [];
  readonly segments: Segments;
  readonly mapped: MappedMemory;
  readonly records: Records;
  readonly walker: Walker;
  readonly changes: Changes;
  state: HeadState = emptyState();
  head: Head | undefined;
  index: LogIndex | undefined;
  nextSequence = 0;
  closed = false;
  /** Version of the head that `state` and `index` are of, to a reader. */
  headVersion = -1;
  /** An index in which a reader has found a damaged page: it makes its own in place of this one. */
  distrusted = 0;
  /** Brings a reader's `state` and `index` up to date. */
  onStale: () => void = () => {};
  #appender: Appender | undefined;
  #failure: unknown;

  constructor(folder: string, options: LogOptions, identity: Identity) {
    this.folder = folder;
    this.options = options;
    this.readOnly = options.readOnly;
    this.identity = identity;
    this.changes = new Changes(options.mappedLimit / 64);
    this.segments = new Segments(folder, identity, {
      writable: !options.readOnly,
      sync: options.sync,
      onSyncFailed: (error) => this.fail(error),
      onForeign: (path) => this.reportDamage(path, 0, SEGMENT_HEADER, FOREIGN),
    });
    this.mapped = new MappedMemory(
      () => Math.max(options.mappedLimit, (options.spare?.() ?? 0) - this.buffered),
      () => {
        this.segments.trim();
        this.index?.table.trim();
      },
    );
    this.records = new Records(this.segments, this.mapped, options.readOnly);
    this.walker = new Walker(this);
  }

  /** Bytes of memory that hold what is not in the file or the index yet. */
  get buffered(): number {
    const remembered = this.index?.table.remembered ?? 0;
    return remembered + (this.#appender === undefined ? 0 : this.#appender.resident + this.changes.bytes);
  }

  get appender(): Appender | undefined {
    return this.#appender;
  }

  set appender(appender: Appender | undefined) {
    this.#appender = appender;
    this.records.appender = appender;
  }

  /** Uses a table as the index. */
  adopt(table: Table, privateFolder?: string): void {
    const onGrown = (grown: Table, before: Table): void => {
      if (privateFolder !== undefined) return;
      this.state.generation = grown.generation;
      this.head?.replaceIndex(before.generation, grown.generation);
    };
    const isPrivate = privateFolder !== undefined;
    this.index = new LogIndex(table, privateFolder ?? this.folder, this.identity, this.mapped, onGrown, isPrivate);
  }

  /** Whether a damaged page was found in the index, which a reader has to give up. */
  get isDistrusted(): boolean {
    return this.index !== undefined && !this.index.isPrivate && this.index.table.generation === this.distrusted;
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** From now on every call throws this. */
  fail(error: unknown): void {
    this.#failure ??= error;
  }

  usable(): void {
    if (this.closed) throw new ClosedError(this.folder);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** @throws {DamagedError} when there is none, and a damaged record with the key's hash may be its own. */
  find(key: KeyBytes): number {
    return this.records.settle(this.findWhole(key));
  }

  /** The same where damaged records do not count. */
  findWhole(key: KeyBytes): number {
    if (this.#failure !== undefined || this.closed) this.usable();
    return this.readOnly ? this.steadily(() => this.#find(key)) : this.#find(key);
  }

  /**
   * Reads the index such that a commit of the writer is seen whole or not at all: again when it was entered meanwhile.
   */
  steadily<T>(read: () => T): T {
    if (!this.readOnly) return read();
    for (;;) {
      if (this.index === undefined) this.onStale();
      const { head } = this;
      if (head === undefined || this.index!.isPrivate) return read();
      let result: T;
      try {
        result = read();
      } catch (error) {
        if (head.versionAfter() === this.headVersion && !this.isDistrusted) throw error;
        this.onStale();
        continue;
      }
      if (head.versionAfter() === this.headVersion) return result;
      this.onStale();
    }
  }

  #find(key: KeyBytes): number {
    const { records, changes } = this;
    records.look(key);
    if (changes.hasStaged) {
      const staged = changes.find(key.h1, key.tag, records.matchesStaged);
      if (staged !== undefined) return staged;
    }
    return this.index!.find(key.h1, key.tag, records.isMatch);
  }

  /** The segments in order, as they are on the disk now. */
  allSegments(): Segment[] {
    try {
      this.#appender?.drain();
    } catch (error) {
      /* What is not in the file is still in memory, and is read there. */
      if (!(error instanceof DiskFullError)) throw error;
    }
    return this.segments.all();
  }

  forEachBuffered(record: RecordFields, visit: (base: number) => void): void {
    this.#appender?.forEachBuffered(record, visit);
  }

  isActive(segment: Segment): boolean {
    return segment === this.#appender?.active;
  }

  /** Where a segment's records end. */
  endOf(segment: Segment): number {
    if (this.isActive(segment)) return this.#appender!.drained;
    if (!this.readOnly) return segment.end;
    const { committed } = this.state;
    const last = Math.floor(committed / OFFSETS);
    if (segment.id === last) return committed % OFFSETS;
    /* The writer is ahead of what the head said last. */
    return segment.id > last ? SEGMENT_HEADER : segment.file.size();
  }

  /** Bytes of each segment that belong to the last commit, oldest first. */
  committedParts(): CommittedPart[] {
    const { committed } = this.state;
    const last = Math.floor(committed / OFFSETS);
    return this.allSegments()
      .filter(({ id }) => id <= last)
      .map((segment) => ({
        segment,
        length: segment.id === last ? committed % OFFSETS : segment.file.size(),
      }));
  }

  reportDamage(path: string, offset: number, length: number, detail: string): void {
    if (!this.damage.some((known) => known.path === path && known.offset === offset))
      this.damage.push({ path, offset, length, detail });
  }

  /** Begins a new segment and adds to it. */
  startSegment(id: number): void {
    this.appender = Appender.start(this.segments, this.options.segmentSize, this.identity, id);
    this.state.committed = this.state.applied = id * OFFSETS + SEGMENT_HEADER;
  }
}
