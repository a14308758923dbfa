import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import {
  type ArrayStore,
  openStore,
  type Savepoint,
  type StoreOptions,
  type Transaction,
} from "../../src/array/main.ts";
import { ConflictError, DiskFullError, SystemError } from "../../src/errors.ts";
import { PrivateView } from "../../src/memory/private-view.ts";
import { diskError, observeDisk } from "../../src/memory/store-file.ts";
import { randomFrom } from "../support/random.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";
import { observeFolder } from "./disk.ts";

const open: ArrayStore[] = [];
const PAGE = 512;
const options: StoreOptions = { reserve: 2 ** 26, directBytes: 2 ** 14, segmentBytes: 2 ** 20 };

function store(folder: string, more: StoreOptions = {}): ArrayStore {
  const opened = openStore(folder, { ...options, ...more });
  open.push(opened);
  return opened;
}

afterEach(() => {
  observeDisk(undefined);
  for (const each of open.splice(0)) each.close();
  cleanTemp();
});

const numbers = (count: number, from: number): Float64Array => Float64Array.from({ length: count }, (_, i) => from + i);

describe("bulk writes", () => {
  it("to fresh pages show at once, commit, and are gone after an abort", async () => {
    const one = store(tempFolder());
    const first = one.begin();
    const gone = one.create("a", { dtype: "f64", shape: 10_000 });
    const old = gone.typed();
    gone.fill(3);
    assert.deepEqual([old[0], old[9999], gone.sum()], [3, 3, 30_000]);
    assert.equal(fs.statSync(path.join(one.folder, "a1.dat")).size, 19 * 4096);
    first.abort();
    assert.equal(old.length, 0);
    assert.equal(fs.existsSync(path.join(one.folder, "a1.dat")), false);
    const a = await one.transact(() => {
      const made = one.create("a", { dtype: "f64", shape: 10_000 });
      made.set([[100, 9000]], numbers(8900, 100));
      made.typed()[5000] = -1;
      made.append(numbers(3000, 10_000));
      return made;
    });
    const expected = numbers(13_000, 0).fill(0, 0, 100).fill(0, 9000, 10_000);
    expected[5000] = -1;
    assert.deepEqual(a.typed(), expected);
    one.close();
    assert.deepEqual(store(one.folder).array("a", "f64").typed(), expected);
  });

  it("into a place that shrank away in the same transaction stay", async () => {
    const one = store(tempFolder());
    const a = await one.transact(() => {
      const made = one.create("a", { dtype: "f64", shape: 30 * PAGE });
      made.fill(5);
      made.resize(3);
      made.resize(20 * PAGE);
      assert.equal(made.sum(), 15);
      made.fill(7);
      return made;
    });
    await one.transact(() => {
      a.resize(0);
      a.resize(20 * PAGE);
      a.fill(7);
    });
    assert.equal(a.sum(), 7 * 20 * PAGE);
    await one.checkpoint();
    one.close();
    assert.equal(store(one.folder).array("a").sum(), 7 * 20 * PAGE);
  });

  it("convert to the type of the array", async () => {
    const one = store(tempFolder());
    const a = await one.transact(() => {
      const made = one.create("a", { dtype: "i16", shape: 0 });
      made.append(Float64Array.from({ length: 20_000 }, (_, i) => i + 0.5));
      made.append(Array.from({ length: 20_000 }, (_, i) => -i));
      return made;
    });
    assert.deepEqual([a.size, a.get(3), a.get(19_999), a.get(20_001), a.get(39_999)], [40_000, 3, 19_999, -1, -19_999]);
  });

  it("of two connections that make arrays at once: both commit, and neither file is taken for waste", async () => {
    const one = store(tempFolder());
    const two = store(one.folder);
    const [first, second] = [one.begin(), two.begin()];
    one.create("a", { dtype: "f64", shape: 50 * PAGE }).fill(1);
    two.create("b", { dtype: "f64", shape: 60 * PAGE }).fill(2);
    await second.commit();
    await two.checkpoint();
    await first.commit();
    one.refresh();
    two.refresh();
    for (const each of [one, two])
      assert.deepEqual([each.array("a").sum(), each.array("b").sum()], [50 * PAGE, 120 * PAGE]);
    assert.deepEqual(one.engine.verify(), []);
    one.close();
    two.close();
    const three = store(one.folder);
    assert.deepEqual([three.array("a").sum(), three.array("b").sum()], [50 * PAGE, 120 * PAGE]);
  });

  it("what somebody left who died in the middle is not seen", async () => {
    const one = store(tempFolder());
    const two = store(one.folder);
    two.begin();
    two.create("a", { dtype: "f64", shape: 100 * PAGE }).fill(9);
    two.engine[Symbol.dispose]();
    open.pop();
    const left = path.join(one.folder, "a1.dat");
    assert.ok(fs.statSync(left).size > 0);
    await one.transact(() => one.create("a", { dtype: "f64", shape: 100 * PAGE }).set([90 * PAGE], 1));
    assert.equal(one.array("a").sum(), 1);
    one.close();
    assert.equal(store(one.folder).array("a").sum(), 1);
    assert.equal(fs.existsSync(left), false);
  });

  it("that find the disk full leave zeros", async () => {
    const one = store(tempFolder());
    const transaction = one.begin();
    const a = one.create("a", { dtype: "f64", shape: 2 ** 20 });
    let count = 0;
    observeDisk(({ kind, path: file }) => {
      if (kind === "write" && file.endsWith("a1.dat") && count++ === 3) throw diskError("ENOSPC", kind, file);
      return undefined;
    });
    assert.throws(() => a.fill(5), DiskFullError);
    observeDisk(undefined);
    a.set([2 ** 20 - 1], 1);
    await transaction.commit();
    assert.equal(a.sum(), 1);
    one.close();
    assert.equal(store(one.folder).array("a").sum(), 1);
  });
});

