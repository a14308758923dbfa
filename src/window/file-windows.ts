import { LimitError, TruncatedError } from "../errors.ts";
import type { Piece } from "../memory/buffer-set.ts";
import type { DataFile } from "../memory/data-file.ts";
import { Mapping } from "../memory/mapping.ts";
import type { Residency, WindowOwner } from "./residency.ts";
import { WindowTable } from "./window-table.ts";

const NOWHERE = -1;
/** Windows that a scan holds, within an eighth of the budget: giving memory back costs less in large pieces. */
const SCAN_WINDOWS = 8;

/**
 * The windows of one file: which are resident, the range that is being read in order, and the mapping under both. The
 * fields that reads need on every hit are public to their one user, `WindowFile`.
 */
export class FileWindows implements WindowOwner {
  readonly residency: Residency;
  readonly windowSize: number;
  /** What is known of each window. */
  table: WindowTable;
  /** Bytes of the file, as last seen; 0 when it is closed. */
  size: number;
  /** Changes whenever memory is given back or mapped anew: what was found before must be looked up again. */
  generation = 0;
  /** Changes whenever the file is mapped anew: views of before are not used again. */
  remaps = 0;
  /** Where the last read ended, and in which window. */
  next: number = NOWHERE;
  lastWindow: number = NOWHERE;
  #file: DataFile;
  /** Frees what can be freed; for when the system itself runs out. */
  #collect: () => void;
  #mapping: Mapping | undefined;
  /** Mappings that lost pages, replaced by `refresh`; their views live until the end. */
  #lost: Mapping[] = [];
  #piece: Piece | undefined;
  /** The range that is being read in order, outside of the resident windows. */
  #scanBegin = NOWHERE;
  #scanEnd = NOWHERE;
  #exposed = false;

  constructor(file: DataFile, residency: Residency, windowSize: number, collect: () => void) {
    this.#file = file;
    this.residency = residency;
    this.windowSize = windowSize;
    this.#collect = collect;
    this.table = new WindowTable(residency.age);
    this.size = file.size();
  }

  /** The present mapping, if anything was mapped. */
  get mapping(): Mapping | undefined {
    return this.#mapping;
  }

  /** Bytes of a window; the last one ends with the file. */
  windowBytes(window: number): number {
    return Math.min(this.windowSize, this.size - window * this.windowSize);
  }

  /**
   * The mapping, which reaches at least to `end`. Never beyond what the file has now: a file that somebody has made
   * shorter since must not be made longer again.
   *
   * @throws {LimitError} when the system has no room, also after collecting.
   * @throws {TruncatedError} when the file ends before `end`.
   */
  map(end: number): Mapping {
    const mapping = this.#mapping;
    if (mapping !== undefined && mapping.length >= end) return mapping;
    const make = () => {
      const size = this.#file.size();
      if (size < end) throw new TruncatedError(this.#file.path, size, size);
      const length = Math.min(size, this.size);
      if (mapping === undefined) return Mapping.ofFile(this.#file, this.#file.writable ? "write" : "read", length);
      mapping.grow(length);
      mapping.trimRetired();
      this.#forgetPlaces();
      return mapping;
    };
    try {
      this.#mapping = make();
    } catch (error) {
      if (!(error instanceof LimitError)) throw error;
      this.#collect();
      this.#mapping = make();
    }
    return this.#mapping;
  }

  /** Whether the file can be mapped up to `end`; where it cannot, reads go on without. */
  #canMap(end: number): boolean {
    try {
      this.map(end);
      return true;
    } catch (error) {
      if (error instanceof LimitError || error instanceof TruncatedError) return false;
      throw error;
    }
  }

  #forgetPlaces(): void {
    this.#piece = undefined;
    this.generation++;
    this.remaps++;
  }

  /** A view of bytes that the caller has checked and mapped. */
  bytes(offset: number, length: number): Uint8Array {
    const end = offset + length;
    let piece = this.#piece;
    if (piece === undefined || offset < piece.start || end > piece.end || piece.buffer.detached) {
      if (length === 0) return new Uint8Array(0);
      piece = this.map(end).piece(offset, length);
      this.#piece = piece;
    }
    this.#mapping?.expose(end);
    return new Uint8Array(piece.buffer, offset - piece.start, length);
  }

  useCount(window: number): number {
    return this.table.count(window);
  }

  dropWindow(window: number): void {
    this.table.setId(window, NOWHERE);
    this.#trim(window * this.windowSize, (window + 1) * this.windowSize);
  }

