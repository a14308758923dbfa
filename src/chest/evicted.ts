import { builtin } from "../builtins.ts";

/** Smaller values are collected with everything else; see `Garbage`. */
export const LARGE: number = 32 * 1024;
/** At least so many bytes of garbage are worth a collection. */
const LEAST = 8 * 2 ** 20;
/** Part of the budget that garbage may take. */
const SHARE = 0.3;
/** For each collection so many times its duration pass before the next one: a large heap takes long. */
const REST = 2;

type Bun = { gc(now: boolean): void };

/**
 * Collects garbage at once. Undefined in Node, where large arrays that are forgotten provoke collections in time; Bun and
 * Deno let hundreds of MiB of them pile up while a program does not return to its event loop.
 */
function collector(): (() => void) | undefined {
  const { Bun, Deno } = globalThis as { Bun?: Bun; Deno?: unknown };
  if (Bun !== undefined) return () => Bun.gc(true);
  if (Deno === undefined) return undefined;
  try {
    builtin("v8").setFlagsFromString("--expose-gc");
    const gc: unknown = builtin("vm").runInNewContext("gc");
    return typeof gc === "function" ? () => gc() : undefined;
  } catch {
    return undefined;
  }
}

let collect: (() => void) | undefined | null = null;

/** Large values that have left memory and are there all the same until the runtime collects them. */
export class Evicted {
  #bytes = 0;
  #most: number;
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
    if (collect === null) collect = collector();
    const start = performance.now();
    if (collect === undefined || start < this.#rest) return;
    collect();
    this.#bytes = 0;
    const end = performance.now();
    this.#rest = end + (end - start) * REST;
  }
}
