import { isPlain, type KeyBytes } from "./keys.ts";
import type { Entry } from "./policy.ts";

/** Entries by key: a Map for keys that it tells apart as a chest does, another by content for the rest. */
export class Resident {
  readonly #plain: Map<unknown, Entry> = new Map();
  readonly #byContent: Map<string, Entry> = new Map();
  readonly #scratch: KeyBytes;

  constructor(scratch: KeyBytes) {
    this.#scratch = scratch;
  }

  get size(): number {
    return this.#plain.size + this.#byContent.size;
  }

  get(key: unknown): Entry | undefined {
    if (isPlain(key)) return this.#plain.size === 0 ? undefined : this.#plain.get(key);
    return this.#byContent.size === 0 ? undefined : this.#byContent.get(this.#scratch.set(key).text());
  }

  set(key: unknown, entry: Entry): void {
    if (isPlain(key)) this.#plain.set(key, entry);
    else this.#byContent.set(this.#scratch.set(key).text(), entry);
  }

  delete(key: unknown): void {
    if (isPlain(key)) this.#plain.delete(key);
    else this.#byContent.delete(this.#scratch.set(key).text());
  }

  *values(): IterableIterator<Entry> {
    yield* this.#plain.values();
    yield* this.#byContent.values();
  }

  clear(): void {
    this.#plain.clear();
    this.#byContent.clear();
  }
}
