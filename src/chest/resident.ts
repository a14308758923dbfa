import type { KeyBytes } from "./keys.ts";
import type { Entry } from "./policy.ts";

const FIRST_CHAINS = 16;

/**
 * Entries by the hash of their keys, which the tier needs anyway: a Map would take a hash of its own, of text anew for
 * each text that is made. Chains are split one at a time as entries are added (linear hashing): growing never takes long.
 */
export class Resident {
  size = 0;
  #chains: (Entry | undefined)[] = new Array(FIRST_CHAINS).fill(undefined);
  /** One less than a power of two: as many chains as there were before the ones that are split now. */
  #mask: number = FIRST_CHAINS - 1;
  /** Chains before this one are split, and have their other half behind `#mask`. */
  #split = 0;
  /** For the key of an entry that may be the one looked for. */
  readonly #other: KeyBytes;

  constructor(other: KeyBytes) {
    this.#other = other;
  }

  #chain(hash: number): number {
    const chain = hash & this.#mask;
    return chain < this.#split ? hash & (2 * this.#mask + 1) : chain;
  }

  /** The entry of a key, whose bytes and hash are given too. */
  get(key: unknown, bytes: KeyBytes): Entry | undefined {
    const { h1 } = bytes;
    let entry = this.#chains[this.#chain(h1)];
    while (entry !== undefined && !(entry.hash === h1 && this.#isSame(entry.key, key, bytes))) entry = entry.chained;
    return entry;
  }

  #isSame(own: unknown, key: unknown, bytes: KeyBytes): boolean {
    if (own === key) return true;
    if (typeof own === "number") return Number.isNaN(own) && Number.isNaN(key);
    if (typeof own !== "object" || own === null || typeof key !== "object" || key === null) return false;
    return this.#other.set(own).equals(bytes.bytes, 0, bytes.length);
  }

  /** Adds an entry whose key has none. */
  add(entry: Entry): void {
    if (this.size >= this.#chains.length) this.#grow();
    const chain = this.#chain(entry.hash);
    entry.chained = this.#chains[chain];
    this.#chains[chain] = entry;
    this.size++;
  }

  /** Splits one chain. */
  #grow(): void {
    const chains = this.#chains;
    let entry = chains[this.#split];
    let stays: Entry | undefined;
    let leaves: Entry | undefined;
    while (entry !== undefined) {
      const next: Entry | undefined = entry.chained;
      if ((entry.hash & (this.#mask + 1)) === 0) {
        entry.chained = stays;
        stays = entry;
      } else {
        entry.chained = leaves;
        leaves = entry;
      }
      entry = next;
    }
    chains[this.#split] = stays;
    chains.push(leaves);
    if (++this.#split <= this.#mask) return;
    this.#mask = 2 * this.#mask + 1;
    this.#split = 0;
  }

  /** Takes an entry out, if it is there. */
  delete(entry: Entry): void {
    const chain = this.#chain(entry.hash);
    let before: Entry | undefined;
    let each = this.#chains[chain];
    while (each !== undefined && each !== entry) {
      before = each;
      each = each.chained;
    }
    if (each === undefined) return;
    if (before === undefined) this.#chains[chain] = entry.chained;
    else before.chained = entry.chained;
    entry.chained = undefined;
    this.size--;
  }

  clear(): void {
    this.#chains = new Array(FIRST_CHAINS).fill(undefined);
    this.#mask = FIRST_CHAINS - 1;
    this.#split = 0;
    this.size = 0;
  }
}
