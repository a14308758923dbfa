const FIRST = 1024;
/** Room for at most so many is kept from commit to commit. */
const MOST_KEPT: number = 2 ** 20;
/** A change is 32 bytes: four 32-bit words and two doubles. */
const WORDS = 8;
const DOUBLES = 4;
const H1 = 0;
/** Tag, and 2^16 when it is a removal. */
const TAG = 1;
/** The change before it in the same bucket, plus one; 0: none. */
const NEXT = 2;
const POSITION = 2;
const BEFORE = 3;
const REMOVAL = 0x10000;
/** Hashes are sorted by their upper bits, in two steps of so many: an index of four million pages is gone through once. */
const DIGIT_BITS = 11;
const DIGITS: number = 1 << DIGIT_BITS;

/**
 * The changes that are in the log and not in the index yet: in order, and found by hash, the newest first. Typed arrays
 * only: it holds hundreds of thousands of them without work for the collector. All there is to a change lies together.
 */
export class Changes {
  length = 0;
  /** At most so many of them are new keys. */
  inserts = 0;
  #room: number = FIRST;
  #words: Uint32Array<ArrayBuffer> = new Uint32Array(FIRST * WORDS);
  /** The same memory. */
  #doubles: Float64Array<ArrayBuffer> = new Float64Array(this.#words.buffer);
  /** The newest change in each bucket, plus one; twice as many as there is room for changes. */
  #buckets: Uint32Array = new Uint32Array(2 * FIRST);
  #applied = 0;
  /** What is applied first, hash before hash; empty until it is asked for. */
  #order: Uint32Array = new Uint32Array(0);
  /** For sorting. */
  #other: Uint32Array = new Uint32Array(0);
  /** How many of `#order` count. */
  #sorted = 0;
  #keep: number;

  /** `keep`: room for so many stays when they are cleared, because arrays made anew at each commit are much to collect. */
  constructor(keep = 0) {
    this.#keep = Math.min(MOST_KEPT, Math.max(2 ** 16, keep));
  }

  /** Bytes of memory that it takes. */
  get bytes(): number {
    return this.#room * 40 + this.#order.length * 8;
  }

  get hasStaged(): boolean {
    return this.length > 0;
  }

  add(h1: number, tag: number, position: number, before: number, removed = false): void {
    if (this.length === this.#room) this.#grow();
    const words = this.#words;
    const doubles = this.#doubles;
    const buckets = this.#buckets;
    const change = this.length++;
    const at = change * WORDS;
    const bucket = h1 & (buckets.length - 1);
    words[at + H1] = h1;
    words[at + TAG] = removed ? tag | REMOVAL : tag;
    words[at + NEXT] = buckets[bucket]!;
    doubles[change * DOUBLES + POSITION] = position;
    doubles[change * DOUBLES + BEFORE] = before;
    buckets[bucket] = change + 1;
    if (before === 0 && !removed) this.inserts++;
  }

  #resize(room: number): void {
    this.#room = room;
    this.#words = new Uint32Array(room * WORDS);
    this.#doubles = new Float64Array(this.#words.buffer);
    this.#buckets = new Uint32Array(room * 2);
  }

  #grow(): void {
    const before = this.#words;
    this.#resize(this.#room * 2);
    const words = this.#words;
    const buckets = this.#buckets;
    words.set(before);
    const mask = buckets.length - 1;
    for (let change = 0; change < this.length; change++) {
      const bucket = words[change * WORDS + H1]! & mask;
      words[change * WORDS + NEXT] = buckets[bucket]!;
      buckets[bucket] = change + 1;
    }
  }

  /** What the newest change of a key says, by `resolve`; undefined when none is the key's. */
  find(h1: number, tag: number, resolve: (position: number) => number | undefined): number | undefined {
    const words = this.#words;
    let next = this.#buckets[h1 & (this.#buckets.length - 1)]!;
    while (next !== 0) {
      const at = (next - 1) * WORDS;
      if (words[at + H1] === h1 && (words[at + TAG]! & 0xffff) === tag) {
        const found = resolve(this.#doubles[(next - 1) * DOUBLES + POSITION]!);
        if (found !== undefined) return found;
      }
      next = words[at + NEXT]!;
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
    if (byHash && this.#applied === 0) this.#sort();
    const words = this.#words;
    const doubles = this.#doubles;
    for (; this.#applied < this.length; this.#applied++) {
      const change = this.#applied < this.#sorted ? this.#order[this.#applied]! : this.#applied;
      const tag = words[change * WORDS + TAG]!;
      const position = doubles[change * DOUBLES + POSITION]!;
      const before = doubles[change * DOUBLES + BEFORE]!;
      visit(words[change * WORDS + H1]!, tag & 0xffff, position, before, tag >= REMOVAL);
    }
  }

  /** By the lower digit first, then by the upper one; what has the same stays in order. */
  #sort(): void {
    const { length } = this;
    if (this.#order.length < length) {
      this.#order = new Uint32Array(this.#room);
      this.#other = new Uint32Array(this.#room);
    }
    const words = this.#words;
    const lower = new Uint32Array(DIGITS);
    const upper = new Uint32Array(DIGITS);
    for (let change = 0; change < length; change++) {
      const h1 = words[change * WORDS + H1]!;
      lower[(h1 >>> (32 - 2 * DIGIT_BITS)) & (DIGITS - 1)]!++;
      upper[h1 >>> (32 - DIGIT_BITS)]!++;
    }
    toStarts(lower);
    toStarts(upper);
    const other = this.#other;
    const order = this.#order;
    for (let change = 0; change < length; change++) {
      const digit = (words[change * WORDS + H1]! >>> (32 - 2 * DIGIT_BITS)) & (DIGITS - 1);
      other[lower[digit]!++] = change;
    }
    for (let i = 0; i < length; i++) {
      const change = other[i]!;
      const digit = words[change * WORDS + H1]! >>> (32 - DIGIT_BITS);
      order[upper[digit]!++] = change;
    }
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
    if (this.#room > this.#keep) {
      this.#resize(FIRST);
      this.#order = new Uint32Array(0);
      this.#other = new Uint32Array(0);
      return;
    }
    const mask = this.#buckets.length - 1;
    if (length > mask / 8) this.#buckets.fill(0);
    else for (let change = 0; change < length; change++) this.#buckets[this.#words[change * WORDS + H1]! & mask] = 0;
  }
}

/** Turns how many there are of each into where the first of them goes. */
function toStarts(counts: Uint32Array): void {
  let start = 0;
  for (let digit = 0; digit < counts.length; digit++) {
    const count = counts[digit]!;
    counts[digit] = start;
    start += count;
  }
}
