import { readdirSync, readlinkSync } from "node:fs";
import process from "node:process";
import type { WindowFile } from "../../src/window/main.ts";

export const PAGE = 4096;

/** Counts that grow in the long run. */
export const long: boolean = process.env.OUTCORE_LONG === "1";

/** The seed of this run's random tests; OUTCORE_SEED repeats a run. */
export const seed: number = Number(process.env.OUTCORE_SEED ?? "1") >>> 0;

/** Random numbers that a seed repeats. */
export class Random {
  #state: number;

  constructor(start: number) {
    this.#state = start >>> 0;
  }

  /** From 0 up to, not including, 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer from 0 up to, not including, `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.below(256);
    return bytes;
  }
}

/** Window numbers with a load as caches meet it: 90 % in the first 48 of `windows`, the rest anywhere. */
export function hotLoad(random: Random, windows: number): () => number {
  return () => (random.next() < 0.9 ? random.below(48) : random.below(windows));
}

/** Window numbers with Zipf's frequencies, the ranks spread over the file. */
export function zipfLoad(random: Random, windows: number, exponent = 0.9): () => number {
  const sums: number[] = [];
  let sum = 0;
  for (let rank = 1; rank <= windows; rank++) {
    sum += rank ** -exponent;
    sums.push(sum);
  }
  const places = Array.from({ length: windows }, (_, i) => i);
  for (let i = windows - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [places[i], places[j]] = [places[j] as number, places[i] as number];
  }
  return () => {
    const wanted = random.next() * sum;
    let low = 0;
    let high = windows - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    return places[low] as number;
  };
}

/** A least-recently-used cache as plain as can be: a Map keeps the order. */
export class PlainLru {
  #capacity: number;
  #entries = new Map<number, true>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** True when the key was there. */
  use(key: number): boolean {
    const there = this.#entries.delete(key);
    this.#entries.set(key, true);
    if (this.#entries.size > this.#capacity) this.#entries.delete(this.#entries.keys().next().value as number);
    return there;
  }
}

/** Descriptors of this process that are open on `path`. */
export function descriptorsOf(path: string): number {
  let count = 0;
  for (const name of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${name}`) === path) count++;
    } catch {
      /* Was the descriptor of the folder itself. */
    }
  }
  return count;
}

/** A class of errors, and what must hold of the one that is thrown: for `assert.throws`. */
export function failure(code: string, properties: Record<string, unknown> = {}): (error: unknown) => boolean {
  return (error) => {
    const found = error as Record<string, unknown>;
    if (found.code !== code) throw error;
    for (const [name, value] of Object.entries(properties))
      if (found[name] !== value) throw new Error(`${name} of ${code} is ${String(found[name])}, not ${String(value)}`);
    return true;
  };
}

/** The window of a file becomes resident, whatever the policy. */
export function makeResident(file: WindowFile, offset: number, length = 1): void {
  file.lease(offset, length).release();
}
