import assert from "node:assert/strict";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, openStore, type StoreOptions } from "../../src/array/main.ts";
import { PrivateView } from "../../src/memory/private-view.ts";
import { diskError, observeDisk } from "../../src/memory/store-file.ts";
import { fixture, run } from "../support/run.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";
import { observeFolder } from "./disk.ts";

const open: ArrayStore[] = [];

afterEach(() => {
  observeDisk(undefined);
  for (const each of open.splice(0)) each.close();
  cleanTemp();
});

const PAGE = 512;
const PAGES = 64;
const LIMIT = 2 ** 16;

async function filled(options: StoreOptions = {}): Promise<ArrayStore> {
  const opened = openStore(tempFolder(), { reserve: 2 ** 26, spillBytes: LIMIT, spillInterval: 1, ...options });
  open.push(opened);
  await opened.transact(() => void opened.create("a", { dtype: "f64", shape: PAGES * PAGE }).fill(1));
  return opened;
}

const turn = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Waits until a transaction has less in memory than half the limit. */
async function spilled(store: ArrayStore): Promise<void> {
  const end = Date.now() + 60_000;
  while (store.workspace.changedBytes() > LIMIT / 2) {
    assert.ok(Date.now() < end, "nothing was spilled");
    await turn(1);
  }
}

const isTimed = PrivateView.way() === "scan";

describe.skipIf(!isTimed)("changed pages are spilled by a timer", () => {
  it("while the transaction writes on, and nothing is lost", async () => {
    const one = await filled();
    const view = one.array("a", "f64").typed();
    const model = view.slice();
    const transaction = one.begin();
    for (let round = 1; round <= 60; round++) {
      for (let i = 0; i < 40; i++) {
        const at = (round * 7919 + i * 104_729) % view.length;
        assert.equal(view[at], model[at]);
        view[at] = model[at] = round + i / 100;
      }
      await turn(round % 3);
    }
    await spilled(one);
    assert.deepEqual(view, model);
    await transaction.commit();
    assert.deepEqual(view, model);
    one.close();
    const two = openStore(one.folder, { reserve: 2 ** 26 });
    open.push(two);
    assert.deepEqual(two.array("a", "f64").typed(), model);
    assert.deepEqual(two.engine.verify(), []);
  });

  it("before a savepoint and after it, and what is rolled back or aborted is as it was", async () => {
    const one = await filled();
    const view = one.array("a", "f64").typed();
    const transaction = one.begin();
    view.fill(2);
    await spilled(one);
    view[5] = 3;
    const savepoint = transaction.savepoint();
    view.fill(4, 0, 40 * PAGE);
    await spilled(one);
    view[6] = 5;
    transaction.rollback(savepoint);
    assert.deepEqual([view[5], view[6], view[39 * PAGE], view.at(-1)], [3, 2, 2, 2]);
    transaction.abort();
    assert.ok(view.every((value) => value === 1));
    one.begin();
    assert.equal(one.workspace.changedBytes(), 0);
  });

  it("but not outside a transaction, nor with an interval of 0, nor in a view that shows a named snapshot", async () => {
    const one = await filled();
    await one.transact(() => one.keepSnapshot("old"));
    const old = openStore(one.folder, { at: "old", reserve: 2 ** 26, spillBytes: LIMIT, spillInterval: 1 });
    const two = openStore(one.folder, { reserve: 2 ** 26, spillBytes: LIMIT, spillInterval: 0 });
    open.push(old, two);
    two.begin();
    old.begin();
    let spills = 0;
    observeFolder(one.folder, ({ kind }) => {
      if (kind === "write") spills++;
      return undefined;
    });
    for (const each of open) each.array("a", "f64").typed().fill(2);
    await turn(50);
    for (const each of open) assert.equal(each.workspace.changedBytes(), PAGES * PAGE * 8);
    assert.equal(spills, 0);
    one.discard();
  });

  it("and stay in memory when the disk fails: the commit has them all the same", async () => {
    for (const errno of ["ENOSPC", "EIO"]) {
      const one = await filled();
      const view = one.array("a", "f64").typed();
      let failed = 0;
      observeFolder(one.folder, ({ kind, path }) => {
        if (kind === "write" && path.includes("spill-")) {
          failed++;
          throw diskError(errno, kind, path);
        }
        return undefined;
      });
      const transaction = one.begin();
      view.fill(2);
      const end = Date.now() + 60_000;
      while (failed < 3 && Date.now() < end) await turn(1);
      assert.ok(failed >= 3);
      assert.equal(one.workspace.changedBytes(), PAGES * PAGE * 8);
      await transaction.commit();
      observeDisk(undefined);
      assert.ok(view.every((value) => value === 2));
    }
  });

  it("and keep no process alive", async () => {
    const one = await filled();
    const { code, stdout } = await run(fixture("array-idle.ts"), [one.folder]);
    assert.deepEqual([code, stdout.trim()], [0, "idle"]);
    one.refresh();
    assert.equal(one.array("a").get(0), 1);
  });
});
