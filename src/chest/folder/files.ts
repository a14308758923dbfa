import { builtin } from "../../builtins.ts";
import { UnsupportedFileError } from "../../errors.ts";
import { typed } from "../../memory/check.ts";
import { DataFile } from "../../memory/data-file.ts";

/** All of a regular file; nothing is waited for, whatever stands in its place. */
export function readWhole(file: string): Uint8Array {
  const opened = DataFile.open(file, false);
  try {
    const bytes = new Uint8Array(opened.size());
    opened.readInto(0, bytes);
    return bytes;
  } finally {
    opened.close();
  }
}

/** The files below one folder, by names that were checked. */
export class Files {
  readonly folder: string;
  #sync: boolean;

  /** `sync`: what is written is on the disk when the call returns. */
  constructor(folder: string, sync: boolean) {
    this.folder = folder;
    this.#sync = sync;
  }

  at(name: string): string {
    return builtin("path").join(this.folder, name);
  }

  /**
   * Where a file is, or is to be.
   * @throws {UnsupportedFileError} when the way there leads through a symbolic link, which may lead anywhere.
   */
  placeOf(name: string): string {
    let at = this.folder;
    for (const part of name.split("/")) {
      at = builtin("path").join(at, part);
      if (this.#status(at)?.isSymbolicLink()) throw new UnsupportedFileError(at, "a symbolic link");
    }
    return at;
  }

  #status(file: string): ReturnType<typeof import("node:fs").lstatSync> | undefined {
    return typed("stat", file, () => builtin("fs").lstatSync(file, { throwIfNoEntry: false }));
  }

  has(name: string): boolean {
    return this.#status(this.at(name)) !== undefined;
  }

  list(): string[] {
    return typed("list", this.folder, () => builtin("fs").readdirSync(this.folder));
  }

  /** Whole or not at all. */
  write(name: string, bytes: Uint8Array): void {
    const fs = builtin("fs");
    const file = this.at(name);
    try {
      typed("write", file, () => {
        const fd = fs.openSync(file, "w", 0o600);
        try {
          for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at);
          if (this.#sync) fs.fsyncSync(fd);
        } finally {
          fs.closeSync(fd);
        }
      });
    } catch (error) {
      this.tryRemove(name);
      throw error;
    }
  }

  /** Puts a file in the place of another one. */
  rename(from: string, name: string): void {
    const fs = builtin("fs");
    const to = this.placeOf(name);
    typed("rename", to, () => {
      fs.mkdirSync(builtin("path").dirname(to), { recursive: true, mode: 0o700 });
      fs.renameSync(this.at(from), to);
    });
  }

  remove(name: string): void {
    const file = this.at(name);
    typed("remove", file, () => builtin("fs").rmSync(file, { force: true }));
  }

  /** For what counts for nothing, and is removed by the next writer when it stays. */
  tryRemove(name: string): void {
    try {
      this.remove(name);
    } catch {
      /* It stays. */
    }
  }

  /** Removes a file, and the folders that it was in when nothing else is. */
  removeWithFolders(name: string): void {
    this.placeOf(name);
    this.remove(name);
    const { dirname } = builtin("path");
    for (let parent = dirname(name); parent !== "."; parent = dirname(parent)) {
      try {
        builtin("fs").rmdirSync(this.at(parent));
      } catch {
        return;
      }
    }
  }

  syncFolder(): void {
    if (!this.#sync) return;
    const fs = builtin("fs");
    typed("sync", this.folder, () => {
      const fd = fs.openSync(this.folder, "r");
      try {
        fs.fsyncSync(fd);
      } finally {
        fs.closeSync(fd);
      }
    });
  }

  /** Removes the folder when nothing is in it. */
  removeFolder(): void {
    try {
      builtin("fs").rmdirSync(this.folder);
    } catch {
      /* Something of somebody else's is in it. */
    }
  }

  usage(): { readonly disk: number; readonly files: number } {
    const fs = builtin("fs");
    let disk = 0;
    let files = 0;
    const names = typed("list", this.folder, () => fs.readdirSync(this.folder, { recursive: true, encoding: "utf8" }));
    for (const name of names) {
      const status = this.#status(this.at(name));
      if (!status?.isFile()) continue;
      disk += Math.max(Number(status.size), Number(status.blocks) * 512);
      files++;
    }
    return { disk, files };
  }
}
