import { builtin } from "../builtins.ts";
import { collector } from "../memory/collection.ts";

/** Smaller values are collected with everything else; see `Garbage`. */
export const LARGE: number = 32 * 1024;
/** At least so many bytes of garbage are worth a collection. */
const LEAST = 8 * 2 ** 20;
/** Part of the budget that garbage may take. */
const SHARE = 0.3;
/** That part of it is collected where freed memory is used again: what is freed must do for what comes until then. */
const AGAIN = 1 / 3;
/** That part of it may be garbage, or free, before free memory goes back to the system. */
const KEPT = 0.8;
/** Looks at the process's memory between two collections. */
const LOOKS = 4;
/** For each collection so many times its duration pass before the next one: a large heap takes long. */
const REST = 1;

/** What a runtime can do about garbage. */
interface Collections {
  now(): void;
  /** With all free memory given back to the system; undefined where freed memory is not kept. */
  givingBack: (() => void) | undefined;
}

/** Least memory of the process when a chest was made in this thread. */
let least = Number.POSITIVE_INFINITY;

/**
 * Large values that have left memory and are there all the same until the runtime collects them: it is asked to, where it
 * lets hundreds of MiB of them pile up while a program does not return to its event loop. New pages cost more than all
 * else, so what it has freed it uses again, as far as other values fit there, and free memory goes back to the system only
 * when the process has grown by the budget and most of what garbage may take.
 */
export class Evicted {
  /** Garbage since the last collection. */
  #bytes = 0;
  readonly #budget: number;
  /** Most garbage. */
  readonly #most: number;
  readonly #step: number;
  #lookAt: number;
  #collections: Collections | "in time" | undefined;
  /** Memory of the process that is not this chest's. */
  #own: number;
  /** No collection before this time. */
  #rest = 0;

  constructor(budget: number) {
    this.#budget = budget;
    this.#most = Math.max(LEAST, budget * SHARE);
    this.#step = (this.#most * AGAIN) / LOOKS;
    this.#lookAt = this.#step;
    const all = resident();
    if (all < least) least = all;
    this.#own = least;
  }

  /** A value of this weight has left memory. */
  add(weight: number): void {
    if (weight >= LARGE) this.#bytes += weight;
  }

  /** Has the runtime collect what is too much. `held`: bytes of values in memory and of mapped pages. */
  limit(held: number): void {
    if (this.#bytes <= this.#lookAt) return;
    this.#collections ??= findCollections();
    if (this.#collections === "in time") return;
    const start = performance.now();
    if (start < this.#rest) return;
    this.#lookAt = this.#bytes + this.#step;
    const { now, givingBack } = this.#collections;
    const mine = Math.min(held, this.#budget);
    if (givingBack !== undefined && this.#isOver(mine)) {
      givingBack();
      const left = resident();
      if (left >= 0) this.#own = left - mine;
    } else if (this.#bytes > this.#most * (givingBack === undefined ? 1 : AGAIN)) now();
    else return;
    this.#bytes = 0;
    this.#lookAt = this.#step;
    const end = performance.now();
    this.#rest = end + (end - start) * REST;
  }

  #isOver(mine: number): boolean {
    const all = resident();
    if (Number.isNaN(all)) return false;
    /* Others may have given memory back. */
    this.#own = Math.min(this.#own, all - mine);
    return all - this.#own > this.#budget + this.#most * KEPT;
  }
}

function findCollections(): Collections | "in time" {
  const now = collector("now");
  return now === undefined ? "in time" : { now, givingBack: collector("giving back") };
}

/** NaN where the system does not tell, for one because no descriptor is left: then nothing is too much. */
function resident(): number {
  try {
    return builtin("process").memoryUsage.rss();
  } catch {
    return Number.NaN;
  }
}
