import {
  ClosedError,
  CodecError,
  DamagedError,
  DiskFullError,
  InvalidArgumentError,
  LimitError,
  NotFoundError,
  ReadOnlyError,
} from "../errors.ts";
import type { ValueCoder } from "./codec/codec.ts";
import { Committer } from "./committer.ts";
import { LARGE } from "./evicted.ts";
import { Garbage } from "./garbage.ts";
import { decodeKey, type Key, KeyBytes } from "./keys.ts";
import { Memory } from "./memory.ts";
import type { ChestOptions, Settings } from "./options.ts";
import type { Entry } from "./policy.ts";
import { Spiller } from "./spiller.ts";
import { Counters } from "./statistics.ts";
import type { ColdTier, NewValue } from "./tier.ts";
import { walk } from "./walk.ts";
import { weigh } from "./weight.ts";

/** What `set` may be told about one value. */
export interface SetOptions {
  /** Milliseconds that it lives. */
  timeToLive?: number;
  /** When it expires, in milliseconds since 1970 (0: never), in place of `timeToLive`. */
  expires?: number;
  /** Names under which `deleteTagged` finds it. */
  tags?: readonly string[];
}

/** What a chest knows of a value beside it. `set` takes it as options. */
export interface About {
  /** When it expires, in milliseconds since 1970; 0: never. */
  readonly expires: number;
  /** Names under which `deleteTagged` finds it. */
  readonly tags: readonly string[];
}

/** A value on its way into the chest. */
export interface Prepared<K, V> extends About {
  readonly key: K;
  readonly value: V;
  readonly weight?: number | undefined;
}

/** What the tier has of a key; position 0: nothing. */
export interface Found {
  readonly position: number;
  readonly sequence: number;
  readonly expires: number;
}

/** What an entry takes beside its value: the entry, its place in the Map, its key. */
const ENTRY_WEIGHT = 200;
/** So many entries stay in memory whatever their size, as long as they fit. */
const FEW = 4096;
const DOORS = 2 ** 13;
/** Engines copy shorter parts of a text. */
const SHORTEST_SLICE = 13;
const SHORT_TEXT = 256;
/** What an operation leaves behind beside the value, with what its caller makes a key of. */
const OPERATION_GARBAGE = 200;
const NO_TAGS: readonly string[] = [];
/** In place of a sequence number: what is stored is damaged. */
const UNKNOWN = -1;
export const NOTHING: Found = { position: 0, sequence: 0, expires: 0 };

function isSmall(value: unknown): boolean {
  if (typeof value === "string") return value.length <= SHORT_TEXT;
  return typeof value === "number" || typeof value === "boolean" || value === null || value === undefined;
}

/** What is in memory and what is in the tier, as one: the chest without its face. */
export class Core<K extends Key = Key, V = unknown> {
  readonly settings: Settings;
  readonly options: ChestOptions<K, V>;
  readonly path: string;
  readonly readOnly: boolean;
  readonly tier: ColdTier;
  readonly coder: ValueCoder;
  readonly memory: Memory;
  readonly counters: Counters = new Counters();
  readonly garbage: Garbage = new Garbage();
  readonly spiller: Spiller;
  readonly committer: Committer;
  /** For one key at a time. */
  readonly key: KeyBytes;
  size: number;
  closed = false;
  /** Nothing is committed in between. */
  inBatch = false;
  /** Grows with every change, so that who called a function of the user's sees whether that made one. */
  version = 0;
  /** Keys that `mutate` is at work on, and whether its function changed them itself. */
  watched: { readonly key: string; changed: boolean }[] = [];
  /** Hashes of keys that were asked for lately and not kept. */
  #doors: Uint32Array = new Uint32Array(DOORS);
  #new: NewValue = { format: 0, bytes: new Uint8Array(0), length: 0, sequence: 0, expires: 0, tags: NO_TAGS };

