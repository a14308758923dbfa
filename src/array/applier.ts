import { CorruptError, DiskFullError, NotFoundError, SystemError } from "../errors.ts";
import { type StoreFile, syncFolder } from "../memory/store-file.ts";
import type { Superblock } from "./format.ts";
import { type History, startOf } from "./history.ts";
import type { Homes } from "./homes.ts";
import { after, type Cursor, type LogRecord } from "./log.ts";
import { mutations } from "./mutations.ts";
import { rewriteHomes } from "./rewrite.ts";
import type { SharedState } from "./shared-state.ts";
import { writeSuperblock } from "./superblocks.ts";
import { TxRange } from "./tx-range.ts";

/** Brings the home files up to the log, and shortens it. Whoever calls holds the commit lock. */
export class Applier {
  readonly #history: History;
  readonly #homes: Homes;
  readonly #shared: SharedState;
  readonly #head: StoreFile;
  readonly #maxSnapshotAge: number;
  /** What this connection has written home, with no sync that failed since. */
  readonly #own = new TxRange();

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
    const named = this.#history.oldestNamed(durable);
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
    if (limit > applied) {
      this.#shared.applied = limit;
      this.#own.add(applied + 1, limit);
    }
    this.#history.fold(this.#shared.applied);
  }

  /** Makes every record up to the one that ends at `end` durable: the home files must never be ahead of the log. */
  syncLog(end: Cursor): void {
    const { durable } = this.#shared;
    const { log, records, nameOf } = this.#history;
    if (durable >= end.txid) return;
    if (!log.own.has(durable + 1, end.txid)) {
      const isOthers = ({ txid }: LogRecord): boolean => txid > durable && !log.own.has(txid, end.txid);
      log.rewrite(records.filter(isOthers), nameOf);
    }
    log.sync();
    this.#shared.durable = end.txid;
  }

  /** Syncs home files by way of `work`. When it fails, what was written there must be written again, by whomsoever. */
  syncHomes(work: () => void): void {
    const { unfinished } = this.#shared;
    this.#shared.proving();
    try {
      work();
    } catch (error) {
      if (!mutations.trustFailed) this.#own.clear();
      if (error instanceof SystemError) this.#shared.doubt();
      /* The disk is not broken, and the next checkpoint writes all again. */
      if (error instanceof DiskFullError && !unfinished) this.#shared.proved();
      throw error;
    }
    if (!unfinished) this.#shared.proved();
  }

  /** Ends what somebody has begun who died or failed: his superblock may be on the disk, or not. */
  finish(): void {
    if (!this.#shared.unfinished || mutations.leaveUnfinished) return;
    this.syncLog(this.#history.cursor);
    this.#history.fold(this.#shared.applied);
    this.persist(this.#history.superblock.epoch, true);
  }

  /** Writes home again what others have written since the last superblock: this connection's sync says nothing of that. */
  #rewrite(): void {
    const { superblock, baseEnd, base, log } = this.#history;
    const records: LogRecord[] = [];
    for (let cursor = startOf(superblock); cursor.txid < baseEnd.txid; ) {
      const record = log.next(cursor);
      if (record === undefined)
        throw new CorruptError(log.path(cursor.segment), cursor.offset, `transaction ${cursor.txid + 1} is not there`);
      records.push(record);
      cursor = after(record);
    }
    rewriteHomes(records, new Set(base.arrays.map(({ id }) => id)), log, this.#homes);
    syncFolder(log.folder);
    this.#own.clear();
    this.#own.add(superblock.applied + 1, baseEnd.txid);
  }

  /** Applies what no snapshot keeps, makes it durable, and gives up the log before it. */
  checkpoint(own?: number): void {
    this.syncLog(this.#history.cursor);
    this.apply(this.limit(own));
    this.persist(this.#history.superblock.epoch);
  }

  /** Writes the superblock that was found again: nobody knows whether its sync has failed. */
  proveSuperblock(): void {
    writeSuperblock(this.#head, this.#history.superblock);
  }

  /** Makes the home files durable, and a superblock that says so. */
  persist(epoch: number, always = false): void {
    const { baseEnd: end, base, superblock, log } = this.#history;
    const isOwn = this.#own.has(superblock.applied + 1, end.txid) || mutations.trustHomes === true;
    /* Who has read so far looks for the next record in this segment and in the next, not beyond. */
    const whole = this.#history.records.length === 0 && end.offset > 0;
    if (end.txid === superblock.applied && epoch === superblock.epoch && !always) return;
    if (end.txid > superblock.applied && !isOwn) this.#rewrite();
    if (!mutations.noHomeSync)
      this.syncHomes(() => {
        for (const { id, highWater } of base.arrays) if (highWater > 0) this.#homes.sync(id);
      });
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
    this.#shared.proving();
    writeSuperblock(this.#head, next);
    this.#shared.sequence = next.sequence;
    this.#shared.proved();
    const { segment } = this.#history.cursor;
    this.#history.persisted(next);
    log.removeBelow(mutations.recycleEarly ? segment + 1 : next.segment);
    const known = new Set([...base.arrays, ...this.#history.everKnown()].map(({ id }) => id));
    this.#homes.removeUnknown(known, base.nextId, (array) => this.#shared.isReserved(array));
  }
}
