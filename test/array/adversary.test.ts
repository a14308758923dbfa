import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, openStore, type StoreOptions } from "../../src/array/main.ts";
import {
  ClosedError,
  ConflictError,
  DiskFullError,
  InvalidArgumentError,
  LimitError,
  TransactionError,
} from "../../src/errors.ts";
import { type DirtyWay, PrivateView } from "../../src/memory/private-view.ts";
import { diskError, observeDisk } from "../../src/memory/store-file.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const open: ArrayStore[] = [];

afterEach(() => {
  observeDisk(undefined);
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
  await opened.transact(() => {
    const a = opened.create("a", { dtype: "f64", shape: size }).typed();
    for (let i = 0; i < size; i++) a[i] = i;
  });
  return opened;
}

const PAGE = 512;

describe("an old view that reaches beyond the array's end", () => {
  it("brings nothing back when the array grows again, in this transaction or a later one", async () => {
    const one = await filled();
    const a = one.array("a", "f64");
    const old = a.typed();
    await one.transact(() => a.resize(700));
    await one.transact(() => {
      old[701] = 9;
      old[3000] = 9;
      a.resize(4096);
      assert.deepEqual([a.get(701), a.get(3000)], [0, 0]);
    });
    await one.transact(() => a.resize(700));
    await one.transact(() => {
      old[702] = 9;
      old[3001] = 9;
    });
    old[703] = 9;
    old[3002] = 9;
    await one.transact(() => a.resize(4096));
    assert.deepEqual([a.get(701), a.get(702), a.get(703), a.get(3000), a.get(3001), a.get(3002)], [0, 0, 0, 0, 0, 0]);
    one.close();
    assert.equal(store(one.folder).array("a", "f64").sum(), (699 * 700) / 2);
  });

  it("need not be there for a connection to go on when another has dropped the array and its file", async () => {
    const one = await filled();
    const two = store(one.folder);
    const a = two.array("a", "f64");
    await one.transact(() => one.drop("a"));
    await one.checkpoint();
    two.refresh();
    assert.deepEqual(two.names, []);
    assert.throws(() => a.get(0), ClosedError);
    assert.equal(fs.existsSync(path.join(one.folder, "a1.dat")), false);
  });

  it("of a dropped array reads as nothing and commits nothing", async () => {
    const one = await filled();
    const two = store(one.folder);
    const view = two.array("a", "f64").typed();
    await one.transact(() => one.drop("a"));
    two.refresh();
    assert.equal(view.length, 0);
    assert.throws(() => two.array("a").typed(), Error);
    await two.transact(() => two.create("a", { dtype: "u8", shape: 5 }));
    assert.equal(two.array("a", "u8").sum(), 0);
  });
});

describe("what was written outside a transaction", () => {
  it("is not lost when another commits just before the transaction begins", async () => {
    const one = await filled();
    const two = store(one.folder);
    const view = two.array("a", "f64").typed();
    view[PAGE] = -5;
    /* The other's commit comes between the look whether there was one and the snapshot. */
    const { engine } = two;
    const begin = engine.begin.bind(engine);
    engine.begin = (mayShow) => {
      engine.begin = begin;
      const transaction = one.begin();
      one.array("a", "f64").typed()[PAGE] = -6;
      void transaction.commit();
      begin(mayShow);
    };
    assert.throws(() => two.begin(), TransactionError);
    assert.equal(view[PAGE], -5);
    two.discard();
    two.begin().abort();
    assert.equal(view[PAGE], -6);
  });

  it("is not lost in a checkpoint", async () => {
    const one = await filled();
    const two = store(one.folder);
    const view = two.array("a", "f64").typed();
    view[PAGE] = -5;
    await one.transact(() => void one.array("a").set([PAGE], -6));
    await two.checkpoint();
    assert.equal(view[PAGE], -5);
    assert.throws(() => two.begin(), TransactionError);
    two.discard();
    two.refresh();
    assert.equal(view[PAGE], -6);
  });
});

describe("a drop", () => {
  it("is taken back by abort and rollback, with what else the savepoint knew", async () => {
    const one = await filled();
    const transaction = one.begin();
    one.drop("a");
    transaction.abort();
    assert.equal(one.array("a").get(5), 5);
    const second = one.begin();
    const savepoint = second.savepoint();
    one.drop("a");
    one.keepSnapshot("x");
    second.rollback(savepoint);
    assert.equal(one.array("a").get(5), 5);
    await second.commit();
    assert.deepEqual([one.names, one.snapshots], [["a"], {}]);
  });

  it("conflicts with whatever else was done to the array, in either order", async () => {
    const works: ((each: ArrayStore) => void)[] = [
      (each) => void each.array("a").set([0], 1),
      (each) => each.array("a").resize(10_000),
      (each) => each.setAttributes("a", { unit: "m" }),
    ];
    for (const work of works)
      for (const dropFirst of [true, false]) {
        const one = await filled();
        const two = store(one.folder);
        const [first, second] = [one.begin(), two.begin()];
        if (dropFirst) one.drop("a");
        else work(one);
        if (dropFirst) work(two);
        else two.drop("a");
        await first.commit();
        await assert.rejects(() => second.commit(), ConflictError);
        two.refresh();
        assert.deepEqual(two.names, dropFirst ? [] : ["a"]);
      }
  });
});

describe("an array that another has written to further behind meanwhile", () => {
  for (const pages of [3, 40])
    it(`shows at once what ${pages} pages in between have become, and goes on showing it`, async () => {
      const one = await filled(PAGE * 10);
      await one.transact(() => one.array("a").resize(PAGE * 200));
      const two = store(one.folder);
      const view = two.array("a", "f64").typed();
      const transaction = two.begin();
      await one.transact(() => void one.array("a").set([PAGE * 150], -5));
      for (let page = 0; page < pages; page++) view[PAGE * (50 + page)] = page + 1;
      const look = (): number[] => [50, 50 + pages - 1, 150].map((page) => view[PAGE * page] ?? 0);
      assert.deepEqual(look(), [1, pages, 0]);
      await transaction.commit();
      assert.deepEqual(look(), [1, pages, -5]);
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.deepEqual(look(), [1, pages, -5]);
      two.begin().abort();
      assert.deepEqual(look(), [1, pages, -5]);
    });
});

describe("commits after another's checkpoint", () => {
  it("go where the log goes on, not into the segment that is gone", async () => {
    const one = await filled();
    const two = store(one.folder);
    two.array("a").get(0);
    for (let i = 0; i < 20; i++) {
      const [writer, other] = i % 2 === 0 ? [one, two] : [two, one];
      await writer.transact(() => void writer.array("a").set([i * 100], -i));
      await other.checkpoint();
      other.refresh();
      assert.equal(other.array("a").get(i * 100), -i);
    }
    for (const each of [one, two]) each.engine[Symbol.dispose]();
    const three = store(one.folder);
    for (let i = 0; i < 20; i++) assert.equal(three.array("a").get(i * 100), -i);
  });
});

describe("a commit that failed for want of room", () => {
  it("leaves the transaction on its snapshot, though others have committed", async () => {
    const one = await filled();
    const two = store(one.folder);
    const transaction = two.begin();
    const a = two.array("a", "f64");
    a.typed()[0] = -1;
    await one.transact(() => {
      one.array("a").resize(9000);
      one.array("a", "f64").typed()[PAGE] = -2;
      one.create("b", { dtype: "u8", shape: 1 });
    });
    observeDisk(({ kind, path: file }) => {
      if (kind === "write") throw diskError("ENOSPC", kind, file);
      return undefined;
    });
    await assert.rejects(() => transaction.commit(), DiskFullError);
    observeDisk(undefined);
    assert.deepEqual([a.size, a.get(PAGE), a.get(0), two.names.join(), two.snapshot], [4096, PAGE, -1, "a", 1]);
    const savepoint = transaction.savepoint();
    transaction.rollback(savepoint);
    assert.deepEqual([a.size, a.get(PAGE), a.get(0)], [4096, PAGE, -1]);
    await transaction.commit();
    assert.deepEqual([a.size, a.get(PAGE), a.get(0), two.names.join()], [9000, -2, -1, "a,b"]);
  });

  it("does not come true later, after the power was lost", async () => {
    const one = await filled();
    const transaction = one.begin();
    one.array("a", "f64").typed()[0] = -1;
    observeDisk(({ kind, path: file }) => {
      if (kind === "sync" && /log/.test(file)) {
        observeDisk(undefined);
        throw diskError("ENOSPC", kind, file);
      }
      return undefined;
    });
    await assert.rejects(() => transaction.commit(), DiskFullError);
    transaction.abort();
    one.engine[Symbol.dispose]();
    assert.equal(store(one.folder).array("a").get(0), 0);
  });
});

describe("a transaction that only reads", () => {
  for (const way of ["scan", "pagemap", "compare"] as const satisfies readonly DirtyWay[])
    it(`commits nothing, also where nothing was ever written (${way})`, async () => {
      const one = store(tempFolder(), { dirtyWay: way === "scan" ? PrivateView.way() : way });
      const a = await one.transact(() => one.create("a", { dtype: "f64", shape: 2 ** 16 }));
      const transaction = one.begin();
      assert.equal(a.sum(), 0);
      assert.equal(await transaction.commit(), 1);
    });
});

describe("very many single pages", () => {
  it("beyond the process's share of mappings are shown all the same", async () => {
    const one = await filled(PAGE * 20_000);
    const two = store(one.folder);
    const hold = two.begin();
    assert.equal(two.array("a").get(PAGE * 19_999), PAGE * 19_999);
    await one.transact(() => {
      const view = one.array("a", "f64").typed();
      for (let page = 0; page < 20_000; page += 2) view[page * PAGE] = -page;
    });
    for (let page = 0; page < 20_000; page += 1001)
      assert.equal(one.array("a").get(page * PAGE), page % 2 === 0 ? -page : page * PAGE);
    const three = store(one.folder);
    const reader = three.begin();
    assert.equal(three.array("a").get(PAGE * 2000), -2000);
    assert.equal(two.array("a").get(PAGE * 2000), PAGE * 2000);
    assert.equal(await reader.commit(), 2);
    hold.abort();
    two.refresh();
    assert.equal(two.array("a").get(PAGE * 19_998), -19_998);
    await two.transact(() => void two.array("a").set([1], 1.5));
    one.refresh();
    assert.equal(one.array("a").get(1), 1.5);
    const undone = one.begin();
    one
      .array("a", "f64")
      .typed()
      .fill(3, 0, PAGE * 100);
    undone.abort();
    assert.equal(one.array("a").get(PAGE * 4), -4);
  }, 120_000);
});

describe("what makes no sense", () => {
  it("is refused, and changes nothing", async () => {
    const one = await filled();
    const a = one.array("a", "f64");
    await one.transact(() => {
      for (const shape of [[-1], [1.5], [Number.NaN], [], [2, 2]])
        assert.throws(() => a.resize(...shape), InvalidArgumentError);
      assert.throws(() => a.resize(2 ** 50), RangeError);
      assert.throws(() => a.resize(2 ** 44), LimitError);
      assert.throws(() => one.create("", { dtype: "u8", shape: 1 }), InvalidArgumentError);
      assert.throws(() => a.view([0, 10, 0]), InvalidArgumentError);
      assert.throws(() => a.get(4096), RangeError);
      assert.throws(() => a.get(0, 0), InvalidArgumentError);
      assert.throws(() => a.get(Number.NaN), InvalidArgumentError);
      assert.throws(() => a.set([[0, 3]], [1, 2]), InvalidArgumentError);
      assert.throws(() => a.append([1n]), InvalidArgumentError);
    });
    assert.deepEqual([a.size, a.sum()], [4096, (4095 * 4096) / 2]);
    const transaction = one.begin();
    await transaction.commit();
    for (const late of [() => transaction.spill(), () => transaction.savepoint(), () => transaction.abort()])
      assert.throws(late, TransactionError);
    one.close();
    for (const late of [() => one.names, () => a.get(0), () => a.shape, () => one.begin(), () => one.watch(() => {})])
      assert.throws(late, ClosedError);
  });

  it("left over by a spill of a process that died is removed", async () => {
    const one = await filled();
    one.close();
    const left = path.join(one.folder, "spill-1-abc");
    fs.writeFileSync(left, "x");
    store(one.folder);
    assert.equal(fs.existsSync(left), false);
  });
});