  constructor(
    path: string,
    options: ChestOptions<K, V>,
    settings: Settings,
    tier: ColdTier,
    coder: ValueCoder,
    seed: number,
  ) {
    this.path = path;
    this.options = options;
    this.settings = settings;
    this.readOnly = options.readOnly ?? false;
    this.tier = tier;
    this.coder = coder;
    this.key = new KeyBytes(seed);
    this.memory = new Memory(settings.policy, settings.budget, seed);
    this.size = tier.storedCount;
    const any = this as unknown as Core;
    this.spiller = new Spiller(any);
    this.committer = new Committer(any, () => walk(any, true));
  }

  live(): void {
    if (this.closed) throw new ClosedError(`Chest(${this.path})`);
  }

  writable(): void {
    this.live();
    if (this.readOnly) throw new ReadOnlyError(`Chest(${this.path})`);
  }

  /* ---- reading ---- */

  get(key: K, isMiss: boolean): V | undefined {
    const entry = this.find(key);
    if (entry !== undefined) {
      this.counters.hits++;
      this.memory.policy.touch(entry);
      return entry.value as V;
    }
    return this.readOnly ? this.steadily(() => this.load(key, isMiss)) : this.#load(key, isMiss, 0);
  }

  /** What a reader does again when the writer has compacted what the index of a moment ago pointed to. */
  steadily<T>(read: () => T): T {
    if (!this.readOnly) return read();
    for (let attempt = 0; ; attempt++) {
      try {
        return read();
      } catch (error) {
        if (attempt > 100 || !(error instanceof NotFoundError)) throw error;
        this.tier.refresh();
      }
    }
  }

  /** The entry of a key in memory, when it is there and still holds. Leaves the key in `key`. */
  find(key: K): Entry | undefined {
    if (this.closed) this.live();
    const entry = this.memory.find(key, this.key.set(key));
    if (this.readOnly) this.tier.refresh();
    if (entry === undefined) return undefined;
    if (entry.expires !== 0 && entry.expires <= Date.now()) {
      this.#expire(entry);
      return undefined;
    }
    if (!this.readOnly || entry.moves === this.tier.generation) return entry;
    /* A reader's value holds while the index still points to where it was read. */
    if (this.steadily(() => this.locate(key)) === entry.position) {
      entry.moves = this.tier.generation;
      return entry;
    }
    this.memory.release(entry);
    return undefined;
  }

  /** Position of a key in the tier, 0 when there is none. */
  locate(key: K): number {
    return this.tier.find(this.key.set(key));
  }

