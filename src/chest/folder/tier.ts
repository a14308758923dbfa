import { builtin } from "../../builtins.ts";
import { ClosedError, DamagedError, FormatError, InvalidArgumentError, ReadOnlyError } from "../../errors.ts";
import { errorFor } from "../../memory/check.ts";
import { FileLock } from "../../memory/lock.ts";
import { decodeKey, type Key, type KeyBytes } from "../keys.ts";
import type { ColdTier, Damage, NewValue, StoredValue, TierUsage } from "../tier.ts";
import { checkName, nameOfKey } from "./names.ts";

const INDEX = "chest.folder.json";
const LOCK = "chest.lock";
const VERSION = 1;

interface Item {
  /** The number of the key, while the chest is open: it stays when the value is replaced. */
  readonly position: number;
  readonly key: string;
  readonly name: string;
  readonly sequence: number;
  readonly format: number;
  readonly expires: number;
  readonly tags: readonly string[];
  /** Written beside the file until the next commit. */
  staged: string | undefined;
}

/** How values become files. */
export interface FolderOptions {
  /** The file for a key, as a path below the folder. Default: an escaped form of the key, different for different keys. */
  name?: (key: Key) => string;
  /** Whether commits wait for the disk. Default true. */
  sync?: boolean;
}

const fromBase64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const textOf = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

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
  #options: FolderOptions;
  #lock: FileLock | undefined;
  #items: Map<string, Item> = new Map();
  #byPosition: Map<number, Item> = new Map();
  #names: Map<string, string> = new Map();
  #last = 0;
  /** Counts the files that were written beside those of their keys. */
  #writes = 0;
  #changed = false;
  #doomed: string[] = [];
  #stamp = "";
  #closed = false;

  constructor(folder: string, readOnly: boolean, options: FolderOptions) {
    this.#folder = folder;
    this.readOnly = readOnly;
    this.#options = options;
    if (!readOnly) {
      builtin("fs").mkdirSync(folder, { recursive: true, mode: 0o700 });
      this.#lock = FileLock.tryAcquire(this.#at(LOCK));
    }
    try {
      this.#readIndex();
    } catch (error) {
      this.#lock?.release();
      throw error;
    }
  }

  #at(name: string): string {
    return builtin("path").join(this.#folder, name);
  }

  #readIndex(): void {
    const fs = builtin("fs");
    const file = this.#at(INDEX);
    if (!fs.existsSync(file)) {
      if (this.readOnly) throw errorFor("ENOENT", "open", file);
      /* It is one from the first commit on, though nothing be in it. */
      this.#changed = true;
      return;
    }
    const text = fs.readFileSync(file, "utf8");
    let index: { version: number; next: number; values: unknown[][] };
    try {
      index = JSON.parse(text);
    } catch {
      throw new FormatError(file, "it is not the JSON that a chest writes; nothing was changed");
    }
    if (index.version !== VERSION || !Array.isArray(index.values))
      throw new FormatError(file, `format version ${index.version} is not ${VERSION}`);
    this.#items.clear();
    this.#byPosition.clear();
    this.#names.clear();
    for (const [key, name, sequence, format, expires, tags] of index.values)
      this.#add({
        position: ++this.#last,
        key: textOf(fromBase64(key as string)),
        name: checkName(name),
        sequence: Number(sequence),
        format: Number(format),
        expires: Number(expires),
        tags: tags as string[],
        staged: undefined,
      });
    this.nextSequence = Number(index.next);
    this.#stamp = this.#readStamp();
  }

  #readStamp(): string {
    try {
      const { mtimeMs, ino, size } = builtin("fs").statSync(this.#at(INDEX));
      return `${mtimeMs} ${ino} ${size}`;
    } catch {
      return "";
    }
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
    if (item === undefined) throw new DamagedError(this.#at(INDEX), 0, "there is no such value");
    return item;
  }

  read(position: number): StoredValue {
    const item = this.#item(position);
    const file = this.#at(item.staged ?? item.name);
    let bytes: Uint8Array;
    try {
      bytes = builtin("fs").readFileSync(file);
    } catch (error) {
      throw new DamagedError(file, 0, `the value cannot be read: ${(error as Error).message}`);
    }
    const { sequence, format, expires, tags } = item;
    return { format, bytes, start: 0, end: bytes.length, owned: false, sequence, expires, tags };
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
    const staged = `chest.staged-${++this.#writes}`;
    this.#writeFile(staged, value.bytes.subarray(0, value.length));
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

  /** Whole or not at all. */
  #writeFile(name: string, bytes: Uint8Array): void {
    const fs = builtin("fs");
    const file = this.#at(name);
    try {
      const fd = fs.openSync(file, "w", 0o600);
      try {
        for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at);
        if (this.#options.sync !== false) fs.fsyncSync(fd);
      } finally {
        fs.closeSync(fd);
      }
    } catch (cause) {
      fs.rmSync(file, { force: true });
      throw errorFor((cause as { code?: string }).code ?? "EIO", "write", file, cause);
    }
  }

  #forget(item: Item): void {
    this.#items.delete(item.key);
    this.#byPosition.delete(item.position);
    this.#names.delete(item.name);
    if (item.staged !== undefined) builtin("fs").rmSync(this.#at(item.staged), { force: true });
  }

  remove(_key: KeyBytes, before: number): void {
    if (this.readOnly) throw new ReadOnlyError(this.#folder);
    const item = this.#item(before);
    this.#forget(item);
    this.#doomed.push(item.name);
    this.#changed = true;
  }

  commit(_count: number, _sync: boolean): void {
    if (!this.#changed) return;
    const fs = builtin("fs");
    for (const item of this.#items.values()) {
      if (item.staged === undefined) continue;
      const file = this.#at(item.name);
      fs.mkdirSync(builtin("path").dirname(file), { recursive: true, mode: 0o700 });
      fs.renameSync(this.#at(item.staged), file);
      item.staged = undefined;
    }
    const values = [...this.#items.values()].map(({ key, name, sequence, format, expires, tags }) => [
      btoa(key),
      name,
      sequence,
      format,
      expires,
      tags,
    ]);
    const index = JSON.stringify({ version: VERSION, next: this.nextSequence, values });
    this.#writeFile(`${INDEX}.new`, new TextEncoder().encode(index));
    fs.renameSync(this.#at(`${INDEX}.new`), this.#at(INDEX));
    for (const name of this.#doomed) if (!this.#names.has(name)) this.#removeFile(name);
    this.#doomed = [];
    this.#changed = false;
    this.staged = 0;
  }

  #removeFile(name: string): void {
    const fs = builtin("fs");
    fs.rmSync(this.#at(name), { force: true });
    for (let parent = builtin("path").dirname(name); parent !== "."; parent = builtin("path").dirname(parent)) {
      try {
        fs.rmdirSync(this.#at(parent));
      } catch {
        return;
      }
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
    if (!this.readOnly || this.#readStamp() === this.#stamp) return false;
    this.#readIndex();
    this.generation++;
    return true;
  }

  prefetch(): void {}

  usage(): TierUsage {
    const fs = builtin("fs");
    let disk = 0;
    let files = 0;
    for (const name of fs.readdirSync(this.#folder, { recursive: true, encoding: "utf8" })) {
      const status = fs.statSync(this.#at(name));
      if (!status.isFile()) continue;
      disk += Math.max(status.size, status.blocks * 512);
      files++;
    }
    return { disk, dead: 0, resident: 0, files };
  }

  compactStep(): boolean {
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { staged } of this.#items.values())
      if (staged !== undefined) builtin("fs").rmSync(this.#at(staged), { force: true });
    this.#lock?.release();
  }

  drop(): void {
    const names = [...this.#names.keys(), ...this.#doomed];
    this.close();
    for (const name of names) this.#removeFile(name);
    for (const name of [INDEX, LOCK]) builtin("fs").rmSync(this.#at(name), { force: true });
    try {
      builtin("fs").rmdirSync(this.#folder);
    } catch {
      /* Something of somebody else's is in it. */
    }
  }
}
