import { DiskFullError, LogFullError, PoisonedError, SystemError } from "../errors.ts";
import type { StoreFile } from "../memory/store-file.ts";
import type { Applier } from "./applier.ts";
import { advance } from "./catalogue.ts";
import type { Change, Durability } from "./engine.ts";
import { checkCatalogue, encodeMeta, encodeRecord, headBytes, headLength, type NewRecord } from "./format.ts";
import type { FreshArrays } from "./fresh-arrays.ts";
import type { History } from "./history.ts";
import type { Homes } from "./homes.ts";
import type { LayeredView } from "./layered-view.ts";
import type { LogRecord } from "./log.ts";
import { mutations } from "./mutations.ts";
import type { PageLogOptions } from "./page-log-options.ts";
import { type Plan, pagesOf, planCommit } from "./plan.ts";
import { keepWritten, type Settler } from "./settler.ts";
import type { SharedState } from "./shared-state.ts";
import type { Views } from "./views.ts";

/** Whether all pages but those in the log are the home file's as they were before, and nothing else is shown. */
function staysPlain({ change, images, direct, highWater, newHighWater }: Plan): boolean {
  const { view, zeros } = change;
  return images.length > 0 && direct.length === 0 && zeros.length === 0 && highWater === newHighWater && view.plain;
}

/** Writes transactions. Whoever calls holds the commit lock and has read the log up to the head. */
export class Committer {
  readonly #folder: string;
  readonly #options: Required<PageLogOptions>;
  readonly #history: History;
  readonly #homes: Homes;
  readonly #views: Views;
  readonly #applier: Applier;
  readonly #fresh: FreshArrays;
  readonly #shared: SharedState;
  readonly #settler: Settler;
  readonly #begun: () => void;
  readonly #pageSize: number;
  /** The error after which the connection is of no use any more. */
  poison: unknown;

  constructor(
    folder: string,
    options: Required<PageLogOptions>,
    parts: {
      history: History;
      homes: Homes;
      views: Views;
      applier: Applier;
      fresh: FreshArrays;
      shared: SharedState;
      settler: Settler;
      /** Called when the disk has begun with a record: what takes its time then costs nothing. */
      begun: () => void;
    },
  ) {
    this.#folder = folder;
    this.#options = options;
    this.#history = parts.history;
    this.#homes = parts.homes;
    this.#views = parts.views;
    this.#applier = parts.applier;
    this.#fresh = parts.fresh;
    this.#shared = parts.shared;
    this.#settler = parts.settler;
    this.#begun = parts.begun;
    this.#pageSize = parts.history.log.pageSize;
  }

