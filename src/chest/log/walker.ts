import { KeyBytes } from "../keys.ts";
import type { Damage } from "../tier.ts";
import type { MappedMemory } from "./mapped.ts";
import { END, PUT, RecordFields, resync } from "./record.ts";
import { type Identity, OFFSETS, SEGMENT_HEADER, type Segment } from "./segment.ts";

interface Log {
  readonly identity: Identity;
  readonly readOnly: boolean;
  readonly damage: Damage[];
  readonly mapped: MappedMemory;
  isActive(segment: Segment): boolean;
  endOf(segment: Segment): number;
  findWhole(key: KeyBytes): number;
  readonly records: { readonly foundSequence: number };
  /** Visits the records that are not in a file yet, with the base of their positions. */
  forEachBuffered(record: RecordFields, visit: (base: number) => void): void;
}

/** Goes through segments record by record, leaping over damage and reporting it. */
export class Walker {
  #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Visits the records of [from, end), until `visit` says false. Returns where it stopped. */
  walk(
    segment: Segment,
    record: RecordFields,
    from: number,
    visit: () => boolean | undefined,
    end: number = this.#log.endOf(segment),
  ): number {
    if (this.#log.readOnly && (segment.bytes.length < end || segment.hasLost)) segment.refresh();
    let at = from;
    /* Beyond what a position can name only the end record begins, behind a value that reaches there. */
    while (at + 6 <= end && at < OFFSETS) {
      const { bytes } = segment;
      const more = segment.touch(at);
      if (more !== 0) this.#log.mapped.touch(more);
      if (!(record.parse(bytes, at, 0) && record.end <= end && record.intact())) {
        const next = resync(record, bytes, at + 1, Math.min(end, bytes.length));
        this.#foundDamage(segment, at, next < 0 ? end : next);
        if (next < 0) return end;
      }
      at = record.end;
      if (record.kind === END) return end;
      if (visit() === false) return at;
    }
    return end;
  }

  #foundDamage(segment: Segment, from: number, to: number): void {
    segment.damaged = true;
    const { damage } = this.#log;
    if (damage.some(({ path: file, offset }) => file === segment.path && offset === from)) return;
    damage.push({ path: segment.path, offset: from, length: to - from, detail: "no whole record is there" });
  }

  /** Visits the live values whose sequence number is in [from, to). */
  scan(
    segments: readonly Segment[],
    from: number,
    to: number,
    visit: (sequence: number, position: number) => void,
  ): void {
    const log = this.#log;
    const record = new RecordFields();
    const key = new KeyBytes(log.identity.seed);
    const ends = new Map(segments.map((segment) => [segment.id, log.endOf(segment)]));
    const put = (base: number): void => {
      const { sequence, start } = record;
      if (record.kind !== PUT || sequence < from || sequence >= to) return;
      key.setBytes(record.bytes, record.keyStart, record.keyLength);
      const now = log.findWhole(key);
      if (now === base + start) visit(sequence, now);
      /* To a reader: moved meanwhile, to where it does not look. */ else if (
        log.readOnly &&
        now % OFFSETS >= (ends.get(Math.floor(now / OFFSETS)) ?? 0) &&
        now !== 0 &&
        log.records.foundSequence === sequence
      )
        visit(sequence, now);
    };
    for (const segment of segments) {
      if (segment.most >= 0 && (segment.most < from || segment.least >= to)) continue;
      const known = segment.most >= 0;
      const base = segment.id * OFFSETS;
      let least = Number.POSITIVE_INFINITY;
      let most = 0;
      const see = (): boolean => {
        if (record.kind !== PUT) return true;
        least = Math.min(least, record.sequence);
        most = Math.max(most, record.sequence);
        put(base);
        return true;
      };
      /* To where it ended at first: a reader may see commits meanwhile, and another file have the name of one without any. */
      this.walk(segment, record, SEGMENT_HEADER, see, ends.get(segment.id));
      if (!known && !log.isActive(segment) && !log.readOnly) {
        segment.least = least;
        segment.most = most;
      }
    }
    log.forEachBuffered(record, put);
  }

  /** Dead bytes of a segment, by looking each record up. */
  measure(segment: Segment): number {
    const record = new RecordFields();
    const key = new KeyBytes(this.#log.identity.seed);
    let dead = 0;
    this.walk(segment, record, SEGMENT_HEADER, () => {
      if (record.kind !== PUT) return true;
      key.setBytes(record.bytes, record.keyStart, record.keyLength);
      if (this.#log.findWhole(key) !== segment.id * OFFSETS + record.start) dead += record.end - record.start;
      return true;
    });
    return dead;
  }
}
