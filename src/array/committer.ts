import { DiskFullError, LogFullError, PoisonedError, SystemError } from "../errors.ts";
import type { Applier } from "./applier.ts";
import type { Change, Durability } from "./engine.ts";
import { encodeRecord, headLength } from "./format.ts";
import type { History } from "./history.ts";
import type { Homes } from "./homes.ts";
import type { LogRecord } from "./log.ts";
import { mutations } from "./mutations.ts";
import { MOST_LAYERS, type PageLogOptions } from "./page-log-options.ts";
import { type Plan, pagesOf, planCommit } from "./plan.ts";
import type { SharedState } from "./shared-state.ts";
import type { Views } from "./views.ts";

/** Writes transactions. Whoever calls holds the commit lock and has read the log up to the head. */
export class Committer {
  readonly #folder: string;
  readonly #options: Required<PageLogOptions>;
  readonly #history: History;
  readonly #homes: Homes;
  readonly #views: Views;
  readonly #applier: Applier;
  readonly #shared: SharedState;
  readonly #pageSize: number;
  /** The error after which the connection is of no use any more. */
  poison: unknown;

  constructor(
    folder: string,
    options: Required<PageLogOptions>,
    parts: { history: History; homes: Homes; views: Views; applier: Applier; shared: SharedState },
  ) {
    this.#folder = folder;
    this.#options = options;
    this.#history = parts.history;
    this.#homes = parts.homes;
    this.#views = parts.views;
    this.#applier = parts.applier;
    this.#shared = parts.shared;
    this.#pageSize = parts.history.log.pageSize;
  }

