import { Evicted } from "./evicted.ts";
import { KeyBytes } from "./keys.ts";
import { type Entry, Policy, type PolicyName } from "./policy.ts";
import { Resident } from "./resident.ts";

/** The values in memory, what they weigh, who leaves first, and which of them are not stored. */
export class Memory {
  readonly policy: Policy;
  used = 0;
  /** Dirty entries, and some that no longer are. */
  listed: Entry[] = [];
  dirtyCount = 0;
  readonly evicted: Evicted;
  readonly #resident: Resident;
  readonly #key: KeyBytes;

  /** `seed`: that of the hashes that entries have. */
  constructor(policy: PolicyName, budget: number, seed: number) {
    this.#key = new KeyBytes(seed);
    this.#resident = new Resident(new KeyBytes(seed));
    this.evicted = new Evicted(budget);
    this.policy = new Policy(policy);
  }

  get size(): number {
    return this.#resident.size;
  }

  get(key: unknown): Entry | undefined {
    return this.find(key, this.#key.set(key));
  }

  /** The same where the key's bytes are known. */
  find(key: unknown, bytes: KeyBytes): Entry | undefined {
    return this.#resident.get(key, bytes);
  }

  /** Adds an entry whose key has none. */
  add(entry: Entry): void {
    this.#resident.add(entry);
    this.policy.add(entry);
    this.used += entry.weight;
  }

  /** Takes an entry out of memory. */
  release(entry: Entry): void {
    this.#resident.delete(entry);
    this.policy.remove(entry);
    this.used -= entry.weight;
    this.evicted.add(entry.weight);
    this.markClean(entry);
    /* The list of dirty entries may hold the entry for long. */
    entry.value = undefined;
  }

  /** The value of an entry is replaced by one of another weight. */
  reweigh(entry: Entry, weight: number): void {
    this.evicted.add(entry.weight);
    this.used += weight - entry.weight;
    entry.weight = weight;
  }

  markDirty(entry: Entry): void {
    if (!entry.dirty) {
      entry.dirty = true;
      this.dirtyCount++;
    }
    if (!entry.listed) {
      entry.listed = true;
      this.listed.push(entry);
    }
  }

  markClean(entry: Entry): void {
    if (!entry.dirty) return;
    entry.dirty = false;
    this.dirtyCount--;
  }

  clear(): void {
    this.#resident.clear();
    this.policy.clear();
    this.listed = [];
    this.used = 0;
  }
}
