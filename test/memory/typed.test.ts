import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { InvalidArgumentError, OutOfRangeError } from "../../src/errors.ts";
import { type ElementName, Mapping } from "../../src/memory/main.ts";
import { cleanTempAfterEach, pattern, tempFile } from "../support/temp.ts";

cleanTempAfterEach();

const sizes = { u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, u64: 8, i64: 8, f32: 4, f64: 8 } as const;

describe("typed views", () => {
  it("of every type show what an ordinary array of it shows", () => {
    const content = pattern(8192);
    const mapping = Mapping.open(tempFile(content));
    for (const [name, size] of Object.entries(sizes)) {
      const view = mapping.view(name as ElementName, 16, 100);
      assert.equal(view.length, 100);
      assert.equal(view.BYTES_PER_ELEMENT, size);
      const Type = view.constructor as new (buffer: ArrayBuffer, offset: number, count: number) => typeof view;
      assert.deepEqual(view, new Type(content.buffer as ArrayBuffer, 16, 100));
    }
    mapping.close();
  });

  it("begin where the file's offset is a multiple of the element", () => {
    const content = pattern(8192);
    const mapping = Mapping.open(tempFile(content), { offset: 4 });
    assert.equal(mapping.view("u32", 0, 1)[0], new DataView(content.buffer).getUint32(4, true));
    assert.equal(mapping.view("u64", 4, 1)[0], new DataView(content.buffer).getBigUint64(8, true));
    assert.throws(() => mapping.view("u64", 0, 1), InvalidArgumentError);
    assert.throws(() => mapping.view("u32", 2, 1), InvalidArgumentError);
    assert.throws(() => mapping.view("f64", 1, 0), InvalidArgumentError);
    assert.equal(mapping.view("u8", 3, 1)[0], content[7]);
    mapping.close();
  });

  it("have counts that are checked", () => {
    const mapping = Mapping.open(tempFile(pattern(80)));
    assert.equal(mapping.view("f64", 0, 10).length, 10);
    assert.equal(mapping.view("f64", 80, 0).length, 0);
    assert.throws(() => mapping.view("f64", 0, 11), OutOfRangeError);
    assert.throws(() => mapping.view("f64", 8, 10), OutOfRangeError);
    assert.throws(() => mapping.view("f64", 0, 0.5), InvalidArgumentError);
    assert.throws(() => mapping.view("f64", 0, 2 ** 49), OutOfRangeError);
    for (const name of ["f16", "", "constructor", "__proto__", undefined, 8])
      assert.throws(() => mapping.view(name as ElementName, 0, 1), InvalidArgumentError);
    mapping.close();
  });

  it("are at most 1 GiB", () => {
    const mapping = Mapping.anonymous(2 ** 30 + 16);
    assert.equal(mapping.bytes(16).length, 2 ** 30);
    assert.equal(mapping.view("f64", 8, 2 ** 27).length, 2 ** 27);
    assert.throws(() => mapping.bytes(), InvalidArgumentError);
    assert.throws(() => mapping.view("f64", 0, 2 ** 27 + 1), InvalidArgumentError);
    mapping.close();
  });

  it("of one place show the same memory, whichever buffer they lie on", () => {
    const mapping = Mapping.anonymous(9 * 2 ** 20);
    const views = [mapping.bytes(0, 8), mapping.bytes(2 ** 20, 8), mapping.bytes(), mapping.bytes(0, 8)];
    views[2]?.fill(5, 0, 4);
    assert.deepEqual([...(views[0] ?? [])], [5, 5, 5, 5, 0, 0, 0, 0]);
    assert.deepEqual(views[3], views[0]);
    const numbers = mapping.view("i32", 2 ** 20, 2);
    Atomics.add(numbers, 1, 7);
    assert.equal(views[1]?.[4], 7);
    mapping.close();
  });
});
