const FIRST = 1024;

/** The changes that are in the log and not in the index yet: in order, and found by hash. */
export class Changes {
  length = 0;
  /** At most so many of them are new keys. */
  inserts = 0;
  #h1: Uint32Array = new Uint32Array(FIRST);
  #tag: Uint32Array = new Uint32Array(FIRST);
  #position: Float64Array = new Float64Array(FIRST);
  #before: Float64Array = new Float64Array(FIRST);
  /** Hash to the newest position, or positions where several keys share a hash. Filled when first asked for. */
  #staged: Map<number, number | number[]> = new Map();
  #indexed = 0;
  #applied = 0;

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
  }

  /** What the newest change of a key says, by `resolve`; undefined when none is the key's. */
  find(h1: number, tag: number, resolve: (position: number) => number | undefined): number | undefined {
    for (; this.#indexed < this.length; this.#indexed++) this.#index(this.#indexed);
    const found = this.#staged.get(h1 * 65536 + tag);
    if (found === undefined) return undefined;
    if (typeof found === "number") return resolve(found);
    for (let i = found.length - 1; i >= 0; i--) {
      const position = resolve(found[i]!);
      if (position !== undefined) return position;
    }
    return undefined;
  }

  #index(at: number): void {
    const hash = this.#h1[at]! * 65536 + (this.#tag[at]! & 0xffff);
    const position = this.#position[at]!;
    const before = this.#before[at]!;
    const present = this.#staged.get(hash);
    if (present === undefined || present === before) this.#staged.set(hash, position);
    else if (typeof present === "number") this.#staged.set(hash, [present, position]);
    else present.push(position);
  }

  /** Visits each once, in order; where `visit` threw, the next call goes on. */
  apply(visit: (h1: number, tag: number, position: number, before: number, removed: boolean) => void): void {
    for (; this.#applied < this.length; this.#applied++) {
      const i = this.#applied;
      const tag = this.#tag[i]!;
      visit(this.#h1[i]!, tag & 0xffff, this.#position[i]!, this.#before[i]!, tag > 0xffff);
    }
  }

  clear(): void {
    this.length = 0;
    this.inserts = 0;
    this.#indexed = 0;
    this.#applied = 0;
    this.#staged.clear();
    if (this.#h1.length > 2 ** 16) {
      this.#h1 = new Uint32Array(FIRST);
      this.#tag = new Uint32Array(FIRST);
      this.#position = new Float64Array(FIRST);
      this.#before = new Float64Array(FIRST);
    }
  }
}
