const CHUNK = 4096;

/** Pages of an array, many or few, wherever they lie. */
export class PageSet {
  #chunks = new Map<number, Uint8Array>();

  #add(page: number): boolean {
    const number = Math.floor(page / CHUNK);
    const chunk = this.#chunks.get(number) ?? new Uint8Array(CHUNK);
    this.#chunks.set(number, chunk);
    if (chunk[page % CHUNK] === 1) return false;
    chunk[page % CHUNK] = 1;
    return true;
  }

  /** Adds pages [first, end); those that were not in it yet, as such ranges. */
  add(first: number, end: number): [number, number][] {
    const fresh: [number, number][] = [];
    for (let page = first; page < end; page++) {
      if (!this.#add(page)) continue;
      const last = fresh.at(-1);
      if (last?.[1] === page) last[1]++;
      else fresh.push([page, page + 1]);
    }
    return fresh;
  }
}
