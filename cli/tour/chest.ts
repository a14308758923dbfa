import { Buffer } from "node:buffer";
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

const LONGEST = 40;
const WORD = /[\p{L}\p{N}_]{3,40}/gu;
/** Text is read in pieces of so many bytes. */
const PIECE = 2 ** 16;
/** A new word and its list take about so many bytes beside the numbers. */
const LIST = 160;

/** A copy: engines let a part of a text keep all of it in memory. */
const copyOf = (word: string): string => Buffer.from(word).toString();

/** Where the word that a text ends with begins; looks no further back than the longest word. */
function beforeLastWord(text: string): number {
  let at = text.length;
  while (at > 0 && text.length - at < LONGEST && /[\p{L}\p{N}_]/u.test(text[at - 1] ?? "")) at--;
  return at;
}

/** The distinct words of a text, which is read piece by piece; undefined when it is not text. */
function wordsOf(file: FoundFile): Set<string> | undefined {
  const words = new Set<string>();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const piece = new Uint8Array(PIECE);
  let fd: number | undefined;
  try {
    fd = fs.openSync(file.path, "r");
    let rest = "";
    for (let length = PIECE; length > 0; ) {
      length = fs.readSync(fd, piece, 0, PIECE, null);
      const text = rest + decoder.decode(piece.subarray(0, length), { stream: length > 0 }).toLowerCase();
      if (text.includes("\0")) return undefined;
      /* The last word may go on in the next piece. */
      const end = length > 0 ? beforeLastWord(text) : text.length;
      rest = copyOf(text.slice(end));
      for (const [word] of text.slice(0, end).matchAll(WORD)) if (!words.has(word)) words.add(copyOf(word));
    }
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
  return words;
}

/** Adds the numbers of files that have a word to those that are known. */
function enter(chest: Chest<string | number, unknown>, lists: Map<string, number[]>): void {
  for (const [word, numbers] of lists)
    chest.mutate(word, (known) => {
      const before = (known as Uint32Array | undefined) ?? new Uint32Array(0);
      const all = new Uint32Array(before.length + numbers.length);
      all.set(before);
      all.set(numbers, before.length);
      return all;
    });
  lists.clear();
}

/** Word to the numbers of the files that have it, and number to file. What is collected takes at most `room` bytes. */
function build(
  chest: Chest<string | number, unknown>,
  files: readonly FoundFile[],
  room: number,
  peak: MemoryPeak,
): number {
  const bar = progress(
    "index",
    files.reduce((sum, { size }) => sum + size, 0),
  );
  const lists = new Map<string, number[]>();
  let collected = 0;
  let count = 0;
  for (const file of files) {
    bar.add(file.size);
    const words = wordsOf(file);
    if (words === undefined) continue;
    const number = count++;
    chest.set(number, file.path);
    for (const word of words) {
      const list = lists.get(word);
      if (list !== undefined) list.push(number);
      else lists.set(word, [number]);
      collected += list === undefined ? LIST : 8;
    }
    if (collected > room) {
      enter(chest, lists);
      collected = 0;
    }
    peak.sample();
  }
  enter(chest, lists);
  peak.sample();
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
      /* A quarter is for what is collected before it is entered. */
      const options = { path: folder, budget: Math.floor((limit * 3) / 4), durability: "none" } as const;
      let chest = new Chest<string | number, unknown>(options);
      const started = performance.now();
      const count = build(chest, chosen, limit / 4, peak);
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
      const found = (chest.get(word) as Uint32Array | undefined) ?? new Uint32Array(0);
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
