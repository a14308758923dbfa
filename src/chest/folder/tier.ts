import { builtin } from "../../builtins.ts";
import {
  ClosedError,
  DamagedError,
  FormatError,
  InvalidArgumentError,
  NotFoundError,
  ReadOnlyError,
} from "../../errors.ts";
import { checkFunction, errorFor } from "../../memory/check.ts";
import { FileLock } from "../../memory/lock.ts";
import { decodeKey, type Key, type KeyBytes } from "../keys.ts";
import type { ColdTier, Damage, NewValue, StoredValue, TierUsage } from "../tier.ts";
import { Files, readWhole } from "./files.ts";
import { INDEX_NAME, type Indexed, indexText, readIndex, readStamp, stagedName, stagedNumber } from "./folder-index.ts";
import { checkName, nameOfKey } from "./names.ts";

const LOCK = "chest.lock";
const NEW_INDEX = `${INDEX_NAME}.new`;

interface Item extends Indexed {
  /** The number of the key, while the chest is open: it stays when the value is replaced. */
  readonly position: number;
  staged: string | undefined;
}

/** How values become files. */
export interface FolderOptions {
  /** The file for a key, as a path below the folder. Default: an escaped form of the key, different for different keys. */
  name?: (key: Key) => string;
  /** Whether commits wait for the disk. Default true. */
  sync?: boolean;
}

/**
 * A tier that keeps each value in a file of its own, which holds the encoded value and nothing else, so that other
 * programs can read it. Keys and names are in `chest.folder.json`, and in memory. For thousands of values, not millions.
 *
 * @example
 * ```ts
 * import { Chest, folderTier } from "outcore/chest";
 * const chest = new Chest({ path: "notes", codec: "json", tier: folderTier() });
 * chest.set("first", { text: "hello" });
 * chest.close(); // notes/s-first holds {"text":"hello"}
 * ```
 */
export function folderTier(
  options: FolderOptions = {},
): (folder: string, settings: { readonly readOnly: boolean }) => ColdTier {
  if (options.name !== undefined) checkFunction("name", options.name);
  return (folder, { readOnly }) => new FolderStore(folder, readOnly, options);
}

class FolderStore implements ColdTier {
  readonly name = "folder";
  readonly readOnly: boolean;
  readonly damage: readonly Damage[] = [];
  nextSequence = 0;
  readonly moves = 0;
  generation = 0;
  staged = 0;
  foundSequence = 0;
  foundExpires = 0;
  readonly resident = 0;
  readonly isWasteful = false;
  #folder: string;
  #files: Files;
  #options: FolderOptions;
  #lock: FileLock | undefined;
  #items: Map<string, Item> = new Map();
  #byPosition: Map<number, Item> = new Map();
  #names: Map<string, string> = new Map();
  #last = 0;
  /** The number of the last staged file. */
  #writes = 0;
  /** Staged files that the index names. */
  #indexed: Set<string> = new Set();
  #changed = false;
  #doomed: string[] = [];
  #stamp = "";
  #closed = false;

  constructor(folder: string, readOnly: boolean, options: FolderOptions) {
    this.#folder = folder;
    this.#files = new Files(folder, options.sync !== false);
    this.readOnly = readOnly;
    this.#options = options;
    if (!readOnly) {
      builtin("fs").mkdirSync(folder, { recursive: true, mode: 0o700 });
      this.#lock = FileLock.tryAcquire(this.#files.at(LOCK));
    }
    try {
      this.#readIndex();
      if (!readOnly) this.#tidy();
    } catch (error) {
      this.#lock?.release();
      throw error;
    }
  }

  #readIndex(): void {
    const file = this.#files.at(INDEX_NAME);
    const stamp = readStamp(file);
    if (stamp === "") {
      if (this.readOnly) throw errorFor("ENOENT", "open", file);
      if (this.#files.list().some((name) => name === "chest.head" || /^[0-9a-f]{8}\.log$/.test(name)))
        throw new FormatError(this.#folder, "it holds a chest with a log; it needs no folderTier()");
      /* It is one from the first commit on, though nothing be in it. */
      this.#changed = true;
      return;
    }
    const { next, values } = readIndex(file);
    this.#items.clear();
    this.#byPosition.clear();
    this.#names.clear();
    for (const value of values) {
      this.#writes = Math.max(this.#writes, stagedNumber(value.staged ?? ""));
      if (value.staged !== undefined) this.#indexed.add(value.staged);
      this.#add({ ...value, position: ++this.#last });
    }
    this.nextSequence = next;
    this.#stamp = stamp;
  }

  /** Ends a commit that was interrupted, and removes what was never committed. */
  #tidy(): void {
    this.#nameStaged();
    for (const name of this.#files.list()) if (stagedNumber(name) > 0 || name === NEW_INDEX) this.#files.remove(name);
  }

  #add(item: Item): void {
    this.#items.set(item.key, item);
    this.#byPosition.set(item.position, item);
    this.#names.set(item.name, item.key);
  }

  get storedCount(): number {
    return this.#items.size;
  }

