import { CorruptError, NotFoundError, SnapshotTooOldError } from "../errors.ts";
import type { DataFile } from "../memory/data-file.ts";
import { type DirtyWay, PrivateView } from "../memory/private-view.ts";
import type { Catalogue } from "./catalogue.ts";
import type { History } from "./history.ts";
import type { Homes } from "./homes.ts";
import { LayeredView } from "./layered-view.ts";
import type { LogRecord } from "./log.ts";
import { FEW_LAYERS, MOST_LAYERS } from "./page-log-options.ts";
import type { SharedState } from "./shared-state.ts";

/** The views of one connection: they show the home files and what the log holds above them. */
export class Views {
  readonly #folder: string;
  readonly #history: History;
  readonly #homes: Homes;
  readonly #pageSize: number;
  readonly #shared: SharedState;
  #views = new Map<number, LayeredView>();

  /** `shared` keeps others from changing what views show: it stays as long as anybody can reach one. */
  constructor(folder: string, history: History, homes: Homes, pageSize: number, shared: SharedState) {
    this.#folder = folder;
    this.#history = history;
    this.#homes = homes;
    this.#pageSize = pageSize;
    this.#shared = shared;
  }

  get(array: number, reserve: number): LayeredView {
    const known = this.#views.get(array);
    if (known !== undefined) return known;
    const view = new LayeredView(`array "${this.#history.nameOf(array)}" of ${this.#folder}`, reserve, this.#shared);
    this.#views.set(array, view);
    try {
      this.reset(array);
    } catch (error) {
      this.forget(array);
      throw error;
    }
    return view;
  }

  find(array: number): LayeredView | undefined {
    return this.#views.get(array);
  }

  /** Shows the snapshot, and nothing of the transaction. */
  reset(array: number): void {
    const { shown, unseen } = this.#history;
    if (unseen === "reset") this.#setUp(array, this.#history.catalogue, Number.POSITIVE_INFINITY);
    else this.#setUp(array, shown.catalogue, shown.txid);
  }

  #setUp(array: number, catalogue: Catalogue, txid: number): void {
    const view = this.#views.get(array);
    if (view === undefined) return;
    const highWater = catalogue.arrays.find(({ id }) => id === array)?.highWater ?? 0;
    const home = highWater > 0 ? this.#homes.find(array) : undefined;
    if (highWater > 0 && home === undefined) {
      /* Who is not in a transaction keeps no state: others may have dropped the array, and nothing is left of it. */
      if (txid < this.#shared.head) throw new SnapshotTooOldError(this.#folder);
      throw new CorruptError(this.#homes.path(array), 0, `array "${this.#history.nameOf(array)}" has lost its file`);
    }
    if (home !== undefined && home.size() < highWater * this.#pageSize)
      throw new CorruptError(
        home.path,
        home.size(),
        `array "${this.#history.nameOf(array)}" was truncated from outside`,
      );
    view.reset(home?.file, highWater * this.#pageSize);
    for (const record of this.#history.records) if (record.txid <= txid) this.layRecord(view, array, record, false);
  }

  /**
   * By comparison a page that was written is no change when it holds the same; but it is private, and would never show
   * what is written to its file.
   */
  restoreAll(): void {
    for (const view of this.#views.values()) view.restoreAll();
  }

  forget(array: number): void {
    this.#views.get(array)?.view.close();
    this.#views.delete(array);
  }

  /**
   * Makes views show what is unseen. `own`: what is above these pages is not in the files yet. `kept`: arrays whose views
   * show it, out of private pages.
   */
  show(applied: number, own: ReadonlyMap<number, number> = new Map(), kept: ReadonlySet<number> = new Set()): void {
    const { unseen } = this.#history;
    for (const [array, view] of this.#views) {
      const info = this.#history.info(array);
      if (info === undefined || kept.has(array)) continue;
      if (
        unseen === "reset" ||
        view.layered > MOST_LAYERS ||
        (view.layered > FEW_LAYERS && !PrivateView.fits(FEW_LAYERS))
      ) {
        this.#setUp(array, this.#history.catalogue, Number.POSITIVE_INFINITY);
        continue;
      }
      const home = info.highWater > 0 ? this.#homes.get(array).file : undefined;
      view.growHome(home, (own.get(array) ?? info.highWater) * this.#pageSize);
      for (const record of unseen) this.layRecord(view, array, record, record.txid <= applied);
    }
    this.#history.seen();
  }

  /**
   * At the start of a transaction: a view whose array is wholly in its home file shows nothing else, unless somebody
   * has written to it already.
   */
  tidy(way: DirtyWay): void {
    for (const [array, view] of this.#views) {
      if (view.plain && view.layered < FEW_LAYERS) continue;
      const isLogged = this.#history.records.some(({ runs }) => runs.some((run) => run.array === array));
      if (!isLogged && view.changed(view.view.length, way).count === 0) this.reset(array);
    }
  }

  /** Makes a view show what a record did to an array: out of the home file, or of the log. */
  layRecord(view: LayeredView, array: number, record: LogRecord, inHome: boolean): void {
    const size = this.#pageSize;
    const images: number[] = [];
    for (const { array: id, page, count, kind, body } of record.runs) {
      if (id !== array || kind === "direct") continue;
      const [start, length] = [page * size, count * size];
      if (inHome) {
        /* A private page that nobody wrote to shows what is written to its file. */
        if (view.plain) continue;
        const end = Math.min(start + length, view.homeBytes);
        if (start < end) view.lay(start, end - start, this.#homes.get(array).file, start);
      } else if (kind === "zero") {
        view.lay(start, length, undefined, 0);
      } else {
        images.push(start, length, record.offset + record.headBytes + body * size);
      }
    }
    if (images.length === 0) return;
    const { log } = this.#history;
    const segment = log.segment(record.segment);
    if (segment === undefined) throw new NotFoundError(log.path(record.segment));
    view.layRuns(Float64Array.from(images), images.length / 3, segment.file);
  }

  /** Whether any view shows a part of a file. */
  shows(file: DataFile): boolean {
    return [...this.#views.values()].some((view) => view.shows(file));
  }

  close(): void {
    for (const view of this.#views.values()) view.view.close();
    this.#views.clear();
  }
}
