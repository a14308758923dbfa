/** What NumPy's users know from wendelin.core and numpy.memmap, case by case. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, describe, it } from "vitest";
import {
  type ArrayStore,
  type BigArray,
  type DType,
  type Index,
  memoryArray,
  openReference,
  openStore,
} from "../../src/array/main.ts";
import { ConflictError, InvalidArgumentError, LimitError } from "../../src/errors.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const open: { close(): void }[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.close();
  cleanTemp();
});

function store(folder = tempFolder()): ArrayStore {
  const opened = openStore(folder, { reserve: 2 ** 26 });
  open.push(opened);
  return opened;
}

/** Each element is its own number, in the order in which they lie. */
async function counted<D extends "i32" | "f64">(
  shape: readonly number[],
  dtype: D,
  order: "C" | "F" = "C",
): Promise<{ store: ArrayStore; a: BigArray<D> }> {
  const opened = store();
  const a = await opened.transact(() => {
    const made = opened.create("a", { dtype, shape, order });
    const flat = made.typed() as Float64Array;
    for (let i = 0; i < flat.length; i++) flat[i] = i;
    return made;
  });
  return { store: opened, a };
}

describe("basics", () => {
  it("the shape is a number or a list", async () => {
    const one = store();
    await one.transact(() => {
      assert.deepEqual(one.create("number", { dtype: "i32", shape: 7 }).shape, [7]);
      assert.deepEqual(one.create("list", { dtype: "i32", shape: [7] }).shape, [7]);
      assert.deepEqual(one.create("frozen", { dtype: "i32", shape: Object.freeze([7, 2]) }).shape, [7, 2]);
    });
  });

  it("a dtype of objects is refused", async () => {
    const one = store();
    await one.transact(() => {
      for (const dtype of ["object", "O", "string", "c128", undefined])
        assert.throws(() => one.create("x", { dtype: dtype as DType, shape: 1 }), InvalidArgumentError);
    });
  });

  for (const [order, strides, length] of [
    ["C", [12, 4], 10],
    ["F", [4, 40], 3],
  ] as const)
    it(`attributes of a (10, 3) i32 in ${order} order`, async () => {
      const { a } = await counted([10, 3], "i32", order);
      assert.deepEqual(
        [a.strides, a.length, a.size, a.nbytes, a.itemSize, a.rank, a.dtype, a.order],
        [strides, length, 30, 120, 4, 2, "i32", order],
      );
    });
});

describe("one dimension", () => {
  it("a list is no index", async () => {
    const { a } = await counted([10], "i32");
    for (const index of [[0, 1, 2, 3], ["0"], {}, true, undefined])
      assert.throws(() => a.view(index as Index), InvalidArgumentError, String(index));
  });

  it("the last element is -1, one behind it an error, the range behind it empty", async () => {
    const { a } = await counted([10], "i32");
    assert.equal(a.view(-1).toNested(), 9);
    assert.equal(a.get(-10), 0);
    assert.throws(() => a.view(10), RangeError);
    assert.throws(() => a.get(-11), RangeError);
    assert.deepEqual(a.view([10]).toNested(), []);
    assert.deepEqual(a.view([100, 200]).toNested(), []);
  });

  it("10:5 and 5:10:-1 are empty", async () => {
    const { a } = await counted([20], "i32");
    assert.deepEqual(a.view([10, 5]).toNested(), []);
    assert.deepEqual(a.view([5, 10, -1]).toNested(), []);
    assert.equal(a.view([10, 5]).array.length, 0);
  });

  it("overlapping, negative and strided views alias one another", async () => {
    const { store: one, a } = await counted([4096], "f64");
    const [whole, left, right] = [a.typed(), a.view([0, 3000]).array, a.view([1000, 4096]).array];
    const [back, third] = [a.view([undefined, undefined, -1]), a.view([0, undefined, 3])];
    const transaction = one.begin();
    left[2999] = -1;
    assert.deepEqual([right[1999], whole[2999], back.get(4095 - 2999), third.get(0)], [-1, -1, -1, 0]);
    back.set(-2, 0);
    third.set(-3, 1);
    assert.deepEqual([whole[4095], right[3095], whole[3]], [-2, -2, -3]);
    transaction.abort();
    assert.deepEqual([whole[2999], back.get(0), third.get(1)], [2999, 4095, 3]);
  });

  it("rows across the edges of pages are one piece", async () => {
    const { store: one, a } = await counted([700, 3], "f64");
    const perPage = 512;
    await one.transact(() => {
      for (const row of [170, 171, 341, 342]) a.view(row).array.fill(-row);
    });
    for (const row of [170, 171, 341, 342]) assert.deepEqual([...a.view(row).array], [-row, -row, -row]);
    assert.equal(a.typed()[perPage - 1], -170);
    assert.deepEqual([...a.view(169).array], [507, 508, 509]);
  });
});

