/** What callers do that makes no sense: it is refused by an error of ours, at once, and changes nothing. */
import assert from "node:assert/strict";
import path from "node:path";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, openReference, openStore, type StoreOptions } from "../../src/array/main.ts";
import { ClosedError, InvalidArgumentError, NotFoundError, OutcoreError, TransactionError } from "../../src/errors.ts";
import { DataFile } from "../../src/memory/data-file.ts";
import { lockRange } from "../../src/memory/lock.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const open: { close(): void }[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.close();
  cleanTemp();
});

function store(folder: string, options: StoreOptions = {}): ArrayStore {
  const opened = openStore(folder, { reserve: 2 ** 26, ...options });
  open.push(opened);
  return opened;
}

async function filled(size = 4096, options: StoreOptions = {}): Promise<ArrayStore> {
  const opened = store(tempFolder(), options);
  await opened.transact(() => opened.create("a", { dtype: "f64", shape: size }).fill(1));
  return opened;
}

/** Whoever holds it keeps every commit waiting. */
function commitLock({ folder }: ArrayStore): DataFile {
  const lock = DataFile.open(path.join(folder, "lock"), true);
  open.push(lock);
  assert.ok(lockRange(lock, "exclusive", 0, 1));
  return lock;
}

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

describe("options of a store", () => {
  it("that are no such option's are refused, and undefined stands for the default", async () => {
    const folder = path.join(tempFolder(), "store");
    const wrong: object[] = [
      { segmentBytes: Number.NaN },
      { segmentBytes: 0 },
      { logLimit: -1 },
      { reserve: -1 },
      { reserve: "64" },
      { spillBytes: Number.NaN },
      { spillInterval: "x" },
      { lockTimeout: -1 },
      { maxSnapshotAge: Number.NaN },
      { checkpointDelay: null },
      { directBytes: "1" },
      { gatheredBytes: 1.5 },
      { dirtyWay: "magic" },
      { durability: "Full" },
      { create: "no" },
      { at: 5 },
    ];
    for (const options of wrong)
      assert.throws(() => store(folder, options as StoreOptions), InvalidArgumentError, JSON.stringify(options));
    const none = Object.fromEntries(wrong.flatMap((each) => Object.keys(each)).map((key) => [key, undefined]));
    const one = openStore(folder, none as StoreOptions);
    open.push(one);
    await one.transact(() => one.create("a", { dtype: "f64", shape: 10_000 }).fill(1));
    assert.equal(one.array("a", "f64").sum(), 10_000);
  });

  it("and paths that are none", () => {
    for (const place of [null, undefined, 5, {}, "", "s3://bucket/x", "postgres://x", "http://x/y", "C:\\no\0pe"])
      assert.throws(() => openStore(place as string), InvalidArgumentError, String(place));
  });

  it("a durability that there is not makes no commit", async () => {
    const one = await filled();
    for (const durability of ["Full", "", 0, null]) {
      const transaction = one.begin();
      one.array("a").set([0], 5);
      await assert.rejects(() => transaction.commit({ durability: durability as "full" }), InvalidArgumentError);
      assert.equal(transaction.state, "active");
      transaction.abort();
    }
    await assert.rejects(() => one.transact(() => {}, { durability: "Full" as "full" }), InvalidArgumentError);
    await assert.rejects(() => one.transact(() => {}, { retries: Number.NaN }), InvalidArgumentError);
    assert.deepEqual([one.transaction, one.array("a").get(0), one.engine.newest()], [undefined, 1, 1]);
  });
});

