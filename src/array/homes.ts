import { builtin } from "../builtins.ts";
import { NameInUseError, NotFoundError } from "../errors.ts";
import { announce, StoreFile, syncFolder } from "../memory/store-file.ts";
import { mutations } from "./mutations.ts";

/** As it stands in the file, where 0 means that there is none. */
export function storedSum(sum: number): number {
  return sum === 0 ? 1 : sum;
}

/** The home files `aID.dat` of a store: raw elements and nothing else; and beside them `aID.sum`, their checksums. */
export class Homes {
  readonly folder: string;
  #open = new Map<number, StoreFile>();
  #sums = new Map<number, StoreFile>();
  /** A file was made whose name is not known to be on the disk. */
  #unnamed = false;
  /** A file was opened: who made it may have died, or failed, before its name was on the disk. */
  #unsure = false;

  constructor(folder: string) {
    this.folder = folder;
  }

  path(array: number): string {
    return builtin("path").join(this.folder, `a${array}.dat`);
  }

  exists(array: number): boolean {
    return this.#open.has(array) || builtin("fs").existsSync(this.path(array));
  }

  #openOrMake(path: string): StoreFile {
    this.#unsure = true;
    try {
      return StoreFile.open(path, true);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      const file = StoreFile.create(path, false);
      syncFolder(this.folder);
      return file;
    }
  }

  /** The open home file, made if there is none. */
  get(array: number): StoreFile {
    const known = this.#open.get(array);
    if (known !== undefined) return known;
    const file = this.#openOrMake(this.path(array));
    file.random();
    this.#open.set(array, file);
    return file;
  }

  /** The home file, or undefined when there is none: it goes when nobody knows the array any more. */
  find(array: number): StoreFile | undefined {
    return this.exists(array) ? this.get(array) : undefined;
  }

  /** Makes an empty home file; false when there is one. */
  make(array: number): boolean {
    try {
      const file = StoreFile.create(this.path(array));
      file.random();
      this.#open.set(array, file);
      this.#unnamed = true;
      return true;
    } catch (error) {
      if (error instanceof NameInUseError) return false;
      throw error;
    }
  }

  /** Waits until the names of files made with `make` are on the disk. */
  syncNames(): void {
    if (this.#unnamed) syncFolder(this.folder);
    this.#unnamed = false;
  }

  /** Closes the files of arrays that are not among these: they are gone, and nobody asks for them any more. */
  closeBut(known: (array: number) => boolean): void {
    for (const files of [this.#open, this.#sums])
      for (const [array, file] of files) {
        if (known(array)) continue;
        files.delete(array);
        file.close();
      }
  }

  /** Takes an array's files away. */
  remove(array: number): void {
    for (const files of [this.#open, this.#sums]) {
      const file = files.get(array);
      if (file === undefined) continue;
      files.delete(array);
      file.close();
      if (announce("remove", file.path, 0, 0)) builtin("fs").rmSync(file.path, { force: true });
    }
  }

  /** The open file of checksums: a u32 for each page, 0 for pages that were never written. */
  sums(array: number): StoreFile {
    const known = this.#sums.get(array);
    if (known !== undefined) return known;
    const file = this.#openOrMake(builtin("path").join(this.folder, `a${array}.sum`));
    this.#sums.set(array, file);
    return file;
  }

  /** Remembers checksums of pages from `first` on. */
  putSums(array: number, first: number, sums: Uint32Array): void {
    const bytes = new Uint8Array(sums.length * 4);
    const view = new DataView(bytes.buffer);
    for (const [i, sum] of sums.entries()) view.setUint32(4 * i, storedSum(sum), true);
    this.sums(array).write(first * 4, bytes);
  }

  /** Waits until an array's pages and their checksums are on the disk, under their names. */
  sync(array: number): void {
    const [home, sums] = [this.get(array), this.sums(array)];
    if (this.#unsure && !mutations.trustNames) syncFolder(this.folder);
    this.#unsure = false;
    home.sync();
    sums.sync();
  }

  /** Removes the files of arrays below `nextId` that nobody knows any more, and nobody is making. */
  removeUnknown(known: ReadonlySet<number>, nextId: number, isReserved: (array: number) => boolean): void {
    const { readdirSync, rmSync } = builtin("fs");
    for (const name of readdirSync(this.folder)) {
      const id = Number(/^a(\d+)\.(dat|sum)$/.exec(name)?.[1] ?? Number.NaN);
      if (Number.isNaN(id) || known.has(id) || id >= nextId || isReserved(id)) continue;
      const path = builtin("path").join(this.folder, name);
      if (announce("remove", path, 0, 0)) rmSync(path, { force: true });
    }
  }

  close(): void {
    for (const file of [...this.#open.values(), ...this.#sums.values()]) file.close();
    this.#open.clear();
    this.#sums.clear();
  }
}
