import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Chest } from "../../src/chest/main.ts";
import { bytes, duration, paragraph, progress, say, table } from "../terminal.ts";
import { type Chapter, MemoryPeak } from "./chapter.ts";
import type { FoundFile } from "./files.ts";

const LARGEST = 2 ** 20;
const MOST_FILES = 4000;
const SMALLEST_BUDGET = 2 ** 20;

/** The distinct words of a text; undefined when it is not text. */
function wordsOf(file: FoundFile): Set<string> | undefined {
  let content: string;
  try {
    content = new TextDecoder("utf-8", { fatal: true }).decode(fs.readFileSync(file.path));
  } catch {
    return undefined;
  }
  if (content.includes("\0")) return undefined;
  return new Set(content.toLowerCase().match(/[\p{L}\p{N}_]{3,40}/gu) ?? []);
}

/** Word to the numbers of the files that have it, and number to file. */
function build(chest: Chest<string | number, unknown>, files: readonly FoundFile[], peak: MemoryPeak): number {
  const bar = progress(
    "index",
    files.reduce((sum, { size }) => sum + size, 0),
  );
  let count = 0;
  for (const file of files) {
    bar.add(file.size);
    const words = wordsOf(file);
    if (words === undefined) continue;
    const number = count++;
    chest.set(number, file.path);
    for (const word of words)
      chest.mutate(word, (list) => {
        if (list === undefined) return [number];
        (list as number[]).push(number);
        return list;
      });
    peak.sample();
  }
  bar.stop();
  return count;
}

/** Chapter two: a dictionary larger than its memory, which is there again after closing. */
export const chestChapter: Chapter = {
  name: "chest",
  title: "Chest: a Map larger than its memory",
  run({ files, pattern, budget }) {
    const chosen = files.filter(({ size }) => size <= LARGEST).slice(0, MOST_FILES);
    const total = chosen.reduce((sum, { size }) => sum + size, 0);
    const limit = Math.max(SMALLEST_BUDGET, Math.min(budget, Math.floor(total / 10)));
    paragraph(
      `An inverted index of the words of ${chosen.length} files (${bytes(total)}), with ${bytes(limit)} for values.`,
    );
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "outcore-tour-"));
    try {
      const peak = new MemoryPeak();
      const options = { path: folder, budget: limit, durability: "none" } as const;
      let chest = new Chest<string | number, unknown>(options);
      const started = performance.now();
      const count = build(chest, chosen, peak);
      chest.flush();
      const built = performance.now() - started;
      const { spills, resident } = chest.statistics();
      const entries = chest.size;
      chest.close();
      const reopening = performance.now();
      chest = new Chest<string | number, unknown>(options);
      const reopened = performance.now() - reopening;
      const word = pattern.toLowerCase().match(/[\p{L}\p{N}_]{3,40}/u)?.[0] ?? pattern;
      const querying = performance.now();
      const found = (chest.get(word) as number[] | undefined) ?? [];
      const queried = performance.now() - querying;
      table(
        ["inverted index", ""],
        [
          ["text files", String(count)],
          ["entries", String(entries)],
          ["built in", duration(built)],
          ["values that left memory", String(spills)],
          ["values in memory at the end", String(resident)],
          ["on the disk", bytes(chest.diskUsage)],
          ["growth of resident memory", bytes(peak.growth)],
          ["closed and opened again in", duration(reopened)],
          [`files with "${word}"`, `${found.length} in ${duration(queried)}`],
        ],
      );
      let equal = chest.size === entries;
      for (const number of found.slice(0, 20)) {
        const place = chest.get(number) as string;
        const file = chosen.find((each) => each.path === place);
        equal &&= file !== undefined && (wordsOf(file)?.has(word) ?? false);
      }
      say(equal ? "Files that were looked into have the word." : "A file that was looked into has not the word.");
      chest.close();
      return Promise.resolve(equal);
    } finally {
      fs.rmSync(folder, { recursive: true, force: true });
    }
  },
};
