/** A peer store in a process of its own: answers each line `STORE arrays|pairs FOLDER ARRAYS PAIRS` with JSON. */
import process from "node:process";
import { createInterface } from "node:readline";
import {
  FileStore,
  FilesStore,
  LevelStore,
  LmdbStore,
  MappedStore,
  MapStore,
  runArrays,
  runPairs,
  SqliteStore,
  type Store,
} from "./stores.ts";

const stores: Record<string, () => Store> = {
  file: () => new FileStore(),
  plain: () => new MappedStore(),
  files: () => new FilesStore(),
  map: () => new MapStore(),
  lmdb: () => new LmdbStore(),
  "classic-level": () => new LevelStore(),
  sqlite: () => new SqliteStore(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name = "", what, folder = "", arrays, pairs] = line.split(" ");
  const work = { folder, arrays: Number(arrays), pairs: Number(pairs), budget: 0 };
  try {
    const store = stores[name]!();
    const costs =
      what === "arrays" ? await runArrays(store, work) : await runPairs(store, work, name === "classic-level");
    console.log(JSON.stringify(costs));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
