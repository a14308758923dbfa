import { NotFoundError } from "../errors.ts";
import type { StoreFile } from "../memory/store-file.ts";
import type { Superblock } from "./format.ts";
import type { History } from "./history.ts";
import type { Homes } from "./homes.ts";
import type { Cursor, LogRecord } from "./log.ts";
import { mutations } from "./mutations.ts";
import type { SharedState } from "./shared-state.ts";
import { writeSuperblock } from "./superblocks.ts";

/** Brings the home files up to the log, and shortens it. Whoever calls holds the commit lock. */
export class Applier {
  readonly #history: History;
  readonly #homes: Homes;
  readonly #shared: SharedState;
  readonly #head: StoreFile;
  readonly #maxSnapshotAge: number;

  constructor(history: History, homes: Homes, shared: SharedState, head: StoreFile, maxSnapshotAge: number) {
    this.#history = history;
    this.#homes = homes;
    this.#shared = shared;
    this.#head = head;
    this.#maxSnapshotAge = maxSnapshotAge;
  }

  /** The newest transaction that may be applied: no older snapshot, nor this connection's `own`, may see its pages. */
  limit(own: number = Number.POSITIVE_INFINITY): number {
    const { durable } = this.#shared;
    if (mutations.ignoreSnapshots) return durable;
    const named = Math.min(...Object.values(this.#history.catalogue.snapshots));
    return Math.min(own, durable, named, this.#shared.oldestOther(this.#maxSnapshotAge, named));
  }

  #applyRecord(record: LogRecord): void {
    const { log } = this.#history;
    const size = log.pageSize;
    const segment = log.segment(record.segment);
    if (segment === undefined) throw new NotFoundError(log.path(record.segment));
    let images: number[] = [];
    let from = 0;
    let of = -1;
    const flush = (): void => {
      if (images.length === 0) return;
      const place = record.offset + record.headBytes + from * size;
      this.#homes.get(of).copyRuns(segment, place, Float64Array.from(images), images.length / 2);
      images = [];
    };
    for (const { array, page, count, kind, body } of record.runs) {
      if (kind !== "zero") this.#homes.putSums(array, page, record.sums.subarray(body, body + count));
      if (kind === "direct") continue;
      if (array !== of) {
        flush();
        of = array;
        /* Also of an array that was dropped since: a snapshot may show it. */
        const { highWater } = this.#history.info(array) ?? { highWater: 0 };
        const home = this.#homes.get(array);
        if (home.size() < highWater * size) home.truncate(highWater * size);
      }
      if (kind === "zero") {
        flush();
        this.#homes.get(array).punch(page * size, count * size);
        this.#homes.sums(array).punch(page * 4, count * 4);
        continue;
      }
      /* Images of one array lie one after the other. */
      if (images.length === 0) from = body;
      images.push(page * size, count * size);
    }
    flush();
  }

  /** Brings the home files up to `upTo`, as far as the log was read. */
  apply(upTo: number): void {
    const { applied } = this.#shared;
    const limit = Math.min(upTo, this.#history.cursor.txid);
    for (const record of this.#history.records)
      if (record.txid > applied && record.txid <= limit) this.#applyRecord(record);
    if (limit > applied) this.#shared.applied = limit;
    this.#history.fold(this.#shared.applied);
  }

  /**
   * Makes every record up to the one that ends at `end` durable: the home files must never be ahead of the log. `own`:
   * this connection has just written the last of them itself.
   */
  syncLog(end: Cursor, own = false): void {
    const { durable } = this.#shared;
    const { log, superblock } = this.#history;
    if (durable >= end.txid) return;
    log.sync();
    if (!own || durable < end.txid - 1)
      for (let segment = superblock.segment; segment <= end.segment; segment++) log.syncSegment(segment);
    this.#shared.durable = end.txid;
  }

  /** Applies what no snapshot keeps, makes it durable, and gives up the log before it. */
  checkpoint(own?: number): void {
    this.syncLog(this.#history.cursor);
    this.apply(this.limit(own));
    this.persist(this.#history.superblock.epoch);
  }

  /** Makes the home files durable, and a superblock that says so. */
  persist(epoch: number): void {
    const { baseEnd: end, base, superblock, log } = this.#history;
    const whole = this.#history.records.length === 0;
    if (end.txid === superblock.applied && epoch === superblock.epoch) return;
    if (!mutations.noHomeSync) for (const { id, highWater } of base.arrays) if (highWater > 0) this.#homes.sync(id);
    const next: Superblock = {
      pageSize: superblock.pageSize,
      sequence: superblock.sequence + 1,
      epoch,
      applied: end.txid,
      chain: end.chain,
      segment: whole ? end.segment + 1 : end.segment,
      offset: whole ? 0 : end.offset,
      catalogue: base,
    };
    writeSuperblock(this.#head, next);
    this.#shared.sequence = next.sequence;
    const { segment } = this.#history.cursor;
    this.#history.persisted(next);
    log.removeBelow(mutations.recycleEarly ? segment + 1 : next.segment);
    const known = new Set([...base.arrays, ...this.#history.everKnown()].map(({ id }) => id));
    this.#homes.removeUnknown(known, base.nextId, (array) => this.#shared.isReserved(array));
  }
}
