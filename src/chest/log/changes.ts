const FIRST = 1024;
/** A hash and a number below this are an exact number together. */
const MOST_SORTED: number = 2 ** 21;
/** Room for at most so many is kept from commit to commit. */
const MOST_KEPT: number = 2 ** 20;

/**
 * The changes that are in the log and not in the index yet: in order, and found by hash, the newest first. Typed arrays
 * only: it holds hundreds of thousands of them without work for the collector.
 */
export class Changes {
  length = 0;
  /** At most so many of them are new keys. */
  inserts = 0;
  #h1: Uint32Array = new Uint32Array(FIRST);
  /** Tag, and 2^16 when it is a removal. */
  #tag: Uint32Array = new Uint32Array(FIRST);
  #position: Float64Array = new Float64Array(FIRST);
  #before: Float64Array = new Float64Array(FIRST);
  /** The change before it in the same bucket, plus one; 0: none. */
  #next: Uint32Array = new Uint32Array(FIRST);
  /** The newest change in each bucket, plus one; twice as many as there is room for changes. */
  #buckets: Uint32Array = new Uint32Array(2 * FIRST);
  #applied = 0;
  /** What is applied first, hash before hash; empty until it is asked for. */
  #order: Float64Array = new Float64Array(0);
  /** How many of `#order` count. */
  #sorted = 0;
  #keep: number;

  /** `keep`: room for so many stays when they are cleared, because arrays made anew at each commit are much to collect. */
  constructor(keep = 0) {
    this.#keep = Math.min(MOST_KEPT, Math.max(2 ** 16, keep));
  }

  /** Bytes of memory that it takes. */
  get bytes(): number {
    return this.#h1.length * 36 + this.#order.length * 8;
  }

  get hasStaged(): boolean {
    return this.length > 0;
  }

  add(h1: number, tag: number, position: number, before: number, removed = false): void {
    if (this.length === this.#h1.length) this.#grow();
    const at = this.length++;
    this.#h1[at] = h1;
    this.#tag[at] = removed ? tag | 0x10000 : tag;
    this.#position[at] = position;
    this.#before[at] = before;
    const bucket = h1 & (this.#buckets.length - 1);
    this.#next[at] = this.#buckets[bucket]!;
    this.#buckets[bucket] = at + 1;
    if (before === 0 && !removed) this.inserts++;
  }

  #grow(): void {
    const double = <T extends Uint32Array | Float64Array>(from: T): T => {
      const to = new (from.constructor as new (length: number) => T)(from.length * 2);
      to.set(from);
      return to;
    };
    this.#h1 = double(this.#h1);
    this.#tag = double(this.#tag);
    this.#position = double(this.#position);
    this.#before = double(this.#before);
    this.#next = new Uint32Array(this.#h1.length);
    this.#buckets = new Uint32Array(this.#h1.length * 2);
    const mask = this.#buckets.length - 1;
    for (let at = 0; at < this.length; at++) {
      const bucket = this.#h1[at]! & mask;
      this.#next[at] = this.#buckets[bucket]!;
      this.#buckets[bucket] = at + 1;
    }
  }

  /** What the newest change of a key says, by `resolve`; undefined when none is the key's. */
  find(h1: number, tag: number, resolve: (position: number) => number | undefined): number | undefined {
    let at = this.#buckets[h1 & (this.#buckets.length - 1)]!;
    while (at !== 0) {
      if (this.#h1[at - 1] === h1 && (this.#tag[at - 1]! & 0xffff) === tag) {
        const found = resolve(this.#position[at - 1]!);
        if (found !== undefined) return found;
      }
      at = this.#next[at - 1]!;
    }
    return undefined;
  }

  /**
   * Visits each once; where `visit` threw, the next call goes on. In order, or `byHash`, so that a large index is gone
   * through once; the changes of one key stay in order.
   */
  apply(
    visit: (h1: number, tag: number, position: number, before: number, removed: boolean) => void,
    byHash: boolean,
  ): void {
    if (byHash && this.#applied === 0 && this.length <= MOST_SORTED) this.#sort();
    for (; this.#applied < this.length; this.#applied++) {
      const i = this.#applied < this.#sorted ? this.#order[this.#applied]! % MOST_SORTED : this.#applied;
      const tag = this.#tag[i]!;
      visit(this.#h1[i]!, tag & 0xffff, this.#position[i]!, this.#before[i]!, tag > 0xffff);
    }
  }

  #sort(): void {
    const { length } = this;
    if (this.#order.length < length) this.#order = new Float64Array(Math.min(this.#h1.length, MOST_SORTED));
    const order = this.#order.subarray(0, length);
    for (let i = 0; i < length; i++) order[i] = this.#h1[i]! * MOST_SORTED + i;
    order.sort();
    this.#sorted = length;
  }

  clear(): void {
    this.#forget();
    this.length = 0;
    this.inserts = 0;
    this.#applied = 0;
    this.#sorted = 0;
  }

  /** Empties the buckets; gives up arrays that are too large to be kept. */
  #forget(): void {
    const { length } = this;
    if (this.#h1.length <= this.#keep) {
      const mask = this.#buckets.length - 1;
      if (length > mask / 8) this.#buckets.fill(0);
      else for (let at = 0; at < length; at++) this.#buckets[this.#h1[at]! & mask] = 0;
      return;
    }
    this.#h1 = new Uint32Array(FIRST);
    this.#tag = new Uint32Array(FIRST);
    this.#position = new Float64Array(FIRST);
    this.#before = new Float64Array(FIRST);
    this.#next = new Uint32Array(FIRST);
    this.#buckets = new Uint32Array(2 * FIRST);
    this.#order = new Float64Array(0);
  }
}
