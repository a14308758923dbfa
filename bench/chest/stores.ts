import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { Mapping } from "../../src/memory/main.ts";

/** What is measured: arrays of 1 MiB, or small pairs. */
export interface Work {
  readonly folder: string;
  readonly arrays: number;
  readonly pairs: number;
  /** Bytes of memory for values. */
  readonly budget: number;
}

/** Seconds of each step, bytes for `disk-small`. */
export type Costs = Record<string, number>;

/** A way of keeping values, as far as the bench uses one. */
export interface Store {
  open(folder: string, values: "arrays" | "numbers" | "strings"): unknown;
  /** Everything is on the disk when it returns. */
  putAll(count: number, keyOf: (i: number) => string, valueAt: (i: number) => unknown): unknown;
  /** The bytes of an array, or the small value. */
  get(key: string): unknown;
  /** A view without a copy, to be used before the next one. */
  lease?(key: string): Uint8Array;
  endLease?(): void;
  close(): unknown;
}

export const keyOf = (i: number): string => `k${String(i).padStart(11, "0")}`;

function timed<T>(work: () => T): number {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1000;
}

async function timedAsync(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** Every byte, eight at a time in four chains, so that the reading is what is measured. */
export function sum(bytes: Uint8Array): number {
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  const words = new Float64Array(aligned.buffer, aligned.byteOffset, aligned.length >> 3);
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  for (let i = 0; i < words.length; i += 4) {
    a += words[i]!;
    b += words[i + 1]!;
    c += words[i + 2]!;
    d += words[i + 3]!;
  }
  return a + b + c + d;
}

function check(ok: boolean): void {
  if (!ok) throw new Error("a store gave back something else");
}

function folderBytes(folder: string): number {
  let bytes = 0;
  for (const name of fs.readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const status = fs.statSync(path.join(folder, name));
    if (status.isFile()) bytes += Math.min(status.size, status.blocks * 512);
  }
  return bytes;
}

export async function runArrays(store: Store, work: Work): Promise<Costs> {
  const folder = fs.mkdtempSync(path.join(work.folder, "arrays-"));
  try {
    await store.open(folder, "arrays");
    const put = await timedAsync(() => store.putAll(work.arrays, keyOf, (i) => new Float64Array(2 ** 17).fill(i + 1)));
    const costs: Costs = { "put-1MiB": put };
    const expected = ((work.arrays * (work.arrays + 1)) / 2) * 2 ** 17;
    const { lease } = store;
    if (lease !== undefined) {
      let total = 0;
      costs["lease-1MiB"] = timed(() => {
        for (let i = 0; i < work.arrays; i++) {
          total += sum(lease.call(store, keyOf(i)));
          store.endLease?.();
        }
      });
      check(total === expected);
    }
    let length = 0;
    costs["get-1MiB"] = await timedAsync(async () => {
      for (let i = 0; i < work.arrays; i++) {
        let value = store.get(keyOf(i));
        if (value instanceof Promise) value = await value;
        length += (value as ArrayBufferView).byteLength;
      }
    });
    check(length === work.arrays * 2 ** 20);
    if (lease === undefined) {
      let total = 0;
      costs["lease-1MiB"] = await timedAsync(async () => {
        for (let i = 0; i < work.arrays; i++) {
          let value = store.get(keyOf(i));
          if (value instanceof Promise) value = await value;
          const view = value as ArrayBufferView;
          total += sum(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
        }
      });
      check(total === expected);
    }
    await store.close();
    return costs;
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

async function readAll(store: Store, pairs: number): Promise<number> {
  let found = 0;
  for (let i = 0; i < pairs; i++) {
    let value = store.get(keyOf(i));
    if (value instanceof Promise) value = await value;
    if (value !== undefined) found++;
  }
  return found;
}

/** Without a promise per value where the store has none. */
function readAllSync(store: Store, pairs: number): number {
  let found = 0;
  for (let i = 0; i < pairs; i++) if (store.get(keyOf(i)) !== undefined) found++;
  return found;
}

async function timedReads(store: Store, pairs: number, isAsync: boolean): Promise<number> {
  let found = 0;
  const cost = isAsync
    ? await timedAsync(async () => {
        found = await readAll(store, pairs);
      })
    : timed(() => {
        found = readAllSync(store, pairs);
      });
  check(found === pairs);
  return cost;
}

export async function runPairs(store: Store, work: Work, isAsync: boolean): Promise<Costs> {
  const folder = fs.mkdtempSync(path.join(work.folder, "pairs-"));
  const strings = fs.mkdtempSync(path.join(work.folder, "strings-"));
  const { pairs } = work;
  try {
    const costs: Costs = {};
    await store.open(folder, "numbers");
    costs["put-small"] = await timedAsync(() => store.putAll(pairs, keyOf, (i) => i));
    await store.close();
    costs["disk-small"] = folderBytes(folder);
    costs.reopen = await timedAsync(() => store.open(folder, "numbers"));
    costs["get-small"] = await timedReads(store, pairs, isAsync);
    costs["get-hot"] = await timedReads(store, pairs, isAsync);
    await store.close();
    await store.open(strings, "strings");
    await store.putAll(pairs, keyOf, (i) => `value number ${i}`);
    await store.close();
    await store.open(strings, "strings");
    costs["get-string"] = await timedReads(store, pairs, isAsync);
    await store.close();
    return costs;
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
    fs.rmSync(strings, { recursive: true, force: true });
  }
}

const bytesOf = (value: unknown): Uint8Array => {
  const view = value as ArrayBufferView;
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
};

/** The same bytes into one file, at known places. */
export class FileStore implements Store {
  #fd = -1;
  #places: Map<string, number> = new Map();
  protected path = "";

  open(folder: string): void {
    this.path = path.join(folder, "file");
    this.#fd = fs.openSync(this.path, "w+");
    this.#places.clear();
  }

  protected place(key: string): number {
    return this.#places.get(key) ?? 0;
  }

  putAll(count: number, key: (i: number) => string, valueAt: (i: number) => unknown): void {
    for (let i = 0; i < count; i++) {
      this.#places.set(key(i), i * 2 ** 20);
      fs.writeSync(this.#fd, bytesOf(valueAt(i)));
    }
    fs.fdatasyncSync(this.#fd);
  }

  get(key: string): Uint8Array {
    const bytes = new Uint8Array(2 ** 20);
    fs.readSync(this.#fd, bytes, 0, bytes.length, this.place(key));
    return bytes;
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}

/** The same, and its bytes summed where a plain mapping of the file has them; pages are given back behind the sum. */
export class MappedStore extends FileStore {
  #mapping: Mapping | undefined;
  #at = 0;

  lease(key: string): Uint8Array {
    this.#mapping ??= Mapping.open(this.path);
    this.#at = this.place(key);
    return this.#mapping.bytes(this.#at, 2 ** 20);
  }

  endLease(): void {
    this.#mapping?.trim(this.#at, 2 ** 20);
  }

  override close(): void {
    this.#mapping?.close();
    this.#mapping = undefined;
    super.close();
  }
}

/** What making the values costs. */
export class MapStore implements Store {
  #map: Map<string, unknown> = new Map();
  open(): void {}
  putAll(count: number, key: (i: number) => string, valueAt: (i: number) => unknown): void {
    for (let i = 0; i < count; i++) this.#map.set(key(i), valueAt(i));
  }
  get(key: string): unknown {
    return this.#map.get(key);
  }
  close(): void {}
}

/** One file a value. */
export class FilesStore implements Store {
  #folder = "";
  open(folder: string): void {
    this.#folder = folder;
  }
  putAll(count: number, key: (i: number) => string, valueAt: (i: number) => unknown): void {
    for (let i = 0; i < count; i++) fs.writeFileSync(path.join(this.#folder, key(i)), bytesOf(valueAt(i)));
  }
  get(key: string): Uint8Array {
    return fs.readFileSync(path.join(this.#folder, key));
  }
  close(): void {}
}

const load = createRequire(import.meta.url);

interface Lmdb {
  transactionSync(work: () => void): void;
  putSync(key: string, value: unknown): void;
  get(key: string): unknown;
  flushed: Promise<unknown>;
  close(): Promise<void>;
}

export class LmdbStore implements Store {
  #db: Lmdb | undefined;
  open(folder: string, values: string): void {
    const { open } = load("lmdb") as { open(options: object): Lmdb };
    this.#db = open({
      path: path.join(folder, "data.mdb"),
      encoding: values === "arrays" ? "binary" : "msgpack",
      mapSize: 2 ** 31,
    });
  }
  async putAll(count: number, key: (i: number) => string, valueAt: (i: number) => unknown): Promise<void> {
    const db = this.#db!;
    db.transactionSync(() => {
      for (let i = 0; i < count; i++) {
        const value = valueAt(i);
        db.putSync(key(i), ArrayBuffer.isView(value) ? Buffer.from(bytesOf(value).buffer) : value);
      }
    });
    await db.flushed;
  }
  get(key: string): unknown {
    return this.#db!.get(key);
  }
  close(): Promise<void> {
    return this.#db!.close();
  }
}

interface Level {
  open(): Promise<void>;
  batch(operations: object[], options: object): Promise<void>;
  get(key: string): Promise<unknown>;
  close(): Promise<void>;
}

export class LevelStore implements Store {
  #db: Level | undefined;
  async open(folder: string, values: string): Promise<void> {
    const { ClassicLevel } = load("classic-level") as { ClassicLevel: new (folder: string, options: object) => Level };
    this.#db = new ClassicLevel(folder, { valueEncoding: values === "arrays" ? "view" : "json" });
    await this.#db.open();
  }
  async putAll(count: number, key: (i: number) => string, valueAt: (i: number) => unknown): Promise<void> {
    const step = valueAt(0) instanceof Float64Array ? 16 : 10_000;
    for (let from = 0; from < count; from += step) {
      const operations: object[] = [];
      for (let i = from; i < Math.min(count, from + step); i++) {
        const value = valueAt(i);
        operations.push({ type: "put", key: key(i), value: ArrayBuffer.isView(value) ? bytesOf(value) : value });
      }
      await this.#db!.batch(operations, { sync: from + step >= count });
    }
  }
  get(key: string): Promise<unknown> {
    return this.#db!.get(key);
  }
  close(): Promise<void> {
    return this.#db!.close();
  }
}

interface Statement {
  run(...values: unknown[]): void;
  get(key: string): { v: unknown } | undefined;
}
interface Sqlite {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}

/** Node's own. */
export class SqliteStore implements Store {
  #db: Sqlite | undefined;
  #get: Statement | undefined;
  open(folder: string): void {
    const { DatabaseSync } = load("node:sqlite") as { DatabaseSync: new (file: string) => Sqlite };
    this.#db = new DatabaseSync(path.join(folder, "db"));
    this.#db.exec("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (k TEXT PRIMARY KEY, v) WITHOUT ROWID");
    this.#get = this.#db.prepare("SELECT v FROM t WHERE k = ?");
  }
  putAll(count: number, key: (i: number) => string, valueAt: (i: number) => unknown): void {
    const put = this.#db!.prepare("INSERT OR REPLACE INTO t VALUES (?, ?)");
    this.#db!.exec("BEGIN");
    for (let i = 0; i < count; i++) {
      const value = valueAt(i);
      put.run(key(i), ArrayBuffer.isView(value) ? bytesOf(value) : value);
    }
    this.#db!.exec("COMMIT");
  }
  get(key: string): unknown {
    return this.#get!.get(key)?.v;
  }
  close(): void {
    this.#db!.close();
  }
}
