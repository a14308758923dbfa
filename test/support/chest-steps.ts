import fs from "node:fs";
import path from "node:path";
import { Head } from "../../src/chest/log/head.ts";
import { Table } from "../../src/chest/log/table.ts";
import { DataFile } from "../../src/memory/data-file.ts";

/** One thing that a chest does to its folder. */
export interface Step {
  readonly name: string;
  /** File in the folder, where it is one. */
  readonly file: string;
  readonly kind: "write" | "truncate" | "sync" | "remove" | "sync folder" | "index" | "head";
  readonly offset: number;
  readonly bytes: Uint8Array | undefined;
  readonly size: number;
}

const EXTENT = 32 * 1024;
const fileMethods: Pick<DataFile, "write" | "truncate" | "sync"> = {
  write: DataFile.prototype.write,
  truncate: DataFile.prototype.truncate,
  sync: DataFile.prototype.sync,
};
const tableMethods: Pick<Table, "put" | "remove" | "seal" | "grow" | "discard"> = {
  put: Table.prototype.put,
  remove: Table.prototype.remove,
  seal: Table.prototype.seal,
  grow: Table.prototype.grow,
  discard: Table.prototype.discard,
};
const headMethods: Pick<Head, "write" | "replaceIndex" | "sync"> = {
  write: Head.prototype.write,
  replaceIndex: Head.prototype.replaceIndex,
  sync: Head.prototype.sync,
};
const functions: Pick<typeof fs, "rmSync" | "openSync" | "fsyncSync" | "renameSync"> = {
  rmSync: fs.rmSync,
  openSync: fs.openSync,
  fsyncSync: fs.fsyncSync,
  renameSync: fs.renameSync,
};

const writeName = (offset: number, bytes: Uint8Array): string =>
  offset === 0 ? "segment header" : bytes.length >= EXTENT ? "extent" : bytes.length === 6 ? "segment end" : "append";

/** What takes the place of functions of the chest: mutants. */
export interface Mutant {
  readonly write?: typeof fileMethods.write;
  readonly put?: typeof tableMethods.put;
  readonly afterHead?: () => void;
}

/**
 * Tells `seen` of every step of the write protocol in a folder, right after it was done, through the functions that the
 * chest itself calls. `before` is told right before. Ends with `unhookSteps`.
 */
export function hookSteps(
  folder: string,
  seen: (step: Step) => void,
  before: (step: Step) => void = () => {},
  mutant: Mutant = {},
): void {
  const write = mutant.write ?? fileMethods.write;
  const put = mutant.put ?? tableMethods.put;
  let isInside = false;
  const mine = (file: string): boolean => path.dirname(file) === folder;
  const around = <T>(step: Omit<Step, "bytes" | "offset" | "size"> & Partial<Step>, work: () => T): T => {
    if (isInside) return work();
    const whole = { offset: 0, bytes: undefined, size: 0, ...step };
    const tell = (to: (step: Step) => void): void => {
      isInside = true;
      try {
        to(whole);
      } finally {
        isInside = false;
      }
    };
    tell(before);
    const result = work();
    tell(seen);
    return result;
  };
  DataFile.prototype.write = function (offset, source) {
    if (!mine(this.path) || !this.path.endsWith(".log")) return fileMethods.write.call(this, offset, source);
    const step = { kind: "write", file: path.basename(this.path), offset, bytes: source } as const;
    return around({ ...step, name: writeName(offset, source) }, () => write.call(this, offset, source));
  };
  DataFile.prototype.truncate = function (size) {
    if (!mine(this.path) || !this.path.endsWith(".log")) return fileMethods.truncate.call(this, size);
    const step = { name: "truncate", kind: "truncate", file: path.basename(this.path), size } as const;
    return around(step, () => fileMethods.truncate.call(this, size));
  };
  DataFile.prototype.sync = function (dataOnly) {
    if (!mine(this.path) || !this.path.endsWith(".log")) return fileMethods.sync.call(this, dataOnly);
    const step = { name: "sync", kind: "sync", file: path.basename(this.path) } as const;
    return around(step, () => fileMethods.sync.call(this, dataOnly));
  };
  Table.prototype.put = function (h1, tag, position, old) {
    if (!mine(this.file)) return tableMethods.put.call(this, h1, tag, position, old);
    const step = { name: "index put", kind: "index", file: path.basename(this.file) } as const;
    return around(step, () => put.call(this, h1, tag, position, old));
  };
  Table.prototype.remove = function (h1, tag, position) {
    const step = { name: "index remove", kind: "index", file: path.basename(this.file) } as const;
    return around(step, () => tableMethods.remove.call(this, h1, tag, position));
  };
  Table.prototype.seal = function (sync) {
    const step = { name: "index seal", kind: "index", file: path.basename(this.file) } as const;
    return around(step, () => tableMethods.seal.call(this, sync));
  };
  Table.prototype.grow = function (home, identity, keys) {
    const step = { name: "index grow", kind: "index", file: path.basename(this.file) } as const;
    return around(step, () => tableMethods.grow.call(this, home, identity, keys));
  };
  Table.prototype.discard = function () {
    const step = { name: "index discard", kind: "index", file: path.basename(this.file) } as const;
    return around(step, () => tableMethods.discard.call(this));
  };
  Head.prototype.write = function (state) {
    const name = state.clean ? "head closed" : "head";
    const done = around({ name, kind: "head", file: "chest.head" }, () => headMethods.write.call(this, state));
    if (!isInside) mutant.afterHead?.();
    return done;
  };
  Head.prototype.replaceIndex = function (old, next) {
    const step = { name: "head index", kind: "head", file: "chest.head" } as const;
    return around(step, () => headMethods.replaceIndex.call(this, old, next));
  };
  Head.prototype.sync = function () {
    return around({ name: "head sync", kind: "head", file: "chest.head" }, () => headMethods.sync.call(this));
  };
  const folders = new Set<number>();
  fs.rmSync = (target, options) => {
    const file = String(target);
    if (!mine(file) || !file.endsWith(".log")) return functions.rmSync(target, options);
    const step = { name: "remove segment", kind: "remove", file: path.basename(file) } as const;
    return around(step, () => functions.rmSync(target, options));
  };
  fs.openSync = ((file: string, ...rest: [string, number?]) => {
    const fd = functions.openSync(file, ...rest);
    if (file === folder) folders.add(fd);
    else folders.delete(fd);
    return fd;
  }) as typeof fs.openSync;
  fs.fsyncSync = (fd) => {
    if (!folders.has(fd)) return functions.fsyncSync(fd);
    return around({ name: "sync folder", kind: "sync folder", file: "" }, () => functions.fsyncSync(fd));
  };
}

/** Ends `hookSteps`. */
export function unhookSteps(): void {
  Object.assign(DataFile.prototype, fileMethods);
  Object.assign(Table.prototype, tableMethods);
  Object.assign(Head.prototype, headMethods);
  Object.assign(fs, functions);
}
