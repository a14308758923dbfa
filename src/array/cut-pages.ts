import type { DataFile } from "../memory/data-file.ts";
import type { FreshPages } from "./fresh-arrays.ts";

/** Pages [first, end) in a file. */
interface Part {
  readonly first: number;
  readonly end: number;
  readonly file: DataFile;
  readonly offset: number;
}

/**
 * Pages that a transaction wrote home and then cut off, copied to where spills go: a savepoint may want them back. Known
 * by the checksums they were written with, for what is written there next is not the same.
 */
export class CutPages {
  readonly #pageSize: number;
  #parts = new WeakMap<Uint32Array, Part[]>();

  constructor(pageSize: number) {
    this.#pageSize = pageSize;
  }

  add({ sums }: FreshPages, part: Part): void {
    this.#parts.set(sums, [...(this.#parts.get(sums) ?? []), part]);
  }

  /** Calls back with what was cut off of these pages: start, length, file, offset, in bytes. */
  each({ sums, end }: FreshPages, lay: (start: number, length: number, file: DataFile, offset: number) => void): void {
    const size = this.#pageSize;
    for (const part of this.#parts.get(sums) ?? []) {
      const last = Math.min(part.end, end);
      if (last > part.first) lay(part.first * size, (last - part.first) * size, part.file, part.offset);
    }
  }
}
