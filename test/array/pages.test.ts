import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "vitest";
import { crc32c } from "../../src/memory/crc32c.ts";
import { pageSize } from "../../src/memory/page.ts";
import { PrivateView } from "../../src/memory/private-view.ts";
import { StoreFile } from "../../src/memory/store-file.ts";

describe("pages that are written with their checksums", () => {
  const page = pageSize();
  let folder: string;
  let file: StoreFile;
  let view: PrivateView;
  beforeEach(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "outcore-pages-"));
    file = StoreFile.create(path.join(folder, "file"));
    view = new PrivateView("a view", 1200 * page);
    for (let i = 0; i < 1200; i++)
      view
        .bytes(i * page, page)
        .fill(i % 251)
        .set([i, i >> 8], 7);
  });
  afterEach(() => {
    view.close();
    file.close();
    fs.rmSync(folder, { recursive: true });
  });

  const runsOf = (...pairs: readonly [first: number, pages: number][]): Float64Array =>
    Float64Array.from(pairs.flatMap(([first, pages]) => [first * page, pages * page]));
  /* Many short runs, and some longer than what is written in one go. */
  const runs = runsOf(
    ...Array.from({ length: 150 }, (_, i): [number, number] => [2 * i, 1]),
    [310, 70],
    [400, 3],
    [410, 700],
    [1199, 1],
  );
  const pagesOf = (): number[] => {
    const pages: number[] = [];
    for (let i = 0; i < runs.length; i += 2)
      for (let at = runs[i] as number; at < (runs[i] as number) + (runs[i + 1] as number); at += page) pages.push(at);
    return pages;
  };
  const expectSums = (sums: Uint32Array): void => {
    assert.deepEqual(
      [...sums],
      pagesOf().map((at) => crc32c(view.bytes(at, page))),
    );
  };

  it("runs one behind the other", () => {
    const pages = pagesOf();
    const sums = new Uint32Array(pages.length);
    file.logRuns(3 * page, view, runs, runs.length / 2, { page, sums });
    expectSums(sums);
    assert.equal(file.size(), (3 + pages.length) * page);
    for (const [i, at] of pages.entries())
      assert.deepEqual(file.read((3 + i) * page, page), view.bytes(at, page).slice());
  });

  it("runs each at its place", () => {
    const sums = new Uint32Array(pagesOf().length);
    file.applyRuns(view, runs, runs.length / 2, { page, sums });
    expectSums(sums);
    for (const at of pagesOf()) assert.deepEqual(file.read(at, page), view.bytes(at, page).slice());
    assert.deepEqual(file.read(page, page), new Uint8Array(page));
  });

  it("bytes of a buffer", () => {
    const bytes = view.bytes(page, 333 * page);
    const sums = new Uint32Array(333);
    file.writePages(5 * page, bytes, { page, sums });
    assert.deepEqual(file.read(5 * page, bytes.length), bytes.slice());
    for (const [i, sum] of sums.entries()) assert.equal(sum, crc32c(bytes.subarray(i * page, (i + 1) * page)));
  });

  it("to a file that cannot be written to is an error", () => {
    const readOnly = StoreFile.open(file.path, false);
    const one = { page, sums: new Uint32Array(1) };
    const first = runsOf([0, 1]);
    assert.throws(() => readOnly.logRuns(0, view, first, 1, one), { name: "SystemError" });
    assert.throws(() => readOnly.applyRuns(view, first, 1, one), { name: "SystemError" });
    assert.throws(() => readOnly.writePages(0, view.bytes(0, page), one), { name: "SystemError" });
    readOnly.close();
  });
});
