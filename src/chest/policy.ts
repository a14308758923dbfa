/** Which value leaves memory first: the one unused for longest, the oldest one, or SIEVE's choice between the two. */
export type PolicyName = "lru" | "sieve" | "fifo";

/** A value in memory. */
export interface Entry {
  readonly key: unknown;
  /** The first 32 bits of its key's hash. */
  readonly hash: number;
  /** The next one in its chain of `Resident`. */
  chained: Entry | undefined;
  value: unknown;
  weight: number;
  /** Where the stored one is; 0: nowhere. Valid while `moves` is the tier's. */
  position: number;
  moves: number;
  /** Not stored, or changed since. */
  dirty: boolean;
  /** In the list of dirty entries. */
  listed: boolean;
  /** Its last encoding failed. */
  stuck: boolean;
  pins: number;
  sequence: number;
  expires: number;
  tags: readonly string[];
  visited: boolean;
  older: Entry | undefined;
  newer: Entry | undefined;
}

/** The values in memory in order of eviction, as a list without allocations. */
export class Policy {
  readonly name: PolicyName;
  #oldest: Entry | undefined;
  #newest: Entry | undefined;
  /** Where SIEVE goes on looking, towards newer. */
  #hand: Entry | undefined;

  constructor(name: PolicyName) {
    this.name = name;
  }

  add(entry: Entry): void {
    entry.older = this.#newest;
    entry.newer = undefined;
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
  }

  /** The value was used. */
  touch(entry: Entry): void {
    if (this.name === "sieve") entry.visited = true;
    else if (this.name === "lru" && entry !== this.#newest) {
      this.remove(entry);
      this.add(entry);
    }
  }

  remove(entry: Entry): void {
    if (this.#hand === entry) this.#hand = entry.newer;
    if (entry.older === undefined) this.#oldest = entry.newer;
    else entry.older.newer = entry.newer;
    if (entry.newer === undefined) this.#newest = entry.older;
    else entry.newer.older = entry.older;
    entry.older = undefined;
    entry.newer = undefined;
  }

  /** The entry to evict next among those that `may`; undefined when none may. */
  victim(may: (entry: Entry) => boolean): Entry | undefined {
    if (this.name !== "sieve") {
      let entry = this.#oldest;
      while (entry !== undefined && !may(entry)) entry = entry.newer;
      return entry;
    }
    /* Twice round: the first time may only take marks away. */
    for (let rounds = 0; rounds < 3; ) {
      const entry: Entry | undefined = this.#hand ?? this.#oldest;
      if (entry === undefined) return undefined;
      this.#hand = entry.newer;
      if (this.#hand === undefined) rounds++;
      if (!may(entry)) continue;
      if (!entry.visited) return entry;
      entry.visited = false;
    }
    return undefined;
  }

  *[Symbol.iterator](): IterableIterator<Entry> {
    for (let entry = this.#oldest; entry !== undefined; ) {
      const next: Entry | undefined = entry.newer;
      yield entry;
      entry = next;
    }
  }

  clear(): void {
    this.#oldest = undefined;
    this.#newest = undefined;
    this.#hand = undefined;
  }
}