  find(key: KeyBytes): number {
    if (this.#closed) throw new ClosedError(this.#folder);
    const item = this.#items.get(key.text());
    if (item === undefined) return 0;
    this.foundSequence = item.sequence;
    this.foundExpires = item.expires;
    return item.position;
  }

  #item(position: number): Item {
    const item = this.#byPosition.get(position);
    if (item === undefined) throw new DamagedError(this.#files.at(INDEX_NAME), 0, "there is no such value");
    return item;
  }

  read(position: number): StoredValue {
    const item = this.#item(position);
    const bytes = this.#bytesOf(item);
    const { sequence, format, expires, tags } = item;
    return { format, bytes, start: 0, end: bytes.length, owned: false, sequence, expires, tags };
  }

  #bytesOf(item: Item): Uint8Array {
    const file = this.#files.at(item.name);
    let bytes: Uint8Array | undefined;
    let failure: unknown;
    try {
      bytes = this.#stagedOf(item) ?? readWhole(this.#files.placeOf(item.name));
    } catch (error) {
      failure = error;
    }
    /* A writer names the index anew before any file: what was read may be newer than what is known of it. */
    if (this.readOnly && readStamp(this.#files.at(INDEX_NAME)) !== this.#stamp) throw new NotFoundError(file, failure);
    if (bytes !== undefined) return bytes;
    throw new DamagedError(file, 0, `the value cannot be read: ${(failure as Error).message}`);
  }

  #stagedOf({ staged }: Item): Uint8Array | undefined {
    if (staged === undefined) return undefined;
    try {
      return readWhole(this.#files.at(staged));
    } catch (error) {
      /* It has its name since. */
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  tagsAt(position: number): readonly string[] {
    return this.#item(position).tags;
  }

  lease(): undefined {
    return undefined;
  }

  matches(position: number, format: number, bytes: Uint8Array, length: number): boolean {
    const stored = this.read(position);
    if (stored.format !== format || stored.end !== length) return false;
    return stored.bytes.every((byte, i) => byte === bytes[i]);
  }

  put(key: KeyBytes, value: NewValue, before: number): number {
    if (this.readOnly) throw new ReadOnlyError(this.#folder);
    const text = key.text();
    const old = before === 0 ? undefined : this.#item(before);
    const name = old?.name ?? this.#nameFor(key, text);
    const position = old?.position ?? ++this.#last;
    const staged = stagedName(++this.#writes);
    this.#files.write(staged, value.bytes.subarray(0, value.length));
    if (old !== undefined) this.#forget(old);
    const { sequence, format, expires, tags } = value;
    this.#add({ position, key: text, name, sequence, format, expires, tags, staged });
    this.#doomed = this.#doomed.filter((each) => each !== name);
    this.#changed = true;
    this.staged += value.length;
    return position;
  }

  #nameFor(key: KeyBytes, text: string): string {
    const own = this.#options.name;
    const decoded = decodeKey(key.bytes, 0, key.length);
    const name = own === undefined ? nameOfKey(decoded) : checkName(own(decoded));
    const other = this.#names.get(name);
    if (other !== undefined && other !== text)
      throw new InvalidArgumentError(`two keys have the same file name, ${JSON.stringify(name)}`);
    return name;
  }

  #forget(item: Item): void {
    this.#items.delete(item.key);
    this.#byPosition.delete(item.position);
    this.#names.delete(item.name);
    if (item.staged === undefined) return;
    if (this.#indexed.has(item.staged)) this.#doomed.push(item.staged);
    else this.#files.tryRemove(item.staged);
  }

  remove(_key: KeyBytes, before: number): void {
    if (this.readOnly) throw new ReadOnlyError(this.#folder);
    const item = this.#item(before);
    this.#forget(item);
    this.#doomed.push(item.name);
    this.#changed = true;
  }

  /** With the new index all is committed, whatever becomes of the rest: that can be done later. */
  commit(_count: number, _sync: boolean): void {
    if (!this.#changed) return;
    this.#files.write(NEW_INDEX, new TextEncoder().encode(indexText(this.nextSequence, this.#items.values())));
    this.#files.syncFolder();
    this.#files.rename(NEW_INDEX, INDEX_NAME);
    for (const { staged } of this.#items.values()) if (staged !== undefined) this.#indexed.add(staged);
    this.#files.syncFolder();
    this.#nameStaged();
    for (const name of this.#doomed) if (!this.#names.has(name)) this.#files.removeWithFolders(name);
    this.#doomed = [];
    this.#indexed.clear();
    this.#changed = false;
    this.staged = 0;
  }

  /** Gives the files of a committed index their names. */
  #nameStaged(): void {
    for (const item of this.#items.values()) {
      if (item.staged === undefined) continue;
      if (this.#files.has(item.staged)) this.#files.rename(item.staged, item.name);
      item.staged = undefined;
    }
  }

  scan(from: number, to: number, visit: (sequence: number, position: number) => void): void {
    for (const { sequence, position } of [...this.#items.values()])
      if (sequence >= from && sequence < to) visit(sequence, position);
  }

  keyAt(position: number, key: KeyBytes): boolean {
    const text = this.#byPosition.get(position)?.key;
    if (text === undefined) return false;
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    key.setBytes(bytes, 0, bytes.length);
    return true;
  }

  refresh(): boolean {
    if (!this.readOnly || readStamp(this.#files.at(INDEX_NAME)) === this.#stamp) return false;
    this.#readIndex();
    this.generation++;
    return true;
  }

  prefetch(): void {}

  usage(): TierUsage {
    return { ...this.#files.usage(), dead: 0, resident: 0 };
  }

  compactStep(): boolean {
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    /* Of those that a commit could not name, the index tells the next writer. */
    for (const { staged } of this.#items.values())
      if (staged !== undefined && !this.#indexed.has(staged)) this.#files.tryRemove(staged);
    this.#lock?.release();
  }

  drop(): void {
    const names = [...this.#names.keys(), ...this.#doomed];
    this.close();
    for (const name of names) this.#files.removeWithFolders(name);
    for (const name of [INDEX_NAME, LOCK]) this.#files.remove(name);
    this.#files.removeFolder();
  }
}
