import { builtin } from "../builtins.ts";
import {
  ClosedError,
  CodecError,
  InvalidArgumentError,
  LimitError,
  LockedError,
  NotFoundError,
  ReadOnlyError,
} from "../errors.ts";
import { elementsOf, ValueCoder } from "./codec/codec.ts";
import { decodeKey, type Key, KeyBytes } from "./keys.ts";
import { ChestLease } from "./lease.ts";
import { LogStore } from "./log/store.ts";
import { type ChestOptions, checkOptions, type Settings } from "./options.ts";
import { type Entry, Policy } from "./policy.ts";
import { Resident } from "./resident.ts";
import { ChestSnapshot } from "./snapshot.ts";
import type { ColdTier, Damage, NewValue, TierUsage } from "./tier.ts";
import { weigh } from "./weight.ts";

/** What `set` may be told about one value. */
export interface SetOptions {
  /** Milliseconds that it lives. */
  timeToLive?: number;
  /** Names under which `deleteTagged` finds it. */
  tags?: readonly string[];
}

/** What has happened so far, and how things stand. */
export interface ChestStatistics {
  /** Values asked for that were in memory. */
  readonly hits: number;
  /** Values asked for that were not in memory, but stored. */
  readonly misses: number;
  /** Values that left memory. */
  readonly spills: number;
  /** Encoded bytes written and read. */
  readonly bytesWritten: number;
  /** Encoded bytes read. */
  readonly bytesRead: number;
  /** Values that were changed in place and noticed. */
  readonly changesDetected: number;
  /** Values found to be over their time. */
  readonly expired: number;
  /** Commits so far. */
  readonly commits: number;
  /** Name of the policy. */
  readonly policy: string;
  /** Values in memory, and of these not stored yet. */
  readonly resident: number;
  /** Values in memory that are not stored yet, or changed since. */
  readonly dirty: number;
}

/** Changes that `batch` collects. */
export interface Batch<K, V> {
  /** Sets a key when the batch is applied. */
  set(key: K, value: V, options?: SetOptions): this;
  /** Removes a key when the batch is applied. */
  delete(key: K): this;
}

/** What an entry takes beside its value: the entry, its place in the Map, its key. */
const ENTRY_WEIGHT = 200;
/** Most entries in memory: a Map ends at 2^24. */
const MOST_RESIDENT = 12_000_000;
/** Chests with less than this keep buffers and mapped pages outside the budget; others within. */
const LARGE_BUDGET = 32 * 2 ** 20;
/** What was staged is committed, without waiting for the disk, when it exceeds this. */
const MOST_STAGED = 64 * 2 ** 20;
const WINDOW = 2 ** 18;
const SLICE = 4;
const DOORS = 2 ** 13;
const SHORT_TEXT = 256;
const NO_TAGS: readonly string[] = [];

const temporaries = new Set<string>();
let watching = false;

function temporaryFolder(): string {
  const folder = builtin("fs").mkdtempSync(builtin("path").join(builtin("os").tmpdir(), "outcore-chest-"));
  temporaries.add(folder);
  if (!watching) {
    watching = true;
    builtin("process").on("exit", () => {
      for (const each of temporaries) builtin("fs").rmSync(each, { recursive: true, force: true });
    });
  }
  return folder;
}

function isIterable(value: unknown): value is Iterable<readonly [unknown, unknown]> {
  return typeof value === "object" && value !== null && Symbol.iterator in value;
}

/**
 * A Map that may be larger than memory and outlives the process: a budget of values in memory, the rest in a folder. Keys
 * are text, numbers, bigints, booleans, null, undefined, dates, bytes and tuples of these, compared by content. Iteration
 * is in the order of insertion, as a Map's.
 *
 * Changes are there for others, and after a crash, from the next `flush` or `close` on: all that came before it, or
 * nothing of it.
 */
export class Chest<K extends Key = Key, V = unknown> implements Disposable {
  /** The folder. */
  readonly path: string;
  /** Nothing can be changed. */
  readonly readOnly: boolean;
  #settings: Settings;
  #options: ChestOptions<K, V>;
  #temporary: boolean;
  #tier: ColdTier;
  #coder: ValueCoder;
  #key: KeyBytes;
  #resident: Resident;
  #policy: Policy;
  #used = 0;
  #size = 0;
  #dirty: Entry[] = [];
  #dirtyCount = 0;
  #closed = false;
  #spilling: Promise<void> | undefined;
  #spillError: unknown;
  #inBatch = false;
  #hits = 0;
  #misses = 0;
  #spills = 0;
  #written = 0;
  #read = 0;
  #detected = 0;
  #expired = 0;
  #commits = 0;
  /** Guards memoized calls against being made twice at once. */
  #pending: Map<unknown, Promise<V>> = new Map();
  /** Hashes of keys that were asked for lately and not kept. */
  #doors: Uint32Array = new Uint32Array(DOORS);
  #new: NewValue = { format: 0, bytes: new Uint8Array(0), length: 0, sequence: 0, expires: 0, tags: NO_TAGS };