describe("bulk writes over what exists", () => {
  const spillBytes = 2 ** 16;
  const SIZE = 100 * PAGE;

  async function filled(more: StoreOptions = {}): Promise<ArrayStore> {
    const one = store(tempFolder(), { spillBytes, spillInterval: 0, ...more });
    await one.transact(() => void one.create("a", { dtype: "f64", shape: SIZE }).set([[0, SIZE]], numbers(SIZE, 0)));
    return one;
  }

  for (const dirtyWay of ["scan", "pagemap", "compare"] as const)
    it(`do not stay in memory, and are the transaction's as any others (${dirtyWay})`, async () => {
      const one = await filled({ dirtyWay: dirtyWay === "scan" ? PrivateView.way() : dirtyWay });
      const a = one.array("a", "f64");
      const view = a.typed();
      const model = numbers(SIZE, 0);
      const first = one.begin();
      a.fill(3);
      assert.deepEqual([one.workspace.changedBytes(), view[0], view.at(-1), a.sum()], [0, 3, 3, 3 * SIZE]);
      first.abort();
      assert.deepEqual(view, model);
      const second = one.begin();
      view[7 * PAGE] = -1;
      a.set([[3, SIZE - 5]], numbers(SIZE - 8, 1000));
      model.set(numbers(SIZE - 8, 1000), 3);
      /* The first page and the last are not whole. */
      assert.equal(one.workspace.changedBytes(), 2 * 8 * PAGE);
      const savepoint = second.savepoint();
      a.fill(9);
      view[50 * PAGE] = 10;
      second.rollback(savepoint);
      assert.deepEqual(view, model);
      a.set([[PAGE, 90 * PAGE]], view.subarray(0, 89 * PAGE));
      model.copyWithin(PAGE, 0, 89 * PAGE);
      assert.deepEqual(view, model);
      view[60 * PAGE] = model[60 * PAGE] = 0.5;
      await second.commit();
      assert.deepEqual(view, model);
      const third = one.begin();
      a.fill(1);
      a.resize(10 * PAGE);
      a.resize(20 * PAGE);
      await third.commit();
      assert.deepEqual([a.get(10 * PAGE - 1), a.get(10 * PAGE), a.sum()], [1, 0, 10 * PAGE]);
      await one.checkpoint();
      assert.deepEqual(one.engine.verify(), []);
      one.close();
      assert.equal(store(one.folder).array("a").sum(), 10 * PAGE);
    });

  it("conflict page by page with what others wrote", async () => {
    const one = await filled();
    const two = store(one.folder);
    const transaction = one.begin();
    one.array("a").set([[0, 50 * PAGE]], 1);
    await two.transact(() => two.array("a").set([60 * PAGE], -1));
    await two.transact(() => two.array("a").set([20 * PAGE], -1));
    await assert.rejects(
      () => transaction.commit(),
      (error) => error instanceof ConflictError && error.pages.join() === "20",
    );
    assert.equal(one.array("a").get(0), 0);
  });

  it("a second time in one transaction, over an array that it has made", async () => {
    const one = store(tempFolder(), { spillBytes });
    const a = await one.transact(() => {
      const made = one.create("a", { dtype: "f64", shape: SIZE });
      made.fill(1);
      made.fill(2);
      assert.equal(one.workspace.changedBytes(), 0);
      made.append(numbers(SIZE, 0));
      return made;
    });
    assert.deepEqual([a.get(0), a.get(SIZE - 1), a.get(SIZE + 1), a.get(-1)], [2, 2, 1, SIZE - 1]);
    assert.deepEqual(one.engine.verify(), []);
  });

  it("that find the disk full or broken leave the transaction as it was", async () => {
    for (const errno of ["ENOSPC", "EIO"]) {
      const one = await filled();
      const a = one.array("a", "f64");
      const transaction = one.begin();
      a.set([5], -5);
      observeDisk(({ kind, path: file }) => {
        if (kind === "write" && file.includes("spill-")) throw diskError(errno, kind, file);
        return undefined;
      });
      assert.throws(() => a.fill(3), errno === "EIO" ? SystemError : DiskFullError);
      observeDisk(undefined);
      assert.deepEqual([a.get(4), a.get(5), a.get(-1)], [4, -5, SIZE - 1]);
      await transaction.commit();
      assert.equal(a.get(5), -5);
    }
  });

  it("comes back to a savepoint though what was written home is cut off, written anew, and cut off again", async () => {
    const one = store(tempFolder());
    const first = one.begin();
    const a = one.create("a", { dtype: "f64", shape: 0 });
    a.append(numbers(40 * PAGE, 0));
    a.set([30 * PAGE], -1);
    const expected = numbers(40 * PAGE, 0);
    expected[30 * PAGE] = -1;
    const early = first.savepoint();
    a.set([20 * PAGE], -2);
    a.resize(10 * PAGE);
    a.append(numbers(20 * PAGE, 5_000_000));
    const late = first.savepoint();
    a.resize(12 * PAGE);
    a.resize(11 * PAGE);
    a.append(numbers(30 * PAGE, 9_000_000));
    first.rollback(late);
    const between = new Float64Array(30 * PAGE);
    between.set(numbers(10 * PAGE, 0));
    between.set(numbers(20 * PAGE, 5_000_000), 10 * PAGE);
    assert.deepEqual(a.typed(), between);
    a.resize(11 * PAGE);
    first.rollback(late);
    assert.deepEqual(a.typed(), between);
    first.rollback(early);
    assert.deepEqual(a.typed(), expected);
    a.resize(5 * PAGE);
    first.rollback(early);
    assert.deepEqual(a.typed(), expected);
    await first.commit();
    one.close();
    const again = store(one.folder);
    assert.deepEqual(again.array("a", "f64").typed(), expected);
    assert.deepEqual(again.engine.verify(), []);
    again.close();
  });
});

