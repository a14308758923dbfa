import { LimitError } from "../errors.ts";
import type { Runs } from "../memory/private-view.ts";
import type { ArrayInfo } from "./catalogue.ts";
import type { Changes } from "./changes.ts";
import type { CutPart } from "./cut-pages.ts";
import { type DType, itemSize } from "./dtype.ts";
import type { ArrayEngine } from "./engine.ts";
import type { LayeredView } from "./layered-view.ts";
import type { OpenArrays } from "./open-arrays.ts";
import { MOST_BYTES, sizeOf } from "./slicing.ts";
import type { SpillFile } from "./spill-file.ts";

/** Bytes of an array's elements. */
export function bytesOf({ shape, dtype }: ArrayInfo): number {
  return sizeOf(shape) * itemSize(dtype as DType);
}

/** The memory of the arrays of a connection: mapped at the first use, moved when outgrown, spilled to the disk. */
export class ArrayMemory {
  readonly #engine: ArrayEngine;
  readonly #arrays: OpenArrays;
  readonly #changes: Changes;
  readonly #spills: SpillFile;
  readonly #reserve: number | undefined;

  constructor(
    engine: ArrayEngine,
    arrays: OpenArrays,
    changes: Changes,
    spills: SpillFile,
    reserve: number | undefined,
  ) {
    this.#engine = engine;
    this.#arrays = arrays;
    this.#changes = changes;
    this.#spills = spills;
    this.#reserve = reserve;
  }

  /** Bytes of whole pages that hold an array. */
  extent(info: ArrayInfo): number {
    return Math.ceil(bytesOf(info) / this.#engine.pageSize) * this.#engine.pageSize;
  }

  /** The memory of an array, as long as the array at least. */
  of(info: ArrayInfo): LayeredView {
    const { id } = info;
    const { pageSize } = this.#engine;
    const highWater = this.#arrays.atSnapshot(id)?.highWater ?? 0;
    const known = Math.max(this.extent(info), highWater * pageSize, pageSize);
    const wanted = this.#reserve ?? Math.max(2 ** 36, known * 2);
    let view: LayeredView;
    try {
      view = this.#engine.view(id, Math.min(MOST_BYTES, Math.max(known, Math.ceil(wanted / pageSize) * pageSize)));
    } catch (error) {
      if (!(error instanceof LimitError) || error.limit !== "memory") throw error;
      view = this.#engine.view(id, known);
    }
    if (view.view.length >= this.extent(info)) return view;
    /* Another connection has made it longer than what was kept free here. */
    this.enlarge(info);
    return this.#engine.view(id, known);
  }

  /** The memory of each array that has any, and how much of it is the array's. */
  *all(): Generator<[view: LayeredView, extent: number]> {
    for (const id of this.#arrays.used) {
      const info = this.#arrays.find(id);
      if (info !== undefined && this.#engine.isMapped(id)) yield [this.of(info), this.extent(info)];
    }
  }

  /**
   * An array is to outgrow the address space that was kept free for it, and moves: views that were handed out have length
   * 0 from then on. What the transaction has changed comes along by way of the disk.
   */
  enlarge(next: ArrayInfo): void {
    const { id } = next;
    const old = this.#engine.view(id, 0);
    const { length } = old.view;
    this.#spillView(old, length);
    if (old.unspilled(length, this.#engine.dirtyWay) > 0)
      throw new LimitError("maps", `"${next.name}" outgrows its address space, and too many pages of it are changed`);
    const { spilled } = old;
    this.#engine.forget(id);
    const needed = this.extent(next);
    let error: unknown;
    for (const wanted of [Math.min(MOST_BYTES, 2 * needed), needed, length])
      try {
        this.bringBack(id, this.#engine.view(id, wanted), spilled);
        if (wanted >= needed) return;
        throw error;
      } catch (reason) {
        if (!(reason instanceof LimitError) || reason === error) throw reason;
        error = reason;
      }
  }

  /** After a reset: the transaction's zeros, what it has written home, what was cut off of that, and what it has spilled. */
  bringBack(id: number, view: LayeredView, spilled: readonly unknown[], cut: readonly CutPart[] = []): void {
    const { pageSize } = this.#engine;
    for (const [first, end] of this.#changes.zeros.get(id) ?? [])
      view.lay(first * pageSize, (end - first) * pageSize, undefined, 0);
    this.#engine.showFresh(id);
    for (const { first, end, file, offset } of cut)
      view.laySpilled(first * pageSize, (end - first) * pageSize, file, offset);
    view.restoreSpilled(spilled);
  }

  /** Changed pages of an array, spilled or not. */
  changed(id: number): Runs {
    const info = this.#arrays.find(id);
    if (info === undefined || !this.#engine.isMapped(id)) return { data: new Float64Array(0), count: 0 };
    return this.changedIn(this.of(info), info);
  }

  /** The same in the memory of the array. */
  changedIn(view: LayeredView, info: ArrayInfo): Runs {
    return view.changed(this.extent(info), this.#engine.dirtyWay);
  }

  /** Zeros behind the last element: what was written there is of nobody's. */
  zeroTail(view: LayeredView, info: ArrayInfo, runs: Runs): void {
    const bytes = bytesOf(info);
    const last = this.extent(info);
    if (bytes === last || runs.count === 0) return;
    const end = (runs.data[2 * runs.count - 2] ?? 0) + (runs.data[2 * runs.count - 1] ?? 0);
    if (end === last) view.view.bytes(bytes, last - bytes).fill(0);
  }

  /** Bytes of changed pages in memory. */
  changedBytes(): number {
    let bytes = 0;
    for (const [view, extent] of this.all()) bytes += view.unspilled(extent, this.#engine.dirtyWay);
    return bytes;
  }

  /** Moves changed pages, at most so many bytes of them, to the disk; how many it did. */
  spill(most: number = Number.POSITIVE_INFINITY): number {
    let bytes = 0;
    for (const [view, extent] of this.all()) if (bytes < most) bytes += this.#spillView(view, extent, most - bytes);
    return bytes;
  }

  #spillView(view: LayeredView, bytes: number, most?: number): number {
    return view.spill(bytes, this.#engine.dirtyWay, (runs) => this.#spills.write(view.view, runs), most);
  }
}
