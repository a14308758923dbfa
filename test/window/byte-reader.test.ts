import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { openWindows } from "../../src/window/main.ts";
import { cleanTempAfterEach, tempFile } from "../support/temp.ts";
import { failure, long, PAGE, Random, seed } from "./support.ts";

const SIZE = 5 * PAGE + 77;
const types = [
  ["u8", 1, "getUint8"],
  ["i8", 1, "getInt8"],
  ["u16", 2, "getUint16"],
  ["i16", 2, "getInt16"],
  ["u32", 4, "getUint32"],
  ["i32", 4, "getInt32"],
  ["u64", 8, "getBigUint64"],
  ["i64", 8, "getBigInt64"],
  ["f32", 4, "getFloat32"],
  ["f64", 8, "getFloat64"],
] as const;

describe("typed reads", () => {
  cleanTempAfterEach();

  for (const budget of [1, 3, 8]) {
    it(`equal DataView's at any offset and endianness, across windows too (room for ${budget} windows)`, () => {
      const random = new Random(seed + budget);
      const data = random.bytes(SIZE);
      const whole = new DataView(data.buffer);
      const file = openWindows(tempFile(data), { windowSize: PAGE, budget: budget * PAGE });
      try {
        const offsets: number[] = [];
        for (let border = 0; border <= SIZE; border += PAGE)
          for (let near = -9; near <= 9; near++) offsets.push(border + near);
        for (let near = 0; near < 10; near++) offsets.push(SIZE - near);
        for (let round = 0; round < (long ? 20_000 : 1000); round++) offsets.push(random.below(SIZE));
        for (const offset of offsets) {
          for (const [name, bytes, get] of types) {
            if (offset < 0 || offset + bytes > SIZE) continue;
            const what = `${name} at ${offset}, seed ${seed}`;
            assert.ok(Object.is(file[name](offset), whole[get](offset, true)), what);
            assert.ok(Object.is(file[name](offset, true), whole[get](offset, true)), what);
            assert.ok(Object.is(file[name](offset, false), whole[get](offset, false)), `${what}, big endian`);
          }
        }
      } finally {
        file.close();
      }
    });
  }

  it("in order, of a file beyond the budget, equal DataView's", () => {
    const random = new Random(seed);
    const data = random.bytes(40 * PAGE);
    const whole = new DataView(data.buffer);
    const file = openWindows(tempFile(data), { windowSize: PAGE, budget: 2 * PAGE });
    try {
      for (let offset = 0; offset < data.length; offset += 4)
        assert.equal(file.u32(offset), whole.getUint32(offset, true));
      for (let offset = 1; offset + 8 <= data.length; offset += 8)
        assert.equal(file.u64(offset), whole.getBigUint64(offset, true));
    } finally {
      file.close();
    }
  });

  it("refuse what does not lie within the file", () => {
    const file = openWindows(tempFile(new Uint8Array(SIZE)), { windowSize: PAGE, budget: 2 * PAGE });
    try {
      for (const [name, bytes] of types) {
        for (let round = 0; round < 3; round++) {
          assert.throws(() => file[name](SIZE - bytes + 1), failure("OUT_OF_RANGE", { length: bytes, size: SIZE }));
          for (const offset of [-1, -bytes, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])
            assert.throws(() => file[name](offset), failure("INVALID_ARGUMENT"));
          assert.throws(() => file[name](2 ** 53 - 1), failure("OUT_OF_RANGE"));
          file[name](0);
          file[name](PAGE);
        }
      }
    } finally {
      file.close();
    }
  });
});
