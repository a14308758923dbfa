import type { DataFile } from "../memory/data-file.ts";
import type { FreshPages } from "./fresh-arrays.ts";

/** Pages [first, end) that lie in a file. */
export interface CutPart {
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
  #parts = new WeakMap<Uint32Array, CutPart[]>();

  add({ sums }: FreshPages, part: CutPart): void {
    this.#parts.set(sums, [...(this.#parts.get(sums) ?? []), part]);
  }

  /** What was cut off of these pages, in the order of cutting. */
  of({ sums, end }: FreshPages): CutPart[] {
    const parts = (this.#parts.get(sums) ?? []).map((part) => ({ ...part, end: Math.min(part.end, end) }));
    return parts.filter((part) => part.end > part.first);
  }
}
