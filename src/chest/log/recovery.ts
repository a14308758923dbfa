import { KeyBytes } from "../keys.ts";
import { COMMIT, type Commit, DELETE, END, EXTENT, PUT, RecordFields, readCommit, resync } from "./record.ts";
import { type Identity, OFFSETS, parseSegmentHeader, SEGMENT_HEADER, type Segment } from "./segment.ts";

interface Log {
  readonly identity: Identity;
  readonly segments: { pathOf(position: number): string };
  allSegments(): Segment[];
}

interface Target {
  find(key: KeyBytes): number;
  put(key: KeyBytes, position: number, before: number): void;
  remove(key: KeyBytes, before: number): void;
  damage(path: string, offset: number, length: number, detail: string): void;
}

export interface Recovery {
  /** Position behind the last commit that counts; 0 when there is none. */
  end: number;
  commit: Commit | undefined;
  nextSequence: number;
}

interface Change {
  /** Not its bytes: they go when it rests. */
  readonly segment: Segment;
  readonly keyStart: number;
  readonly keyLength: number;
  /** 0: removed */
  readonly position: number;
  readonly at: number;
}

const SETTLE_SIZE = 1 << 16;

/**
 * Replays the log from a position on. A change counts when a commit stands behind it. Bytes that are no record end the
 * log, unless a later commit says that the disk had them: then they are damage, which is reported and leapt over.
 */
class Replay {
  readonly result: Recovery = { end: 0, commit: undefined, nextSequence: 0 };
  #log: Log;
  #target: Target;
  #record: RecordFields = new RecordFields();
  #key: KeyBytes;
  #pending: Change[] = [];
  #segments: Segment[];
  /** Set while damage is open: nothing behind it counts before a commit proves it. */
  #hole: { segment: Segment; from: number; to: number } | undefined;
  #holes: { segment: Segment; from: number; to: number }[] = [];
  /** The disk is known to have had everything before this position. */
  #proven: number;
  #learning = true;

  constructor(log: Log, target: Target, proven: number) {
    this.#proven = proven;
    this.#log = log;
    this.#target = target;
    this.#key = new KeyBytes(log.identity.seed);
    this.#segments = log.allSegments();
    /* Those that a reader had mapped may have grown before one came behind them. */
    for (const segment of this.#segments) segment.refresh();
  }

  run(from: number): void {
    /* First what the disk is known to have had, then what counts. */
    this.#pass(from);
    this.#learning = false;
    this.#pass(from);
    this.#settle();
    this.#checkEnd();
  }

  /** What is known to have been on the disk, and is not there at all. */
  #checkEnd(): void {
    const lost = lostEnd(this.#segments.at(-1), this.#proven);
    if (lost !== undefined)
      this.#target.damage(
        this.#log.segments.pathOf(this.#proven),
        lost.from,
        lost.length,
        "the end of the log is missing",
      );
  }

  #pass(from: number): void {
    for (const [index, segment] of this.#segments.entries()) {
      const base = segment.id * OFFSETS;
      if (base + OFFSETS <= from) continue;
      const start = from > base ? from - base : SEGMENT_HEADER;
      if (start === SEGMENT_HEADER && !this.#isOurs(segment)) this.#openHole(segment, 0, SEGMENT_HEADER);
      const ended = this.#segment(segment, start);
      if (!ended && index < this.#segments.length - 1) {
        /* It was cut: its end is missing, though a later segment exists. */
        const size = segment.bytes.length;
        this.#openHole(segment, Math.min(this.#at, size), size);
      }
    }
  }

