import assert from "node:assert/strict";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, openStore } from "../../src/array/main.ts";
import { LimitError } from "../../src/errors.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const open: ArrayStore[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.close();
  cleanTemp();
});

function store(folder: string = tempFolder()): ArrayStore {
  const opened = openStore(folder, { reserve: 2 ** 20 });
  open.push(opened);
  return opened;
}

/** Does the last commit that fits, and the first that does not; how many fitted. */
async function fillUp(one: ArrayStore, add: (number: number) => void): Promise<number> {
  for (let number = 0; ; number++) {
    const transaction = one.begin();
    add(number);
    try {
      await transaction.commit();
    } catch (error) {
      assert.ok(error instanceof LimitError && error.limit === "catalogue", String(error));
      assert.equal(transaction.state, "active");
      transaction.abort();
      return number;
    }
  }
}

describe("a catalogue that no superblock has room for", () => {
  it("is refused by the commit, so that every checkpoint and every opening has room", async () => {
    const one = store();
    const attributes = { text: "x".repeat(2 ** 13) };
    const count = await fillUp(one, (number) => one.create(`a${number}`, { dtype: "f64", shape: 1000, attributes }));
    assert.equal(count, 7);
    const snapshots = await fillUp(one, (number) => one.keepSnapshot(`${number} ${"y".repeat(1000)}`));
    assert.ok(snapshots > 0 && snapshots < 9, String(snapshots));
    /* The catalogue grows with the high water of its arrays. */
    for (const name of one.names) await one.transact(() => one.array(name, "f64").fill(3));
    one.engine[Symbol.dispose]();
    const two = store(one.folder);
    for (const name of two.names) assert.equal(two.array(name, "f64").sum(), 3000);
    await two.transact(() => Object.keys(two.snapshots).map((name) => two.dropSnapshot(name)));
    await two.checkpoint();
    assert.equal(two.engine.applied, two.snapshot);
    await assert.rejects(() => two.transact(() => two.setAttributes("a0", { text: "x".repeat(2 ** 16) })), LimitError);
    await two.transact(() => two.drop("a1"));
    await two.transact(() => two.create("b", { dtype: "u8", shape: 1, attributes }));
    two.close();
    assert.deepEqual(store(one.folder).names, ["a0", "a2", "a3", "a4", "a5", "a6", "b"]);
  });
});
