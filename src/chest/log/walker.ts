import { KeyBytes } from "../keys.ts";
import type { Damage } from "../tier.ts";
import type { MappedMemory } from "./mapped.ts";
import { END, PUT, RecordFields } from "./record.ts";
import { type Identity, OFFSETS, SEGMENT_HEADER, type Segment } from "./segment.ts";

interface Log {
  readonly identity: Identity;
  readonly readOnly: boolean;
  readonly damage: Damage[];
  readonly mapped: MappedMemory;
  allSegments(): Segment[];
  isActive(segment: Segment): boolean;
  endOf(segment: Segment): number;
  find(key: KeyBytes): number;
}

/** Goes through segments record by record, leaping over damage and reporting it. */
export class Walker {
  #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Visits the records of [from, end), until `visit` says false. Returns where it stopped. */
  walk(segment: Segment, record: RecordFields, from: number, visit: () => boolean | undefined): number {
    const end = this.#log.endOf(segment);
    let at = from;
    let hole = -1;
    while (at + 6 <= end) {
      const { bytes } = segment;
      const more = segment.touch(at);
      if (more !== 0) this.#log.mapped.touch(more);
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
    const { damage } = this.#log;
    if (damage.some(({ path: file, offset }) => file === segment.path && offset === from)) return;
    damage.push({ path: segment.path, offset: from, length: to - from, detail: "no whole record is there" });
  }

  /** Visits the live values whose sequence number is in [from, to). */
  scan(from: number, to: number, visit: (sequence: number, position: number) => void): void {
    const log = this.#log;
    const record = new RecordFields();
    const key = new KeyBytes(log.identity.seed);
    for (const segment of log.allSegments()) {
      if (segment.most >= 0 && (segment.most < from || segment.least >= to)) continue;
      const known = segment.most >= 0;
      const base = segment.id * OFFSETS;
      let least = Number.POSITIVE_INFINITY;
      let most = 0;
      this.walk(segment, record, SEGMENT_HEADER, () => {
        if (record.kind !== PUT) return true;
        const { sequence, start } = record;
        least = Math.min(least, sequence);
        most = Math.max(most, sequence);
        if (sequence < from || sequence >= to) return true;
        key.setBytes(record.bytes, record.keyStart, record.keyLength);
        if (log.find(key) === base + start) visit(sequence, base + start);
        return true;
      });
      if (!known && !log.isActive(segment) && !log.readOnly) {
        segment.least = least;
        segment.most = most;
      }
    }
  }

  /** Dead bytes of a segment, by looking each record up. */
  measure(segment: Segment): number {
    const record = new RecordFields();
    const key = new KeyBytes(this.#log.identity.seed);
    let dead = 0;
    this.walk(segment, record, SEGMENT_HEADER, () => {
      if (record.kind !== PUT) return true;
      key.setBytes(record.bytes, record.keyStart, record.keyLength);
      if (this.#log.find(key) !== segment.id * OFFSETS + record.start) dead += record.end - record.start;
      return true;
    });
    return dead;
  }
}
