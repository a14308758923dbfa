import assert from "node:assert/strict";
import fs from "node:fs";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, openStore, type StoreOptions } from "../../src/array/main.ts";
import { DiskFullError, LimitError, PoisonedError } from "../../src/errors.ts";
import { pageSize } from "../../src/memory/page.ts";
import { type DirtyWay, PrivateView } from "../../src/memory/private-view.ts";
import { diskError, observeDisk } from "../../src/memory/store-file.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";
import { observeFolder } from "./disk.ts";

const open: ArrayStore[] = [];
const PAGE = 512;
const MIB = 2 ** 17;

function store(folder: string, more: StoreOptions = {}): ArrayStore {
  const opened = openStore(folder, { reserve: 2 ** 28, directBytes: 2 ** 16, ...more });
  open.push(opened);
  return opened;
}

afterEach(() => {
  observeDisk(undefined);
  for (const each of open.splice(0)) each.close();
  cleanTemp();
});

const numbers = (count: number, from: number): Float64Array => Float64Array.from({ length: count }, (_, i) => from + i);

const ways: readonly DirtyWay[] = ["scan", "pagemap", "compare"];
const best = PrivateView.way();
const usable = ways.filter((way) => best === "scan" || way === best || way === "compare");

async function two(more: StoreOptions = {}): Promise<ArrayStore> {
  const one = store(tempFolder(), more);
  await one.transact(() => {
    for (const name of ["a", "b"]) one.create(name, { dtype: "f64", shape: 0 }).append(numbers(700, 0));
  });
  return one;
}

