/** Calls that write to views from another thread, and go on while their transaction commits. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, openStore, type StoreOptions } from "../../src/array/main.ts";
import { pageSize } from "../../src/memory/page.ts";
import { PrivateView } from "../../src/memory/private-view.ts";
import { StoreFile } from "../../src/memory/store-file.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const open: ArrayStore[] = [];
const children: ChildProcess[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.close();
  for (const child of children.splice(0)) child.kill("SIGKILL");
  cleanTemp();
});

function store(folder: string, options: StoreOptions = {}): ArrayStore {
  const opened = openStore(folder, { reserve: 2 ** 26, ...options });
  open.push(opened);
  return opened;
}

const bytesOf = (view: Float64Array<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

describe("reads that go on while a commit is written", () => {
  for (const [what, size, fresh] of [
    ["few pages", 8192, false],
    ["many pages", 2 ** 17, false],
    ["pages of a new array", 2 ** 17, true],
  ] as const)
    it(`leave every checksum right: ${what}`, async () => {
      const source = path.join(tempFolder(), "source");
      const values = Float64Array.from({ length: size }, (_, i) => i + 0.5);
      for (const [i, bytes] of [new Uint8Array(values.buffer), new Uint8Array(8 * size)].entries())
        fs.writeFileSync(`${source}${i}`, bytes);
      const files = [0, 1].map((i) => fs.openSync(`${source}${i}`, "r"));
      for (let round = 0; round < 12; round++) {
        const one = store(tempFolder());
        if (!fresh) await one.transact(() => one.create("a", { dtype: "f64", shape: size }).fill(1));
        const transaction = one.begin();
        const a = fresh ? one.create("a", { dtype: "f64", shape: size }) : one.array("a", "f64");
        const view = a.typed();
        view.fill(2);
        const bytes = bytesOf(view);
        const reads = Array.from(
          { length: 60 },
          (_, k) => new Promise((resolve) => fs.read(files[k % 2] as number, bytes, 0, bytes.length, 0, resolve)),
        );
        await transaction.commit();
        await Promise.all(reads);
        assert.deepEqual(one.engine.verify(), []);
        one.engine[Symbol.dispose]();
        const two = store(one.folder);
        assert.equal(two.snapshot, fresh ? 1 : 2);
        assert.deepEqual(two.engine.verify(), []);
      }
      for (const fd of files) fs.closeSync(fd);
    }, 60_000);

  for (const [what, options] of [
    ["pages found by the best way", {}],
    ["pages found by pagemap", { dirtyWay: "pagemap" as const }],
  ] as const)
    it(`lose nothing that arrives between the log and the end of the commit: ${what}`, async () => {
      const one = store(tempFolder(), options);
      await one.transact(() => one.create("a", { dtype: "f64", shape: 4096 }).fill(1));
      const view = one.array("a", "f64").typed(0, 512);
      const bytes = bytesOf(view);
      const fifo = path.join(tempFolder(), "fifo");
      execFileSync("mkfifo", [fifo]);
      const fd = fs.openSync(fifo, "r+");
      /* Answers each letter with a page of it, a millisecond or some later. */
      const script = `while read x; do head -c 4096 /dev/zero | tr '\\0' "$x"; done > '${fifo}'`;
      const child = spawn("sh", ["-c", script], { stdio: ["pipe", "ignore", "inherit"] });
      children.push(child);
      for (let round = 0; round < 60; round++) {
        const letter = String.fromCharCode(97 + (round % 26));
        const transaction = one.begin();
        view.fill(round);
        const read = new Promise<number>((resolve) => fs.read(fd, bytes, 0, 4096, null, (_, count) => resolve(count)));
        child.stdin?.write(`${letter}\n`);
        await new Promise((resolve) => setImmediate(resolve));
        const until = performance.now() + Math.random() * 4;
        while (performance.now() < until);
        await transaction.commit();
        assert.equal(await read, 4096);
        const wrong = bytes.findIndex((byte) => byte !== letter.charCodeAt(0));
        assert.equal(wrong, -1, `round ${round}: ${bytes[wrong]} at ${wrong}`);
      }
      fs.closeSync(fd);
    }, 60_000);
});

describe("pages that are given back while a call writes to them", () => {
  for (const [what, pieces] of [
    ["one mapping", 1],
    ["several mappings", 4],
  ] as const)
    it(`keep all that it writes: ${what}`, async () => {
      const size = 64 * pageSize();
      const folder = tempFolder();
      const written = new Uint8Array(size).fill(0xee);
      fs.writeFileSync(path.join(folder, "source"), written);
      const source = fs.openSync(path.join(folder, "source"), "r");
      const files = Array.from({ length: pieces }, (_, i) => StoreFile.create(path.join(folder, `file${i}`)));
      const view = new PrivateView("a view", size);
      for (const [i, file] of files.entries()) {
        file.truncate(size);
        view.lay((i * size) / pieces, size / pieces, file.file, (i * size) / pieces);
      }
      const bytes = view.bytes(0, size) as Uint8Array<ArrayBuffer>;
      for (let round = 0; round < 400; round++) {
        bytes.fill(round % 200);
        for (const file of files) file.write(0, new Uint8Array(size).fill(round % 200));
        const read = new Promise<number>((resolve) => fs.read(source, bytes, 0, size, 0, (_, count) => resolve(count)));
        const until = performance.now() + Math.random() * 0.3;
        while (performance.now() < until);
        view.release(Float64Array.of(0, size), 1, (files[0] as StoreFile).file, 0);
        assert.equal(await read, size);
        const wrong = bytes.findIndex((byte) => byte !== 0xee);
        assert.equal(wrong, -1, `round ${round}: ${bytes[wrong]} at ${wrong}`);
      }
      view.close();
      for (const file of files) file.close();
      fs.closeSync(source);
    }, 60_000);
});
