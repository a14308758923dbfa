import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterEach, describe, it } from "vitest";
import { type FileReference, fileArray, type Index, memoryArray, openReference } from "../../src/array/main.ts";
import { InvalidArgumentError, NotFoundError, OutcoreError, StaleHandleError } from "../../src/errors.ts";
import { run } from "../support/run.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const open: { close(): void }[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.close();
  cleanTemp();
});

const fixture = fileURLToPath(new URL("../fixtures/array-reference.ts", import.meta.url));

/** A file of 16 bytes and 24 numbers. */
function numbers(): string {
  const file = path.join(tempFolder(), "numbers");
  const values = Float64Array.from({ length: 26 }, (_, i) => i - 2);
  fs.writeFileSync(file, new Uint8Array(values.buffer));
  return file;
}

const options = { dtype: "f64", shape: [6, 4], offset: 16 } as const;

describe("references to arrays over files", () => {
  it("open the same part, in either order, through JSON and structuredClone", () => {
    const file = numbers();
    const indices: Index[][] = [[], [2], [[1, 5, 2], -1], [[undefined, undefined, -1]], [[3, 3]], ["...", null]];
    for (const order of ["C", "F"] as const) {
      const plain = fileArray(pathToFileURL(file), { ...options, order });
      open.push(plain);
      for (const index of indices) {
        const reference = plain.reference(...index);
        for (const each of [structuredClone(reference), JSON.parse(JSON.stringify(reference)) as FileReference]) {
          const there = openReference(each);
          open.push(there.file);
          const here = plain.array.view(...index);
          assert.deepEqual([there.view.toNested(), there.view.shape], [here.toNested(), here.shape]);
          assert.deepEqual(there.file.reference(...index), reference);
        }
      }
    }
  });

  it("open it in another process with another folder, for writing too", async () => {
    const file = numbers();
    const plain = fileArray(path.relative(globalThis.process.cwd(), file), { ...options, access: "write" });
    open.push(plain);
    const reference = JSON.stringify(plain.reference([1, 3], [undefined, undefined, -1]));
    const { code, stdout, stderr } = await run(fixture, [reference, "add"], { cwd: path.dirname(file) });
    assert.equal(code, 0, stderr);
    assert.equal(stdout.trim(), "[[7,6,5,4],[11,10,9,8]]");
    assert.deepEqual(plain.array.view([0, 3]).toNested(), [
      [0, 1, 2, 3],
      [5, 6, 7, 8],
      [9, 10, 11, 12],
    ]);
  });

  it("say when the file is gone, exchanged or shorter, or the index does not fit", () => {
    const file = numbers();
    const plain = fileArray(file, options);
    open.push(plain);
    const reference = plain.reference(5);
    assert.throws(() => plain.reference(6), RangeError);
    assert.throws(() => openReference({ ...reference, index: [6] }), RangeError);
    fs.truncateSync(file, 100);
    assert.throws(() => openReference(reference), OutcoreError);
    fs.renameSync(file, `${file}.old`);
    assert.throws(() => openReference(reference), NotFoundError);
    fs.copyFileSync(`${file}.old`, file);
    assert.throws(() => openReference(reference), StaleHandleError);
  });

  it("are refused when they are none", () => {
    const plain = fileArray(numbers(), options);
    open.push(plain);
    const reference = plain.reference();
    const wrong: object[] = [
      { kind: "outcore.file-array" },
      { ...reference, kind: "other" },
      { ...reference, index: 3 },
      { ...reference, shape: [6, 5] },
      { ...reference, shape: 24 },
      { ...reference, dtype: "object" },
      { ...reference, order: "D" },
      { ...reference, file: undefined },
      { ...reference, file: { ...reference.file, file: undefined } },
    ];
    for (const each of wrong)
      assert.throws(() => openReference(each as FileReference), InvalidArgumentError, JSON.stringify(each));
  });

  it("do not exist for memory, which is this thread's alone, and the array says where to find those of files", () => {
    const memory = memoryArray({ dtype: "u8", shape: 3 });
    const plain = fileArray(numbers(), options);
    open.push(memory, plain);
    assert.throws(() => memory.reference(), InvalidArgumentError);
    assert.throws(() => plain.array.reference(), {
      name: "InvalidArgumentError",
      message: /reference\(\) of what fileArray/,
    });
  });

  it("of a descriptor are for this process while it is open", () => {
    const fd = fs.openSync(numbers(), "r");
    const plain = fileArray(fd, options);
    fs.closeSync(fd);
    const reference = plain.reference(1);
    const there = openReference(reference);
    open.push(there.file);
    assert.deepEqual(there.view.toNested(), [4, 5, 6, 7]);
    plain.close();
    assert.throws(() => openReference(reference), OutcoreError);
  });
});
