import { native } from "../../ffi/load.ts";
import { ClosedError, LimitError } from "../errors.ts";
import { ADVISE_DONTNEED } from "./advice.ts";
import type { Piece } from "./buffer-set.ts";
import { check } from "./check.ts";
import type { DataFile } from "./data-file.ts";
import { forgetLeak, trackLeak } from "./leaks.ts";
import { MAP_ANONYMOUS, MAP_PRIVATE, MappedRange, PROT_WRITE, processCounts } from "./mapped-range.ts";

/** How changed pages are found: by what the system can, in this order. */
export type DirtyWay = "scan" | "pagemap" | "compare";

const WAY: Readonly<Record<string, number>> = { scan: 0, pagemap: 1 };
const CAPACITY = 4096;

/** Runs as (start, length) pairs in bytes. */
export interface Runs {
  readonly data: Float64Array;
  readonly count: number;
}

let found: DirtyWay | undefined;

/** What one call finds. */
const scanned = new Float64Array(2 * CAPACITY);

/** Overlays that this thread holds; each may cost the process a mapping. */
let overlays = 0;

/**
 * An address range over several files, private to this process: files and zeros are laid over parts of it, the user
 * writes into its views, and it tells which pages were written. Its place never changes, so views stay valid until
 * `close`.
 */
export class PrivateView {
  readonly length: number;
  readonly what: string;
  /** Not collected as long as a view of this one can be reached. */
  keeps: object | undefined;
  #range: MappedRange;
  #closed = false;
  #overlays = 0;

