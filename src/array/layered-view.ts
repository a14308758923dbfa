import type { DataFile } from "../memory/data-file.ts";
import { pageSize } from "../memory/page.ts";
import { type DirtyWay, PrivateView, type Runs } from "../memory/private-view.ts";
import { placedRuns } from "./placed-runs.ts";

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

function bytesOf({ data, count }: Runs): number {
  let bytes = 0;
  for (let i = 0; i < count; i++) bytes += data[2 * i + 1] ?? 0;
  return bytes;
}

/** The first of the runs, whole pages of at most `most` bytes together. */
function firstOf({ data, count }: Runs, most: number): Runs {
  let left = most;
  for (let i = 0; i < count; i++) {
    const length = data[2 * i + 1] ?? 0;
    if (length >= left) {
      const part = data.slice(0, 2 * i + 2);
      part[2 * i + 1] = left;
      return { data: part, count: i + 1 };
    }
    left -= length;
  }
  return { data, count };
}

/** The memory of one array in one connection: what its snapshot shows, and what the transaction has changed. */
export class LayeredView {
  readonly view: PrivateView;
  /** Bytes that the array's home file covers here. */
  homeBytes = 0;
  /** Where views that were handed out end. */
  exposed = 0;
  /** Pages that were copied because there are no mappings left: places in files by place in memory. */
  #copies = new Map<number, { file: DataFile; offset: number }>();
  #layers: Layer[] = [];
  #spilled: Layer[] = [];
  #home: DataFile | undefined;
  #plain = true;

  constructor(what: string, length: number, keeps: object) {
    this.view = new PrivateView(what, length, keeps);
  }

  /** Zeros, with the home file over its first `bytes`. All else is gone. */
  reset(home: DataFile | undefined, bytes: number): void {
    this.view.lay(0, this.view.length, undefined, 0);
    this.view.forgetOverlays();
    this.#copies.clear();
    this.#layers = [{ start: 0, length: this.view.length, file: undefined, offset: 0 }];
    this.#spilled = [];
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
    for (const at of this.#copies.keys()) if (at >= start && at < end) this.#copies.delete(at);
    this.#layers.push({ start, length: end - start, file, offset });
  }

  /**
   * Triples (start, length, offset in the file). Where the process has no mappings left the bytes are copied into
   * private memory, and do not count as changed as long as they are the same.
   */
  layRuns(all: Float64Array, allCount: number, file: DataFile): void {
    const [runs, count] = this.#within(all, allCount);
    if (count === 0) return;
    this.#plain = false;
    if (count > 1 && !PrivateView.fits(count)) this.#copyRuns(runs, count, file);
    else {
      this.view.layRuns(runs, count, file);
      if (this.#copies.size > 0) this.#uncopy(runs, count);
    }
    for (let i = 0; i < count; i++) {
      const [start = 0, length = 0, offset = 0] = [runs[3 * i], runs[3 * i + 1], runs[3 * i + 2]];
      this.#layers.push({ start, length, file, offset });
    }
  }

  /** Triples that lie within the view: another connection may have made the array longer than it. */
  #within(runs: Float64Array, count: number): [Float64Array, number] {
    const { length: most } = this.view;
    let fits = true;
    for (let i = 0; i < count && fits; i++) fits = (runs[3 * i] ?? 0) + (runs[3 * i + 1] ?? 0) <= most;
    if (fits) return [runs, count];
    const kept: number[] = [];
    for (let i = 0; i < count; i++) {
      const [start = 0, length = 0, offset = 0] = [runs[3 * i], runs[3 * i + 1], runs[3 * i + 2]];
      if (start < most) kept.push(start, Math.min(length, most - start), offset);
    }
    return [Float64Array.from(kept), kept.length / 3];
  }

  /** Bytes of changed pages that were not spilled. */
  unspilled(bytes: number, way: DirtyWay): number {
    return bytesOf(this.#written(bytes, way));
  }

  #copyRuns(runs: Float64Array, count: number, file: DataFile): void {
    const size = pageSize();
    for (let i = 0; i < count; i++) {
      const [start = 0, length = 0, offset = 0] = [runs[3 * i], runs[3 * i + 1], runs[3 * i + 2]];
      file.readInto(offset, this.view.bytes(start, length));
      for (let at = 0; at < length; at += size) this.#copies.set(start + at, { file, offset: offset + at });
    }
  }

  /** Files are laid over what was copied. */
  #uncopy(runs: Float64Array, count: number): void {
    const size = pageSize();
    for (let i = 0; i < count; i++) {
      const [start = 0, length = 0] = [runs[3 * i], runs[3 * i + 1]];
      for (let at = start; at < start + length; at += size) this.#copies.delete(at);
    }
  }

