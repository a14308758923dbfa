import { native } from "../../ffi/load.ts";
import { MappedIoError, ReadOnlyError, TruncatedError } from "../errors.ts";
import { ADVISE_DONTNEED } from "./advice.ts";
import type { DataFile } from "./data-file.ts";
import type { MappedRange } from "./mapped-range.ts";

/** Bytes of a page wherever one must be assumed: no system has smaller ones. */
const SMALLEST_PAGE = 4096;

/**
 * The address ranges of one mapping: the present one, and those that growth has replaced, whose views live on. Knows
 * whether what was seen through them was the file's. Offsets are those of the mapping.
 */
export class MappedBytes {
  /** The range that calls use; undefined when the mapping is empty or closed. */
  range: MappedRange | undefined;
  /** Bytes between the start of a range, which is at a page, and the first byte of the mapping. */
  readonly lead: number;
  #retired: MappedRange[] = [];
  #path: string;
  #file: DataFile | undefined;
  /** Offset of the mapping in the file. */
  #offset: number;
  /** End of what was handed out: the file must still reach that far at the end. */
  #exposed = 0;
  #toldFaults = 0;

  constructor(path: string, file: DataFile | undefined, offset: number, lead: number) {
    this.#path = path;
    this.#file = file;
    this.#offset = offset;
    this.lead = lead;
  }

  /** Address of byte `offset`. */
  address(offset: number): number {
    return (this.range?.address ?? 0) + this.lead + offset;
  }

  /** Puts a longer range in the place of the present one, whose views stay valid. */
  replace(range: MappedRange | undefined): void {
    if (this.range !== undefined) this.#retired.push(this.range);
    this.range = range;
  }

  #all(): MappedRange[] {
    return this.range === undefined ? this.#retired : [this.range, ...this.#retired];
  }

  /** Bytes up to `end` may have been seen. */
  expose(end: number): void {
    if (end > this.#exposed) this.#exposed = end;
  }

  /** Whether a view lies on one of the ranges. */
  holds(bytes: Uint8Array): boolean {
    return this.#all().some((range) => range.buffers.holds(bytes.buffer));
  }

  /** How often a page was lost. */
  get faults(): number {
    let faults = this.range?.guard.faults ?? 0;
    for (const range of this.#retired) faults += range.guard.faults;
    return faults;
  }

  /** @throws {ReadOnlyError} when somebody wrote to a view of a mapping that is for reading; takes the writes back. */
  checkStrays(): void {
    if (this.range?.guard.strayed !== true) return;
    let strayed = false;
    for (const range of this.#all()) if (range.takeBackStrays()) strayed = true;
    if (strayed) throw new ReadOnlyError(this.#path, true);
  }

  /** Whether somebody wrote to a view of a mapping that is for reading. */
  get strayed(): boolean {
    return this.#all().some((range) => range.guard.strayed);
  }

  /**
   * Throws when bytes of [offset, offset + length) are not the file's any more. `lastByte` is the last byte as it was
   * seen: the rest of a page beyond the end of a truncated file reads as zeros without a fault, so only a zero needs a
   * look at the size.
   */
  verify(offset: number, length: number, lastByte: number): void {
    const { range } = this;
    if (range === undefined) return;
    if (range.guard.strayed) this.checkStrays();
    if (range.guard.faults !== 0 || this.#retired.length > 0) this.checkLost(offset, length);
    if (lastByte === 0 && length > 0 && this.#file !== undefined && !this.#pageGoesOn(range, offset + length))
      this.#checkEnd(offset + length);
  }

  /**
   * Whether a byte that is not zero follows `end` in its page. Behind the end of a file a page is zero, so then the
   * file reaches beyond `end`. False decides nothing. Looks at 48 bytes at most.
   */
  #pageGoesOn(range: MappedRange, end: number): boolean {
    const from = this.lead + end;
    const left = (SMALLEST_PAGE - (from % SMALLEST_PAGE)) % SMALLEST_PAGE;
    if (left === 0) return false;
    const { buffer, start } = range.buffers.at(from - 1, 1);
    const tail = new Uint8Array(buffer, from - start, Math.min(left, buffer.byteLength - from + start));
    for (let i = 0; i < tail.length && i < 32; i++) if (tail[i] !== 0) return true;
    for (let i = tail.length - 1; i >= 32 && i >= tail.length - 16; i--) if (tail[i] !== 0) return true;
    return false;
  }

  #checkEnd(end: number): void {
    const size = this.#file?.size() ?? Number.POSITIVE_INFINITY;
    if (this.#offset + end <= size) return;
    this.#exposed = Math.min(this.#exposed, Math.max(0, size - this.#offset));
    throw new TruncatedError(this.#path, size, size);
  }

  /** Throws when a page of [offset, offset + length) was lost, under any of the ranges. */
  checkLost(offset: number, length: number): void {
    for (const range of this.#all()) {
      if (range.guard.faults === 0) continue;
      const low = range.guard.low - this.lead;
      if (offset + length <= low) continue;
      this.#toldFaults = this.faults;
      throw this.#lossAt(low);
    }
  }

  #lossAt(low: number): TruncatedError | MappedIoError {
    const size = this.#file?.size() ?? 0;
    const offset = this.#offset + Math.max(0, low);
    return size <= offset ? new TruncatedError(this.#path, offset, size) : new MappedIoError(this.#path, offset);
  }

  /** The error for bytes that were seen and lost, when no call has told of it yet. */
  untold(): TruncatedError | MappedIoError | undefined {
    const { faults } = this;
    if (faults > this.#toldFaults) {
      this.#toldFaults = faults;
      return this.#lossAt(Math.min(...this.#all().map((range) => range.guard.low)) - this.lead);
    }
    if (this.#file === undefined || this.#exposed === 0 || faults > 0) return undefined;
    const size = this.#file.size();
    if (size >= this.#offset + this.#exposed) return undefined;
    this.#exposed = 0;
    return new TruncatedError(this.#path, size, size);
  }

  /** Gives back the memory under ranges that growth has replaced. */
  trimRetired(): void {
    for (const range of this.#retired) native().calls.oc_advise(range.address, range.length, ADVISE_DONTNEED);
  }

  /** Detaches every view and gives all ranges back. */
  release(): void {
    for (const range of this.#all()) range.release();
    this.range = undefined;
    this.#retired = [];
  }
}
