/**
 * An array larger than this machine's memory, generated, committed, and read again: `array-larger.ts [GIB] [SHARE]`.
 * SHARE is the part of its pages that is written, and takes room on the disk; the rest are holes, which read as zeros.
 */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { openStore } from "outcore/array";

const memory = os.totalmem();
const gib = Number(process.argv[2] ?? Math.ceil((2 * memory) / 2 ** 30));
const share = Number(process.argv[3] ?? 1 / 4096);
const PAGE = 512; // elements of 8 bytes
const BLOCK = 2 ** 17; // elements that a transaction looks at: 256 pages in a row of every 256 / SHARE
const every = Math.round(BLOCK / share);

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "outcore-example-"));
const store = openStore(path.join(folder, "store"));
const size = gib * 2 ** 27;
const array = await store.transact(() => store.create("big", { dtype: "f64", shape: size }));
console.log(`${gib} GiB, ${((gib * 2 ** 30) / memory).toFixed(1)} times this machine's memory`);

let written = 0;
const resident = process.memoryUsage.rss();
for (let start = 0; start < size; start += every)
  await store.transact(() => {
    const block = array.typed(start, Math.min(BLOCK, size - start));
    for (let i = 0; i < block.length; i++) block[i] = start + i + 1;
    written += block.length;
  });
const grown = process.memoryUsage.rss() - resident;
console.log(
  `${(written / PAGE).toFixed(0)} pages written, ${fs.statSync(path.join(store.folder, "a1.dat")).blocks / 2048} MiB on the disk`,
);

/* Read what was written, in another connection, and a hole in between. */
store.close();
const again = openStore(store.folder).array("big", "f64");
let right = 0;
for (let start = 0; start < size; start += every) {
  const block = again.typed(start, Math.min(BLOCK, size - start));
  for (let i = 0; i < block.length; i++) if (block[i] === start + i + 1) right++;
}
const hole = again.get(Math.min(size - 1, BLOCK + PAGE));
console.log(`${right === written ? "all" : right} elements are right; a hole reads as ${hole}`);
if (grown > 2 ** 29) console.log(`resident memory grew by ${(grown / 2 ** 20).toFixed(0)} MiB`);
fs.rmSync(folder, { recursive: true, force: true });
