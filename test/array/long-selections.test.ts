import assert from "node:assert/strict";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, type Index, openStore } from "../../src/array/main.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const open: ArrayStore[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.close();
  cleanTemp();
});

const GIB = 2 ** 30;

function store(): ArrayStore {
  const one = openStore(tempFolder(), { reserve: 2 ** 34 });
  open.push(one);
  return one;
}

/** Numbers of the elements of an array that a selection is made of, in its order. */
function* places(shape: readonly number[], order: "C" | "F", axes: readonly (readonly number[])[]): Generator<number> {
  const strides = new Array<number>(shape.length).fill(1);
  if (order === "C")
    for (let i = shape.length - 2; i >= 0; i--) strides[i] = (strides[i + 1] ?? 0) * (shape[i + 1] ?? 0);
  else for (let i = 1; i < shape.length; i++) strides[i] = (strides[i - 1] ?? 0) * (shape[i - 1] ?? 0);
  function* at(axis: number, offset: number): Generator<number> {
    if (axis === shape.length) yield offset;
    else for (const i of axes[axis] ?? []) yield* at(axis + 1, offset + i * (strides[axis] ?? 0));
  }
  yield* at(0, 0);
}

describe("set of a selection that reaches over more than 1 GiB", () => {
  const cases: [string, number[], "C" | "F", Index[], number[][]][] = [
    ["one axis", [4 * GIB], "C", [[1, undefined, GIB - 7]], [[0, 1, 2, 3, 4].map((i) => 1 + i * (GIB - 7))]],
    ["one axis, backwards", [3 * GIB], "C", [[undefined, undefined, -GIB]], [[3 * GIB - 1, 2 * GIB - 1, GIB - 1]]],
    ["a column", [5, GIB], "C", [":", 3], [[0, 1, 2, 3, 4], [3]]],
    [
      "columns, backwards",
      [5, GIB],
      "C",
      [
        [4, 0, -2],
        [9, 5, -3],
      ],
      [
        [4, 2],
        [9, 6],
      ],
    ],
    [
      "rows where the first axis is contiguous",
      [GIB, 4],
      "F",
      [[5, 8], ":"],
      [
        [5, 6, 7],
        [0, 1, 2, 3],
      ],
    ],
    [
      "an axis in the middle",
      [2, 3, GIB / 2],
      "C",
      [":", [0, 3, 2], [0, 2]],
      [
        [0, 1],
        [0, 2],
        [0, 1],
      ],
    ],
    ["a row that is itself longer", [2, 2 * GIB], "C", [1, [0, undefined, GIB + 3]], [[1], [0, GIB + 3]]],
    [
      "one row of one that is longer",
      [1, 3 * GIB],
      "C",
      [
        [0, 1],
        [7, undefined, 2 * GIB],
      ],
      [[0], [7, 7 + 2 * GIB]],
    ],
  ];
  for (const [what, shape, order, index, axes] of cases)
    it(`writes one value or a list, to ${what}, and nothing else`, async () => {
      const one = store();
      const numbers = [...places(shape, order, axes)];
      await one.transact(() => one.create("a", { dtype: "u8", shape, order }).set(index, 255));
      const a = one.array("a", "u8");
      assert.deepEqual(
        numbers.map((at) => a.typed(at, 1)[0]),
        numbers.map(() => 255),
      );
      const transaction = one.begin();
      a.set(
        index,
        numbers.map((_, i) => i + 1),
      );
      transaction.spill();
      await transaction.commit();
      one.close();
      const two = openStore(one.folder, { reserve: 2 ** 34 });
      open.push(two);
      assert.deepEqual(
        numbers.map((at) => two.array("a").typed(at, 1)[0]),
        numbers.map((_, i) => i + 1),
      );
      /* Beside them are zeros. */
      for (const at of numbers)
        for (const beside of [at - 1, at + 1])
          if (beside >= 0 && beside < two.array("a").size && !numbers.includes(beside))
            assert.equal(two.array("a").typed(beside, 1)[0], 0);
      assert.deepEqual(two.engine.verify(), []);
    });

  it("takes values that are a view of the array itself, and refuses what does not fit before anything is written", async () => {
    const one = store();
    await one.transact(() => {
      const a = one.create("a", { dtype: "f64", shape: [4, GIB / 4] });
      a.view(0, [0, 4]).array.set([1, 2, 3, 4]);
      a.set([":", 3], a.view(0, [0, 4]));
      assert.deepEqual(
        [0, 1, 2, 3].map((row) => a.get(row, 3)),
        [1, 2, 3, 4],
      );
      assert.throws(() => a.set([":", 0], [1, 2, 3]), { code: "INVALID_ARGUMENT" });
      assert.throws(() => a.set([[0, 4, 0], 0], 1), { code: "INVALID_ARGUMENT" });
      assert.equal(a.get(0, 0), 1);
    });
  });
});