  /**
   * Writes the images of a record, and its head in front of them; the crc of the head. `begin`: a sync is to follow, and
   * the disk may begin.
   */
  #writeRecord(
    segment: StoreFile,
    offset: number,
    plans: readonly Plan[],
    record: NewRecord,
    headSize: number,
    begin: boolean,
  ): number {
    const size = this.#pageSize;
    const { sums, bodyBytes } = record;
    const withImages = plans.filter(({ images }) => images.length > 0);
    let first = 0;
    if (bodyBytes > this.#options.gatheredBytes) {
      /* The disk begins with the first images while the checksums of the last are made. */
      for (const { images, change } of withImages) {
        const place = offset + headSize + first * size;
        segment.logRuns(place, change.view.view, images, images.length / 2, { page: size, sums: sums.subarray(first) });
        first += pagesOf(images, size);
      }
      const { head, crc } = encodeRecord(record, size);
      segment.write(offset, head);
      return crc;
    }
    /* Of a copy: who writes to the views from another thread must not come between a checksum and its page. */
    const whole = new Uint8Array(headSize + bodyBytes);
    for (const { images, change } of withImages) {
      const at = headSize + first * size;
      change.view.view.gather(images, images.length / 2, size, sums.subarray(first), whole.subarray(at));
      first += pagesOf(images, size);
    }
    const { head, crc } = encodeRecord(record, size);
    whole.set(head);
    segment.write(offset, whole);
    if (begin) segment.begin(offset, whole.length);
    return crc;
  }

  /** Makes the change true; the new transaction's number. */
  write(change: Change, durability: Durability): number {
    const size = this.#pageSize;
    const history = this.#history;
    const { log } = history;
    if (change.meta.arrays !== undefined || change.meta.snapshots !== undefined)
      checkCatalogue(advance(history.catalogue, [], change.meta));
    /* Should this commit fail, its views must still show the snapshot. */
    const own = (history.unseen as LogRecord[])[0]?.txid ?? history.cursor.txid + 1;
    /* Mostly one was made between commits, at half of it. */
    if (history.logBytes > this.#options.segmentBytes) this.#applier.checkpoint(own - 1);
    const { plans, imagePages, sumCount } = planCommit(history, change.pages, change.meta, this.#options.directBytes);
    const runs = plans.length === 1 && plans[0] !== undefined ? plans[0].runs : plans.flatMap((plan) => plan.runs);
    const sums = new Uint32Array(sumCount);
    const bodyBytes = imagePages * size;
    const meta = durability === "none" ? { ...change.meta, unsynced: true } : change.meta;
    const text = encodeMeta(meta);
    const { txid: last, chain: previous } = history.cursor;
    const txid = last + 1;
    const { epoch } = history.superblock;
    const headSize = headBytes(runs.length, sumCount, text.length, size);
    const bytes = headSize + bodyBytes;
    if (history.logBytes + bytes > this.#options.logLimit) throw new LogFullError(this.#folder, this.#options.logLimit);
    const place = log.place(history.cursor, bytes);
    const settled = this.#shared.durable >= last;
    try {
      if (change.meta.arrays !== undefined) this.#homes.syncNames();
      this.#writeHomes(plans, sums, imagePages);
    } catch (error) {
      throw this.#failedWith(plans, sums, imagePages, error);
    }
    let next: ReturnType<History["following"]>;
    try {
      const segment = log.prepare(place, bytes);
      const head = { epoch, txid, previous, runs, sums, bodyBytes, settled, meta: text };
      const crc = this.#writeRecord(segment, place.offset, plans, head, headSize, durability === "full");
      log.own.add(txid);
      this.#begun();
      next = history.following({
        epoch,
        txid,
        previous,
        crc,
        runs,
        sums,
        bodyBytes,
        settled,
        meta,
        headBytes: headSize,
        segment: place.segment,
        offset: place.offset,
      });
      if (durability === "full") {
        if (mutations.noLogSync) this.#shared.durable = txid;
        else this.#applier.syncLog(next.cursor);
      }
    } catch (error) {
      this.#unwrite(place.segment, place.offset);
      /* What could not be taken back may still come true. */
      if (this.poison !== undefined) throw new PoisonedError(this.#folder, error);
      throw this.#failedWith(plans, sums, imagePages, error);
    }
    this.#shared.head = txid;
    history.accept(next);
    try {
      this.#publish(plans, next.record);
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
    this.#history.log.own.clear();
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

  /** The error to throw, once it is known what the commit has left in home files. */
  #failedWith(plans: readonly Plan[], sums: Uint32Array, imagePages: number, error: unknown): unknown {
    const reason = this.#failed(error);
    if (this.poison !== undefined) return reason;
    let at = imagePages;
    for (const { change, direct } of plans) {
      for (const { first, end } of change.fresh) at += end - first;
      this.#fresh.strayed(change.array, direct, sums.subarray(at));
      at += pagesOf(direct, this.#pageSize);
    }
    return reason;
  }

  /** An I/O error leaves unknown what is on the disk. */
  #failed(error: unknown): unknown {
    if (!(error instanceof SystemError)) return error;
    this.poison = error;
    return new PoisonedError(this.#folder, error);
  }

  /**
   * Fresh pages to their home files, and their checksums, and those that were written there already, into `sums` behind
   * those of the images.
   */
  #writeHomes(plans: readonly Plan[], sums: Uint32Array, imagePages: number): void {
    const page = this.#pageSize;
    let at = imagePages;
    for (const { change, direct, highWater, newHighWater } of plans) {
      for (const { first, end, sums: known } of change.fresh) {
        sums.set(known.subarray(0, end - first), at);
        at += end - first;
      }
      if (newHighWater <= highWater) continue;
      const home = this.#homes.get(change.array);
      /* What somebody left here who died before the commit. */
      if (change.fresh.length === 0 && home.size() > highWater * this.#pageSize && !mutations.noTruncate) {
        home.truncate(highWater * this.#pageSize);
        this.#applier.syncHomes(() => home.sync());
      }
      this.#fresh.clean(change.array, home);
      if (home.size() !== newHighWater * this.#pageSize) home.truncate(newHighWater * this.#pageSize);
      if (direct.length > 0) {
        home.applyRuns(change.view.view, direct, direct.length / 2, { page, sums: sums.subarray(at) });
        at += pagesOf(direct, page);
      } else if (change.fresh.length === 0) continue;
      /* Whatever the commit's durability: a later one makes the record durable, and knows nothing of this. */
      if (!mutations.noDirectSync) this.#applier.syncHomes(() => this.#fresh.sync(change.array, home, direct));
    }
  }

  /** After the commit: views show it from files, not from private pages, and the memory is given back. */
  #publish(plans: readonly Plan[], record: LogRecord): void {
    const size = this.#pageSize;
    const { txid } = record;
    const eager = this.#applier.limit() >= txid;
    const isExact = this.#options.dirtyWay !== "compare";
    /* To show what others have committed may lay their home file over pages that were above its end before. */
    const alone = this.#history.unseen.length === 0;
    const later = plans.map((plan) => eager && alone && isExact && staysPlain(plan));
    const segment = this.#history.log.segment(record.segment);
    /* Where the images of each array begin in the body, in pages. */
    const bodies: number[] = [];
    let pages = 0;
    for (const { images } of plans) {
      bodies.push(pages);
      pages += pagesOf(images, size);
    }
    const placeOf = (i: number): number => record.offset + record.headBytes + (bodies[i] ?? 0) * size;
    const keep = (i: number): (() => void) | undefined => {
      const { images, change } = plans[i] as Plan;
      if (images.length === 0 || segment === undefined) return undefined;
      return keepWritten(change.view, images, segment, placeOf(i));
    };
    const early = alone ? undefined : plans.map((_, i) => keep(i));
    if (plans.length > 0 && alone && !later.includes(false)) this.#history.seen();
    else {
      const own = new Map(plans.map((plan) => [plan.change.array, plan.highWater]));
      const waiting = plans.filter((_, i) => later[i]).map((plan) => plan.change.array);
      this.#views.show(this.#shared.applied, own, new Set(waiting));
    }
    if (eager && !later.includes(true))
      try {
        this.#applier.apply(txid);
      } catch (error) {
        if (!(error instanceof DiskFullError)) throw error;
      }
    for (const [i, plan] of plans.entries()) {
      const { change, images, newHighWater, highWater } = plan;
      const { view, array } = change;
      if (later[i] === true) {
        this.#settler.keep(view, images, record, bodies[i] ?? 0);
        continue;
      }
      const isHome = this.#shared.applied >= txid;
      if (segment !== undefined && isHome && alone && staysPlain(plan)) {
        view.view.release(images, images.length / 2, segment.file, placeOf(i));
        continue;
      }
      const bringBack = early === undefined ? keep(i) : early[i];
      const home = newHighWater > 0 ? this.#homes.get(array) : undefined;
      const covered = view.homeBytes;
      if (newHighWater > highWater) view.growHome(home?.file, newHighWater * size);
      if (!isHome) {
        this.#views.layRecord(view, array, record, false);
      } else if (view.plain && change.zeros.length === 0) {
        view.restore(change.runs, change.count);
      } else if (home !== undefined) {
        /* Something else than the home file may lie there, but where it has just been laid. */
        for (const [page, end] of change.zeros) this.#layHome(view, home, page * size, (end - page) * size);
        for (let k = 0; k < change.count; k++) {
          const start = change.runs[2 * k] ?? 0;
          const end = Math.min(start + (change.runs[2 * k + 1] ?? 0), covered);
          if (end > start) this.#layHome(view, home, start, end - start);
        }
      }
      bringBack?.();
      view.forgetSpilled();
    }
    if (this.#options.dirtyWay === "compare") this.#views.restoreAll();
  }

  #layHome(view: LayeredView, home: StoreFile, start: number, length: number): void {
    const end = Math.min(start + length, view.homeBytes);
    if (end > start) view.lay(start, end - start, home.file, start);
  }
}