describe("a commit that found no room", () => {
  for (const dirtyWay of ["scan", "pagemap", "compare"] as const) {
    /** Commits while the log finds no room. */
    const fails = async (one: ArrayStore): Promise<void> => {
      observeFolder(one.folder, ({ kind, path: file }) => {
        if (kind === "write" && /log/.test(file)) throw diskError("ENOSPC", kind, file);
        return undefined;
      });
      await assert.rejects(() => (one.transaction as Transaction).commit(), DiskFullError);
      observeDisk(undefined);
    };
    const ended = async (one: ArrayStore, expected: Float64Array): Promise<void> => {
      await (one.transaction as Transaction).commit();
      one.refresh();
      assert.deepEqual(one.array("a", "f64").typed(), expected);
      assert.deepEqual(one.engine.verify(), []);
      await one.checkpoint();
      one.close();
      const again = store(one.folder);
      assert.deepEqual(again.array("a", "f64").typed(), expected);
      assert.deepEqual(again.engine.verify(), []);
      again.close();
    };

    it(`is made again over pages that were written home before it (${dirtyWay})`, async () => {
      const one = store(tempFolder(), { dirtyWay });
      one.begin();
      const a = one.create("a", { dtype: "f64", shape: 0 });
      a.append(numbers(20 * PAGE, 0));
      a.typed().fill(7, 3 * PAGE, 15 * PAGE);
      await fails(one);
      const expected = numbers(20 * PAGE, 0).fill(7, 3 * PAGE, 15 * PAGE);
      assert.deepEqual(a.typed(), expected);
      await ended(one, expected);
    });

    it(`leaves what a savepoint comes back to (${dirtyWay})`, async () => {
      const one = store(tempFolder(), { dirtyWay });
      const first = one.begin();
      const a = one.create("a", { dtype: "f64", shape: 0 });
      a.append(numbers(20 * PAGE, 0));
      const savepoint = first.savepoint();
      a.typed().fill(7, 3 * PAGE, 15 * PAGE);
      await fails(one);
      first.rollback(savepoint);
      assert.deepEqual(a.typed(), numbers(20 * PAGE, 0));
      await ended(one, numbers(20 * PAGE, 0));
    });

    it(`leaves nothing in places that are then cut off and grown over (${dirtyWay})`, async () => {
      const one = store(tempFolder(), { dirtyWay });
      one.begin();
      const a = one.create("a", { dtype: "f64", shape: 0 });
      a.append(numbers(10 * PAGE, 0));
      a.resize(40 * PAGE);
      a.typed().fill(7, 12 * PAGE, 22 * PAGE);
      await fails(one);
      a.resize(10 * PAGE);
      a.resize(40 * PAGE);
      a.typed().fill(8, 30 * PAGE, 38 * PAGE);
      const expected = new Float64Array(40 * PAGE).fill(8, 30 * PAGE, 38 * PAGE);
      expected.set(numbers(10 * PAGE, 0));
      await ended(one, expected);
    });
  }
});

