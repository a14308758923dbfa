import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, openReference, openStore, type StoreOptions } from "../../src/array/main.ts";
import { ClosedError, NotFoundError, ReadOnlyError, SnapshotTooOldError } from "../../src/errors.ts";
import { fixture, line, start } from "../support/run.ts";
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

const SIZE = 4096;
const PAGE = 512;

/** A store whose snapshot "old" shows "a" with each element its own number, and "b"; all of that has changed since. */
async function pinned(options: StoreOptions = {}): Promise<ArrayStore> {
  const one = store(tempFolder(), options);
  await one.transact(() => {
    const a = one.create("a", { dtype: "f64", shape: SIZE, attributes: { of: "then" } }).typed();
    for (let i = 0; i < SIZE; i++) a[i] = i;
    one.create("b", { dtype: "u8", shape: [2, 3] }).fill(7);
  });
  await one.transact(() => {
    one.keepSnapshot("old");
    one.array("a", "f64").typed()[1] = -1;
  });
  await one.transact(() => {
    const a = one.array("a", "f64");
    a.typed().fill(5, 0, 2000);
    a.resize(3000);
    a.resize(SIZE * 64);
    one.setAttributes("a", { of: "now" });
    one.drop("b");
    one.create("c", { dtype: "u8", shape: 1 });
  });
  return one;
}

function isOld(old: ArrayStore): void {
  assert.deepEqual(old.names, ["a", "b"]);
  assert.deepEqual(old.array("a").shape, [SIZE]);
  assert.deepEqual(old.attributes("a"), { of: "then" });
  const a = old.array("a", "f64").typed();
  for (let i = 0; i < SIZE; i++) if (a[i] !== i) assert.fail(`a[${i}] is ${a[i]}`);
  assert.deepEqual(old.array("b").view().toNested(), [
    [7, 7, 7],
    [7, 7, 7],
  ]);
}