function scratchFiles(): number {
  const names = fs.readdirSync("/proc/self/fd").map((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return names.filter((name) => name.startsWith("/memfd:outcore scratch")).length;
}

describe("values appended in bulk", () => {
  for (const dirtyWay of usable) {
    it(`are the transaction's as any others: changed, spilled, rolled back, committed (${dirtyWay})`, async () => {
      const one = await two({ dirtyWay });
      const a = one.array("a", "f64");
      const expected = new Float64Array(700 + 3 * MIB);
      expected.set(numbers(700, 0));
      const transaction = one.begin();
      a.append(numbers(MIB, 1000));
      expected.set(numbers(MIB, 1000), 700);
      const view = a.typed();
      view[MIB] = expected[MIB] = -1;
      assert.deepEqual(view, expected.subarray(0, 700 + MIB));
      const savepoint = transaction.savepoint();
      view[PAGE] = -2;
      view[2 * PAGE] = -2;
      a.append(numbers(MIB, 5));
      transaction.rollback(savepoint);
      assert.equal(a.size, 700 + MIB);
      assert.deepEqual(a.typed(), expected.subarray(0, 700 + MIB));
      view[5 * PAGE] = expected[5 * PAGE] = -3;
      a.append(numbers(2 * MIB, -2 * MIB));
      expected.set(numbers(2 * MIB, -2 * MIB), 700 + MIB);
      transaction.spill();
      view[6 * PAGE] = expected[6 * PAGE] = -4;
      await transaction.commit();
      assert.deepEqual(a.typed(), expected);
      one.refresh();
      assert.deepEqual(a.typed(), expected);
      one.close();
      assert.deepEqual(store(one.folder).array("a", "f64").typed(), expected);
    });

    it(`leave nothing in memory that the next ones are written to (${dirtyWay})`, async () => {
      const one = await two({ dirtyWay });
      const [a, b] = [one.array("a", "f64"), one.array("b", "f64")];
      const first = one.begin();
      a.append(numbers(MIB, 1));
      const aborted = a.typed();
      first.abort();
      await one.transact(() => b.append(numbers(MIB, 9)));
      for (let i = 700; i < aborted.length; i++) if (aborted[i] !== 0) assert.fail(`${i} shows ${aborted[i]}`);
      const committed = b.typed();
      const cut = one.begin();
      a.append(numbers(MIB, 3));
      a.resize(2 * PAGE);
      a.resize(2 * PAGE + MIB);
      const [third] = [a.typed()];
      b.append(numbers(MIB, 4));
      for (let i = 2 * PAGE; i < third.length; i++) if (third[i] !== 0) assert.fail(`${i} shows ${third[i]}`);
      await cut.commit();
      await one.transact(() => b.append(numbers(MIB, 6)));
      assert.deepEqual(committed.subarray(700), numbers(MIB, 9));
      assert.deepEqual(b.typed(700 + MIB, MIB), numbers(MIB, 4));
      assert.deepEqual(b.typed(700 + 2 * MIB, MIB), numbers(MIB, 6));
      for (let i = 2 * PAGE; i < third.length; i++) if (third[i] !== 0) assert.fail(`${i} shows ${third[i]}`);
      assert.deepEqual(one.engine.verify(), []);
    });
  }

  it("in both orders, of any length, more than is kept at once too", async () => {
    const one = store(tempFolder());
    await one.transact(() => {
      one.create("c", { dtype: "i32", shape: [0, 1000], order: "C" });
      one.create("f", { dtype: "i32", shape: [1000, 0], order: "F" });
    });
    const expected: number[] = [];
    for (const rows of [17, 65, 300, 1, 1700, 40])
      await one.transact(() => {
        const values = Int32Array.from({ length: rows * 1000 }, (_, i) => rows * 7 + i);
        one.array("c", "i32").append(values);
        one.array("f", "i32").append(values);
        one.array("c", "i32").append(values);
        for (const value of values) expected.push(value);
      });
    let at = 0;
    let twice = 0;
    const [c, f] = [one.array("c", "i32").typed(), one.array("f", "i32").typed()];
    for (const rows of [17, 65, 300, 1, 1700, 40]) {
      const part = Int32Array.from(expected.slice(at, at + rows * 1000));
      assert.deepEqual(f.subarray(at, at + part.length), part);
      assert.deepEqual(c.subarray(twice, twice + part.length), part);
      assert.deepEqual(c.subarray(twice + part.length, twice + 2 * part.length), part);
      at += part.length;
      twice += 2 * part.length;
    }
  });

  it("stay the transaction's when the disk is full at any step, and are committed then", async () => {
    const one = await two();
    const reader = store(one.folder);
    const a = one.array("a", "f64");
    let failed = 0;
    for (let step = 0; step < 6; step++) {
      const size = a.size;
      const transaction = one.begin();
      a.append(numbers(MIB, step));
      let left = step;
      observeFolder(one.folder, ({ kind, path: file }) => {
        if ((kind === "write" || kind === "sync" || kind === "truncate") && left-- === 0)
          throw diskError("ENOSPC", kind, file);
        return undefined;
      });
      try {
        await transaction.commit();
      } catch (error) {
        assert.ok(error instanceof DiskFullError, String(error));
        failed++;
        assert.deepEqual(a.typed(size, MIB), numbers(MIB, step));
        observeDisk(undefined);
        await transaction.commit();
      }
      observeDisk(undefined);
      assert.deepEqual(a.typed(size, MIB), numbers(MIB, step));
      reader.refresh();
      assert.deepEqual(reader.array("a", "f64").typed(size, MIB), numbers(MIB, step));
    }
    assert.ok(failed >= 3, `${failed}`);
    assert.deepEqual(one.engine.verify(), []);
  });

  it("are there as a whole or not at all when the disk fails at any step", async () => {
    let failed = 0;
    for (let step = 0, reached = true; reached; step++) {
      const one = await two();
      const transaction = one.begin();
      one.array("a", "f64").append(numbers(MIB, step));
      let left = step;
      reached = false;
      observeFolder(one.folder, ({ kind, path: file }) => {
        if (kind === "open" || left-- !== 0) return undefined;
        reached = true;
        throw diskError("EIO", kind, file);
      });
      let isCommitted = false;
      try {
        await transaction.commit();
        isCommitted = true;
      } catch (error) {
        assert.ok(error instanceof PoisonedError, String(error));
        failed++;
      }
      observeDisk(undefined);
      one.engine[Symbol.dispose]();
      const again = store(one.folder);
      const a = again.array("a", "f64");
      if (isCommitted) assert.equal(a.size, 700 + MIB);
      if (a.size !== 700) assert.deepEqual(a.typed(700), numbers(MIB, step));
      assert.deepEqual(a.typed(0, 700), numbers(700, 0));
      assert.deepEqual(again.engine.verify(), []);
      again.close();
    }
    assert.ok(failed >= 3, `${failed}`);
  });

  it("go through memory where the process has no mappings left for others", async () => {
    const one = await two();
    const reader = store(one.folder);
    const a = one.array("a", "f64");
    const before = scratchFiles();
    const spare = new PrivateView("a spare one", pageSize());
    try {
      while (PrivateView.fits(1)) spare.lay(0, pageSize(), undefined, 0);
      for (let i = 0; i < 3; i++) {
        const transaction = one.begin();
        a.append(numbers(MIB, i));
        assert.equal(scratchFiles(), before);
        assert.throws(() => transaction.savepoint(), LimitError);
        await transaction.commit();
        reader.refresh();
        assert.deepEqual(reader.array("a", "f64").typed(700 + i * MIB), numbers(MIB, i));
      }
    } finally {
      spare.close();
    }
    await one.transact(() => a.append(numbers(MIB, 3)));
    assert.equal(scratchFiles(), before + 1);
    for (let i = 0; i < 4; i++) assert.deepEqual(a.typed(700 + i * MIB, MIB), numbers(MIB, i));
    assert.deepEqual(one.engine.verify(), []);
  });

  it("leave no private memory behind", async () => {
    const one = await two();
    const a = one.array("a", "f64");
    const values = numbers(3 * MIB, 0);
    const anonymous = (): number =>
      Number(/RssAnon:\s*(\d+)/.exec(fs.readFileSync("/proc/self/status", "latin1"))?.[1]) / 1024;
    await one.transact(() => a.append(values));
    const before = anonymous();
    for (let i = 0; i < 40; i++) await one.transact(() => a.append(values));
    one.refresh();
    const grown = anonymous() - before;
    assert.ok(grown < 40, `${grown} MiB for 120 MiB`);
    assert.equal(a.sum(), 41 * ((3 * MIB * (3 * MIB - 1)) / 2) + (700 * 699) / 2);
  });

  it("while somebody reads an older snapshot, who sees nothing of them", async () => {
    const one = await two();
    const reader = store(one.folder);
    const transaction = reader.begin();
    const old = reader.array("a", "f64").typed();
    for (let i = 0; i < 5; i++) await one.transact(() => one.array("a", "f64").append(numbers(MIB, i)));
    assert.deepEqual(old, numbers(700, 0));
    for (let i = 0; i < 5; i++) assert.deepEqual(one.array("a", "f64").typed(700 + i * MIB, MIB), numbers(MIB, i));
    transaction.abort();
    reader.refresh();
    assert.deepEqual(reader.array("a", "f64").typed(), one.array("a", "f64").typed());
  });

  it("keep no memory for long", async () => {
    /* What other tests have left is given back first. */
    const settled = performance.now() + 5000;
    while (scratchFiles() > 0 && performance.now() < settled) await new Promise((resolve) => setTimeout(resolve, 50));
    const before = scratchFiles();
    const one = await two();
    await one.transact(() => one.array("a", "f64").append(numbers(MIB, 1)));
    assert.equal(scratchFiles(), before + 1);
    const end = performance.now() + 10_000;
    while (scratchFiles() > before && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(scratchFiles(), before);
    await one.transact(() => one.array("a", "f64").append(numbers(MIB, 2)));
    assert.deepEqual(one.array("a", "f64").typed(700 + MIB, MIB), numbers(MIB, 2));
    one.close();
    assert.equal(scratchFiles(), before);
  });
});