describe("many dimensions", () => {
  const shape = [3, 5, 7];
  const picks = (length: number): [Index, number | number[]][] => {
    const all = Array.from({ length }, (_, i) => i);
    const made: [Index, number | number[]][] = [
      [":", all],
      [1, 1],
      [-1, length - 1],
    ];
    for (const start of [undefined, 1, -2])
      for (const stop of [undefined, 2, -1])
        for (const step of [undefined, 2, -1, -2]) {
          /* As Python's slice.indices counts. */
          const forward = (step ?? 1) > 0;
          const at = (value: number | undefined, otherwise: number): number =>
            value === undefined ? otherwise : value < 0 ? value + length : value;
          const [from, to] = [at(start, forward ? 0 : length - 1), at(stop, forward ? length : -1)];
          const chosen: number[] = [];
          for (let i = from; forward ? i < to : i > to; i += step ?? 1) if (i >= 0 && i < length) chosen.push(i);
          made.push([[start, stop, step], chosen]);
        }
    return made;
  };

  for (const order of ["C", "F"] as const)
    it(`all combinations of whole, number and range in ${order} order`, async () => {
      const { a } = await counted(shape, "i32", order);
      const number = (i: number, j: number, k: number): number =>
        order === "C" ? (i * 5 + j) * 7 + k : i + 3 * (j + 5 * k);
      const each = <T>(pick: number | number[], work: (at: number) => T): T | T[] =>
        typeof pick === "number" ? work(pick) : pick.map(work);
      let count = 0;
      for (const [one, i] of picks(3))
        for (const [two, j] of picks(5))
          for (const [three, k] of picks(7)) {
            if (++count % 5 > 1 && typeof i !== "number" && typeof j !== "number") continue;
            const expected = each(i, (x) => each(j, (y) => each(k, (z) => number(x, y, z))));
            assert.deepEqual(a.view(one, two, three).toNested(), expected, JSON.stringify([one, two, three]));
          }
    });

  it('"..." stands for as many as fit, anywhere', async () => {
    const { a } = await counted(shape, "i32");
    const same = (one: Index[], two: Index[]): void =>
      assert.deepEqual(a.view(...one).toNested(), a.view(...two).toNested());
    same(["...", 2], [":", ":", 2]);
    same([1, "..."], [1, ":", ":"]);
    same([1, "...", 2], [1, ":", 2]);
    same(["..."], []);
    same([0, 1, "...", 2], [0, 1, 2]);
    assert.throws(() => a.view("...", 0, "..."), InvalidArgumentError);
  });

  it("null is a new axis, anywhere", async () => {
    const { a } = await counted(shape, "i32");
    assert.deepEqual(a.view(null).shape, [1, 3, 5, 7]);
    assert.deepEqual(a.view(":", null, 2).shape, [3, 1, 7]);
    assert.deepEqual(a.view("...", null).shape, [3, 5, 7, 1]);
    assert.deepEqual(a.view(0, 0, null, 0, null).toNested(), [[0]]);
  });

  it("too many indices are refused", async () => {
    const { a } = await counted(shape, "i32");
    assert.throws(() => a.view(0, 0, 0, 0), InvalidArgumentError);
    assert.throws(() => a.view(0, 0, 0, ":"), InvalidArgumentError);
    assert.throws(() => a.view(0, "...", 0, 0, 0), InvalidArgumentError);
  });

  it("a scalar is set to all that is selected", async () => {
    const { store: one, a } = await counted(shape, "i32");
    await one.transact(() => a.set([":", [undefined, undefined, 2], -1], -5));
    assert.equal(
      a
        .view(":", [undefined, undefined, 2], -1)
        .toTyped()
        .every((value) => value === -5),
      true,
    );
    assert.equal(a.get(1, 1, 6), (5 + 1) * 7 + 6);
    assert.equal([...a.typed()].filter((value) => value === -5).length, 9);
  });
});

describe("resize", () => {
  it("leaves old views as they are, aliased, and the tail zero", async () => {
    const { store: one, a } = await counted([1000], "f64");
    const old = a.typed();
    await one.transact(() => {
      a.resize(3000);
      assert.equal(old.length, 1000);
      a.typed()[5] = -5;
      assert.equal(old[5], -5);
      old[6] = -6;
    });
    assert.deepEqual([a.get(6), a.get(999), a.get(1000), a.get(2999)], [-6, 999, 0, 0]);
  });

  it("down and up again gives zeros, also to 0", async () => {
    const { store: one, a } = await counted([3000], "f64");
    await one.transact(() => {
      a.resize(100);
      a.resize(3000);
    });
    assert.deepEqual([a.get(99), a.get(100), a.get(2999)], [99, 0, 0]);
    await one.transact(() => a.resize(0));
    assert.deepEqual([a.size, a.sum(), a.typed().length, a.min()], [0, 0, 0, undefined]);
    await one.transact(() => a.resize(10));
    assert.equal(a.sum(), 0);
  });
});

