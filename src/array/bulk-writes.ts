import type { DataFile } from "../memory/data-file.ts";
import { PrivateView } from "../memory/private-view.ts";
import type { ArrayEngine } from "./engine.ts";
import type { LayeredView } from "./layered-view.ts";
import type { ScratchFile } from "./scratch-file.ts";
import type { SpillFile } from "./spill-file.ts";

/** From so many bytes on what is overwritten in bulk does not go through memory: making the file for it takes time. */
const MUCH: number = 2 ** 26;

/** Bytes from a place on, as many as it likes. */
export type Block = (at: number) => Uint8Array;

/** Bytes [from, to) of an array were written past its memory. */
export interface Written {
  readonly from: number;
  readonly to: number;
}

/**
 * What bulk calls write does not go through private memory where there is much of it: what nobody has seen goes to where it
 * is to stay, what lies behind all that was ever written to memory that is used again, and the rest, when it is much more,
 * to where spills go.
 */
export class BulkWrites {
  readonly #engine: ArrayEngine;
  readonly #spills: SpillFile;
  readonly #scratch: ScratchFile;
  readonly #least: number;
  readonly #much: number;

  /** @param least bytes from which on it is worth while. @param spillBytes most bytes that may go through memory. */
  constructor(engine: ArrayEngine, spills: SpillFile, scratch: ScratchFile, least: number, spillBytes: number) {
    this.#engine = engine;
    this.#spills = spills;
    this.#scratch = scratch;
    this.#least = least;
    this.#much = Math.min(MUCH, spillBytes);
  }

  /** Writes what it can of [offset, offset + length) of an array past the memory; what it has written. */
  write(id: number, memory: () => LayeredView, offset: number, length: number, block: Block): Written {
    const { pageSize } = this.#engine;
    const none = { from: offset, to: offset };
    if (length < this.#least) return none;
    const view = memory();
    const end = Math.floor((offset + length) / pageSize) * pageSize;
    if (end > view.view.length) return none;
    const part =
      (from: number, to: number): Block =>
      (at) => {
        const bytes = block(from - offset + at);
        return at + bytes.length > to - from ? bytes.subarray(0, to - from - at) : bytes;
      };
    const start = Math.ceil(offset / pageSize) * pageSize;
    const first = Math.min(end, Math.max(start, (this.#engine.firstFresh(id) ?? Number.POSITIVE_INFINITY) * pageSize));
    const aside =
      first > start && PrivateView.fits(1) ? this.#aside(view, start, first - start, part(start, first)) : undefined;
    if (aside !== undefined) view.laySpilled(start, first - start, aside.file, aside.offset);
    if (end > first) this.#engine.writeFresh(id, first / pageSize, (end - first) / pageSize, part(first, end));
    const from = aside === undefined ? first : start;
    return end > from && (aside !== undefined || end > first) ? { from, to: end } : none;
  }

  /** Writes pages where only this transaction sees them, unless they are better written through the memory of the view. */
  #aside(
    view: LayeredView,
    start: number,
    length: number,
    block: Block,
  ): { file: DataFile; offset: number } | undefined {
    if (length >= this.#much) return this.#spills.writeBlocks(length, block);
    return length >= this.#least && start >= view.homeBytes ? this.#scratch.write(length, block) : undefined;
  }
}
