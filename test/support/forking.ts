import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { findCompiler } from "../../scripts/build/compile.ts";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Makes processes that can be forked, without exec, from inside. */
export class Forker {
  readonly #folder: string;
  readonly #library: string;
  #serial = 0;

  /** Compiles forker.c into a folder. */
  constructor(folder: string) {
    this.#folder = folder;
    this.#library = path.join(folder, "forker.so");
    const [command = "", ...flags] = findCompiler();
    const source = fileURLToPath(new URL("forker.c", import.meta.url));
    const more = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-shared", "-fPIC", "-pthread", "-o", this.#library];
    const run = spawnSync(command, [...flags, source, ...more], { encoding: "utf8" });
    if (run.status !== 0) throw new Error(`forker.c does not compile: ${run.stderr}`);
  }

  /** What a process needs in its environment; `fork` forks it: the child lives on and does nothing. Its number. */
  prepare(): { env: Record<string, string>; fork(): Promise<number> } {
    const base = path.join(this.#folder, String(this.#serial++));
    const fork = async (): Promise<number> => {
      writeFileSync(`${base}.go`, "");
      while (!existsSync(`${base}.pid`)) await pause(5);
      return Number(readFileSync(`${base}.pid`, "utf8"));
    };
    return { env: { LD_PRELOAD: this.#library, OUTCORE_TEST_FORK: base }, fork };
  }
}