  constructor(what: string, length: number, keeps?: object) {
    this.what = what;
    this.keeps = keeps;
    this.length = length;
    this.#range = new MappedRange(this, {
      length,
      protection: PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS,
      fd: -1,
      offset: 0,
      path: what,
    });
    trackLeak(this, { what, ranges: [this.#range.leaked()] });
  }

  /** For calls of this folder only. */
  get address(): number {
    if (this.#closed) throw new ClosedError(this.what);
    return this.#range.address;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The best way of this system to find changed pages. */
  static way(): DirtyWay {
    if (found !== undefined) return found;
    const { calls } = native();
    const runs = new Float64Array(2);
    found = "compare";
    for (const way of ["pagemap", "scan"] as const)
      if (calls.oc_dirty(0, calls.oc_page_size(), WAY[way] ?? 0, runs, 1) >= 0) found = way;
    return found;
  }

  /** The buffer that holds a range; its bytes are `offset - piece.start` on. */
  piece(offset: number, length: number): Piece {
    if (this.#closed) throw new ClosedError(this.what);
    return this.#range.buffers.at(offset, length);
  }

  /** At most 4 GiB. */
  bytes(offset: number, length: number): Uint8Array {
    if (length === 0) return new Uint8Array(0);
    const { buffer, start } = this.piece(offset, length);
    return new Uint8Array(buffer, offset - start, length);
  }

  /** Whether pages of the range were lost: the file was truncated from outside, or cannot be read. */
  get lost(): boolean {
    return this.#range.guard.faults > 0;
  }

  /** Offset of the lowest page that was lost. */
  get lostAt(): number {
    return this.#range.guard.low;
  }

  /** Lays a file (or zeros, without one) over one range. What was there before is gone, private changes too. */
  lay(start: number, length: number, file: DataFile | undefined, offset: number): void {
    this.layRuns(Float64Array.of(start, length, offset), 1, file);
  }

  /**
   * Lays parts of one file over parts of the view: triples (start, length, offset in the file).
   * @throws {LimitError} "maps" when the process's share of mappings is used up; nothing was laid.
   */
  layRuns(runs: Float64Array, count: number, file: DataFile | undefined): void {
    const { mostMaps, maps } = processCounts();
    if (count > 1 && maps + overlays + 2 * count > mostMaps)
      throw new LimitError("maps", `${this.what} would need ${count} mappings, this process holds ${maps + overlays}`);
    const fd = file?.fd ?? -1;
    check(native().calls.oc_overlay_runs(this.address, runs, count, fd), "map", file?.path ?? this.what);
    this.#overlays += 2 * count;
    overlays += 2 * count;
  }

  /** Whether `count` more overlays fit into the process's share. */
  static fits(count: number): boolean {
    const { mostMaps, maps } = processCounts();
    return maps + overlays + 2 * count <= mostMaps;
  }

  /** The caller has laid one file over everything: there are no overlays any more. */
  forgetOverlays(): void {
    overlays -= this.#overlays;
    this.#overlays = 0;
  }

  /** Pages of [start, start + length) that were written. */
  dirty(start: number, length: number, way: "scan" | "pagemap"): Runs {
    const scan = (at: number): Float64Array => {
      const { calls } = native();
      const got = calls.oc_dirty(this.address + at, start + length - at, WAY[way] ?? 0, scanned, CAPACITY);
      const part = scanned.slice(0, 2 * check(got, "scan", this.what));
      for (let i = 0; i < part.length; i += 2) part[i] = at + (part[i] ?? 0);
      return part;
    };
    const first = scan(start);
    if (first.length < 2 * CAPACITY) return { data: first, count: first.length / 2 };
    const parts = [first];
    let count = CAPACITY;
    for (let part = first; part.length === 2 * CAPACITY; ) {
      const at = (part[2 * CAPACITY - 2] ?? 0) + (part[2 * CAPACITY - 1] ?? 0);
      if (at >= start + length) break;
      part = scan(at);
      parts.push(part);
      count += part.length / 2;
    }
    const data = new Float64Array(2 * count);
    let at = 0;
    for (const part of parts) {
      data.set(part, at);
      at += part.length;
    }
    return { data, count };
  }

  /** Adds the pages of a range that differ from the file (zeros without one) to `into`, as (start, length) pairs. */
  differing(start: number, length: number, file: DataFile | undefined, offset: number, into: number[]): void {
    const { calls } = native();
    const part = new Float64Array(2 * CAPACITY);
    for (let at = 0; at < length; ) {
      const got = check(
        calls.oc_differ(this.address + start + at, length - at, file?.fd ?? -1, offset + at, part, CAPACITY),
        "compare",
        this.what,
      );
      for (let i = 0; i < got; i++) into.push(start + at + (part[2 * i] ?? 0), part[2 * i + 1] ?? 0);
      if (got < CAPACITY) return;
      at += (part[2 * got - 2] ?? 0) + (part[2 * got - 1] ?? 0);
    }
  }

  /** Pages of the runs that hold the same as the file from `offset` on, run after run. */
  same(runs: Float64Array, count: number, file: DataFile, offset: number): Runs {
    let pages = 0;
    const { calls } = native();
    for (let i = 0; i < count; i++) pages += (runs[2 * i + 1] ?? 0) / calls.oc_page_size();
    const data = new Float64Array(2 * Math.max(1, pages));
    const got = calls.oc_same_runs(this.address, runs, count, file.fd, offset, data, pages);
    return { data, count: check(got, "compare", this.what) };
  }

  /**
   * What `restore` does, for pages that a file holds too, from `offset` on, run after run: what was written to them since
   * they were written there, by a call that works in another thread, stays.
   */
  release(runs: Float64Array, count: number, file: DataFile, offset: number): void {
    check(native().calls.oc_release_runs(this.address, runs, count, file.fd, offset), "release", this.what);
  }

  /** Private changes of the runs are gone: what is laid there is seen again, and the memory is given back. */
  restore(runs: Float64Array, count: number): void {
    check(native().calls.oc_advise_runs(this.address, runs, count, ADVISE_DONTNEED), "restore", this.what);
  }

  /** Copies the runs, one after the other, into `out`, which is as long as they are; crc32c of each page into `sums`. */
  gather(runs: Float64Array, count: number, page: number, sums: Uint32Array, out: Uint8Array): void {
    check(native().calls.oc_gather_runs(this.address, runs, count, page, sums, out), "copy", this.what);
  }

  /** Detaches every view and gives the range back. May be called twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.keeps = undefined;
    this.forgetOverlays();
    forgetLeak(this);
    this.#range.release();
  }
}
