import { KeyBytes } from "../keys.ts";
import type { NewValue } from "../tier.ts";
import { END_SIZE } from "./appender.ts";
import { DELETE, EXTENT, PUT, RecordFields } from "./record.ts";
import type { Records } from "./records.ts";
import { type Identity, OFFSETS, SEGMENT_HEADER, type Segment } from "./segment.ts";
import type { Walker } from "./walker.ts";

/** A segment is worth compacting when this part of it is dead. */
const WORTH = 0.25;

interface Log {
  readonly identity: Identity;
  readonly records: Records;
  readonly walker: Walker;
  allSegments(): Segment[];
  /** Whether there is no older one on the disk, be it one that nobody but a snapshot needs. */
  isOldest(segment: Segment): boolean;
  /** Position of a key; damaged records do not count. */
  find(key: KeyBytes): number;
  isActive(segment: Segment): boolean;
  /** Ends the active segment. */
  rotate(): void;
  /** Adds a value that was at `before`. */
  move(key: KeyBytes, value: NewValue, before: number): void;
  remove(key: KeyBytes, before: number): void;
  /**
   * Sees that nothing needs the segment any more: waits until the disk has what was moved out of it, unless durability asks
   * for nothing, and the last commit stands in another one.
   */
  secure(segment: Segment): void;
  retire(segment: Segment): void;
}

interface Job {
  readonly segment: Segment;
  at: number;
  readonly oldest: boolean;
}

/** Moves what is live out of one segment after another, in steps. */
export class Compaction {
  #log: Log;
  #job: Job | undefined;
  #record: RecordFields = new RecordFields();
  #key: KeyBytes;

  constructor(log: Log) {
    this.#log = log;
    this.#key = new KeyBytes(log.identity.seed);
  }

  /** Works for about so many milliseconds. True when nothing is worth it any more; `all`: when nothing is dead. */
  step(milliseconds: number, all: boolean, commit: () => void): boolean {
    const until = performance.now() + milliseconds;
    if (this.#job === undefined && !this.#measure(until)) return false;
    this.#job ??= this.#choose(all);
    const job = this.#job;
    if (job === undefined) return true;
    const { segment } = job;
    let count = 0;
    job.at = this.#log.walker.walk(segment, this.#record, job.at, () => {
      if (segment.damaged) return false;
      this.#move(job);
      return (++count & 15) !== 0 || performance.now() < until;
    });
    if (segment.damaged) {
      this.#job = undefined;
      return false;
    }
    if (job.at + 6 <= segment.end) return false;
    commit();
    this.#log.secure(segment);
    this.#job = undefined;
    this.#log.retire(segment);
    return false;
  }

  /** Finds out what is dead in each segment. False when the time is over before all are known. */
  #measure(until: number): boolean {
    const unknown = this.#log.allSegments().filter(({ dead }) => dead < 0);
    for (const [i, segment] of unknown.entries()) {
      segment.dead = this.#log.walker.measure(segment);
      if (performance.now() >= until) return i === unknown.length - 1;
    }
    return true;
  }

  #choose(all: boolean): Job | undefined {
    const log = this.#log;
    const segments = log.allSegments();
    let best: Segment | undefined;
    let bestPart = all ? 0 : WORTH;
    let active: Segment | undefined;
    for (const segment of segments) {
      if (log.isActive(segment)) active = segment;
      if (segment === active || segment.damaged) continue;
      const part = segment.dead / Math.max(1, segment.end - SEGMENT_HEADER - END_SIZE);
      if (part > bestPart) {
        best = segment;
        bestPart = part;
      }
    }
    if (best === undefined && all && active !== undefined && !active.damaged)
      if (active.dead > WORTH * (active.end - SEGMENT_HEADER)) {
        log.rotate();
        best = active;
      }
    return best && { segment: best, at: SEGMENT_HEADER, oldest: log.isOldest(best) };
  }

  #move({ segment, oldest }: Job): void {
    const log = this.#log;
    const record = this.#record;
    const key = this.#key;
    if (record.kind !== PUT && record.kind !== DELETE) return;
    key.setBytes(record.bytes, record.keyStart, record.keyLength);
    const position = segment.id * OFFSETS + record.start;
    const now = log.find(key);
    if (record.kind === DELETE) {
      /* An older segment may still have a put of the key, and nothing newer says otherwise. */
      if (now === 0 && !oldest) log.remove(key, 0);
      return;
    }
    if (now !== position) return;
    const { format, sequence, expires, valueStart, valueLength, flags } = record;
    const tags = log.records.tags(record);
    let bytes: Uint8Array;
    if (flags & EXTENT) {
      try {
        bytes = log.records.extent(segment, position, record);
      } catch (error) {
        this.#job = undefined;
        segment.damaged = true;
        throw error;
      }
    } else bytes = record.bytes.slice(valueStart, valueStart + valueLength);
    log.move(key, { format, sequence, expires, tags, bytes, length: valueLength }, position);
    if (segment.dead >= 0) segment.dead += record.end - record.start;
  }
}
