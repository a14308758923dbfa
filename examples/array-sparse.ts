/**
 * A sparse matrix as compressed rows, in three arrays that change together: built row by row, multiplied with a vector,
 * and a row replaced. `array-sparse.ts [ROWS]`.
 */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { openStore } from "outcore/array";

const rows = Number(process.argv[2] ?? 20_000);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "outcore-example-"));
const store = openStore(path.join(folder, "store"));

/* Where each row begins, and the column and value of each element. */
const [starts, columns, values] = await store.transact(
  () =>
    [
      store.create("starts", { dtype: "f64", shape: 1 }),
      store.create("columns", { dtype: "u32", shape: 0 }),
      store.create("values", { dtype: "f64", shape: 0 }),
    ] as const,
);

/* A thousand rows a transaction, of the matrix with 2 on the diagonal and -1 beside it. */
for (let first = 0; first < rows; first += 1000)
  await store.transact(() => {
    const [ends, at, what]: [number[], number[], number[]] = [[], [], []];
    const before = values.size;
    for (let row = first; row < Math.min(rows, first + 1000); row++) {
      for (const column of [row - 1, row, row + 1])
        if (column >= 0 && column < rows) {
          at.push(column);
          what.push(column === row ? 2 : -1);
        }
      ends.push(before + at.length);
    }
    starts.append(ends);
    columns.append(at);
    values.append(what);
  });

/** The matrix times a vector: typed arrays over the mapped files, nothing is copied. */
function times(vector: Float64Array): Float64Array {
  const [start, column, value] = [starts.typed(), columns.typed(), values.typed()];
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let i = start[row] ?? 0; i < (start[row + 1] ?? 0); i++)
      sum += (value[i] ?? 0) * (vector[column[i] ?? 0] ?? 0);
    return sum;
  });
}

const ones = new Float64Array(rows).fill(1);
const product = times(ones);
console.log(`${rows} x ${rows} with ${values.size} elements, ${(rows * rows * 8) / 2 ** 20} MiB if it were dense`);
console.log(`times ones: ${product[0]}, ${product[1]}, ... ${product.at(-1)}; sum ${product.reduce((a, b) => a + b)}`);

/* What turns out wrong is taken back. */
const transaction = store.begin();
values.view([starts.get(1), starts.get(2)]).fill(100);
console.log(`row 1 changed: ${times(ones)[1]}`);
transaction.abort();
console.log(`taken back: ${times(ones)[1]}`);
store.close();
fs.rmSync(folder, { recursive: true, force: true });
