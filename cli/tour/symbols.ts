import fs from "node:fs";
import { WindowManager } from "../../src/window/main.ts";
import { elfSummary, isElf, type Readable } from "./elf.ts";
import type { FoundFile } from "./files.ts";
import type { Job } from "./job.ts";

/** Longest file that `readFile` takes. */
const LONGEST_WHOLE = 2 ** 31 - 1;

function wholeFile(path: string): Readable {
  const { buffer, byteOffset, byteLength } = fs.readFileSync(path);
  const view = new DataView(buffer, byteOffset, byteLength);
  return {
    u8: (offset) => view.getUint8(offset),
    u16: (offset) => view.getUint16(offset, true),
    u32: (offset) => view.getUint32(offset, true),
    u64: (offset) => view.getBigUint64(offset, true),
  };
}

/** The largest file that is an ELF file whose sections can be read. */
export function largestElf(files: readonly FoundFile[], budget: number): FoundFile | undefined {
  const manager = new WindowManager({ budget, windowSize: Math.min(2 ** 20, budget) });
  try {
    return files.find(({ path, size }) => {
      if (size > LONGEST_WHOLE) return false;
      const file = manager.open(path);
      const elf = isElf(file, size);
      file.close();
      return elf;
    });
  } finally {
    manager.close();
  }
}

/** Sections and symbols of an ELF file. */
export function elfSymbols(found: FoundFile, budget: number): Job {
  let hitRate = 0;
  return {
    name: "ELF symbols",
    bytes: found.size,
    ours() {
      const manager = new WindowManager({ budget, windowSize: Math.min(2 ** 20, budget) });
      const file = manager.open(found.path);
      const summary = elfSummary(file, file.size);
      hitRate = manager.stats.hitRate;
      manager.close();
      return summary;
    },
    plain: () => elfSummary(wholeFile(found.path), found.size),
    hitRate: () => hitRate,
  };
}
