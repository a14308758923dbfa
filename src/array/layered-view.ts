import type { DataFile } from "../memory/data-file.ts";
import { type DirtyWay, PrivateView, type Runs } from "../memory/private-view.ts";

interface Layer {
  readonly start: number;
  readonly length: number;
  readonly file: DataFile | undefined;
  readonly offset: number;
}

/** What of [a, b) lies outside [from, to). */
function outside(a: number, b: number, from: number, to: number): [number, number][] {
  if (to <= a || from >= b) return [[a, b]];
  const parts: [number, number][] = [];
  if (a < from) parts.push([a, from]);
  if (to < b) parts.push([to, b]);
  return parts;
}

/** What of a layer lies outside [from, to). */
function without(layer: Layer, from: number, to: number): Layer[] {
  return outside(layer.start, layer.start + layer.length, from, to).map(([a, b]) => ({
    ...layer,
    start: a,
    length: b - a,
    offset: layer.offset + a - layer.start,
  }));
}

/** Sorted, disjoint [start, end) pairs. */
function merge(pairs: number[]): Runs {
  const order = Array.from({ length: pairs.length / 2 }, (_, i) => i).sort(
    (a, b) => (pairs[2 * a] ?? 0) - (pairs[2 * b] ?? 0),
  );
  const data = new Float64Array(pairs.length);
  let count = 0;
  let end = -1;
  for (const i of order) {
    const [start = 0, length = 0] = [pairs[2 * i], pairs[2 * i + 1]];
    if (start <= end) {
      end = Math.max(end, start + length);
    } else {
      count++;
      data[2 * count - 2] = start;
      end = start + length;
    }
    data[2 * count - 1] = end - (data[2 * count - 2] ?? 0);
  }
  return { data, count };
}

/** The memory of one array in one connection: what its snapshot shows, and what the transaction has changed. */
export class LayeredView {
  readonly view: PrivateView;
  /** Bytes that the array's home file covers here. */
  homeBytes = 0;
  #layers: Layer[] = [];
  #spilled: Layer[] = [];
  /** Layers that are copies in private memory, for want of mappings. */
  #copies: Layer[] = [];
  #home: DataFile | undefined;
  #plain = true;

  constructor(what: string, length: number) {
    this.view = new PrivateView(what, length);
  }

  /** Zeros, with the home file over its first `bytes`. All else is gone. */
  reset(home: DataFile | undefined, bytes: number): void {
    this.view.lay(0, this.view.length, undefined, 0);
    this.view.forgetOverlays();
    this.#layers = [{ start: 0, length: this.view.length, file: undefined, offset: 0 }];
    this.#spilled = [];
    this.#copies = [];
    this.#plain = true;
    this.homeBytes = 0;
    this.growHome(home, bytes);
  }

  /** The home file has become longer. */
  growHome(home: DataFile | undefined, bytes: number): void {
    if (bytes <= this.homeBytes || home === undefined) return;
    this.#home = home;
    this.lay(this.homeBytes, bytes - this.homeBytes, home, this.homeBytes);
    this.homeBytes = bytes;
  }

  /** The transaction has written a part of the home file that is not the array's yet. */
  layFresh(start: number, length: number, home: DataFile): void {
    this.#home = home;
    this.lay(start, length, home, start);
  }

