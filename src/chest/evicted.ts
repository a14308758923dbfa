import { collector } from "../memory/collection.ts";

/** Smaller values are collected with everything else; see `Garbage`. */
export const LARGE: number = 32 * 1024;
/** At least so many bytes of garbage are worth a collection. */
const LEAST = 8 * 2 ** 20;
/** Part of the budget that garbage may take. */
const SHARE = 0.3;
/** For each collection so many times its duration pass before the next one: a large heap takes long. */
const REST = 2;

/**
 * Large values that have left memory and are there all the same until the runtime collects them: it is asked to, where it
 * lets hundreds of MiB of them pile up while a program does not return to its event loop.
 */
export class Evicted {
  #bytes = 0;
  #most: number;
  #collect: (() => void) | "in time" | undefined;
  /** No collection before this time. */
  #rest = 0;

  constructor(budget: number) {
    this.#most = Math.max(LEAST, budget * SHARE);
  }

  /** A value of this weight has left memory. */
  add(weight: number): void {
    if (weight >= LARGE) this.#bytes += weight;
  }

  /** Has the runtime collect what is too much. */
  limit(): void {
    if (this.#bytes <= this.#most) return;
    this.#collect ??= collector("now") ?? "in time";
    const start = performance.now();
    if (this.#collect === "in time" || start < this.#rest) return;
    this.#collect();
    this.#bytes = 0;
    const end = performance.now();
    this.#rest = end + (end - start) * REST;
  }
}
