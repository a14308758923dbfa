import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { type ArrayStore, openStore } from "../../src/array/main.ts";
import { fixture, run } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder, tempMemoryFolder } from "../support/temp.ts";

cleanTempAfterEach();

/** How many descriptors of this process are of files that a store has removed. */
function removed(folder: string): number {
  return fs.readdirSync("/proc/self/fd").filter((fd) => {
    try {
      const file = fs.readlinkSync(`/proc/self/fd/${fd}`);
      return file.startsWith(`${folder}/`) && file.endsWith(" (deleted)");
    } catch {
      return false;
    }
  }).length;
}

describe("many transactions", () => {
  for (const [count, way] of [
    ["10000", []],
    ["3000", ["pagemap"]],
  ] as const)
    it(`take no more memory, descriptors and mappings as time goes by (${count}${way.map((word) => `, ${word}`)})`, async () => {
      const { code, stdout, stderr } = await run(
        fixture("array-many.ts"),
        [path.join(tempMemoryFolder(), "store"), count, ...way],
        { timeout: 240_000 },
      );
      assert.equal(code, 0, stdout + stderr);
    }, 240_000);
});

describe("segments of the log that a checkpoint has removed", () => {
  const values = (store: ArrayStore): number[] => [store.array("a").get(0), store.array("a").get(40_000)] as number[];

  for (const dirtyWay of ["scan", "pagemap", "compare"] as const)
    it(`are closed where they were removed and elsewhere, once nothing shows them any more (${dirtyWay})`, async () => {
      const folder = path.join(tempFolder(), "store");
      const options = { reserve: 2 ** 26, dirtyWay, checkpointDelay: 60_000 };
      const [one, two, old] = [0, 1, 2].map(() => openStore(folder, options)) as [ArrayStore, ArrayStore, ArrayStore];
      await one.transact(() => void one.create("a", { dtype: "f64", shape: 50_000 }).fill(1));
      await one.transact(() => void one.create("gone", { dtype: "f64", shape: 50_000 }).fill(1));
      await one.checkpoint();
      old.begin();
      assert.deepEqual(values(old), [1, 1]);
      old.array("gone").get(0);
      for (let i = 2; i < 6; i++) {
        await one.transact(() => {
          for (const place of [0, 40_000]) one.array("a").set([place], i);
        });
        two.refresh();
        assert.deepEqual(values(two), [i, i]);
        await one.checkpoint();
        assert.deepEqual(values(old), [1, 1]);
      }
      await one.transact(() => one.drop("gone"));
      await one.checkpoint();
      assert.equal(old.array("gone").get(49_999), 1);
      old.transaction?.abort();
      for (let i = 0; i < 3; i++) {
        await one.transact(() => void one.array("a").set([1], i));
        await one.checkpoint();
        for (const each of [two, old]) each.refresh();
        for (const each of [one, two, old]) assert.deepEqual(values(each), [5, 5]);
      }
      for (const each of [two, old, two, old]) each.refresh();
      assert.equal(removed(folder), 0);
      for (const each of [one, two, old]) {
        await each.transact(() => void each.array("a").set([0], 9));
        assert.deepEqual(each.engine.verify(), []);
        each.close();
      }
    });
});
