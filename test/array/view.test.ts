import assert from "node:assert/strict";
import fs from "node:fs";
import { afterEach, describe, it } from "vitest";
import {
  type BigArray,
  type DType,
  fileArray,
  type Index,
  memoryArray,
  type PlainArray,
} from "../../src/array/main.ts";
import { InvalidArgumentError } from "../../src/errors.ts";
import { nodeMajor, runtime } from "../support/run.ts";
import { cleanTemp, tempFile } from "../support/temp.ts";

const open: PlainArray<DType>[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.close();
  cleanTemp();
});

function array(shape: readonly number[], order: "C" | "F" = "C"): BigArray<"i32"> {
  const made = memoryArray({ dtype: "i32", shape, order });
  open.push(made as unknown as PlainArray<DType>);
  const flat = made.array.typed();
  for (let i = 0; i < flat.length; i++) flat[i] = i;
  return made.array;
}

/** What an index selects, the slow way: a function of element numbers. */
function expected(shape: readonly number[], order: "C" | "F", picks: readonly (number | number[])[]): unknown {
  const strides = shape.map((_, axis) =>
    (order === "C" ? shape.slice(axis + 1) : shape.slice(0, axis)).reduce((a, b) => a * b, 1),
  );
  const go = (axis: number, base: number): unknown => {
    const pick = picks[axis];
    if (pick === undefined) return base;
    const stride = strides[axis] ?? 0;
    if (typeof pick === "number") return go(axis + 1, base + pick * stride);
    return pick.map((at) => go(axis + 1, base + at * stride));
  };
  return go(0, 0);
}

describe("attributes", () => {
  it("in C and F order", () => {
    const [c, f] = [array([10, 3]), array([10, 3], "F")];
    assert.deepEqual(
      [c.strides, f.strides],
      [
        [12, 4],
        [4, 40],
      ],
    );
    assert.deepEqual([c.length, f.length, c.size, c.nbytes, c.itemSize, c.rank], [10, 3, 30, 120, 4, 2]);
  });

  it("every dtype has its typed array", () => {
    const all: Record<string, string> = {
      i8: "Int8Array",
      u8: "Uint8Array",
      i16: "Int16Array",
      u16: "Uint16Array",
      i32: "Int32Array",
      u32: "Uint32Array",
      i64: "BigInt64Array",
      u64: "BigUint64Array",
      f32: "Float32Array",
      f64: "Float64Array",
      bool: "Uint8Array",
    };
    if (runtime !== "node" || nodeMajor >= 24) all.f16 = "Float16Array";
    for (const [dtype, name] of Object.entries(all)) {
      const made = memoryArray({ dtype: dtype as DType, shape: 8 });
      open.push(made);
      assert.equal(made.array.typed().constructor.name, name);
    }
    assert.throws(() => memoryArray({ dtype: "object" as DType, shape: 1 }), InvalidArgumentError);
  });
});

describe("slices of one dimension", () => {
  it("count like Python's", () => {
    const a = array([10]);
    const cases: [Index[], unknown][] = [
      [[3], 3],
      [[-1], 9],
      [[[10]], []],
      [[[10, 5]], []],
      [[[5, 10, -1]], []],
      [[[2, 5]], [2, 3, 4]],
      [[[-3]], [7, 8, 9]],
      [[[undefined, undefined, -3]], [9, 6, 3, 0]],
      [[[8, 1, -3]], [8, 5, 2]],
      [[[undefined, 100]], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
      [[null, [0, 2]], [[0, 1]]],
      [
        [[0, 2], null],
        [[0], [1]],
      ],
      [["...", 4], 4],
    ];
    for (const [index, values] of cases) assert.deepEqual(a.view(...index).toNested(), values, JSON.stringify(index));
    for (const index of [10, -11]) assert.throws(() => a.view(index), RangeError);
    for (const index of [[[0, 5, 0]], [1, 2], [1.5], ["x"], [[1, 2, 3, 4]], ["...", "..."]])
      assert.throws(() => a.view(...(index as Index[])), InvalidArgumentError);
  });

  it("alias one another", () => {
    const a = array([10]);
    a.view([2, 8]).array[0] = -1;
    a.view([undefined, undefined, -1]).set(-2, 0);
    a.view([0, 10, 3]).fill(-3);
    a.set([[4, 6]], [40, 50]);
    a.set([7], 70);
    assert.deepEqual([...a.typed()], [-3, 1, -1, -3, 40, 50, -3, 70, 8, -3]);
    assert.throws(() => a.set([[0, 3]], [1, 2]), InvalidArgumentError);
    assert.throws(() => a.view([0, 4, 2]).array, InvalidArgumentError);
    assert.deepEqual([...a.view([0, 4, 2]).toTyped()], [-3, -1]);
  });
});

describe("slices of many dimensions", () => {
  for (const order of ["C", "F"] as const)
    it(`all combinations in ${order} order`, () => {
      const shape = [7, 5, 3];
      const a = array(shape, order);
      const options = (length: number): [Index, number | number[]][] => {
        const all = Array.from({ length }, (_, i) => i);
        return [
          [":", all],
          [1, 1],
          [[1, length - 1], all.slice(1, length - 1)],
          [[undefined, undefined, -2], [...all].reverse().filter((_, i) => i % 2 === 0)],
        ];
      };
      for (const [i, first] of options(7))
        for (const [j, second] of options(5))
          for (const [k, third] of options(3))
            assert.deepEqual(
              a.view(i, j, k).toNested(),
              expected(shape, order, [first, second, third]),
              JSON.stringify([i, j, k]),
            );
      assert.deepEqual(a.view("...", 1).toNested(), a.view(":", ":", 1).toNested());
      assert.throws(() => a.view(0, 0, 0, 0), InvalidArgumentError);
      assert.deepEqual([a.get(1, 2, 0), a.view(1).get(2, 0)], [a.view(1, 2, 0).toNested(), a.get(1, 2, 0)]);
    });
});

describe("the whole array", () => {
  it("is read block by block", () => {
    const a = array([1000]);
    assert.deepEqual([a.sum(), a.min(), a.max(), a.mean()], [499_500, 0, 999, 499.5]);
    assert.deepEqual(
      [...a.blocks(300)].map(({ start, data }) => [start, data.length]),
      [
        [0, 300],
        [300, 300],
        [600, 300],
        [900, 100],
      ],
    );
    a.fill(3);
    assert.equal(a.sum(), 3000);
    assert.throws(() => a.typed(990, 11), RangeError);
    assert.throws(() => a.typed(-1, 1), InvalidArgumentError);
  });

  it("may be longer than a view", () => {
    const made = memoryArray({ dtype: "u8", shape: 2 ** 30 + 5 });
    open.push(made as unknown as PlainArray<DType>);
    assert.throws(() => made.array.typed(), RangeError);
    assert.deepEqual(
      made.array.segments().map(({ length }) => length),
      [2 ** 30, 5],
    );
    made.array.set([2 ** 30 + 4], 9);
    assert.equal(made.array.typed(0, 2 ** 30 + 5, { long: true })[2 ** 30 + 4], 9);
  });

  it("may be a plain file", () => {
    const file = tempFile(new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer));
    const made = fileArray(file, { dtype: "f32", shape: [2, 3], access: "write" });
    assert.equal(made.array.get(1, 2), 6);
    made.array.set([0, 0], 10);
    made.close();
    assert.equal(fs.readFileSync(file).readFloatLE(0), 10);
    assert.throws(() => fileArray(file, { dtype: "f32", shape: 7 }));
  });
});