  #sums(plans: readonly Plan[], total: number): Uint32Array {
    const size = this.#pageSize;
    const sums = new Uint32Array(total);
    let at = 0;
    for (const { images, change } of plans) {
      const pages = pagesOf(images, size);
      if (pages > 0)
        sums.set(change.view.view.checksums(images, images.length / 2, size, pages).subarray(0, pages), at);
      at += pages;
    }
    return sums;
  }

  /** Makes the change true; the new transaction's number. */
  write(change: Change, durability: Durability): number {
    const size = this.#pageSize;
    const history = this.#history;
    const { log } = history;
    /* Should this commit fail, its views must still show the snapshot. */
    const own = (history.unseen as LogRecord[])[0]?.txid ?? history.cursor.txid + 1;
    if (history.logBytes > this.#options.segmentBytes / 2) this.#applier.checkpoint(own - 1);
    else if (change.pages.some(({ view }) => view.layered > MOST_LAYERS / 2)) this.#applier.checkpoint(own - 1);
    const plans = planCommit(history, change.pages, change.meta, this.#options.directBytes);
    const runs = plans.flatMap((plan) => plan.runs);
    const total = plans.reduce((sum, { images }) => sum + pagesOf(images, size), 0);
    const sums = this.#sums(plans, total);
    const meta = durability === "none" ? { ...change.meta, unsynced: true } : change.meta;
    const { txid: last, chain: previous } = history.cursor;
    const txid = last + 1;
    const { epoch } = history.superblock;
    const { head, crc } = encodeRecord({ epoch, txid, previous, runs, sums, meta }, size);
    const bytes = head.length + total * size;
    if (history.logBytes + bytes > this.#options.logLimit) throw new LogFullError(this.#folder, this.#options.logLimit);
    const place = log.place(history.cursor, bytes);
    const record = { epoch, txid, previous, crc, runs, sums, meta, headBytes: head.length, ...place };
    try {
      this.#writeHomes(plans);
    } catch (error) {
      throw this.#failed(error);
    }
    try {
      const segment = log.prepare(place, bytes);
      let offset = place.offset;
      let rest = head;
      for (const { images, change: changed } of plans) {
        if (images.length === 0) continue;
        segment.writeRuns(offset, rest, changed.view.view, images, images.length / 2);
        offset += rest.length + pagesOf(images, size) * size;
        rest = new Uint8Array(0);
      }
      if (rest.length > 0) segment.write(offset, rest);
      if (durability === "full") {
        const end = { ...place, txid, chain: crc };
        if (mutations.noLogSync) this.#shared.durable = txid;
        else this.#applier.syncLog(end, true);
      }
    } catch (error) {
      this.#unwrite(place.segment, place.offset);
      throw this.#failed(error);
    }
    this.#shared.head = txid;
    history.take({ ...record, bodyBytes: total * size });
    try {
      this.#publish(plans, txid);
    } catch (error) {
      /* It is committed; what shows it could not be set up. */
      this.poison = error;
      throw new PoisonedError(this.#folder, error);
    }
    return txid;
  }

  /** Nobody may take what was written for a commit, not even after a power loss: it was said to have failed. */
  #unwrite(segment: number, offset: number): void {
    if (mutations.noUnwrite) return;
    try {
      const file = this.#history.log.segment(segment);
      if (file === undefined || file.size() < offset + this.#pageSize) return;
      if (headLength(file.read(offset, this.#pageSize)) === undefined) return;
      file.write(offset, new Uint8Array(this.#pageSize));
      file.sync();
    } catch (error) {
      this.poison = error;
    }
  }

  /** An I/O error leaves unknown what is on the disk. */
  #failed(error: unknown): unknown {
    if (!(error instanceof SystemError)) return error;
    this.poison = error;
    return new PoisonedError(this.#folder, error);
  }

  #writeHomes(plans: readonly Plan[]): void {
    for (const { change, direct, highWater, newHighWater } of plans) {
      if (newHighWater <= highWater) continue;
      const home = this.#homes.get(change.array);
      /* What somebody left here who died before the commit. */
      if (home.size() > highWater * this.#pageSize && !mutations.noTruncate) {
        home.truncate(highWater * this.#pageSize);
        home.sync();
      }
      home.truncate(newHighWater * this.#pageSize);
      if (direct.length === 0) continue;
      home.applyRuns(change.view.view, direct, direct.length / 2);
      /* Whatever the commit's durability: a later one makes the record durable, and knows nothing of this. */
      if (!mutations.noDirectSync) home.sync();
    }
  }

  /** The images go home at once; false when there is no room there, and the log must serve them. */
  #writeBack(plans: readonly Plan[], txid: number): boolean {
    const size = this.#pageSize;
    try {
      this.#applier.apply(txid - 1);
      for (const { change, images, runs, newHighWater } of plans) {
        if (newHighWater === 0) continue;
        const home = this.#homes.get(change.array);
        for (const { kind, page, count } of runs) if (kind === "zero") home.punch(page * size, count * size);
        if (images.length > 0) home.applyRuns(change.view.view, images, images.length / 2);
      }
      return true;
    } catch (error) {
      if (error instanceof DiskFullError) return false;
      throw error;
    }
  }

  /** After the commit: views show it from files, not from private pages, and the memory is given back. */
  #publish(plans: readonly Plan[], txid: number): void {
    const size = this.#pageSize;
    const eager = this.#applier.limit() >= txid && this.#writeBack(plans, txid);
    const own = new Map(plans.map(({ change, highWater }) => [change.array, highWater]));
    this.#views.show(eager ? txid - 1 : this.#shared.applied, own);
    const record = this.#history.records.at(-1);
    for (const { change, newHighWater, highWater } of plans) {
      const { view } = change;
      const home = newHighWater > 0 ? this.#homes.get(change.array) : undefined;
      if (newHighWater > highWater) view.growHome(home?.file, newHighWater * size);
      if (!eager) {
        if (record !== undefined) this.#views.layRecord(view, change.array, record, false);
      } else if (change.zeros.length > 0 || view.layered > 2 || view.spilled.length > 0) {
        /* Something else than the home file may lie there. */
        for (let i = 0; i < change.count; i++) {
          const [start = 0, length = 0] = [change.runs[2 * i], change.runs[2 * i + 1]];
          if (home !== undefined) view.lay(start, length, home.file, start);
        }
      } else {
        view.restore(change.runs, change.count);
      }
      view.forgetSpilled();
    }
    if (eager) {
      this.#shared.applied = txid;
      this.#history.fold(txid);
    }
  }
}
