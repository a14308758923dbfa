/** The age of use counts, one for all files of a manager: after `period` touches every count is halved. */
export class Age {
  /** Halvings so far. */
  epoch = 0;
  #touches = 0;
  #period: number;

  constructor(period: number) {
    this.#period = period;
  }

  tick(): void {
    if (++this.#touches < this.#period) return;
    this.#touches = 0;
    this.epoch++;
  }
}

const CHUNK = 4096;

interface Chunk {
  /** Residency of each window: its number there plus one, 0 when it is not resident. */
  ids: Int32Array;
  /** How often each window was used lately, up to 255. */
  counts: Uint8Array;
  epoch: number;
}

/** Small files, of which there are many, get small chunks. */
function lengthFor(place: number): number {
  return Math.max(16, 2 ** Math.ceil(Math.log2(place + 1)));
}

function lengthen(chunk: Chunk, length: number): void {
  const { ids, counts } = chunk;
  chunk.ids = new Int32Array(length);
  chunk.counts = new Uint8Array(length);
  chunk.ids.set(ids);
  chunk.counts.set(counts);
}

/**
 * What is known of each window of one file: whether it is resident, and how often it was used lately (exact, five
 * bytes a window, in chunks of up to 4096 windows that exist once touched; TinyLFU's idea with counters instead of a sketch,
 * Einziger, Friedman, Manes 2017).
 */
export class WindowTable {
  #chunks: (Chunk | undefined)[] = [];
  #age: Age;

  constructor(age: Age) {
    this.#age = age;
  }

  /** Residency number of a window, -1 when it is not resident. Any number may be asked. */
  id(window: number): number {
    const chunk = this.#chunks[(window / CHUNK) | 0];
    return chunk === undefined ? -1 : (chunk.ids[window % CHUNK] ?? 0) - 1;
  }

  setId(window: number, id: number): void {
    this.#chunk(window).ids[window % CHUNK] = id + 1;
  }

  #chunk(window: number): Chunk {
    const index = Math.floor(window / CHUNK);
    const place = window % CHUNK;
    let chunk = this.#chunks[index];
    if (chunk === undefined) {
      const length = lengthFor(place);
      chunk = { ids: new Int32Array(length), counts: new Uint8Array(length), epoch: this.#age.epoch };
      this.#chunks[index] = chunk;
    } else if (place >= chunk.counts.length) lengthen(chunk, lengthFor(place));
    return chunk;
  }

  #halve(chunk: Chunk): void {
    const shift = Math.min(8, this.#age.epoch - chunk.epoch);
    chunk.epoch = this.#age.epoch;
    const { counts } = chunk;
    for (let i = 0; i < counts.length; i++) counts[i] = (counts[i] ?? 0) >> shift;
  }

  /** Counts a use of the window and returns how often it was used lately. */
  touch(window: number): number {
    const chunk = this.#chunk(window);
    if (chunk.epoch !== this.#age.epoch) this.#halve(chunk);
    const place = window % CHUNK;
    const count = chunk.counts[place] ?? 0;
    this.#age.tick();
    if (count === 255) return count;
    chunk.counts[place] = count + 1;
    return count + 1;
  }

  /** How often the window was used lately. */
  count(window: number): number {
    const chunk = this.#chunks[Math.floor(window / CHUNK)];
    if (chunk === undefined) return 0;
    if (chunk.epoch !== this.#age.epoch) this.#halve(chunk);
    return chunk.counts[window % CHUNK] ?? 0;
  }
}