describe("an array that outgrows its address space", () => {
  it("moves with all that was changed, and its old views have length 0", async () => {
    const one = store(tempFolder(), { reserve: 2 ** 14 });
    const two = store(one.folder, { reserve: 2 ** 14 });
    const a = await one.transact(() => {
      const made = one.create("a", { dtype: "f64", shape: 1000 });
      made.set([[0, 1000]], numbers(1000, 0));
      return made;
    });
    two.refresh();
    assert.equal(two.array("a", "f64").get(999), 999);
    const old = a.typed();
    const first = one.begin();
    old[5] = -5;
    const savepoint = first.savepoint();
    a.resize(100_000);
    assert.deepEqual([old.length, a.get(5), a.get(6), a.get(99_999)], [0, -5, 6, 0]);
    a.set([99_999], 9);
    first.rollback(savepoint);
    assert.deepEqual([a.size, a.get(5), a.get(999)], [1000, -5, 999]);
    first.abort();
    assert.deepEqual([a.size, a.get(5)], [1000, 5]);
    await one.transact(() => {
      a.typed()[7] = -7;
      a.append(numbers(200_000, 1000));
      a.typed()[100_000] = -1;
    });
    const expected = numbers(201_000, 0);
    expected[7] = -7;
    expected[100_000] = -1;
    assert.deepEqual(a.typed(), expected);
    two.refresh();
    assert.deepEqual(two.array("a", "f64").typed(), expected);
    await two.transact(() => two.array("a", "f64").set([200_999], 3));
    one.refresh();
    assert.equal(a.get(200_999), 3);
    assert.deepEqual(one.engine.verify(), []);
  });
});

describe("random transactions", () => {
  /* All at full count take a minute. */
  const rounds = process.env.OUTCORE_LONG ? 400 : 40;
  it(`do what a plain array does, ${rounds} of them`, async () => {
    const random = randomFrom(Number(process.env.OUTCORE_SEED ?? 7));
    let one = store(tempFolder(), { spillBytes: 2 ** 15 });
    let model: number[] = new Array(1000).fill(0);
    await one.transact(() => one.create("a", { dtype: "f64", shape: 1000 }));
    let value = 0;
    for (let round = 0; round < rounds; round++) {
      const transaction = one.begin();
      let mine = [...model];
      if (random(3) === 0) {
        const size = random(20 * PAGE);
        one.drop("a");
        one.create("a", { dtype: "f64", shape: size });
        mine = new Array<number>(size).fill(0);
      }
      const a = one.array("a", "f64");
      let saved: { point: Savepoint; values: number[] } | undefined;
      for (let k = random(8); k >= 0; k--) {
        const what = random(9);
        value++;
        const size = mine.length;
        if (what === 0) {
          const next = random(40 * PAGE) + 1;
          a.resize(next);
          mine = [...mine.slice(0, next), ...new Array<number>(Math.max(0, next - size)).fill(0)];
        } else if (what === 1) {
          a.fill(value);
          mine.fill(value);
        } else if (what === 2) {
          const values = numbers(random(12 * PAGE), value);
          a.append(values);
          mine.push(...values);
        } else if (what === 3) {
          const [start, count] = [random(size), random(10 * PAGE)];
          const end = Math.min(size, start + count);
          a.set([[start, end]], value);
          mine.fill(value, start, end);
        } else if (what === 4) transaction.spill();
        else if (what === 5) saved = { point: transaction.savepoint(), values: [...mine] };
        else if (what === 6 && saved !== undefined) {
          transaction.rollback(saved.point);
          mine = [...saved.values];
        } else if (size > 0) {
          const at = random(size);
          a.typed()[at] = mine[at] = value;
        }
        assert.deepEqual([a.size, Array.from(a.typed())], [mine.length, mine]);
      }
      if (random(4) === 0) transaction.abort();
      else {
        await transaction.commit();
        model = mine;
      }
      assert.deepEqual(Array.from(one.array("a", "f64").typed()), model, `round ${round}`);
      if (random(3) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      if (random(6) === 0) await one.checkpoint();
      if (random(6) === 0) {
        if (random(2) === 0) one.close();
        else one.engine[Symbol.dispose]();
        one = store(one.folder, random(2) === 0 ? {} : { spillBytes: 2 ** 15 });
        assert.deepEqual(Array.from(one.array("a", "f64").typed()), model, `reopened after round ${round}`);
      }
    }
  });
});