describe("a named snapshot", () => {
  it("is opened as it was: arrays, shapes, attributes, also those that were dropped", async () => {
    const one = await pinned();
    const old = store(one.folder, { at: "old" });
    assert.equal(old.snapshot, one.snapshots.old);
    isOld(old);
    assert.throws(() => old.array("c"), NotFoundError);
    const { store: other, view } = openReference(old.array("a").reference([0, 3]), { at: "old", reserve: 2 ** 26 });
    open.push(other);
    assert.deepEqual(view.toNested(), [0, 1, 2]);
    assert.equal(one.array("a").get(1), 5);
  });

  it("stays as it was under later commits, checkpoints and its own refresh", async () => {
    const one = await pinned({ segmentBytes: 2 ** 18 });
    const old = store(one.folder, { at: "old" });
    const view = old.array("a", "f64").typed();
    for (let round = 0; round < 8; round++) {
      await one.transact(() => one.array("a", "f64").fill(round + 0.5));
      await one.checkpoint();
      old.refresh();
      assert.deepEqual([view[0], view[1], view[SIZE - 1]], [0, 1, SIZE - 1]);
    }
    isOld(old);
    isOld(store(one.folder, { at: "old" }));
    assert.deepEqual(one.engine.verify(), []);
  });

  it("that is dropped stays for those who have it open, and then lets the home files go on", async () => {
    const one = await pinned();
    const old = store(one.folder, { at: "old" });
    const at = old.snapshot;
    await one.transact(() => one.dropSnapshot("old"));
    await one.transact(() => one.array("a", "f64").fill(9));
    await one.checkpoint();
    assert.equal(one.engine.applied, at);
    /* Mapped only now. */
    isOld(old);
    assert.throws(() => store(one.folder, { at: "old" }), NotFoundError);
    old.close();
    await one.checkpoint();
    assert.equal(one.engine.applied, one.snapshot);
    assert.equal(one.array("a").get(SIZE), 9);
  });

  it("that was dropped is given up when it is older than maxSnapshotAge; one with a name is not", async () => {
    const one = await pinned({ maxSnapshotAge: 0 });
    const old = store(one.folder, { at: "old" });
    await new Promise((resolve) => setTimeout(resolve, 5));
    await one.transact(() => one.array("a", "f64").fill(9));
    await one.checkpoint();
    isOld(old);
    await one.transact(() => one.dropSnapshot("old"));
    await one.checkpoint();
    assert.equal(one.engine.applied, one.snapshot);
    assert.throws(() => old.array("a").get(0), SnapshotTooOldError);
    assert.throws(() => old.begin(), SnapshotTooOldError);
  });

  it("takes no writes, and takes back what was written to views", async () => {
    const one = await pinned();
    const old = store(one.folder, { at: "old" });
    const a = old.array("a", "f64");
    const view = a.typed();
    assert.throws(() => old.create("x", { dtype: "u8", shape: 1 }), ReadOnlyError);
    const transaction = old.begin();
    for (const write of [
      () => old.create("x", { dtype: "u8", shape: 1 }),
      () => old.drop("a"),
      () => old.setAttributes("a", {}),
      () => old.keepSnapshot("x"),
      () => old.dropSnapshot("old"),
      () => a.resize(1),
      () => a.append([1]),
      () => a.fill(1),
      () => a.set([0], 1),
      () => a.set([[0, 5]], 1),
      () => old.engine.verify(),
    ])
      assert.throws(write, ReadOnlyError);
    view[3] = -1;
    await assert.rejects(() => transaction.commit(), /was taken back/);
    assert.equal(transaction.state, "aborted");
    await assert.rejects(() => old.begin().commit(), ReadOnlyError);
    await assert.rejects(() => old.checkpoint(), ReadOnlyError);
    await assert.rejects(() => old.transact(() => 1), ReadOnlyError);
    view[4] = -1;
    old.discard();
    isOld(old);
    old.close();
    assert.equal(view.length, 0);
    assert.throws(() => old.array("a"), ClosedError);
  });

  it("that is not there is NotFoundError, and no store is made for it", async () => {
    const one = await pinned();
    for (const at of ["none", "toString", "__proto__"]) assert.throws(() => store(one.folder, { at }), NotFoundError);
    assert.throws(() => store(`${one.folder}/none`, { at: "old", create: true }), NotFoundError);
  });

  it("survives that its store is closed, or not closed, and opened again", async () => {
    const one = await pinned();
    one.close();
    const alone = store(one.folder, { at: "old" });
    isOld(alone);
    alone.close();
    const two = store(one.folder);
    await two.transact(() => two.array("a", "f64").fill(1));
    two.engine[Symbol.dispose]();
    isOld(store(one.folder, { at: "old" }));
  });

  it("shows an array that was made after an older one and dropped, also after recovery", async () => {
    const one = await pinned();
    await one.transact(() => one.create("late", { dtype: "f64", shape: 40 * PAGE }).fill(3));
    await one.transact(() => one.keepSnapshot("later"));
    await one.transact(() => one.drop("late"));
    await one.checkpoint();
    one.engine[Symbol.dispose]();
    const two = store(one.folder);
    await two.transact(() => two.array("a", "f64").fill(8));
    await two.checkpoint();
    const later = store(one.folder, { at: "later" });
    assert.deepEqual(later.names, ["a", "c", "late"]);
    assert.equal(later.array("late", "f64").sum(), 3 * 40 * PAGE);
    assert.equal(later.array("a").get(0), 5);
    isOld(store(one.folder, { at: "old" }));
    later.close();
    for (const each of open.splice(1)) if (each !== two) each.close();
    open.push(two);
    await two.transact(() => ["old", "later"].map((name) => two.dropSnapshot(name)));
    await two.checkpoint();
    assert.equal(two.engine.applied, two.snapshot);
    assert.equal(two.names.includes("late"), false);
  });

  it("stays while a writer is killed in a commit, and after", async () => {
    const one = store(tempFolder());
    await one.transact(() => {
      const a = one.create("a", { dtype: "f64", shape: SIZE }).typed();
      for (let i = 0; i < SIZE; i++) a[i] = i;
    });
    await one.transact(() => one.keepSnapshot("old"));
    const old = store(one.folder, { at: "old" });
    one.close();
    const sum = (SIZE * (SIZE - 1)) / 2;
    for (const step of [1, 2, 4]) {
      const child = start(fixture("array-stuck.ts"), [one.folder, String(step)]);
      children.push(child);
      await Promise.race([line(child, "stuck"), line(child, "done")]);
      await new Promise<void>((resolve) => {
        child.once("close", () => resolve());
        child.kill("SIGKILL");
      });
      assert.equal(old.array("a", "f64").sum(), sum);
    }
    old.close();
    assert.equal(store(one.folder, { at: "old" }).array("a", "f64").sum(), sum);
  });

  it("keep the home files as they were until the loss of their name is on the disk", async () => {
    const one = await pinned();
    const home = (): Float64Array => new Float64Array(readFileSync(path.join(one.folder, "a1.dat")).buffer);
    await one.transact(() => one.dropSnapshot("old"), { durability: "none" });
    await one.transact(() => one.array("a", "f64").typed().fill(6, 0, 100), { durability: "none" });
    await new Promise((resolve) => setTimeout(resolve, 20));
    one.begin().abort();
    /* Applies what may be applied. */
    assert.deepEqual(one.engine.verify(), []);
    assert.equal(home()[0], 0, "a power loss may bring the name back, and the file shows something newer");
    await one.transact(() => one.array("a", "f64").typed().fill(7, 0, 100));
    await one.checkpoint();
    assert.equal(home()[0], 7);
  });
});
