import fs from "node:fs";
import path from "node:path";
import { observeDisk } from "../../src/memory/store-file.ts";

const FILES: readonly [RegExp, string][] = [
  [/^log\./, "log"],
  [/^a\d+\.dat$/, "home file"],
  [/^head$/, "superblock"],
];

/** Writes down in a file what its process is about to do, so that it can be read after the process was killed. */
export class StepNote {
  readonly #fd: number;
  #recorded = false;

  constructor(file: string) {
    this.#fd = fs.openSync(file, "w");
    this.note("between transactions");
    observeDisk(({ kind, path: file }) => {
      const name = path.basename(file);
      const what = FILES.find(([pattern]) => pattern.test(name))?.[1] ?? "folder";
      this.note(`${kind} ${what}, ${this.#recorded ? "record written" : "before the record"}`);
      if (kind === "write" && what === "log") this.#recorded = true;
      return undefined;
    });
  }

  note(step: string): void {
    if (step === "commit") this.#recorded = false;
    fs.writeSync(this.#fd, step.padEnd(60), 0);
  }
}

/** The last note of a process. */
export function lastStep(file: string): string {
  return fs.readFileSync(file, "utf8").slice(0, 60).trim();
}
