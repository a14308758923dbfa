import { builtin } from "../builtins.ts";
import { NotFoundError } from "../errors.ts";
import { announce, StoreFile, syncFolder } from "../memory/store-file.ts";

/** The home files `aID.dat` of a store: raw elements and nothing else. */
export class Homes {
  readonly folder: string;
  #open = new Map<number, StoreFile>();

  constructor(folder: string) {
    this.folder = folder;
  }

  path(array: number): string {
    return builtin("path").join(this.folder, `a${array}.dat`);
  }

  exists(array: number): boolean {
    return this.#open.has(array) || builtin("fs").existsSync(this.path(array));
  }

  /** The open home file, made if there is none. */
  get(array: number): StoreFile {
    const known = this.#open.get(array);
    if (known !== undefined) return known;
    const path = this.path(array);
    let file: StoreFile;
    try {
      file = StoreFile.open(path, true);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      file = StoreFile.create(path, false);
      syncFolder(this.folder);
    }
    file.random();
    this.#open.set(array, file);
    return file;
  }

  /** Removes the files of arrays below `nextId` that nobody knows any more. */
  removeUnknown(known: ReadonlySet<number>, nextId: number): void {
    const { readdirSync, rmSync } = builtin("fs");
    for (const name of readdirSync(this.folder)) {
      const id = Number(/^a(\d+)\.dat$/.exec(name)?.[1] ?? Number.NaN);
      if (Number.isNaN(id) || known.has(id) || id >= nextId) continue;
      if (announce("remove", this.path(id), 0, 0)) rmSync(this.path(id), { force: true });
    }
  }

  close(): void {
    for (const file of this.#open.values()) file.close();
    this.#open.clear();
  }
}