  /** Gives the memory of whole windows [begin, end) back. */
  #trim(begin: number, end: number): void {
    this.generation++;
    const mapping = this.#mapping;
    if (mapping !== undefined && begin < mapping.length) mapping.trim(begin, Math.min(end, mapping.length) - begin);
  }

  dropScan(): void {
    const begin = this.#scanBegin;
    const end = this.#scanEnd;
    this.#scanBegin = NOWHERE;
    this.#scanEnd = NOWHERE;
    this.#trimUnless(begin, end, NOWHERE, NOWHERE);
  }

  /** Gives back the windows of [begin, end) that are neither resident nor in [keepBegin, keepEnd). */
  #trimUnless(begin: number, end: number, keepBegin: number, keepEnd: number): void {
    if (begin < 0) return;
    const size = this.windowSize;
    const keeps = (at: number) => (at >= keepBegin && at < keepEnd) || this.table.id(at / size) >= 0;
    for (let at = begin; at < end; at += size) {
      let stop = at;
      while (stop < end && !keeps(stop)) stop += size;
      if (stop > at) this.#trim(at, stop);
      at = stop;
    }
  }

  /** Moves the scan to the windows that hold [offset, end); false when there is no room for them. */
  #scanTo(offset: number, end: number): boolean {
    if (offset >= this.#scanBegin && end <= this.#scanEnd) return true;
    const size = this.windowSize;
    const begin = Math.floor(offset / size) * size;
    const { budget } = this.residency.limits;
    const ahead = Math.min(SCAN_WINDOWS, Math.floor(budget / 8 / size)) * size;
    const stop = Math.max(Math.ceil(end / size) * size, Math.min(begin + ahead, Math.ceil(this.size / size) * size));
    const reach = Math.min(stop, this.size);
    if (stop - begin > budget || !this.#canMap(reach)) return false;
    const oldBegin = this.#scanBegin;
    const oldEnd = this.#scanEnd;
    if (!this.residency.scan(this, Math.min(stop, this.size) - begin)) return false;
    this.#scanBegin = begin;
    this.#scanEnd = stop;
    this.#trimUnless(oldBegin, oldEnd, begin, stop);
    return true;
  }

  /** A use of a window: true when it is resident. */
  use(window: number): boolean {
    const id = this.table.id(window);
    if (id < 0) return false;
    this.residency.hit(id);
    this.table.touch(window);
    return true;
  }

  /** A use of a window by a lease, which makes it resident and pins it. */
  pin(window: number): void {
    if (!this.use(window)) {
      this.table.touch(window);
      this.residency.counters.misses++;
      this.table.setId(window, this.residency.require(this, window, this.windowBytes(window)));
    }
    this.residency.pin(this.table.id(window));
  }

  /** After a miss that was mapped: whether the window is resident, or the scan holds all of [offset, end). */
  holds(window: number, offset: number, end: number): boolean {
    return this.table.id(window) >= 0 || this.#scanTo(offset, end);
  }

  /**
   * A use of a window that is not resident: true when it is readable through the mapping now, because it has become
   * resident or is being scanned.
   */
  miss(window: number, sequential: boolean): boolean {
    const { counters } = this.residency;
    const begin = window * this.windowSize;
    if (begin >= this.#scanBegin && begin < this.#scanEnd && sequential) {
      counters.hits++;
      return true;
    }
    counters.misses++;
    const again = sequential && window === this.lastWindow;
    const uses = again ? this.table.count(window) : this.table.touch(window);
    if (uses < 2 && !sequential) return false;
    const bytes = this.windowBytes(window);
    let id = this.residency.settle(this, window, bytes);
    if (id < 0 && sequential) return this.#scanTo(begin, begin + 1);
    if (id < 0) id = this.residency.admit(this, window, bytes, uses);
    if (id < 0) return false;
    let mapped = false;
    try {
      mapped = this.#canMap(begin + bytes);
    } finally {
      if (mapped) this.table.setId(window, id);
      else this.residency.forget(id);
    }
    return mapped;
  }

  /** Gives back what views touched outside of resident windows. */
  sweep(): void {
    const mapping = this.#mapping;
    if (mapping === undefined) return;
    mapping.trimRetired();
    let from = 0;
    for (const window of [...this.residency.windowsOf(this), Number.POSITIVE_INFINITY]) {
      const to = Math.min(window * this.windowSize, mapping.length);
      if (to > from) mapping.trim(from, to - from);
      from = (window + 1) * this.windowSize;
    }
    this.generation++;
  }

  /** The mapping that a view lies on: one that was lost, or the present one. */
  mappingOf(bytes: Uint8Array): Mapping | undefined {
    if (this.#lost.length === 0) return this.#mapping;
    return this.#lost.find((mapping) => mapping.holds(bytes)) ?? this.#mapping;
  }

  /** Views of this file may be touched when nothing is leased. */
  expose(): void {
    if (this.#exposed) return;
    this.#exposed = true;
    this.residency.expose(this);
  }

  /** Ends one pin of each resident window from `first` to `last`. */
  unpin(first: number, last: number): void {
    for (let window = first; window <= last; window++) {
      const id = this.table.id(window);
      if (id >= 0) this.residency.unpin(id);
    }
  }

  /**
   * Looks at the file's present size and returns it.
   * @throws {TruncatedError} when it has become shorter than what was mapped and seen of it.
   */
  refresh(): number {
    const size = this.#file.size();
    if (size === this.size && !this.#mapping?.lost) return size;
    const mapping = this.#mapping;
    const lost = mapping !== undefined && (mapping.lost || size < this.size);
    if (size !== this.size) {
      const partial = Math.floor(Math.min(size, this.size) / this.windowSize);
      for (const window of this.residency.windowsOf(this))
        if (window >= partial) this.residency.evictUnpinned(this.table.id(window));
    }
    this.size = size;
    this.#forgetPlaces();
    if (!lost) return size;
    /* What was mapped stays poisoned; later reads get a mapping of their own. Leases keep their pins. */
    for (const window of this.residency.windowsOf(this)) this.residency.evictUnpinned(this.table.id(window));
    this.residency.endScan(this);
    this.#mapping = undefined;
    this.#lost.push(mapping);
    mapping.trim();
    mapping.checkIntact();
    return size;
  }

  /** Gives everything back; returns the error for bytes that were seen and lost when no call has told of it. */
  close(): unknown {
    for (const window of this.residency.windowsOf(this)) this.residency.forget(this.table.id(window));
    this.residency.remove(this);
    this.#forgetPlaces();
    this.size = 0;
    this.table = new WindowTable(this.residency.age);
    let loss: unknown;
    for (const mapping of [...this.#lost, this.#mapping]) {
      try {
        mapping?.close();
      } catch (error) {
        loss ??= error;
      }
    }
    this.#mapping = undefined;
    this.#lost = [];
    return loss;
  }
}