describe("a new array", () => {
  it("needs a type, a shape of numbers, and attributes that JSON holds", async () => {
    const one = await filled();
    const cycle: Record<string, unknown> = {};
    cycle.me = cycle;
    const transaction = one.begin();
    for (const options of [
      undefined,
      null,
      {},
      { dtype: "f64" },
      { dtype: "f64", shape: null },
      { dtype: "f64", shape: 5n },
      { dtype: "f64", shape: "5" },
      { dtype: "f64", shape: [2, "3"] },
      { dtype: "f64", shape: 5, record: 3 },
      { dtype: "u8", shape: 5, record: 0 },
      { dtype: "u8", shape: 5, record: 3, order: "F" },
      { dtype: "u8", shape: 5, attributes: 5 },
      { dtype: "u8", shape: 5, attributes: [1] },
      { dtype: "u8", shape: 5, attributes: { n: 1n } },
      { dtype: "u8", shape: 5, attributes: cycle },
    ])
      assert.throws(() => one.create("b", options as never), InvalidArgumentError, String(options));
    assert.throws(() => one.setAttributes("a", { n: 1n }), InvalidArgumentError);
    assert.throws(() => one.setAttributes("a", null as never), InvalidArgumentError);
    for (const name of ["", 5, null]) {
      assert.throws(() => one.create(name as string, { dtype: "u8", shape: 1 }), InvalidArgumentError);
      assert.throws(() => one.keepSnapshot(name as string), InvalidArgumentError);
    }
    assert.throws(() => one.dropSnapshot("constructor"), NotFoundError);
    assert.throws(() => one.attributes("nobody"), NotFoundError);
    assert.equal(await transaction.commit(), 1);
    assert.deepEqual([one.names, one.snapshots], [["a"], {}]);
  });

  it("has attributes that only setAttributes changes", async () => {
    const one = await filled();
    const given = { columns: ["x"] };
    await one.transact(() => one.setAttributes("a", given));
    given.columns.push("y");
    const known = one.attributes("a") as typeof given;
    try {
      known.columns.push("z");
    } catch {
      /* They are frozen, or a copy. */
    }
    await one.transact(() => void one.array("a").set([0], 5));
    assert.deepEqual(one.attributes("a"), { columns: ["x"] });
    assert.deepEqual(store(one.folder).attributes("a"), { columns: ["x"] });
  });
});

describe("values", () => {
  it("that are no numbers are refused before anything is written", async () => {
    const one = await filled();
    const a = one.array("a", "f64");
    const transaction = one.begin();
    for (const value of [null, undefined, {}, "5", 5n, new Map(), new Set([1]), () => 1, Symbol("x")]) {
      const wrong = value as number;
      assert.throws(() => a.fill(wrong), InvalidArgumentError, String(value));
      assert.throws(() => a.set([0], wrong), InvalidArgumentError, String(value));
      assert.throws(() => a.set([[0, 2]], wrong), InvalidArgumentError, String(value));
      assert.throws(() => a.append(value as number[]), InvalidArgumentError, String(value));
      assert.throws(() => a.view([0, 3, 2]).assign(wrong), InvalidArgumentError, String(value));
      assert.throws(() => a.view([0, 3, 2]).fill(wrong), InvalidArgumentError, String(value));
      assert.throws(() => a.view([0, 3, 2]).set(wrong, 0), InvalidArgumentError, String(value));
      assert.throws(() => a.append([1, wrong]), InvalidArgumentError, String(value));
      assert.throws(() => a.set([[0, 2]], [1, wrong]), InvalidArgumentError, String(value));
    }
    assert.throws(() => a.append(5 as unknown as number[]), InvalidArgumentError);
    assert.throws(() => a.append(BigInt64Array.of(1n)), InvalidArgumentError);
    assert.throws(() => a.set([[0, 1]], BigInt64Array.of(1n)), InvalidArgumentError);
    assert.equal(await transaction.commit(), 1);
    assert.deepEqual([a.size, a.sum()], [4096, 4096]);
  });

  it("of bool are 0 and 1, and may be true and false", async () => {
    const one = await filled();
    await one.transact(() => {
      const flags = one.create("flags", { dtype: "bool", shape: [4] });
      flags.set([0], true);
      flags.set([[1, 3]], [true, 7]);
      flags.append([true, false, 5]);
      flags.view([3, 5]).assign([2, false]);
      assert.deepEqual([...flags.typed()], [1, 1, 1, 1, 0, 0, 1]);
      flags.fill(true);
      flags.view(0).fill(false);
      flags.view([1, 4, 2]).set(9, 0);
      assert.deepEqual([...flags.typed()], [0, 1, 1, 1, 1, 1, 1]);
    });
    assert.throws(
      () =>
        one
          .array("a", "f64")
          .view(0)
          .fill(true as unknown as number),
      InvalidArgumentError,
    );
  });

  it("and places that are none", async () => {
    const one = await filled();
    const a = one.array("a", "f64");
    for (const args of [[Number.NaN], [0, Number.NaN], ["0"], [0.5], [-1], [0, 4097]] as [number, number][])
      assert.throws(
        () => a.segments(...args),
        (error) => error instanceof InvalidArgumentError || error instanceof RangeError,
        String(args),
      );
    const reference = a.reference();
    for (const wrong of [
      null,
      5,
      {},
      { ...reference, index: 5 },
      { ...reference, store: 5 },
      { ...reference, name: 7 },
    ])
      assert.throws(() => openReference(wrong as never), OutcoreError, JSON.stringify(wrong));
    assert.throws(() => one.watch(5 as never), InvalidArgumentError);
    const transaction = one.begin();
    for (const savepoint of [null, undefined, {}, { transaction }])
      assert.throws(() => transaction.rollback(savepoint as never), TransactionError);
    transaction.abort();
    await assert.rejects(() => one.transact(5 as never), InvalidArgumentError);
    assert.equal(one.transaction, undefined);
  });
});