  /** Damage behind the last commit, in what is known to have been on the disk. */
  #settle(): void {
    const hole = this.#holes[0];
    if (hole === undefined || hole.segment.id * OFFSETS + hole.from >= this.#proven) return;
    for (const { segment, from, to } of this.#holes)
      this.#target.damage(segment.path, from, to - from, "no whole record is there");
    this.#pending = this.#pending.filter(({ at }) => at < this.#proven);
    this.#applyPending();
    this.result.end = this.#proven;
  }

  #at = 0;

  #isOurs(segment: Segment): boolean {
    const header = parseSegmentHeader(segment.path, segment.bytes);
    return header?.id.every((byte, i) => byte === this.#log.identity.id[i]) ?? false;
  }

  #openHole(segment: Segment, from: number, to: number): void {
    if (this.#learning) return;
    const hole = this.#hole;
    if (hole !== undefined && hole.segment === segment && hole.to >= from) {
      hole.to = Math.max(hole.to, to);
      return;
    }
    this.#hole = { segment, from, to };
    this.#holes.push(this.#hole);
  }

  /** True when the segment's end record was reached. */
  #segment(segment: Segment, from: number): boolean {
    const record = this.#record;
    let at = from;
    for (;;) {
      this.#at = at;
      /* Behind a value that reaches beyond what a position can name there is nothing but the end record. */
      if (at >= OFFSETS) return true;
      /* Anew each time: what was done with the last record may have let the segment rest. */
      const { bytes } = segment;
      if (at + 6 > bytes.length) return false;
      if (record.parse(bytes, at, 0) && record.end <= Math.max(bytes.length, segment.file.size()) && record.intact()) {
        at = record.end;
        if (record.kind === END) return true;
        this.#take(segment, record);
        continue;
      }
      const next = resync(record, bytes, at + 1);
      if (next < 0) {
        if (!this.#isBlank(bytes, at)) this.#openHole(segment, at, bytes.length);
        return false;
      }
      this.#openHole(segment, at, next);
      at = next;
    }
  }

  #isBlank(bytes: Uint8Array, from: number): boolean {
    const end = Math.min(bytes.length, from + SETTLE_SIZE);
    for (let i = from; i < end; i++) if (bytes[i] !== 0) return false;
    return true;
  }

  #take(segment: Segment, record: RecordFields): void {
    const { kind, keyStart, keyLength } = record;
    if (kind === COMMIT) {
      this.#commit(segment, record);
      return;
    }
    if (this.#learning) return;
    const at = segment.id * OFFSETS + record.start;
    if (record.flags & EXTENT && at >= this.#proven && !this.#isWhole(segment, record)) {
      this.#openHole(segment, record.start, record.end);
      return;
    }
    if (kind === PUT) this.result.nextSequence = Math.max(this.result.nextSequence, record.sequence + 1);
    this.#pending.push({ segment, keyStart, keyLength, position: kind === DELETE ? 0 : at, at });
  }

  /** An extent may be torn though its record is whole. */
  #isWhole(segment: Segment, record: RecordFields): boolean {
    const bytes = new Uint8Array(record.valueLength);
    segment.copy(record.valueStart, bytes);
    return record.isExtent(bytes);
  }

  #commit(segment: Segment, record: RecordFields): void {
    const commit = readCommit(record);
    if (this.#learning) {
      this.#proven = Math.max(this.#proven, commit.synced);
      return;
    }
    const hole = this.#holes[0];
    if (hole !== undefined) {
      /* Torn, not damaged, unless the disk is known to have had it. */
      if (this.#proven < hole.segment.id * OFFSETS + hole.to) return;
      for (const { segment: where, from, to } of this.#holes)
        this.#target.damage(where.path, from, to - from, "no whole record is there");
      this.#holes = [];
      this.#hole = undefined;
    }
    this.#applyPending();
    this.result.end = segment.id * OFFSETS + record.end;
    this.result.commit = commit;
    this.result.nextSequence = Math.max(this.result.nextSequence, commit.nextSequence);
  }

  #applyPending(): void {
    for (const change of this.#pending) {
      this.#key.setBytes(change.segment.bytes, change.keyStart, change.keyLength);
      const before = this.#target.find(this.#key);
      if (change.position === 0) {
        if (before !== 0) this.#target.remove(this.#key, before);
      } else if (before !== change.position) this.#target.put(this.#key, change.position, before);
    }
    this.#pending = [];
  }
}

/** What is missing of a log that reached up to a position, when its last segment is this one. */
export function lostEnd(last: Segment | undefined, end: number): { from: number; length: number } | undefined {
  const id = Math.floor(end / OFFSETS);
  if (end === 0 || (last !== undefined && last.id > id)) return undefined;
  const from = last?.id === id ? last.file.size() : 0;
  return from < end % OFFSETS ? { from, length: (end % OFFSETS) - from } : undefined;
}

/** `proven`: the disk is known to have had everything before this position. */
export function recover(log: Log, from: number, proven: number, target: Target): Recovery {
  const replay = new Replay(log, target, proven);
  replay.run(from);
  return replay.result;
}