  lay(start: number, length: number, file: DataFile | undefined, offset: number): void {
    const end = Math.min(start + length, this.view.length);
    if (end <= start) return;
    this.view.lay(start, end - start, file, offset);
    if (file === undefined || file !== this.#home || offset !== start) this.#plain = false;
    if (this.#copies.length > 0) this.#uncopy(start, end);
    this.#layers.push({ start, length: end - start, file, offset });
  }

  /**
   * Triples (start, length, offset in the file). Where the process has no mappings left the bytes are copied into
   * private memory, and do not count as changed as long as they are the same.
   */
  layRuns(runs: Float64Array, count: number, file: DataFile): void {
    this.#plain = false;
    if (!PrivateView.fits(count)) {
      for (let i = 0; i < count; i++) {
        const [start = 0, length = 0, offset = 0] = [runs[3 * i], runs[3 * i + 1], runs[3 * i + 2]];
        file.readInto(offset, this.view.bytes(start, length));
        this.#copies.push({ start, length, file, offset });
      }
      return;
    }
    this.view.layRuns(runs, count, file);
    if (this.#copies.length > 0)
      for (let i = 0; i < count; i++) this.#uncopy(runs[3 * i] ?? 0, (runs[3 * i] ?? 0) + (runs[3 * i + 1] ?? 0));
    for (let i = 0; i < count; i++) {
      const [start = 0, length = 0, offset = 0] = [runs[3 * i], runs[3 * i + 1], runs[3 * i + 2]];
      this.#layers.push({ start, length, file, offset });
    }
  }

  /** Something else lies in [from, to): what was copied there is of no meaning. */
  #uncopy(from: number, to: number): void {
    this.#copies = this.#copies.flatMap((copy) => without(copy, from, to));
  }

  /** Runs less the pages that are copies still. */
  #lessCopies(runs: Runs): Runs {
    let rest: [number, number][] = [];
    for (let i = 0; i < runs.count; i++)
      rest.push([runs.data[2 * i] ?? 0, (runs.data[2 * i] ?? 0) + (runs.data[2 * i + 1] ?? 0)]);
    /* The last of two copies of a page is the one that counts. */
    const seen: [number, number][] = [];
    for (const copy of [...this.#copies].reverse()) {
      let parts = [copy];
      for (const [from, to] of seen) parts = parts.flatMap((part) => without(part, from, to));
      seen.push([copy.start, copy.start + copy.length]);
      for (const { start, length, file, offset } of parts) {
        if (file === undefined) continue;
        const same = this.view.same(Float64Array.of(start, length), 1, file, offset);
        for (let i = 0; i < same.count; i++) {
          const from = same.data[2 * i] ?? 0;
          rest = rest.flatMap(([a, b]) => outside(a, b, from, from + (same.data[2 * i + 1] ?? 0)));
        }
      }
    }
    return merge(rest.flatMap(([a, b]) => [a, b - a]));
  }

  /** Whether nothing is laid here but the home file, each page at its place, and zeros behind it. */
  get plain(): boolean {
    return this.#plain;
  }

  /** Whether private memory holds what should be laid here. */
  get copied(): boolean {
    return this.#copies.length > 0;
  }

  /** How many parts of files and zeros are laid here. */
  get layered(): number {
    return this.#layers.length;
  }

  /** Pages written since they were laid, within `bytes`. */
  #written(bytes: number, way: DirtyWay): Runs {
    if (way === "compare") return this.#differing(bytes);
    const runs = this.view.dirty(0, bytes, way);
    return this.#copies.length === 0 ? runs : this.#lessCopies(runs);
  }

  #differing(bytes: number): Runs {
    const pairs: number[] = [];
    const covered: [number, number][] = [];
    for (const { start, length, file, offset } of [...this.#layers, ...this.#copies].reverse()) {
      let parts: [number, number][] = [[start, Math.min(start + length, bytes)]];
      for (const [from, to] of covered) parts = parts.flatMap(([a, b]) => outside(a, b, from, to));
      for (const [a, b] of parts)
        if (a < b) {
          this.view.differing(a, b - a, file, offset + a - start, pairs);
          covered.push([a, b]);
        }
    }
    return merge(pairs);
  }

  /** Pages that the transaction has changed, within `bytes`. */
  changed(bytes: number, way: DirtyWay): Runs {
    const written = this.#written(bytes, way);
    if (this.#spilled.length === 0) return written;
    const pairs = [...written.data.subarray(0, 2 * written.count)];
    for (const { start, length } of this.#spilled)
      if (start < bytes) pairs.push(start, Math.min(length, bytes - start));
    return merge(pairs);
  }

  /** Moves written pages to a file that only this transaction knows; their memory is given back. Returns bytes. */
  spill(bytes: number, way: DirtyWay, write: (runs: Runs) => { file: DataFile; offset: number }): number {
    const runs = this.#written(bytes, way);
    if (runs.count === 0 || !PrivateView.fits(runs.count)) return 0;
    const { file, offset } = write(runs);
    const triples = new Float64Array(3 * runs.count);
    let at = offset;
    for (let i = 0; i < runs.count; i++) {
      const [start = 0, length = 0] = [runs.data[2 * i], runs.data[2 * i + 1]];
      triples.set([start, length, at], 3 * i);
      this.#spilled.push({ start, length, file, offset: at });
      at += length;
    }
    this.layRuns(triples, runs.count, file);
    return at - offset;
  }

  /** How many spills there are; what `keepSpilled` takes. */
  get spilled(): readonly unknown[] {
    return this.#spilled.slice();
  }

  /** Lays spills again that were taken with `spilled`, after `reset`. */
  restoreSpilled(spilled: readonly unknown[]): void {
    for (const layer of spilled as readonly Layer[]) {
      this.lay(layer.start, layer.length, layer.file, layer.offset);
      this.#spilled.push(layer);
    }
  }

  /** The array has become shorter: what was spilled behind its end is of no meaning any more. */
  cutSpilled(end: number): void {
    this.#spilled = this.#spilled.flatMap((layer) => {
      if (layer.start + layer.length <= end) return [layer];
      return layer.start < end ? [{ ...layer, length: end - layer.start }] : [];
    });
  }

  /** The transaction is over: what it spilled is of no meaning any more. */
  forgetSpilled(): void {
    this.#spilled = [];
  }
}