describe("values that are views of the array itself", () => {
  const SIZE = 3 * 2 ** 20;
  it("are read as they were before the call, wherever they overlap", async () => {
    const one = store(tempFolder());
    const a = await one.transact(() => {
      const made = one.create("a", { dtype: "f64", shape: SIZE });
      const flat = made.typed();
      for (let i = 0; i < SIZE; i++) flat[i] = i;
      return made;
    });
    const expect = (at: (i: number) => number): void => {
      const flat = a.typed();
      for (let i = 0; i < SIZE; i++) if (flat[i] !== at(i)) assert.equal(flat[i], at(i), `at ${i}`);
    };
    const works: [() => void, (i: number) => number][] = [
      [() => a.set([[1]], a.typed(0, SIZE - 1)), (i) => Math.max(0, i - 1)],
      [() => a.set([[0, SIZE - 1]], a.typed(1)), (i) => Math.min(SIZE - 1, i + 1)],
      [() => a.set([[undefined, undefined, -1]], a.typed()), (i) => SIZE - 1 - i],
      [() => a.view([0, undefined, 2]).assign(a.typed(0, SIZE / 2)), (i) => (i % 2 === 0 ? i / 2 : i)],
      [() => a.view([undefined, undefined, -1]).assign(a.view()), (i) => SIZE - 1 - i],
    ];
    for (const [work, at] of works) {
      const transaction = one.begin();
      work();
      expect(at);
      transaction.abort();
      expect((i) => i);
    }
  }, 60_000);

  it("also when the array is new, and where bulk calls go past memory", async () => {
    const one = store(tempFolder(), { spillBytes: 2 ** 20, directBytes: 2 ** 16 });
    const size = 2 ** 18;
    for (const isNew of [true, false]) {
      if (!isNew) await one.transact(() => one.create("old", { dtype: "f64", shape: size }).fill(1));
      const transaction = one.begin();
      const a = isNew ? one.create("new", { dtype: "f64", shape: size }) : one.array("old", "f64");
      const flat = a.typed();
      for (let i = 0; i < size; i++) flat[i] = i;
      a.set([[3, size - 5]], a.typed(0, size - 8));
      const shown = a.typed();
      for (let i = 3; i < size - 5; i++) if (shown[i] !== i - 3) assert.equal(shown[i], i - 3, `${isNew} ${i}`);
      a.append(a.typed(size - 70_000, 70_000));
      assert.deepEqual([a.get(size), a.get(-1), a.get(-6)], [size - 70_003, size - 1, size - 9]);
      transaction.abort();
    }
  });
});