  /**
   * Opens the chest in `options.path`, creating it when there is none, or makes a temporary one.
   *
   * @param entries are set first.
   * @throws {LockedError} when another writer has the folder open; see `Chest.open` to wait.
   * @throws {FormatError} when the folder holds a chest of a newer version.
   * @throws {InvalidArgumentError} for options that do not exist.
   */
  constructor(entries?: Iterable<readonly [K, V]> | ChestOptions<K, V> | null, options?: ChestOptions<K, V>) {
    const first = isIterable(entries) ? (entries as Iterable<readonly [K, V]>) : undefined;
    const given = options ?? ((first === undefined ? entries : undefined) as ChestOptions<K, V> | undefined) ?? {};
    this.#settings = checkOptions(given);
    this.#options = given;
    this.readOnly = given.readOnly ?? false;
    this.#coder = new ValueCoder(
      (given.codec ?? "structured") as ConstructorParameters<typeof ValueCoder>[0],
      given.compression ?? "none",
      this.#settings.largestValue,
    );
    this.#temporary = given.path === undefined;
    if (this.#temporary && this.readOnly) throw new InvalidArgumentError("a chest that is read only needs a path");
    this.path = given.path === undefined ? temporaryFolder() : builtin("path").resolve(given.path);
    this.#tier = this.#openTier();
    this.#key = new KeyBytes(this.#tier instanceof LogStore ? this.#tier.identity.seed : 0);
    this.#resident = new Resident(new KeyBytes(0));
    this.#policy = new Policy(this.#settings.policy);
    this.#size = this.#tier.storedCount;
    if (first !== undefined) for (const [key, value] of first) this.set(key, value);
  }

  #openTier(): ColdTier {
    const { budget, durability, segmentSize } = this.#settings;
    const { readOnly } = this;
    try {
      if (this.#options.tier !== undefined) return this.#options.tier(this.path, { readOnly });
      return LogStore.open(this.path, {
        readOnly,
        sync: durability !== "none",
        segmentSize: Math.min(segmentSize, Math.max(2 ** 20, 2 ** Math.floor(Math.log2(Math.max(1, budget))))),
        mappedLimit: Math.max(4 * 2 ** 20, budget / 4),
      });
    } catch (error) {
      if (this.#temporary) this.#removeTemporary();
      throw error;
    }
  }

  /**
   * Opens a chest, waiting up to `timeout` milliseconds for another writer to close it.
   * @throws {LockedError} when it has not by then.
   */
  static async open<K extends Key = Key, V = unknown>(
    options: ChestOptions<K, V> & { path: string },
    timeout = 0,
  ): Promise<Chest<K, V>> {
    const until = Date.now() + timeout;
    for (let pause = 2; ; pause = Math.min(pause * 2, 100)) {
      try {
        return new Chest<K, V>(options);
      } catch (error) {
        const left = until - Date.now();
        if (!(error instanceof LockedError) || left <= 0) throw error;
        await new Promise((resolve) => setTimeout(resolve, Math.min(pause, left)));
      }
    }
  }

  /* ---- what Map has ---- */

  /** Keys that there are. O(1). */
  get size(): number {
    this.#live();
    if (!this.readOnly) return this.#size;
    this.#tier.refresh();
    return this.#tier.storedCount;
  }

  /** "Chest". */
  get [Symbol.toStringTag](): string {
    return "Chest";
  }

  /** Names the folder. */
  toString(): string {
    return `Chest(${this.path})`;
  }

  #live(): void {
    if (this.#closed) throw new ClosedError(this.toString());
  }

  #writable(): void {
    this.#live();
    if (this.readOnly) throw new ReadOnlyError(this.toString());
  }

  /**
   * The value of a key, undefined when there is none. A value that was in memory is the very object; others are made
   * anew. Changes made to it in place are stored while it is in memory (see `detectChanges`); `mutate` is the sure way.
   *
   * @throws {DamagedError} when what is stored is not intact.
   * @throws {CodecError} when it cannot be decoded.
   */
  get(key: K): V | undefined {
    return this.#get(key, true);
  }

