import { builtin } from "../builtins.ts";
import { InvalidArgumentError, LockedError } from "../errors.ts";
import { checkFunction, typed } from "../memory/check.ts";
import { applyBatch, type Batch } from "./batch.ts";
import { ValueCoder } from "./codec/codec.ts";
import { type About, Core, type SetOptions } from "./core.ts";
import { decodeKey, type Key } from "./keys.ts";
import { type ChestLease, lease } from "./lease.ts";
import { LogStore } from "./log/store.ts";
import { Memo } from "./memo.ts";
import { mutate } from "./mutate.ts";
import { openTier } from "./open-tier.ts";
import { type ChestOptions, checkOptions } from "./options.ts";
import { ChestSnapshot } from "./snapshot.ts";
import type { ChestStatistics } from "./statistics.ts";
import { ownTemporary, removeTemporary, temporaryFolder } from "./temporary.ts";
import type { ColdTier, Damage, TierUsage } from "./tier.ts";
import { copyValue } from "./update.ts";
import { valueAt, walk } from "./walk.ts";

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
  #core!: Core<K, V>;
  #temporary: boolean;
  #memo: Memo<V> = new Memo();

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
    const settings = checkOptions(given);
    this.readOnly = given.readOnly ?? false;
    const coder = new ValueCoder(
      (given.codec ?? "structured") as ConstructorParameters<typeof ValueCoder>[0],
      given.compression ?? "none",
      settings.largestValue,
    );
    this.#temporary = given.path === undefined;
    if (this.#temporary && this.readOnly) throw new InvalidArgumentError("a chest that is read only needs a path");
    this.path = given.path === undefined ? temporaryFolder() : builtin("path").resolve(given.path);
    let tier: ColdTier;
    try {
      /* The tier is there before the values are. */
      tier = typed("open", this.path, () => openTier(this.path, given, settings, () => this.#core?.memory.used ?? 0));
      if (this.#temporary) ownTemporary(this.path, tier);
    } catch (error) {
      if (this.#temporary) removeTemporary(this.path);
      throw error;
    }
    const seed = tier instanceof LogStore ? tier.identity.seed : 0;
    this.#core = new Core(this.path, given, settings, tier, coder, seed);
    try {
      if (first !== undefined) for (const [key, value] of first) this.set(key, value);
    } catch (error) {
      /* Nobody else can close it. */
      this.abandon();
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

  /** Keys that there are, with those whose time is over until that is noticed or `deleteExpired` is called. O(1). */
  get size(): number {
    const { tier, size } = this.#core;
    this.#core.live();
    if (!this.readOnly) return size;
    tier.refresh();
    return tier.storedCount;
  }

  /** "Chest". */
  get [Symbol.toStringTag](): string {
    return "Chest";
  }

  /** Names the folder. */
  toString(): string {
    return `Chest(${this.path})`;
  }

  /**
   * The value of a key, undefined when there is none. A value that was in memory is the very object; others are made
   * anew. Changes made to it in place are stored while it is in memory (see `detectChanges`); `mutate` is the sure way.
   *
   * @throws {DamagedError} when what is stored is not intact.
   * @throws {CodecError} when it cannot be decoded.
   */
  get(key: K): V | undefined {
    return this.#core.get(key, true);
  }

  /**
   * Sets the value of a key and returns the chest. O(1), plus writing what no longer fits.
   *
   * @throws {InvalidArgumentError} when the key is of a type that keys cannot have.
   * @throws {DiskFullError} when values no longer fit and cannot be written: the value is set all the same.
   * @throws {DamagedError} when a damaged record hides whether the key is there: nothing is set. A damaged value is replaced.
   */
  set(key: K, value: V, options?: SetOptions): this {
    const core = this.#core;
    core.writable();
    core.put(key, value, options);
    core.afterChange();
    return this;
  }

  /** Whether there is such a key. Does not load the value. */
  has(key: K): boolean {
    return this.#core.has(key);
  }

  /**
   * When a key's value expires and how it is tagged; undefined when there is no such key. Does not load the value.
   * `to.set(key, from.get(key), from.about(key))` copies all there is to a value.
   *
   * @throws {DamagedError} when what is stored is not intact.
   */
  about(key: K): About | undefined {
    return this.#core.about(key);
  }

  /**
   * Removes a key; false when there was none.
   * @throws {DamagedError} when a damaged record hides whether the key is there. A damaged value is removed.
   */
  delete(key: K): boolean {
    const core = this.#core;
    core.writable();
    const had = core.remove(key);
    if (had) core.afterChange();
    return had;
  }

  /** Removes every key. O(keys). */
  clear(): void {
    const core = this.#core;
    core.writable();
    for (const key of [...walk(core, true)]) core.remove(key);
    core.afterChange();
  }

  /* ---- iteration ---- */

  /** Keys in the order in which they were first set. Changes under way are seen as a Map's iterator sees them. */
  keys(): IterableIterator<K> {
    return walk(this.#core, false);
  }

  /** Values in the order of their keys. */
  *values(): IterableIterator<V> {
    for (const key of walk(this.#core, false)) {
      const value = valueAt(this.#core, key);
      if (value !== undefined) yield value.value;
    }
  }

  /** Pairs of key and value in the order of the keys. */
  *entries(): IterableIterator<[K, V]> {
    for (const key of walk(this.#core, false)) {
      const value = valueAt(this.#core, key);
      if (value !== undefined) yield [key, value.value];
    }
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries();
  }

  /** Calls `visit` for every pair, in order. */
  forEach(visit: (value: V, key: K, chest: this) => void, self?: unknown): void {
    this.#core.live();
    checkFunction("visit", visit);
    for (const [key, value] of this.entries()) visit.call(self, value, key, this);
  }

  /* ---- memory ---- */

  /** Bytes of memory that values take, as they are weighed. */
  get memoryUsage(): number {
    return this.#core.memory.used;
  }

  /** Bytes on the disk. */
  get diskUsage(): number {
    this.#core.live();
    return this.#core.tier.usage().disk;
  }

  /** What it takes on the disk and, mapped, in memory. O(files). */
  usage(): TierUsage {
    this.#core.live();
    return this.#core.tier.usage();
  }

  /**
   * Waits until what had to leave memory has left it.
   * @throws {DiskFullError} when it could not.
   */
  async settled(): Promise<void> {
    await this.#core.spiller.settled();
  }

  /**
   * Writes values out of memory until at most `target` bytes are left, those first that the policy names.
   * @param target Default: the budget.
   */
  shrink(target: number = this.#core.settings.budget): void {
    this.#core.live();
    this.#core.spiller.spill(Number.POSITIVE_INFINITY, true, target);
  }

  /** Takes one value out of memory; false when it is not there. */
  spill(key: K): boolean {
    const core = this.#core;
    core.live();
    const entry = core.memory.get(key);
    if (entry === undefined || entry.pins > 0) return false;
    core.spiller.evict(entry);
    return true;
  }

  /** Loads a key's value into memory. Not a miss. */
  prefetch(key: K): void {
    if (this.#core.find(key) === undefined) this.#core.get(key, false);
  }

  /** Loads many keys. */
  prefetchAll(keys: Iterable<K>): void {
    const core = this.#core;
    if (!isIterable(keys)) throw new InvalidArgumentError("what is loaded must be a list of keys");
    const list = [...keys];
    for (const key of list) {
      if (core.memory.get(key) !== undefined) continue;
      core.steadily(() => {
        const position = core.locate(key);
        if (position !== 0) core.tier.prefetch(position);
      });
    }
    for (const key of list) this.prefetch(key);
  }

  /** Whether the value is in memory. */
  isResident(key: K): boolean {
    return this.#core.find(key) !== undefined;
  }

  /** Keeps a value in memory until `unpin`, which must be called as often. False when there is no such key. */
  pin(key: K): boolean {
    return this.#core.pin(key);
  }

  /** Ends one `pin` of a value. */
  unpin(key: K): void {
    const entry = this.#core.memory.get(key);
    if (entry === undefined || entry.pins === 0) return;
    entry.pins--;
    this.#core.spiller.makeRoom(false);
  }

  /**
   * Calls `change` with the value of a key and stores what it returns, or, when it returns undefined, the value itself,
   * which it may have changed in place. Returns the value. Never loses a change, whatever leaves memory meanwhile.
   */
  mutate(key: K, change: (value: V | undefined) => unknown): V | undefined {
    const core = this.#core;
    core.writable();
    checkFunction("change", change);
    return mutate(core, key, change);
  }

  /**
   * The value of a key, made by `make` and stored when there is none. While an asynchronous `make` runs, all who ask for
   * the same key wait for that one.
   */
  async memoize(key: K, make: () => V | Promise<V>, options?: SetOptions): Promise<V> {
    const present = this.get(key);
    checkFunction("make", make);
    if (present !== undefined || this.has(key)) return present as V;
    const { key: bytes } = this.#core;
    const own = decodeKey(bytes.set(key).bytes, 0, bytes.length) as K;
    return this.#memo.make(bytes.text(), async () => {
      const value = await make();
      this.set(own, value, options);
      return value;
    });
  }

  /**
   * A view of a typed array without a copy: `lease.value` lies in the mapped file (or is the very array in memory) until
   * `release`, and has length 0 when the chest is closed. What is written into it is not stored. Undefined when there is
   * no such key.
   */
  lease(key: K): ChestLease<V> | undefined {
    return lease(this.#core, key);
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
    const { settings, committer } = this.#core;
    this.#core.writable();
    committer.flush();
    if (settings.autoCompact) committer.compactALittle();
  }

  /**
   * Applies what `fill` asks for all at once: after a crash, and for readers after the next flush, either all of it is
   * there or nothing. Keys, values and options are looked at when `fill` names them.
   *
   * @throws {DiskFullError} when there is no room for removals: nothing is applied. As with `set`, when values no longer fit
   * and cannot be written: all is applied, in memory.
   * @throws {DamagedError} when one of the keys cannot be looked up, and what `fill` or a codec throws: nothing is applied.
   */
  batch(fill: (batch: Batch<K, V>) => void): void {
    this.#core.writable();
    checkFunction("fill", fill);
    applyBatch(this.#core, fill);
  }

  /** Removes every key that was set with a tag; returns how many. O(keys). */
  deleteTagged(tag: string): number {
    return this.#removeAll((key) => {
      const { memory, tier } = this.#core;
      const tags = memory.get(key)?.tags ?? tier.tagsAt(this.#core.locate(key));
      return tags.includes(tag);
    });
  }

  #removeAll(which: (key: K) => boolean): number {
    const core = this.#core;
    core.writable();
    const keys: K[] = [];
    for (const key of walk(core, true)) if (which(key)) keys.push(key);
    for (const key of keys) core.remove(key);
    core.afterChange();
    return keys.length;
  }

  /** Removes every value whose time is over; returns how many. O(keys). */
  deleteExpired(): number {
    const now = Date.now();
    const { memory, tier, counters } = this.#core;
    const count = this.#removeAll((key) => {
      const entry = memory.get(key);
      if (entry === undefined) this.#core.locate(key);
      const expires = entry?.expires ?? tier.foundExpires;
      return expires !== 0 && expires <= now;
    });
    counters.expired += count;
    return count;
  }

  /**
   * Sets every entry of another chest. Stored values go over as they are, without being decoded; those of 32 KiB and more
   * inside the kernel, which shares their blocks where the file system can (btrfs, XFS).
   * @param options.overwrite Default true; false keeps the values of keys that are here already.
   */
  update(other: Chest<K, V> | Iterable<readonly [K, V]>, options: { overwrite?: boolean } = {}): this {
    const core = this.#core;
    core.writable();
    const { overwrite = true } = options;
    if (!(other instanceof Chest)) {
      if (!isIterable(other)) throw new InvalidArgumentError("what is set must be a chest, or pairs of key and value");
      for (const [key, value] of other) if (overwrite || !this.has(key)) this.set(key, value);
      return this;
    }
    for (const key of walk(other.#core, false))
      if (overwrite || !this.has(key)) other.#core.steadily(() => copyValue(other.#core, core, key));
    core.afterChange();
    return this;
  }

  /* ---- care ---- */

  /**
   * Gives the room of dead values back, a few milliseconds at a time, with the event loop running in between.
   * @param progress is called after each step with the bytes on the disk.
   */
  async compact(progress?: (disk: number) => void): Promise<void> {
    const core = this.#core;
    core.writable();
    if (progress !== undefined) checkFunction("progress", progress);
    core.committer.flush();
    while (!core.committer.compactStep()) {
      progress?.(core.tier.usage().disk);
      await new Promise((resolve) => setImmediate(resolve));
      core.live();
    }
  }

  /** What was found to be damaged since the chest was opened. */
  get damage(): readonly Damage[] {
    return this.#core.tier.damage;
  }

  /**
   * A view of the chest as it was at the last flush, whatever is changed later. Copies the index; a reader does so again
   * until its writer has not committed meanwhile, and keeps every segment open, as far as half of the process's
   * descriptors reach: its writer may remove them. Log only.
   */
  snapshot(): ChestSnapshot<K, V> {
    this.#core.live();
    return new ChestSnapshot<K, V>(this.#log(), this.#core.coder);
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
    const { tier } = this.#core;
    if (tier instanceof LogStore) return tier;
    throw new InvalidArgumentError(`a chest with the tier "${tier.name}" has no snapshots`);
  }

  /** What has happened since the chest was opened. */
  statistics(): ChestStatistics {
    const { counters, memory } = this.#core;
    return { ...counters, policy: memory.policy.name, resident: memory.size, dirty: memory.dirtyCount };
  }

  /**
   * Flushes and closes. Views of leases have length 0 afterwards. May be called twice.
   * @throws {DiskFullError | CodecError} when not all could be written: the chest stays open.
   */
  close(): void {
    const core = this.#core;
    if (core.closed) return;
    if (!this.readOnly && !this.#temporary) core.committer.flush();
    this.abandon();
  }

  /** Closes without flushing: what was not flushed is given up. */
  abandon(): void {
    const core = this.#core;
    if (core.closed) return;
    core.closed = true;
    core.memory.clear();
    try {
      if (this.#temporary) core.tier.drop();
      else core.tier.close();
    } finally {
      if (this.#temporary) removeTemporary(this.path, core.tier);
    }
  }

  /**
   * Closes the chest and removes everything stored; the folder too, when nothing else is in it. The calls of readers that
   * have it open throw a `NotFoundError` from then on.
   */
  drop(): void {
    const core = this.#core;
    core.writable();
    core.closed = true;
    core.memory.clear();
    core.tier.drop();
    if (this.#temporary) removeTemporary(this.path, core.tier);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