  #expire(entry: Entry): void {
    this.counters.expired++;
    if (this.readOnly) this.memory.release(entry);
    else this.remove(entry.key as K);
  }

  #isOver(expires: number): boolean {
    return expires !== 0 && expires <= Date.now();
  }

  /** Whether the value that the tier found last is over its time. */
  #isFoundExpired(): boolean {
    return this.#isOver(this.tier.foundExpires) && !this.tier.isFoundDamaged;
  }

  has(key: K): boolean {
    if (this.find(key) !== undefined) return true;
    return this.locateLive(key) !== 0;
  }

  /** Position of a key in the tier, 0 when there is none or its time is over. */
  locateLive(key: K): number {
    const position = this.steadily(() => this.locate(key));
    return position !== 0 && this.#isFoundExpired() ? 0 : position;
  }

  /**
   * The key in `key` as something of the chest's own: an object of the user's may be another key by the time it is used
   * again, and text may be a slice that holds all of a file in memory.
   */
  keep(key: K): K {
    if (typeof key === "string" ? key.length < SHORTEST_SLICE : typeof key !== "object" || key === null) return key;
    return decodeKey(this.key.bytes, 0, this.key.length) as K;
  }

  /** The value of a key that is not in memory; `pins`: kept there, whatever it takes. */
  load(key: K, isMiss: boolean, pins = 0): V | undefined {
    this.key.set(key);
    return this.#load(key, isMiss, pins);
  }

  /** The same where it is in `key` already. */
  #load(key: K, isMiss: boolean, pins: number): V | undefined {
    const { tier, counters } = this;
    const position = tier.find(this.key);
    /* A decoder of the user's may have a reader see a commit, or values moved. */
    const moves = this.readOnly ? tier.generation : tier.moves;
    if (position === 0) return undefined;
    if (this.#isFoundExpired()) {
      counters.expired++;
      if (!this.readOnly) this.remove(key);
      return undefined;
    }
    const kept = this.keep(key);
    /* A decoder of the user's may use the chest, and so the key in `key`. */
    const hash = this.key.h1;
    const { version } = this;
    const stored = tier.read(position);
    const { start, end, sequence, expires, tags } = stored;
    const value = this.coder.decode(stored.format, stored.bytes, start, end, stored.owned) as V;
    counters.bytesRead += end - start;
    /* A large value becomes garbage when it leaves memory. */
    this.garbage.add(end - start < LARGE ? OPERATION_GARBAGE + end - start : OPERATION_GARBAGE);
    if (isMiss) counters.misses++;
    if (!isMiss || this.#isWorthKeeping(value, hash)) {
      const weight = this.#weigh(kept, value);
      /* What a decoder, or a `weigh`, of the user's has put into the chest meanwhile is newer. */
      if (version === this.version) {
        const entry = this.#newEntry(kept, hash, value, sequence, weight);
        entry.position = position;
        entry.moves = moves;
        entry.expires = expires;
        entry.tags = tags;
        entry.pins = pins;
        this.memory.add(entry);
        this.spiller.makeRoom(false);
      }
    }
    if (isMiss) this.options.onMiss?.(key);
    return value;
  }

  /**
   * A number or a short text is as quickly read from the mapped log as from memory, and takes less there: it comes into
   * memory when it is asked for, or set, again.
   */
  #isWorthKeeping(value: V, hash: number): boolean {
    if (!isSmall(value)) return true;
    const slot = hash & (DOORS - 1);
    if (this.#doors[slot] === hash) return true;
    this.#doors[slot] = hash;
    return false;
  }

  #newEntry(key: K, hash: number, value: V, sequence: number, weight: number): Entry {
    return {
      key,
      hash,
      chained: undefined,
      value,
      weight,
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
    const own = this.options.weigh;
    const keyWeight = typeof key === "string" ? key.length : typeof key === "object" ? weigh(key) * 2 : 0;
    return ENTRY_WEIGHT + keyWeight + (own === undefined ? weigh(value) : this.#ownWeight(own(value, key)));
  }

  #ownWeight(weight: unknown): number {
    if (typeof weight === "number" && weight >= 0 && weight < Number.POSITIVE_INFINITY) return weight;
    throw new InvalidArgumentError(`weigh must return a number of bytes from 0 on, not ${String(weight)}`);
  }

  /** Asks for all that `put` needs of the user, so that it will not fail for that. @throws what `put` would throw. */
  prepare(key: K, value: V, options?: SetOptions): Prepared<K, V> {
    const expires = this.#expiry(options);
    const tags = this.#tags(options);
    const weight = this.#weigh(key, value);
    this.coder.encode(value);
    this.key.set(key);
    return { key: this.keep(key), value, expires, tags, weight };
  }

  #expiry(options?: SetOptions): number {
    if (options === undefined && this.settings.timeToLive === 0) return 0;
    const { expires } = options ?? {};
    if (expires !== undefined) {
      if (typeof expires === "number" && expires >= 0) return expires;
      throw new InvalidArgumentError(`expires must be milliseconds since 1970, not ${String(expires)}`);
    }
    const lives = options?.timeToLive ?? this.settings.timeToLive;
    if (!(typeof lives === "number" && lives >= 0))
      throw new InvalidArgumentError(`timeToLive must be milliseconds from 0 on, not ${String(lives)}`);
    return lives > 0 ? Date.now() + lives : 0;
  }

  #tags(options?: SetOptions): readonly string[] {
    const tags = options?.tags;
    if (tags === undefined) return NO_TAGS;
    if (Array.isArray(tags) && tags.every((tag) => typeof tag === "string")) return [...tags];
    throw new InvalidArgumentError("tags must be a list of text");
  }

  /** Brings a value into memory and keeps it there until it is unpinned. False when there is no such key. */
  pin(key: K): boolean {
    const entry = this.find(key);
    if (entry === undefined) {
      this.steadily(() => this.load(key, false, 1));
      return this.memory.get(key) !== undefined;
    }
    entry.pins++;
    return true;
  }

  /* ---- changing ---- */

  put(key: K, value: V, options?: SetOptions): void {
    this.garbage.add(OPERATION_GARBAGE);
    const expires = this.#expiry(options);
    this.place(key, value, expires, this.#tags(options));
  }

  /**
   * What the tier has of a key, so that `place` and `remove` need not look there, which may fail. It holds until the key is
   * removed or values are moved.
   */
  foresee(key: K): Found {
    const entry = this.memory.get(key);
    if (entry !== undefined)
      return { position: this.#positionOf(entry), sequence: entry.sequence, expires: entry.expires };
    const position = this.locate(key);
    const { tier } = this;
    if (position !== 0 && tier.isFoundDamaged) return { position, sequence: UNKNOWN, expires: 0 };
    return { position, sequence: tier.foundSequence, expires: tier.foundExpires };
  }

  /**
   * Sets a key; with a weight, in memory only: nothing is staged but the removal of a value whose time is over. `found` when
   * it is known.
   */
  place(key: K, value: V, expires: number, tags: readonly string[], weight?: number, found?: Found): void {
    const { memory, tier } = this;
    /* A `weigh` of the user's may use the chest: so before anything is looked up. */
    const own = weight ?? (this.options.weigh === undefined ? undefined : this.#weigh(key, value));
    let known = found;
    let entry = memory.find(key, this.key.set(key));
    if (entry !== undefined && entry.expires !== 0 && entry.expires <= Date.now()) {
      this.counters.expired++;
      this.remove(key, known);
      known &&= NOTHING;
      entry = undefined;
    }
    if (entry === undefined) {
      const position = known === undefined ? tier.find(this.key) : known.position;
      /* What is damaged does not say its number: it gets a new one. */
      const isUnknown = known === undefined ? position !== 0 && tier.isFoundDamaged : known.sequence === UNKNOWN;
      const isNew = position === 0 || isUnknown || this.#isOver(known?.expires ?? tier.foundExpires);
      const sequence = isNew ? tier.nextSequence : (known?.sequence ?? tier.foundSequence);
      if (weight === undefined && this.#passThrough(value, position, sequence, expires, tags)) entry = undefined;
      else entry = this.#enter(key, value, position, sequence, own ?? this.#weigh(key, value));
      if (isNew) tier.nextSequence++;
      if (position === 0) this.size++;
      if (entry === undefined) {
        this.changed(key);
        return;
      }
    } else {
      memory.reweigh(entry, own ?? this.#weigh(key, value));
      entry.value = value;
      entry.stuck = false;
      memory.policy.touch(entry);
    }
    entry.expires = expires;
    entry.tags = tags;
    memory.markDirty(entry);
    this.changed(key);
  }

  /** A key was set or removed. */
  changed(key: unknown): void {
    this.version++;
    if (this.watched.length === 0) return;
    const name = this.key.set(key).text();
    for (const each of this.watched) if (each.key === name) each.changed = true;
  }

  /** When a key's value expires and how it is tagged; undefined when there is no such key. */
  about(key: K): About | undefined {
    const entry = this.find(key);
    if (entry !== undefined) return { expires: entry.expires, tags: [...entry.tags] };
    return this.steadily(() => {
      const position = this.locateLive(key);
      return position === 0 ? undefined : { expires: this.tier.foundExpires, tags: this.tier.tagsAt(position) };
    });
  }

  /**
   * Stages a small value under the key in `key` without bringing it into memory. False when it must go there: it was
   * used lately, cannot be encoded, or cannot be written now.
   */
  #passThrough(value: V, before: number, sequence: number, expires: number, tags: readonly string[]): boolean {
    const { tier, coder, counters, memory, options } = this;
    if (memory.size < FEW || !tier.isQuick || options.onSpill !== undefined || options.weigh !== undefined)
      return false;
    /* An encoder of the user's may use the chest, and so the key in `key`. */
    if (typeof options.codec === "object") return false;
    if (this.#isWorthKeeping(value, this.key.h1)) return false;
    try {
      coder.encode(value);
      this.#stage(before, sequence, expires, tags);
    } catch (error) {
      if (error instanceof CodecError || error instanceof DiskFullError || error instanceof LimitError) return false;
      throw error;
    }
    counters.bytesWritten += coder.length;
    return true;
  }

  /** A key that is not in memory: new, or stored. */
  #enter(key: K, value: V, position: number, sequence: number, weight: number): Entry {
    const entry = this.#newEntry(this.keep(key), this.key.h1, value, sequence, weight);
    entry.position = position;
    entry.moves = this.tier.moves;
    this.memory.add(entry);
    return entry;
  }

  /** False when there was no such key. `found` when it is known. */
  remove(key: K, found?: Found): boolean {
    const { memory, tier } = this;
    const entry = memory.find(key, this.key.set(key));
    const known = entry === undefined ? found?.position : this.#positionOf(entry);
    const position = known ?? tier.find(this.key);
    if (entry === undefined && position === 0) return false;
    let expires = (entry ?? found)?.expires ?? tier.foundExpires;
    if (known === undefined && expires !== 0 && tier.isFoundDamaged) expires = 0;
    if (position !== 0) tier.remove(this.key, position);
    if (entry !== undefined) memory.release(entry);
    this.size--;
    this.changed(key);
    return expires === 0 || expires > Date.now();
  }

  /* ---- to the tier ---- */

  /** Whether an object in memory is no longer what is stored. */
  isChanged(entry: Entry): boolean {
    const { value } = entry;
    if (this.readOnly || !this.settings.detectChanges || typeof value !== "object" || value === null) return false;
    const position = this.#positionOf(entry);
    if (position === 0) return true;
    this.coder.encode(value);
    const { format, bytes, length } = this.coder;
    try {
      if (this.tier.matches(position, format, bytes, length)) return false;
    } catch (error) {
      /* What is in memory is whole, and takes the place of what is not. */
      if (!(error instanceof DamagedError)) throw error;
    }
    this.counters.changesDetected++;
    return true;
  }

  #positionOf(entry: Entry): number {
    if (entry.moves !== this.tier.moves) {
      try {
        entry.position = this.locate(entry.key as K);
      } catch (error) {
        /* What is damaged is not moved. */
        if (!(error instanceof DamagedError)) throw error;
      }
      entry.moves = this.tier.moves;
    }
    return entry.position;
  }

  /** Stages a value. */
  write(entry: Entry): void {
    this.coder.encode(entry.value);
    const before = this.#positionOf(entry);
    this.key.set(entry.key);
    entry.position = this.#stage(before, entry.sequence, entry.expires, entry.tags);
    entry.stuck = false;
    this.counters.bytesWritten += this.coder.length;
    this.memory.markClean(entry);
  }

  /** Stages what the coder has under the key in `key`. */
  #stage(before: number, sequence: number, expires: number, tags: readonly string[]): number {
    const { coder } = this;
    const value = this.#new;
    value.format = coder.format;
    value.bytes = coder.bytes;
    value.length = coder.length;
    value.sequence = sequence;
    value.expires = expires;
    value.tags = tags;
    return this.tier.put(this.key, value, before);
  }

  /** What follows every change. */
  afterChange(): void {
    this.spiller.afterChange();
    const { durability } = this.settings;
    if (durability === "always" && !this.inBatch && !this.committer.isCommitting) this.committer.commit(true, false);
  }
}
