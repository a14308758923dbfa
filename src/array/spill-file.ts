import { builtin } from "../builtins.ts";
import type { DataFile } from "../memory/data-file.ts";
import type { PrivateView, Runs } from "../memory/private-view.ts";
import { StoreFile } from "../memory/store-file.ts";

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

  /** Writes runs of a view behind all others. */
  write(view: PrivateView, runs: Runs): { file: DataFile; offset: number } {
    if (this.#file === undefined) {
      const name = `spill-${builtin("process").pid}-${Math.random().toString(36).slice(2)}`;
      const path = builtin("path").join(this.#folder, name);
      this.#file = StoreFile.create(path);
      builtin("fs").rmSync(path);
    }
    const offset = this.#end;
    this.#file.writeRuns(offset, new Uint8Array(0), view, runs.data, runs.count);
    for (let i = 0; i < runs.count; i++) this.#end += runs.data[2 * i + 1] ?? 0;
    return { file: this.#file.file, offset };
  }

  /** Its pages are of no use any more. */
  drop(): void {
    this.#file?.close();
    this.#file = undefined;
    this.#end = 0;
  }
}
