import assert from "node:assert/strict";
import fs, { promises } from "node:fs";
import path from "node:path";
import { afterEach, describe, it } from "vitest";
import { native } from "../../ffi/load.ts";
import { type ArrayStore, openStore, type StoreOptions } from "../../src/array/main.ts";
import { adviceKinds } from "../../src/memory/advice.ts";
import { type DirtyWay, PrivateView } from "../../src/memory/private-view.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const open: ArrayStore[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.close();
  cleanTemp();
});

const PAGE = 512;
const PAGES = 64;

async function filled(options: StoreOptions = {}): Promise<ArrayStore> {
  const one = openStore(tempFolder(), { reserve: 2 ** 26, ...options });
  open.push(one);
  await one.transact(() => void one.create("a", { dtype: "f64", shape: PAGES * PAGE }).fill(1));
  await one.checkpoint();
  return one;
}

/** Asks the kernel to write out and drop what a view holds in memory: changed pages go to swap where there is any. */
function pageOut(one: ArrayStore): void {
  const { view } = one.workspace.memory(1);
  const all = Float64Array.of(0, PAGES * PAGE * 8);
  const done = native().calls.oc_advise_runs(view.address, all, 1, adviceKinds.pageout);
  assert.ok(done >= 0, String(done));
}

describe("pages that the kernel has paged out", () => {
  for (const dirtyWay of ["scan", "pagemap", "compare"] as const satisfies readonly DirtyWay[])
    it(`are changed as before, and the others not (${dirtyWay})`, async () => {
      const one = await filled({ dirtyWay: dirtyWay === "scan" ? PrivateView.way() : dirtyWay });
      const view = one.array("a", "f64").typed();
      const first = one.begin();
      for (let page = 0; page < PAGES; page += 3) view[page * PAGE] = page + 2;
      pageOut(one);
      assert.equal(one.workspace.changedBytes(), Math.ceil(PAGES / 3) * PAGE * 8);
      first.abort();
      assert.equal(one.array("a").sum(), PAGES * PAGE);
      const second = one.begin();
      view[5 * PAGE] = 7;
      pageOut(one);
      second.spill();
      view[9 * PAGE] = 8;
      pageOut(one);
      await second.commit();
      pageOut(one);
      assert.deepEqual([view[5 * PAGE], view[9 * PAGE], one.array("a").sum()], [7, 8, PAGES * PAGE + 6 + 7]);
      one.begin().abort();
      assert.equal(one.workspace.changedBytes(), 0);
      assert.deepEqual(one.engine.verify(), []);
    });
});

describe("an asynchronous read into a view", () => {
  it("that begins and ends in a transaction is not lost, whatever was committed before", async () => {
    const one = await filled({ spillInterval: 0, checkpointDelay: 1 });
    const view = one.array("a", "f64").typed();
    const file = path.join(tempFolder(), "values");
    for (let round = 2; round < 30; round++) {
      fs.writeFileSync(file, new Uint8Array(new Float64Array(PAGES * PAGE).fill(round).buffer));
      const handle = await promises.open(file);
      const transaction = one.begin();
      const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
      await handle.close();
      assert.equal(bytesRead, bytes.length);
      assert.ok(view.every((value) => value === round));
      await transaction.commit();
      if (round % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      assert.ok(view.every((value) => value === round));
    }
    one.close();
    const two = openStore(one.folder, { reserve: 2 ** 26 });
    open.push(two);
    assert.equal(two.array("a").sum(), 29 * PAGES * PAGE);
  });
});
