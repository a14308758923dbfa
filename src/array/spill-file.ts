import { builtin } from "../builtins.ts";
import { InvalidArgumentError } from "../errors.ts";
import type { DataFile } from "../memory/data-file.ts";
import type { PrivateView, Runs } from "../memory/private-view.ts";
import { StoreFile } from "../memory/store-file.ts";

const PIECE: number = 2 ** 20;

/** Removes what processes left that died between making a file and taking its name away. */
export function removeSpills(folder: string): void {
  const { readdirSync, rmSync } = builtin("fs");
  for (const name of readdirSync(folder))
    if (/^spill-\d+-/.test(name)) rmSync(builtin("path").join(folder, name), { force: true });
}

/** Where a transaction puts changed pages that memory is too small for: a file without a name, gone with its last user. */
export class SpillFile {
  readonly #folder: string;
  #file: StoreFile | undefined;
  #end = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  #open(): StoreFile {
    if (this.#file !== undefined) return this.#file;
    const name = `spill-${builtin("process").pid}-${Math.random().toString(36).slice(2)}`;
    const path = builtin("path").join(this.#folder, name);
    const file = StoreFile.create(path);
    builtin("fs").rmSync(path);
    this.#file = file;
    return file;
  }

  /** Writes runs of a view behind all others. */
  write(view: PrivateView, runs: Runs): { file: DataFile; offset: number } {
    const file = this.#open();
    const offset = this.#end;
    file.writeRuns(offset, new Uint8Array(0), view, runs.data, runs.count);
    for (let i = 0; i < runs.count; i++) this.#end += runs.data[2 * i + 1] ?? 0;
    return { file: file.file, offset };
  }

  /** Writes so many bytes behind all others: `block` gives those from a place on, as many as it likes. */
  writeBlocks(length: number, block: (at: number) => Uint8Array): { file: DataFile; offset: number } {
    const file = this.#open();
    const offset = this.#end;
    for (let at = 0; at < length; ) {
      const bytes = block(at).subarray(0, Math.min(PIECE, length - at));
      if (bytes.length === 0) throw new InvalidArgumentError("the values were a view that is no more");
      file.write(offset + at, bytes);
      at += bytes.length;
    }
    this.#end += length;
    return { file: file.file, offset };
  }

  /** Its pages are of no use any more. */
  drop(): void {
    this.#file?.close();
    this.#file = undefined;
    this.#end = 0;
  }
}
