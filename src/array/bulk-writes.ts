import { PrivateView } from "../memory/private-view.ts";
import type { ArrayEngine } from "./engine.ts";
import type { LayeredView } from "./layered-view.ts";
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
 * What bulk calls write does not go through memory where there is much of it: what nobody has seen goes to where it is to
 * stay, the rest to where spills go.
 */
export class BulkWrites {
  readonly #engine: ArrayEngine;
  readonly #spills: SpillFile;
  readonly #least: number;
  readonly #much: number;

  /** @param least bytes from which on it is worth while. @param spillBytes most bytes that may go through memory. */
  constructor(engine: ArrayEngine, spills: SpillFile, least: number, spillBytes: number) {
    this.#engine = engine;
    this.#spills = spills;
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
    const isSpilled = first - start >= this.#much && PrivateView.fits(1);
    if (isSpilled) {
      const { file, offset: place } = this.#spills.writeBlocks(first - start, part(start, first));
      view.laySpilled(start, first - start, file, place);
    }
    if (end > first) this.#engine.writeFresh(id, first / pageSize, (end - first) / pageSize, part(first, end));
    const from = isSpilled ? start : first;
    return end > from && (isSpilled || end > first) ? { from, to: end } : none;
  }
}