describe("append", () => {
  it("goes along axis 0 in C order and along the last in F order", async () => {
    for (const order of ["C", "F"] as const) {
      const one = store();
      await one.transact(() => {
        const a = one.create("a", { dtype: "i32", shape: order === "C" ? [0, 3] : [3, 0], order });
        a.append([
          [1, 2, 3],
          [4, 5, 6],
        ]);
        a.append(Int32Array.of(7, 8, 9));
        assert.deepEqual(a.shape, order === "C" ? [3, 3] : [3, 3]);
        assert.deepEqual([...a.typed()], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
      });
    }
  });

  it("of the wrong shape or dtype changes nothing", async () => {
    const { store: one, a } = await counted([2, 3], "i32");
    const transaction = one.begin();
    assert.throws(() => a.append([1, 2]), InvalidArgumentError);
    assert.throws(() => a.append([1n, 2n, 3n]), InvalidArgumentError);
    assert.throws(() => a.append(["1", "2", "3"] as unknown as number[]), InvalidArgumentError);
    assert.throws(() => a.append([1, 2, 3n] as unknown as number[]), Error);
    assert.deepEqual([a.shape, a.sum()], [[2, 3], 15]);
    await transaction.commit();
    one.close();
    const again = store(one.folder).array("a", "i32");
    assert.deepEqual([again.shape, again.sum()], [[2, 3], 15]);
  });
});

describe("a terabyte", () => {
  it("is made, sliced and written anywhere at once", async () => {
    const one = openStore(tempFolder());
    open.push(one);
    await one.transact(() => {
      const big = one.create("big", { dtype: "u8", shape: [2 ** 20, 2 ** 20] });
      for (let row = 0; row < 2 ** 20; row += 2 ** 16) big.view(row, [5, 8]).array.fill(row / 2 ** 16 + 1);
    });
    const big = one.array("big", "u8");
    for (let row = 0; row < 2 ** 20; row += 2 ** 16)
      assert.deepEqual([...big.view(row, [4, 9]).array], [0, ...Array(3).fill(row / 2 ** 16 + 1), 0]);
    const { blocks } = fs.statSync(path.join(one.folder, "a1.dat"));
    assert.ok(blocks * 512 < 2 ** 24);
  });

  it("a shape of more than 2^47 bytes, such as 2^48, is a RangeError", async () => {
    const one = store();
    const transaction = one.begin();
    for (const shape of [2 ** 48, [2 ** 24, 2 ** 24], [2 ** 40, 2 ** 40], [2 ** 52, 0]])
      assert.throws(() => one.create("over", { dtype: "u8", shape }), RangeError);
    assert.throws(() => memoryArray({ dtype: "u8", shape: 2 ** 48 }), RangeError);
    assert.throws(() => one.create("over", { dtype: "u8", shape: 2 ** 53 }), Error);
    const a = one.create("a", { dtype: "u8", shape: 1 });
    assert.throws(() => a.resize(2 ** 48), RangeError);
    assert.throws(() => a.resize(2 ** 47), LimitError);
    assert.deepEqual(a.shape, [1]);
    transaction.abort();
  });
});

describe("references", () => {
  it("to the whole, a slice, a reversed, an empty and another dtype open the same elsewhere", async () => {
    const { store: one, a } = await counted([6, 4], "i32");
    await one.transact(() => one.create("bytes", { dtype: "u8", shape: 3 }).fill(7));
    const indices: Index[][] = [[], [2], [[1, 5, 2], -1], [[undefined, undefined, -1]], [[3, 3]], ["...", null]];
    for (const index of indices) {
      const { store: other, view } = openReference(structuredClone(a.reference(...index)));
      open.push(other);
      assert.deepEqual([view.toNested(), view.shape], [a.view(...index).toNested(), a.view(...index).shape]);
    }
    const { store: other, view } = openReference(JSON.parse(JSON.stringify(one.array("bytes").reference([1]))));
    open.push(other);
    assert.deepEqual(view.toNested(), [7, 7]);
  });

  it("a store opens by path and by URL, and an array's view comes asynchronously too", async () => {
    const { store: one, a } = await counted([6, 4], "i32");
    await one.transact(() => void a.set([1, 2], -1));
    const url = pathToFileURL(one.folder);
    for (const place of [one.folder, url, url.href]) {
      const other = openStore(place, { reserve: 2 ** 26, create: false });
      open.push(other);
      const view = await other.array("a", "i32").viewAsync(1);
      assert.deepEqual(view.toNested(), [4, 5, -1, 7]);
      await assert.rejects(() => other.array("a").viewAsync(6), RangeError);
    }
  });

  it("a view of a view is one of the array", async () => {
    const { store: one, a } = await counted([6, 4], "i32");
    const part = a.view([1, 5]).view([undefined, undefined, -1], [1, 3]).view(0);
    assert.deepEqual(part.toNested(), [17, 18]);
    await one.transact(() => void part.assign([-1, -2]));
    assert.deepEqual([a.get(4, 1), a.get(4, 2)], [-1, -2]);
  });
});

describe("transactions", () => {
  it("abort restores every view that there is, also a second time", async () => {
    const { store: one, a } = await counted([2000], "f64");
    const views = [a.typed(), a.view([100, 900]).array, a.view([undefined, undefined, -7]).data];
    const before = views.map((view) => [...view]);
    for (let round = 0; round < 2; round++) {
      const transaction = one.begin();
      for (const view of views) view.fill(-1);
      transaction.abort();
      transaction.abort();
      assert.deepEqual(
        views.map((view) => [...view]),
        before,
      );
    }
  });

  it("what was committed, resized and appended is there when the store is opened again", async () => {
    const { store: one, a } = await counted([100], "f64");
    await one.transact(() => {
      a.resize(200);
      a.append([1, 2, 3]);
      a.set([0], -1);
    });
    one.close();
    const again = store(one.folder).array("a", "f64");
    assert.deepEqual([again.size, again.get(0), again.get(99), again.get(150), again.get(-1)], [203, -1, 99, 0, 3]);
  });

  it("two connections: a snapshot until the boundary, conflict on one page, both commit on two", async () => {
    const { store: one, a } = await counted([2048], "f64");
    const two = store(one.folder);
    const b = two.array("a", "f64");
    const [first, second] = [one.begin(), two.begin()];
    a.set([0], -1);
    b.set([1024], -2);
    await first.commit();
    assert.equal(b.get(0), 0);
    await second.commit();
    assert.deepEqual([b.get(0), b.get(1024)], [-1, -2]);
    const [third, fourth] = [one.begin(), two.begin()];
    a.set([1025], -3);
    b.set([1026], -4);
    await third.commit();
    await assert.rejects(() => fourth.commit(), ConflictError);
    two.refresh();
    assert.deepEqual([b.get(1025), b.get(1026)], [-3, 1026]);
  });

  it("many arrays change together or not at all", async () => {
    const one = store();
    await one.transact(() => {
      for (const name of ["x", "y"]) one.create(name, { dtype: "f64", shape: 600 });
    });
    const two = store(one.folder);
    const [first, second] = [one.begin(), two.begin()];
    one.array("x").set([0], 1);
    two.array("x").set([0], 2);
    two.array("y").set([0], 2);
    await first.commit();
    await assert.rejects(() => second.commit(), ConflictError);
    two.refresh();
    assert.deepEqual([two.array("x").get(0), two.array("y").get(0)], [1, 0]);
  });
});

describe("the kernel and a view that nobody has touched", () => {
  it("read(2) into it and write(2) from it work, and are seen as any write", async () => {
    const { store: one, a } = await counted([4096], "f64");
    one.close();
    const two = store(one.folder);
    const bytes = (start: number): Uint8Array => {
      const part = two.array("a", "f64").typed(start, 512);
      return new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
    };
    const file = path.join(tempFolder(), "file");
    fs.writeFileSync(file, new Uint8Array(Float64Array.from({ length: 512 }, (_, i) => -i).buffer));
    const fd = fs.openSync(file, "r+");
    const transaction = two.begin();
    assert.equal(fs.readSync(fd, bytes(1024), 0, 4096, 0), 4096);
    assert.equal(fs.writeSync(fd, bytes(2048), 0, 4096, 0), 4096);
    await transaction.commit();
    fs.closeSync(fd);
    assert.equal(fs.readFileSync(file).readDoubleLE(8), 2049);
    two.close();
    const three = store(one.folder).array("a", "f64");
    assert.deepEqual([three.get(1023), three.get(1025), three.get(1536)], [1023, -1, 1536]);
    assert.equal(a.dtype, "f64");
  });

  it("the same value, written again, is no loss, and holes are zeros", async () => {
    const one = store();
    const a = await one.transact(() => one.create("a", { dtype: "f64", shape: 8192 }));
    await one.transact(() => a.set([4096], 5));
    await one.transact(() => {
      a.set([4096], 5);
      a.set([0], 0);
    });
    assert.deepEqual([a.get(0), a.get(4095), a.get(4096), a.sum()], [0, 0, 5, 5]);
  });
});
