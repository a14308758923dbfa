import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { type ArrayStore, openStore } from "../../src/array/main.ts";
import { bytes, duration, paragraph, progress, rate, say, table } from "../terminal.ts";
import { type Chapter, MemoryPeak } from "./chapter.ts";
import type { FoundFile } from "./files.ts";
import { itself } from "./itself.ts";
import { countPairs } from "./pairs.ts";

const LARGEST = 2 ** 20;
const MOST_BYTES = 2 ** 26;
const PER_TRANSACTION = 2 ** 22;
const KILLS = 8;

const sumOf = (pairs: Float64Array): number => pairs.reduce((sum, count) => sum + count, 0);

/** The files that fit, in transactions of some MiB: what each found is committed together with how far it came. */
function portions(files: readonly FoundFile[]): FoundFile[][] {
  const all: FoundFile[][] = [];
  let left = MOST_BYTES;
  let room = 0;
  for (const file of files) {
    if (file.size > Math.min(left, LARGEST)) continue;
    left -= file.size;
    if (room <= 0) {
      all.push([]);
      room = PER_TRANSACTION;
    }
    all.at(-1)?.push(file);
    room -= file.size;
  }
  return all;
}

function read(file: FoundFile): Uint8Array {
  try {
    return fs.readFileSync(file.path);
  } catch {
    return new Uint8Array(0);
  }
}

async function count(store: ArrayStore, work: readonly FoundFile[][], plain: Float64Array): Promise<void> {
  const [pairs, done] = [store.array("pairs", "f64"), store.array("done", "f64")];
  const bar = progress(
    "byte pairs",
    work.flat().reduce((sum, { size }) => sum + size, 0),
  );
  for (const portion of work)
    await store.transact(() => {
      const counts = pairs.typed();
      for (const file of portion) {
        const content = read(file);
        countPairs(content, counts);
        countPairs(content, plain);
        done.append([content.length]);
        bar.add(file.size);
      }
    });
  bar.stop();
}

/** A process that goes on counting is killed in the middle of a commit, again and again. Returns what it had finished. */
async function kill(folder: string, file: string): Promise<number> {
  const child = spawn(...itself("tour-arrays-victim", folder, file), { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  let finished = 0;
  await new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Uint8Array) => {
      /* A letter for each. */
      for (const letter of new TextDecoder().decode(chunk)) if (letter === "c") finished++;
      if (finished >= 3) resolve();
    });
    child.once("close", () => resolve());
  });
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 4));
  child.kill("SIGKILL");
  await ended;
  return finished;
}

interface Kills {
  readonly finished: number;
  readonly there: number;
  readonly right: boolean;
}

/** Whoever opens the store afterwards finds whole transactions: the counts are exactly those of the files in the list. */
async function prove(folder: string, file: FoundFile): Promise<Kills> {
  const content = read(file);
  const each = new Float64Array(65_536);
  countPairs(content, each);
  let store = openStore(folder);
  const before = { pairs: store.array("pairs", "f64").typed().slice(), done: store.array("done").size };
  store.close();
  let finished = 0;
  let there = 0;
  let right = true;
  for (let i = 0; i < KILLS; i++) {
    finished += await kill(folder, file.path);
    store = openStore(folder);
    there = store.array("done").size - before.done;
    right &&= there >= finished && there <= finished + i + 1;
    const counts = store.array("pairs", "f64").typed();
    right &&= counts.every((value, at) => value === (before.pairs[at] ?? 0) + there * (each[at] ?? 0));
    right &&= store.engine.verify().length === 0;
    store.close();
    finished = there;
  }
  return { finished, there, right };
}

function name(byte: number): string {
  return byte > 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
}

async function run({ files }: { readonly files: readonly FoundFile[] }): Promise<boolean> {
  const work = portions(files);
  const chosen = work.flat();
  const total = chosen.reduce((sum, { size }) => sum + size, 0);
  paragraph(
    `How often does which byte follow which? ${chosen.length} files, ${bytes(total)}, counted into a 256 x 256 array, ${work.length} transactions.`,
  );
  const parent = fs.mkdtempSync(path.join(os.tmpdir(), "outcore-tour-"));
  const folder = path.join(parent, "store");
  try {
    const peak = new MemoryPeak();
    const plain = new Float64Array(65_536);
    let store = openStore(folder);
    await store.transact(() => {
      store.create("pairs", { dtype: "f64", shape: [256, 256] });
      store.create("done", { dtype: "f64", shape: 0 });
    });
    const started = performance.now();
    await count(store, work, plain);
    const taken = performance.now() - started;
    peak.sample();
    const pairs = store.array("pairs", "f64");
    const equal = pairs.typed().every((value, at) => value === plain[at]);
    const most = pairs.typed().reduce((best, value, at, all) => (value > (all[best] ?? 0) ? at : best), 0);

    const transaction = store.begin();
    pairs.fill(-1);
    const spoilt = pairs.sum();
    const aborting = performance.now();
    transaction.abort();
    const aborted = performance.now() - aborting;
    const restored = pairs.sum() === sumOf(plain);
    const nbytes = pairs.nbytes;
    store.close();

    const small = chosen.find(({ size }) => size < 2 ** 18) ?? chosen.at(-1);
    const kills = small === undefined ? undefined : await prove(folder, small);
    const reopening = performance.now();
    store = openStore(folder);
    const reopened = performance.now() - reopening;
    store.close();
    table(
      ["byte pairs", ""],
      [
        ["counted in", `${duration(taken)} (${rate(total, taken)})`],
        ["pairs", String(sumOf(plain))],
        ["most frequent", `${name(most >> 8)} ${name(most & 255)}, ${plain[most]} times`],
        ["array", bytes(nbytes)],
        ["growth of resident memory", bytes(peak.growth)],
        ["all overwritten, sum", String(spoilt)],
        ["taken back by abort in", duration(aborted)],
        ["processes killed in a commit", String(kills === undefined ? 0 : KILLS)],
        ["transactions that they finished", String(kills?.there ?? 0)],
        ["opened again in", duration(reopened)],
      ],
    );
    say(equal ? "The counts are those of a plain typed array." : "The counts differ from a plain typed array's.");
    say(restored ? "After the abort every count was back." : "After the abort counts were wrong.");
    const whole = kills?.right ?? true;
    say(whole ? "After every kill there were whole transactions only." : "A kill left half a transaction.");
    return equal && restored && whole;
  } finally {
    fs.rmSync(parent, { recursive: true, force: true });
  }
}

/** Chapter on arrays: real files counted in transactions, one taken back, some killed in the middle. */
export const arraysChapter: Chapter = { name: "arrays", title: "Arrays: typed arrays with transactions", run };