  #get(key: K, isMiss: boolean): V | undefined {
    const entry = this.#find(key);
    if (entry !== undefined) {
      this.#hits++;
      this.#policy.touch(entry);
      return entry.value as V;
    }
    for (let attempt = 0; ; attempt++) {
      try {
        return this.#load(key, isMiss);
      } catch (error) {
        /* The writer has compacted what the index of a moment ago pointed to. */
        if (!this.readOnly || attempt > 10 || !(error instanceof NotFoundError)) throw error;
        this.#tier.refresh();
      }
    }
  }

  /** The entry of a key in memory, when it is there and still holds. */
  #find(key: K): Entry | undefined {
    if (this.#closed) this.#live();
    const entry = this.#resident.get(key);
    if (this.readOnly) this.#tier.refresh();
    if (entry === undefined) return undefined;
    if (entry.expires !== 0 && entry.expires <= Date.now()) {
      this.#expire(entry);
      return undefined;
    }
    if (!this.readOnly || entry.moves === this.#tier.generation) return entry;
    /* A reader's value holds while the index still points to where it was read. */
    if (this.#tier.find(this.#key.set(key)) === entry.position) {
      entry.moves = this.#tier.generation;
      return entry;
    }
    this.#release(entry);
    return undefined;
  }

  #expire(entry: Entry): void {
    this.#expired++;
    if (this.readOnly) this.#release(entry);
    else this.delete(entry.key as K);
  }

  #load(key: K, isMiss: boolean): V | undefined {
    const tier = this.#tier;
    const position = tier.find(this.#key.set(key));
    if (position === 0) return undefined;
    if (tier.foundExpires !== 0 && tier.foundExpires <= Date.now()) {
      this.#expired++;
      if (!this.readOnly) this.delete(key);
      return undefined;
    }
    const stored = tier.read(position);
    const { start, end, sequence, expires, tags } = stored;
    const value = this.#coder.decode(stored.format, stored.bytes, start, end, stored.owned) as V;
    this.#read += end - start;
    if (isMiss) {
      this.#misses++;
      this.#options.onMiss?.(key);
      if (!this.#isWorthKeeping(value)) return value;
    }
    const entry = this.#newEntry(key, value, sequence);
    entry.position = position;
    entry.moves = this.readOnly ? tier.generation : tier.moves;
    entry.expires = expires;
    entry.tags = tags;
    this.#admit(entry);
    this.#makeRoom(false);
    return value;
  }

  /**
   * A number or a short text is as quickly read from the mapped log as from memory, and takes less there: it comes into
   * memory when it is asked for again.
   */
  #isWorthKeeping(value: V): boolean {
    if (typeof value === "object" || (typeof value === "string" && value.length > SHORT_TEXT)) return true;
    const { h1 } = this.#key;
    const slot = h1 & (DOORS - 1);
    if (this.#doors[slot] === h1) return true;
    this.#doors[slot] = h1;
    return false;
  }

  #newEntry(key: K, value: V, sequence: number): Entry {
    return {
      key,
      value,
      weight: this.#weigh(key, value),
      position: 0,
      moves: 0,
      dirty: false,
      listed: false,
      stuck: false,
      pins: 0,
      sequence,
      expires: 0,
      tags: NO_TAGS,
      visited: false,
      older: undefined,
      newer: undefined,
    };
  }

  #weigh(key: K, value: V): number {
    const own = this.#options.weigh;
    const keyWeight = typeof key === "string" ? key.length : typeof key === "object" ? weigh(key) * 2 : 0;
    return ENTRY_WEIGHT + keyWeight + (own === undefined ? weigh(value) : own(value, key));
  }

  #admit(entry: Entry): void {
    this.#resident.set(entry.key, entry);
    this.#policy.add(entry);
    this.#used += entry.weight;
  }

  /** Takes an entry out of memory. */
  #release(entry: Entry): void {
    this.#resident.delete(entry.key);
    this.#policy.remove(entry);
    this.#used -= entry.weight;
    if (entry.dirty) {
      entry.dirty = false;
      this.#dirtyCount--;
    }
  }

  #markDirty(entry: Entry): void {
    if (!entry.dirty) {
      entry.dirty = true;
      this.#dirtyCount++;
    }
    if (!entry.listed) {
      entry.listed = true;
      this.#dirty.push(entry);
    }
  }

  /**
   * Sets the value of a key and returns the chest. O(1), plus writing what no longer fits.
   *
   * @throws {InvalidArgumentError} when the key is of a type that keys cannot have.
   * @throws {DiskFullError} when values no longer fit and cannot be written: the value is set all the same.
   */
  set(key: K, value: V, options?: SetOptions): this {
    this.#writable();
    this.#put(key, value, options);
    this.#afterChange();
    return this;
  }

  #put(key: K, value: V, options?: SetOptions): void {
    const { timeToLive } = this.#settings;
    const lives = options?.timeToLive ?? timeToLive;
    const expires = lives > 0 ? Date.now() + lives : 0;
    let entry = this.#resident.get(key);
    if (entry !== undefined && entry.expires !== 0 && entry.expires <= Date.now()) {
      this.#expire(entry);
      entry = undefined;
    }
    if (entry === undefined) entry = this.#enter(key, value);
    else {
      const weight = this.#weigh(key, value);
      this.#used += weight - entry.weight;
      entry.weight = weight;
      entry.value = value;
      entry.stuck = false;
      this.#policy.touch(entry);
    }
    entry.expires = expires;
    entry.tags = options?.tags ?? NO_TAGS;
    this.#markDirty(entry);
  }

  /** A key that is not in memory: new, or stored. */
  #enter(key: K, value: V): Entry {
    const tier = this.#tier;
    const position = tier.find(this.#key.set(key));
    const expired = position !== 0 && tier.foundExpires !== 0 && tier.foundExpires <= Date.now();
    const isNew = position === 0 || expired;
    const kept: Key = typeof key === "object" && key !== null ? decodeKey(this.#key.bytes, 0, this.#key.length) : key;
    const entry = this.#newEntry(kept as K, value, isNew ? tier.nextSequence : tier.foundSequence);
    if (isNew) tier.nextSequence++;
    if (position === 0) this.#size++;
    entry.position = position;
    entry.moves = tier.moves;
    this.#admit(entry);
    return entry;
  }

  #afterChange(): void {
    if (this.#used > this.#limit() || this.#resident.size > MOST_RESIDENT) this.#overflow();
    if (this.#settings.durability === "always" && !this.#inBatch) this.#commit(true, false);
  }

  /** Whether there is such a key. Does not load the value. */
  has(key: K): boolean {
    if (this.#find(key) !== undefined) return true;
    if (this.#tier.find(this.#key.set(key)) === 0) return false;
    const { foundExpires } = this.#tier;
    return foundExpires === 0 || foundExpires > Date.now();
  }

  /** Removes a key; false when there was none. */
  delete(key: K): boolean {
    this.#writable();
    const had = this.#remove(key);
    if (had && this.#settings.durability === "always" && !this.#inBatch) this.#commit(true, false);
    return had;
  }

  #remove(key: K): boolean {
    const entry = this.#resident.get(key);
    const position = this.#tier.find(this.#key.set(key));
    if (entry === undefined && position === 0) return false;
    const expires = entry === undefined ? this.#tier.foundExpires : entry.expires;
    if (position !== 0) this.#tier.remove(this.#key, position);
    if (entry !== undefined) this.#release(entry);
    this.#size--;
    return expires === 0 || expires > Date.now();
  }

  /** Removes every key. O(keys). */
  clear(): void {
    this.#writable();
    for (const key of [...this.#allKeys()]) this.#remove(key);
    this.#afterChange();
  }

  *#allKeys(): IterableIterator<K> {
    for (const entry of this.#walk(true)) yield entry.key as K;
  }

  /* ---- iteration ---- */

  /** Keys in the order in which they were first set. Changes under way are seen as a Map's iterator sees them. */
  *keys(): IterableIterator<K> {
    for (const { key } of this.#walk(false)) yield key;
  }

  /** Values in the order of their keys. */
  *values(): IterableIterator<V> {
    for (const { key, sequence } of this.#walk(false)) {
      const value = this.#valueAt(key, sequence);
      if (value !== undefined) yield value.value;
    }
  }

  /** Pairs of key and value in the order of the keys. */
  *entries(): IterableIterator<[K, V]> {
    for (const { key, sequence } of this.#walk(false)) {
      const value = this.#valueAt(key, sequence);
      if (value !== undefined) yield [key, value.value];
    }
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries();
  }

  /** Calls `visit` for every pair, in order. */
  forEach(visit: (value: V, key: K, chest: this) => void, self?: unknown): void {
    for (const [key, value] of this.entries()) visit.call(self, value, key, this);
  }

  #valueAt(key: K, _sequence: number): { value: V } | undefined {
    const resident = this.#find(key);
    if (resident !== undefined) return { value: resident.value as V };
    const before = this.#tier.find(this.#key.set(key));
    if (before === 0) return undefined;
    return { value: this.#get(key, true) as V };
  }

  /** Visits keys by sequence number, a window of them at a time: the memory it takes does not depend on the size. */
  *#walk(withExpired: boolean): IterableIterator<{ key: K; sequence: number }> {
    this.#live();
    const tier = this.#tier;
    let from = 0;
    while (from < tier.nextSequence) {
      const to = from + WINDOW;
      const { generation } = tier;
      const end = Math.min(to, tier.nextSequence);
      const found = this.#gather(from, to);
      let at = 0;
      for (; at < found.length; at++) {
        this.#live();
        if (tier.generation !== generation) break;
        const { sequence, position, entry } = found[at]!;
        from = sequence + 1;
        const key = this.#current(sequence, position, entry, withExpired);
        if (key !== undefined) yield { key: key.key, sequence };
      }
      /* Keys that came meanwhile have higher numbers: they are the next window's. */
      if (at === found.length) from = end;
    }
  }

  #gather(from: number, to: number): { sequence: number; position: number; entry: Entry | undefined }[] {
    const found: { sequence: number; position: number; entry: Entry | undefined }[] = [];
    if (this.readOnly) this.#tier.refresh();
    this.#tier.scan(from, to, (sequence, position) => found.push({ sequence, position, entry: undefined }));
    /* Those that are stored nowhere yet. */
    for (const entry of this.#dirty)
      if (entry.dirty && entry.sequence >= from && entry.sequence < to)
        found.push({ sequence: entry.sequence, position: 0, entry });
    found.sort((a, b) => a.sequence - b.sequence || a.position - b.position);
    return found.filter(({ sequence }, i) => i === 0 || found[i - 1]!.sequence !== sequence);
  }

  /** The key that was found under a sequence number, when it still has it. */
  #current(sequence: number, position: number, entry: Entry | undefined, withExpired: boolean): { key: K } | undefined {
    let key: K;
    if (entry === undefined) {
      this.#tier.keyAt(position, this.#key);
      key = decodeKey(this.#key.bytes, 0, this.#key.length) as K;
    } else key = entry.key as K;
    const now = this.#resident.get(key);
    if (now !== undefined) {
      const expired = now.expires !== 0 && now.expires <= Date.now() && !withExpired;
      return now.sequence === sequence && !expired ? { key } : undefined;
    }
    const stored = this.#tier.find(this.#key.set(key));
    if (stored === 0 || this.#tier.foundSequence !== sequence) return undefined;
    const { foundExpires } = this.#tier;
    return foundExpires !== 0 && foundExpires <= Date.now() && !withExpired ? undefined : { key };
  }

  /* ---- memory ---- */

  /** Bytes of memory that values take, as they are weighed. */
  get memoryUsage(): number {
    return this.#used;
  }

  /** Bytes on the disk. */
  get diskUsage(): number {
    this.#live();
    return this.#tier.usage().disk;
  }

  /** What it takes on the disk and, mapped, in memory. O(files). */
  usage(): TierUsage {
    this.#live();
    return this.#tier.usage();
  }

  /** Bytes that values may take now: large budgets hold buffers and mapped pages too. */
  #limit(): number {
    const { budget } = this.#settings;
    return budget < LARGE_BUDGET ? budget : Math.max(budget / 2, budget - this.#tier.resident);
  }

  #overflow(): void {
    if (this.#settings.spill === "async" && this.#used <= 2 * this.#limit()) {
      this.#spilling ??= this.#spillLater();
      return;
    }
    this.#makeRoom(true);
  }

  async #spillLater(): Promise<void> {
    try {
      do {
        await new Promise((resolve) => setImmediate(resolve));
        if (this.#closed) return;
        this.#spillUntil(performance.now() + SLICE, true);
      } while (this.#used > this.#limit());
    } catch (error) {
      this.#spillError = error;
    } finally {
      this.#spilling = undefined;
    }
  }

  /**
   * Waits until what had to leave memory has left it.
   * @throws {DiskFullError} when it could not.
   */
  async settled(): Promise<void> {
    while (this.#spilling !== undefined) await this.#spilling;
    const error = this.#spillError;
    this.#spillError = undefined;
    if (error !== undefined) throw error;
  }

  #makeRoom(strict: boolean): void {
    if (this.#used <= this.#limit() && this.#resident.size <= MOST_RESIDENT) return;
    this.#spillUntil(Number.POSITIVE_INFINITY, strict);
  }

  #spillUntil(time: number, strict: boolean, target?: number): void {
    const goal = target ?? this.#limit() * (1 - this.#settings.hysteresis);
    let skipDirty = false;
    const may = (entry: Entry): boolean => entry.pins === 0 && !entry.stuck && !(skipDirty && entry.dirty);
    let count = 0;
    while (this.#used > goal || this.#resident.size > MOST_RESIDENT) {
      const entry = this.#policy.victim(may);
      if (entry === undefined) break;
      try {
        this.#evict(entry);
      } catch (error) {
        if (error instanceof CodecError) {
          entry.stuck = true;
          continue;
        }
        /* A `get` must not fail because others cannot leave: only what is stored already does. */
        if (strict || skipDirty) throw error;
        skipDirty = true;
      }
      if ((++count & 15) === 0 && performance.now() > time) return;
    }
    if (this.#tier.staged > MOST_STAGED && !this.#inBatch) this.#commit(false, false);
  }

  #evict(entry: Entry): void {
    this.#store(entry);
    this.#release(entry);
    this.#spills++;
    this.#options.onSpill?.(entry.key as K);
  }

  /** Stages what memory has and the tier has not. */
  #store(entry: Entry): void {
    if (!entry.dirty && !this.#isChanged(entry)) return;
    if (!this.readOnly) this.#write(entry);
  }

  #positionOf(entry: Entry): number {
    if (entry.moves !== this.#tier.moves) {
      entry.position = this.#tier.find(this.#key.set(entry.key));
      entry.moves = this.#tier.moves;
    }
    return entry.position;
  }

  #isChanged(entry: Entry): boolean {
    const { value } = entry;
    if (this.readOnly || !this.#settings.detectChanges || typeof value !== "object" || value === null) return false;
    const position = this.#positionOf(entry);
    if (position === 0) return true;
    this.#coder.encode(value);
    const { format, bytes, length } = this.#coder;
    if (this.#tier.matches(position, format, bytes, length)) return false;
    this.#detected++;
    return true;
  }

  #write(entry: Entry): void {
    this.#coder.encode(entry.value);
    const before = this.#positionOf(entry);
    const value = this.#new;
    value.format = this.#coder.format;
    value.bytes = this.#coder.bytes;
    value.length = this.#coder.length;
    value.sequence = entry.sequence;
    value.expires = entry.expires;
    value.tags = entry.tags;
    entry.position = this.#tier.put(this.#key.set(entry.key), value, before);
    entry.stuck = false;
    this.#written += value.length;
    if (entry.dirty) {
      entry.dirty = false;
      this.#dirtyCount--;
    }
  }

  /**
   * Writes values out of memory until at most `target` bytes are left, those first that the policy names.
   * @param target Default: the budget.
   */
  shrink(target: number = this.#settings.budget): void {
    this.#live();
    this.#spillUntil(Number.POSITIVE_INFINITY, true, target);
  }

  /** Takes one value out of memory; false when it is not there. */
  spill(key: K): boolean {
    this.#live();
    const entry = this.#resident.get(key);
    if (entry === undefined || entry.pins > 0) return false;
    this.#evict(entry);
    return true;
  }

  /** Loads one key, or the keys of an array that is no key itself, into memory. Not a miss. */
  prefetch(key: K): void {
    if (this.#find(key) === undefined) this.#get(key, false);
  }

  /** Loads many keys. */
  prefetchAll(keys: Iterable<K>): void {
    const list = [...keys];
    for (const key of list) {
      const position = this.#resident.get(key) === undefined ? this.#tier.find(this.#key.set(key)) : 0;
      if (position !== 0) this.#tier.prefetch(position);
    }
    for (const key of list) this.prefetch(key);
  }

  /** Whether the value is in memory. */
  isResident(key: K): boolean {
    return this.#find(key) !== undefined;
  }

  /** Keeps a value in memory until `unpin`, which must be called as often. False when there is no such key. */
  pin(key: K): boolean {
    this.#get(key, false);
    let entry = this.#resident.get(key);
    if (entry === undefined) {
      /* Larger than the budget: it left at once. */
      const value = this.#load(key, false);
      if (value === undefined && !this.has(key)) return false;
      entry = this.#newEntry(key, value as V, this.#tier.foundSequence);
      entry.position = this.#tier.find(this.#key.set(key));
      entry.moves = this.readOnly ? this.#tier.generation : this.#tier.moves;
      this.#admit(entry);
    }
    entry.pins++;
    return true;
  }

  /** Ends one `pin` of a value. */
  unpin(key: K): void {
    const entry = this.#resident.get(key);
    if (entry === undefined || entry.pins === 0) return;
    entry.pins--;
    this.#makeRoom(false);
  }

  /**
   * Calls `change` with the value of a key and stores what it returns, or, when it returns undefined, the value itself,
   * which it may have changed in place. Returns the value. Never loses a change, whatever leaves memory meanwhile.
   */
  mutate(key: K, change: (value: V | undefined) => unknown): V | undefined {
    this.#writable();
    const value = this.get(key);
    const result = change(value);
    const next = result === undefined ? value : (result as V);
    if (next === undefined && !this.has(key)) return undefined;
    this.set(key, next as V, this.#keptOptions(key));
    return next as V;
  }

  #keptOptions(key: K): SetOptions | undefined {
    const entry = this.#resident.get(key);
    if (entry === undefined) return undefined;
    const timeToLive = entry.expires === 0 ? {} : { timeToLive: entry.expires - Date.now() };
    return { ...timeToLive, tags: entry.tags };
  }

  /**
   * The value of a key, made by `make` and stored when there is none. While an asynchronous `make` runs, all who ask for
   * the same key wait for that one.
   */
  async memoize(key: K, make: () => V | Promise<V>, options?: SetOptions): Promise<V> {
    const present = this.get(key);
    if (present !== undefined || this.has(key)) return present as V;
    const name = this.#key.set(key).text();
    const pending = this.#pending.get(name);
    if (pending !== undefined) return pending;
    const made = (async () => {
      try {
        const value = await make();
        this.set(key, value, options);
        return value;
      } finally {
        this.#pending.delete(name);
      }
    })();
    this.#pending.set(name, made);
    return made;
  }

  /**
   * A view of a typed array without a copy: `lease.value` lies in the mapped file (or is the very array in memory) until
   * `release`, and has length 0 when the chest is closed. What is written into it is not stored. Undefined when there is
   * no such key.
   */
  lease(key: K): ChestLease<V> | undefined {
    const entry = this.#find(key);
    if (entry !== undefined) {
      this.#hits++;
      this.#policy.touch(entry);
      entry.pins++;
      return new ChestLease(entry.value as V, () => {
        entry.pins--;
        if (!this.#closed) this.#makeRoom(false);
      });
    }
    const position = this.#tier.find(this.#key.set(key));
    if (position === 0) return undefined;
    const found = this.#tier.lease(position);
    if (found === undefined) return new ChestLease(this.#get(key, true) as V, () => {});
    this.#misses++;
    const kind = elementsOf(found.format);
    if (kind === undefined) {
      found.lease.release();
      return new ChestLease(this.#get(key, true) as V, () => {});
    }
    const { bytes } = found.lease;
    this.#read += bytes.length;
    const value = kind.over(bytes.buffer, bytes.byteOffset, bytes.length / kind.size) as V;
    return new ChestLease(value, () => found.lease.release());
  }

  /* ---- to the disk ---- */

  /**
   * Makes every change so far visible to others and, unless durability is "none", waits until the disk has it. Values
   * stay in memory.
   *
   * @throws {DiskFullError} when there is no room: all is still in memory, and a later flush may succeed.
   * @throws {CodecError} when a value cannot be encoded: all others are flushed.
   */
  flush(): void {
    this.#writable();
    this.#commit(this.#settings.durability !== "none", true);
    if (this.#settings.autoCompact) this.#compactALittle();
  }

  #commit(sync: boolean, detect: boolean): void {
    let failed: unknown;
    if (detect) {
      for (const entry of this.#policy) {
        if (entry.dirty || typeof entry.value !== "object" || entry.value === null) continue;
        try {
          if (this.#isChanged(entry)) this.#markDirty(entry);
        } catch (error) {
          if (!(error instanceof CodecError)) throw error;
          failed ??= error;
        }
      }
    }
    const list = this.#dirty;
    const kept: Entry[] = [];
    let at = 0;
    try {
      for (; at < list.length; at++) {
        const entry = list[at]!;
        if (!entry.dirty) {
          entry.listed = false;
          continue;
        }
        try {
          this.#write(entry);
          entry.listed = false;
        } catch (error) {
          if (!(error instanceof CodecError)) throw error;
          entry.stuck = true;
          failed ??= new CodecError(`the value of ${describe(entry.key)} cannot be stored: ${error.message}`, error);
          kept.push(entry);
        }
      }
    } finally {
      for (; at < list.length; at++) kept.push(list[at]!);
      this.#dirty = kept;
    }
    this.#tier.commit(this.#size - kept.filter(({ dirty, position }) => dirty && position === 0).length, sync);
    this.#commits++;
    if (this.#settings.diskLimit !== Number.MAX_SAFE_INTEGER) this.#keepDiskLimit();
    if (failed !== undefined) throw failed;
  }

  #keepDiskLimit(): void {
    const { diskLimit, whenFull } = this.#settings;
    const over = (): boolean => this.#tier.usage().disk > diskLimit;
    if (!over() || this.#inBatch) return;
    this.#inBatch = true;
    try {
      this.#compactAll();
      if (whenFull === "evict") {
        while (this.#size > 0 && over()) {
          let count = Math.ceil(this.#size / 8);
          for (const key of this.#allKeys()) {
            this.#remove(key);
            if (--count <= 0) break;
          }
          this.#tier.commit(this.#size, false);
          this.#compactAll();
        }
      } else if (over()) throw new LimitError("disk", `${this.path} takes more than ${diskLimit} bytes`);
    } finally {
      this.#inBatch = false;
    }
  }

  /**
   * Applies what `fill` asks for all at once: after a crash, and for readers after the next flush, either all of it is
   * there or nothing. Nothing is applied when `fill` throws or a value cannot be encoded.
   */
  batch(fill: (batch: Batch<K, V>) => void): void {
    this.#writable();
    const steps: (() => void)[] = [];
    const batch: Batch<K, V> = {
      set: (key, value, options) => {
        this.#key.set(key);
        this.#coder.encode(value);
        steps.push(() => this.#put(key, value, options));
        return batch;
      },
      delete: (key) => {
        this.#key.set(key);
        steps.push(() => this.#remove(key));
        return batch;
      },
    };
    fill(batch);
    this.#inBatch = true;
    try {
      for (const step of steps) step();
    } finally {
      this.#inBatch = false;
    }
    this.#afterChange();
  }

  /** Removes every key that was set with a tag; returns how many. O(keys). */
  deleteTagged(tag: string): number {
    this.#writable();
    const keys: K[] = [];
    for (const { key } of this.#walk(true)) {
      const entry = this.#resident.get(key);
      const tags = entry?.tags ?? this.#tier.read(this.#tier.find(this.#key.set(key))).tags;
      if (tags.includes(tag)) keys.push(key);
    }
    for (const key of keys) this.#remove(key);
    this.#afterChange();
    return keys.length;
  }

  /** Removes every value whose time is over; returns how many. O(keys). */
  deleteExpired(): number {
    this.#writable();
    const now = Date.now();
    const keys: K[] = [];
    for (const { key } of this.#walk(true)) {
      const entry = this.#resident.get(key);
      if (entry === undefined) this.#tier.find(this.#key.set(key));
      const expires = entry?.expires ?? this.#tier.foundExpires;
      if (expires !== 0 && expires <= now) keys.push(key);
    }
    for (const key of keys) this.#remove(key);
    this.#expired += keys.length;
    this.#afterChange();
    return keys.length;
  }

  /**
   * Sets every entry of another chest. Stored values go over as they are, without being decoded.
   * @param options.overwrite Default true; false keeps the values of keys that are here already.
   */
  update(other: Chest<K, V> | Iterable<readonly [K, V]>, options: { overwrite?: boolean } = {}): this {
    this.#writable();
    const { overwrite = true } = options;
    if (!(other instanceof Chest)) {
      for (const [key, value] of other) if (overwrite || !this.has(key)) this.set(key, value);
      return this;
    }
    for (const { key } of other.#walk(false)) if (overwrite || !this.has(key)) this.#copyFrom(other, key);
    this.#afterChange();
    return this;
  }

  #copyFrom(other: Chest<K, V>, key: K): void {
    const source = other.#resident.get(key);
    const value = { ...this.#new };
    if (source !== undefined) {
      other.#coder.encode(source.value);
      value.format = other.#coder.format;
      value.bytes = other.#coder.bytes;
      value.length = other.#coder.length;
      value.expires = source.expires;
      value.tags = source.tags;
    } else {
      const stored = other.#tier.read(other.#tier.find(other.#key.set(key)));
      value.format = stored.format;
      value.bytes = stored.bytes.subarray(stored.start, stored.end);
      value.length = stored.end - stored.start;
      value.expires = stored.expires;
      value.tags = stored.tags;
    }
    const resident = this.#resident.get(key);
    const before = this.#tier.find(this.#key.set(key));
    if (resident === undefined && before === 0) this.#size++;
    value.sequence = resident?.sequence ?? (before === 0 ? this.#tier.nextSequence++ : this.#tier.foundSequence);
    if (resident !== undefined) this.#release(resident);
    this.#tier.put(this.#key, value, before);
    if (this.#tier.staged > MOST_STAGED) this.#commit(false, false);
  }

  /* ---- care ---- */

  #compactALittle(): void {
    if (this.#tier.isWasteful) this.#tier.compactStep(SLICE, false, () => this.#commit(false, false));
  }

  /**
   * Gives the room of dead values back, a few milliseconds at a time, with the event loop running in between.
   * @param progress is called after each step with the bytes on the disk.
   */
  async compact(progress?: (disk: number) => void): Promise<void> {
    this.#writable();
    this.#commit(this.#settings.durability !== "none", true);
    while (!this.#tier.compactStep(SLICE, true, () => this.#commit(this.#settings.durability !== "none", false))) {
      progress?.(this.#tier.usage().disk);
      await new Promise((resolve) => setImmediate(resolve));
      this.#live();
    }
  }

  #compactAll(): void {
    for (let step = 0; step < 1e6; step++)
      if (this.#tier.compactStep(1000, true, () => this.#tier.commit(this.#size, false))) return;
  }

  /** What was found to be damaged since the chest was opened. */
  get damage(): readonly Damage[] {
    return this.#tier.damage;
  }

  /** A view of the chest as it was at the last flush, whatever is changed later. Log only. */
  snapshot(): ChestSnapshot<K, V> {
    this.#live();
    return new ChestSnapshot<K, V>(this.#log(), this.#coder);
  }

  /**
   * Writes a copy of the chest, as of a flush now, into a folder that does not exist or is empty; the chest may be
   * changed meanwhile.
   */
  async backup(folder: string): Promise<void> {
    if (!this.readOnly) this.flush();
    await this.#log().backup(folder);
  }

  #log(): LogStore {
    if (this.#tier instanceof LogStore) return this.#tier;
    throw new InvalidArgumentError(`a chest with the tier "${this.#tier.name}" has no snapshots`);
  }

  /** What has happened since the chest was opened. */
  statistics(): ChestStatistics {
    return {
      hits: this.#hits,
      misses: this.#misses,
      spills: this.#spills,
      bytesWritten: this.#written,
      bytesRead: this.#read,
      changesDetected: this.#detected,
      expired: this.#expired,
      commits: this.#commits,
      policy: this.#policy.name,
      resident: this.#resident.size,
      dirty: this.#dirtyCount,
    };
  }

  /**
   * Flushes and closes. Views of leases have length 0 afterwards. May be called twice.
   * @throws {DiskFullError | CodecError} when not all could be written: the chest stays open.
   */
  close(): void {
    if (this.#closed) return;
    if (!this.readOnly && !this.#temporary) this.#commit(this.#settings.durability !== "none", true);
    this.abandon();
  }

  /** Closes without flushing: what was not flushed is given up. */
  abandon(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#resident.clear();
    this.#policy.clear();
    this.#dirty = [];
    this.#used = 0;
    try {
      if (this.#temporary) this.#tier.drop();
      else this.#tier.close();
    } finally {
      if (this.#temporary) this.#removeTemporary();
    }
  }

  #removeTemporary(): void {
    builtin("fs").rmSync(this.path, { recursive: true, force: true });
    temporaries.delete(this.path);
  }

  /** Closes the chest and removes everything stored; the folder too, when nothing else is in it. */
  drop(): void {
    this.#writable();
    this.#closed = true;
    this.#resident.clear();
    this.#policy.clear();
    this.#dirty = [];
    this.#used = 0;
    this.#tier.drop();
    if (this.#temporary) this.#removeTemporary();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function describe(key: unknown): string {
  return typeof key === "string" ? JSON.stringify(key) : Array.isArray(key) ? `[${key.map(describe)}]` : String(key);
}
