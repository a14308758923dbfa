/** Bytes for each page: 7 bits a key in a page that is as full as pages become. */
const SIZE_BITS = 8;
const SIZE: number = 1 << SIZE_BITS;
/** A line of the processor's cache: a quarter of that. */
const LINE_BITS = 6;
const LINE_MASK: number = (8 << LINE_BITS) - 1;

/**
 * Tells for most keys that are in no slot of their page of the index that they are not, without a look at the page: a
 * Bloom filter for each page that was learnt. A writer's only, because it must hear of every slot that is filled.
 */
export class PageFilter {
  #bits: Uint8Array;
  #known: Uint8Array;

  constructor(pages: number) {
    this.#bits = new Uint8Array(pages << SIZE_BITS);
    this.#known = new Uint8Array(pages);
  }

  /** Bytes of memory that it takes for so many pages. */
  static bytesFor(pages: number): number {
    return pages * (SIZE + 1);
  }

  get bytes(): number {
    return this.#bits.length + this.#known.length;
  }

  /** Every slot of the page is added, and others are from now on. */
  learn(page: number): void {
    this.#known[page] = 1;
  }

  knows(page: number): boolean {
    return this.#known[page] !== 0;
  }

  /** The page's number says the upper bits of `h1`: the lower ones and the tag tell its keys apart. */
  add(page: number, h1: number, tag: number): void {
    const bits = this.#bits;
    const line = this.#line(page, tag);
    const a = tag & LINE_MASK;
    const b = h1 & LINE_MASK;
    const c = ((tag >>> 9) ^ (h1 >>> 7)) & LINE_MASK;
    bits[line + (a >>> 3)]! |= 1 << (a & 7);
    bits[line + (b >>> 3)]! |= 1 << (b & 7);
    bits[line + (c >>> 3)]! |= 1 << (c & 7);
  }

  /** True when no slot of the page has this hash. */
  excludes(page: number, h1: number, tag: number): boolean {
    if (this.#known[page] === 0) return false;
    const bits = this.#bits;
    const line = this.#line(page, tag);
    const a = tag & LINE_MASK;
    const b = h1 & LINE_MASK;
    const c = ((tag >>> 9) ^ (h1 >>> 7)) & LINE_MASK;
    return (
      (bits[line + (a >>> 3)]! & (1 << (a & 7))) === 0 ||
      (bits[line + (b >>> 3)]! & (1 << (b & 7))) === 0 ||
      (bits[line + (c >>> 3)]! & (1 << (c & 7))) === 0
    );
  }

  /** All bits of a key are in one line of the processor's cache. */
  #line(page: number, tag: number): number {
    return (page << SIZE_BITS) + ((tag >>> 14) << LINE_BITS);
  }
}