describe("while a commit waits", () => {
  it("arrays are not made, changed or dropped", async () => {
    const one = await filled();
    const a = one.array("a", "f64");
    const lock = commitLock(one);
    const transaction = one.begin();
    a.set([0], 5);
    const committed = transaction.commit();
    await soon();
    const works = [
      () => a.resize(10),
      () => a.append([1]),
      () => one.create("b", { dtype: "u8", shape: 1 }),
      () => one.drop("a"),
      () => one.setAttributes("a", {}),
      () => one.keepSnapshot("k"),
      () => one.begin(),
      () => transaction.abort(),
      () => transaction.spill(),
      () => transaction.savepoint(),
      () => one.discard(),
    ];
    for (const work of works) assert.throws(work, TransactionError, String(work));
    await assert.rejects(() => one.checkpoint(), TransactionError);
    await assert.rejects(() => transaction.commit(), TransactionError);
    lock.close();
    assert.equal(await committed, 2);
    assert.deepEqual([one.names, a.shape, a.get(0), one.snapshots], [["a"], [4096], 5, {}]);
    await one.transact(() => void a.set([1], 6));
    assert.deepEqual([...store(one.folder).array("a", "f64").typed(0, 3)], [5, 6, 1]);
  });

  it("what is written to views until it has its turn is part of it", async () => {
    const one = await filled(2 ** 18, { spillBytes: 2 ** 20, directBytes: 2 ** 16 });
    const two = store(one.folder);
    const a = one.array("a", "f64");
    const lock = commitLock(one);
    const transaction = one.begin();
    a.set([0], 5);
    const committed = transaction.commit();
    await soon();
    a.typed()[100_000] = 7;
    a.set([[150_000, 250_000]], 8);
    await soon();
    lock.close();
    await committed;
    assert.equal(one.transaction, undefined);
    two.refresh();
    for (const each of [a, two.array("a", "f64")])
      assert.deepEqual(
        [0, 1, 100_000, 150_000, 249_999].map((i) => each.get(i)),
        [5, 1, 7, 8, 8],
      );
    one.begin().abort();
    assert.equal(a.get(200_000), 8);
  });

  it("and between its end and the next turn what is written is the next one's", async () => {
    const one = await filled(2 ** 18, { spillBytes: 2 ** 20, directBytes: 2 ** 16 });
    const two = store(one.folder);
    const a = one.array("a", "f64");
    const transaction = one.begin();
    a.set([0], 5);
    const committed = transaction.commit();
    a.fill(9);
    await committed;
    two.refresh();
    assert.deepEqual([two.array("a").get(0), two.array("a").get(1), a.get(1)], [5, 1, 9]);
    await one.transact(() => {});
    two.refresh();
    assert.equal(two.array("a", "f64").sum(), 9 * 2 ** 18);
  });

  it("the store may be closed: the commit fails, and nothing of it is true", async () => {
    const one = await filled();
    const lock = commitLock(one);
    const transaction = one.begin();
    one.array("a").set([0], 5);
    const committed = assert.rejects(transaction.commit(), ClosedError);
    await soon();
    one.close();
    assert.equal(transaction.state, "aborted");
    lock.close();
    await committed;
    assert.equal(transaction.state, "aborted");
    transaction.abort();
    assert.equal(store(one.folder).array("a").get(0), 1);
  });

  it("and right after it was written: it is committed", async () => {
    const one = await filled();
    const transaction = one.begin();
    one.array("a").set([0], 5);
    const committed = transaction.commit();
    one.close();
    assert.equal(await committed, 2);
    assert.equal(store(one.folder).array("a").get(0), 5);
  });
});

describe("a savepoint", () => {
  it("that was made after the one that was come back to is no more", async () => {
    const one = await filled();
    const transaction = one.begin();
    const first = transaction.savepoint();
    one.create("b", { dtype: "f64", shape: 2 ** 18 }).fill(3);
    const second = transaction.savepoint();
    transaction.rollback(first);
    assert.throws(() => transaction.rollback(second), TransactionError);
    one.create("b", { dtype: "f64", shape: 2 }).fill(4);
    const third = transaction.savepoint();
    one.array("b").fill(5);
    transaction.rollback(third);
    transaction.rollback(third);
    assert.deepEqual(one.array("b").view().toNested(), [4, 4]);
    transaction.rollback(first);
    assert.deepEqual(one.names, ["a"]);
    assert.throws(() => transaction.rollback(third), TransactionError);
    await transaction.commit();
    assert.deepEqual(one.names, ["a"]);
  });
});

describe("watch", () => {
  it("tells nothing of the connection's own commits", async () => {
    const one = await filled();
    const two = store(one.folder);
    const seen: number[] = [];
    one.watch((txid) => seen.push(txid), 1);
    for (let i = 0; i < 3; i++) {
      await one.transact(() => void one.array("a").set([0], i));
      await soon();
    }
    assert.deepEqual(seen, []);
    await two.transact(() => void two.array("a").set([0], 9));
    for (let i = 0; i < 200 && seen.length === 0; i++) await soon();
    assert.deepEqual(seen, [5]);
  });
});

describe("a closed store", () => {
  it("says so, whatever is asked of it", async () => {
    const one = await filled();
    const a = one.array("a", "f64");
    const view = a.view();
    const works: (() => unknown)[] = [
      () => one.attributes("a"),
      () => one.snapshots,
      () => one.names,
      () => one.array("a"),
      () => one.begin(),
      () => one.discard(),
      () => one.refresh(),
      () => one.watch(() => {}),
      () => a.shape,
      () => a.get(0),
      () => a.typed(),
      () => a.view(),
      () => a.fill(1),
      () => a.set([0], 1),
      () => a.resize(1),
      () => a.append([1]),
      () => a.reference(),
      () => a.sum(),
      () => [...a.blocks()],
      () => view.get(0),
      () => view.set(1, 0),
    ];
    one.close();
    one.close();
    for (const work of works) assert.throws(work, ClosedError, String(work));
    await assert.rejects(() => one.checkpoint(), ClosedError);
    await assert.rejects(() => one.transact(() => {}), ClosedError);
    assert.deepEqual([view.data.length, one.transaction], [0, undefined]);
  });
});
