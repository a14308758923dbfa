import { Buffer } from "node:buffer";
import fs from "node:fs";
import { WindowManager } from "../../src/window/main.ts";
import type { FoundFile } from "./files.ts";
import type { Advance, Job } from "./job.ts";

/** What a search found. Two searches agree when all numbers do. */
export interface Found {
  matches: number;
  files: number;
  /** Sum of the offsets of all matches. */
  offsets: number;
}

/** Longest file that `readFile` takes. */
const LONGEST_READ = 2 ** 31 - 1;

function count(found: Found, offsets: number[]): void {
  found.matches += offsets.length;
  if (offsets.length > 0) found.files++;
  for (const offset of offsets) found.offsets += offset;
}

/** A search for text in every file; its answer is a `Found`. */
export function fullTextSearch(files: readonly FoundFile[], total: number, pattern: string, budget: number): Job {
  const needle = new TextEncoder().encode(pattern);
  let hitRate = 0;
  return {
    name: "full-text search",
    bytes: total,
    ours(advance) {
      const manager = new WindowManager({ budget, windowSize: Math.min(2 ** 20, budget) });
      const found = searchEach(files, advance, ({ path }) => offsetsThroughWindows(manager, path, needle));
      hitRate = manager.stats.hitRate;
      manager.close();
      return found;
    },
    plain: (advance) =>
      searchEach(files, advance, ({ path, size }) =>
        size <= LONGEST_READ ? offsetsIn(fs.readFileSync(path), needle) : offsetsInParts(path, needle),
      ),
    hitRate: () => hitRate,
  };
}

function searchEach(files: readonly FoundFile[], advance: Advance, search: (file: FoundFile) => number[]): Found {
  const found: Found = { matches: 0, files: 0, offsets: 0 };
  for (const file of files) {
    count(found, search(file));
    advance(file.size);
  }
  return found;
}

function offsetsThroughWindows(manager: WindowManager, path: string, needle: Uint8Array): number[] {
  const offsets: number[] = [];
  const file = manager.open(path);
  for (let at = file.indexOf(needle); at >= 0; at = file.indexOf(needle, at + needle.length)) offsets.push(at);
  file.close();
  return offsets;
}

function offsetsIn(bytes: Buffer, needle: Uint8Array): number[] {
  const offsets: number[] = [];
  for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + needle.length)) offsets.push(at);
  return offsets;
}

function offsetsInParts(path: string, needle: Uint8Array): number[] {
  const offsets: number[] = [];
  const part = Buffer.alloc(2 ** 26);
  const fd = fs.openSync(path, "r");
  try {
    for (let begin = 0, next = 0; ; begin += part.length - needle.length + 1) {
      const got = fs.readSync(fd, part, 0, part.length, begin);
      const bytes = part.subarray(0, got);
      for (
        let at = bytes.indexOf(needle, Math.max(0, next - begin));
        at >= 0;
        at = bytes.indexOf(needle, next - begin)
      ) {
        offsets.push(begin + at);
        next = begin + at + needle.length;
      }
      if (got < part.length) return offsets;
    }
  } finally {
    fs.closeSync(fd);
  }
}