  /** Private changes of the runs are gone: what is laid there is seen again. */
  restore(runs: Float64Array, count: number): void {
    this.view.restore(runs, count);
    if (this.#copies.size === 0) return;
    const size = pageSize();
    for (let i = 0; i < count; i++) {
      const [start = 0, length = 0] = [runs[2 * i], runs[2 * i + 1]];
      for (let at = start; at < start + length; at += size) {
        const copy = this.#copies.get(at);
        if (copy !== undefined) copy.file.readInto(copy.offset, this.view.bytes(at, size));
      }
    }
  }

  /** The same for all private changes, also those that are none: pages that were written and hold what is laid there. */
  restoreAll(): void {
    this.view.restore(Float64Array.of(0, this.view.length), 1);
    const size = pageSize();
    for (const [at, { file, offset }] of this.#copies) file.readInto(offset, this.view.bytes(at, size));
  }

  /** The array grows from `bytes`: what old views wrote behind its end was never its own. */
  clear(bytes: number, before: number, after: number): void {
    const tail = Math.min(before, this.exposed) - bytes;
    if (tail > 0 && this.view.bytes(bytes, tail).some((byte) => byte !== 0)) this.view.bytes(bytes, tail).fill(0);
    const end = Math.min(after, this.exposed);
    if (end > before) this.restore(Float64Array.of(before, end - before), 1);
  }

  /** Whether nothing is laid here but the home file, each page at its place, and zeros behind it. */
  get plain(): boolean {
    return this.#plain && this.#spilled.length === 0;
  }

  /** Whether parts of a file are laid here, or were copied. */
  shows(file: DataFile): boolean {
    const isIt = (part: { file: DataFile | undefined }): boolean => part.file === file;
    return this.#layers.some(isIt) || (this.#copies.size > 0 && [...this.#copies.values()].some(isIt));
  }

  /** How many parts of files and zeros are laid here. */
  get layered(): number {
    return this.#layers.length;
  }

  /** Pages written since they were laid, within `bytes`. */
  #written(bytes: number, way: DirtyWay): Runs {
    if (way === "scan") return this.#withoutCopies(this.view.dirty(0, bytes, way));
    if (way === "pagemap") return this.#withoutCopies(this.#withoutZeroPages(this.view.dirty(0, bytes, way)));
    const pairs: number[] = [];
    const covered: [number, number][] = [];
    for (const { start, length, file, offset } of [...this.#layers].reverse()) {
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

  /** To pagemap a page of zeros that was only read looks like a written one: where zeros are laid, zeros are no change. */
  #withoutZeroPages({ data, count }: Runs): Runs {
    const size = pageSize();
    const pairs: number[] = [];
    for (let i = 0; i < count; i++) {
      const [start = 0, length = 0] = [data[2 * i], data[2 * i + 1]];
      for (let at = start; at < start + length; at += size)
        if (!this.#laysZeros(at) || this.view.bytes(at, size).some((byte) => byte !== 0)) pairs.push(at, size);
    }
    return merge(pairs);
  }

  #withoutCopies(runs: Runs): Runs {
    if (this.#copies.size === 0) return runs;
    const size = pageSize();
    const pairs: number[] = [];
    for (let i = 0; i < runs.count; i++) {
      const [start = 0, length = 0] = [runs.data[2 * i], runs.data[2 * i + 1]];
      for (let at = start; at < start + length; at += size) {
        const copy = this.#copies.get(at);
        if (copy === undefined) pairs.push(at, size);
        else this.view.differing(at, size, copy.file, copy.offset, pairs);
      }
    }
    return merge(pairs);
  }

  #laysZeros(at: number): boolean {
    return this.#layers.findLast(({ start, length }) => at >= start && at < start + length)?.file === undefined;
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

  /**
   * Moves written pages, up to `most` bytes of them, to a file that only this transaction knows; their memory is given
   * back. A page that changes meanwhile, through a call that writes from another thread, stays. Returns bytes.
   */
  spill(
    bytes: number,
    way: DirtyWay,
    write: (runs: Runs) => { file: DataFile; offset: number },
    most: number = Number.POSITIVE_INFINITY,
  ): number {
    const runs = firstOf(this.#written(bytes, way), most);
    if (runs.count === 0 || !PrivateView.fits(runs.count)) return 0;
    const { file, offset } = write(runs);
    const same = this.view.same(runs.data, runs.count, file, offset);
    const triples = placedRuns(runs.data, runs.count, same, offset);
    this.layRuns(Float64Array.from(triples), triples.length / 3, file);
    for (let i = 0; i < triples.length; i += 3) {
      const [start = 0, length = 0, at = 0] = [triples[i], triples[i + 1], triples[i + 2]];
      this.#spilled.push({ start, length, file, offset: at });
    }
    return bytesOf(same);
  }

  /** The transaction has written a range of pages to a file that only it knows. */
  laySpilled(start: number, length: number, file: DataFile, offset: number): void {
    const plain = this.#plain;
    this.lay(start, length, file, offset);
    /* Until something else is laid here, which comes before `forgetSpilled`. */
    this.#plain = plain;
    this.#spilled.push({ start, length, file, offset });
  }

  /** How many spills there are; what `keepSpilled` takes. */
  get spilled(): readonly unknown[] {
    return this.#spilled.slice();
  }

  /** Lays spills again that were taken with `spilled`, after `reset`. */
  restoreSpilled(spilled: readonly unknown[]): void {
    for (const layer of spilled as readonly Layer[]) {
      if (layer.file !== undefined) this.laySpilled(layer.start, layer.length, layer.file, layer.offset);
    }
  }

  /** What was spilled from `end` on is cut off: the array ends there. */
  cutSpilled(end: number): void {
    this.#spilled = this.#spilled
      .filter(({ start }) => start < end)
      .map((layer) => ({ ...layer, length: Math.min(layer.length, end - layer.start) }));
  }

  /** The transaction is over: what it spilled is of no meaning any more. */
  forgetSpilled(): void {
    this.#spilled = [];
  }
}
