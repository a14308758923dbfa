import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { shortChecksum } from "../../src/chest/bytes.ts";
import { checksum } from "../../src/memory/checksum.ts";

describe("checksums", () => {
  it("the library and the table agree for every length around its lanes, any start and seed", () => {
    let state = 11;
    const next = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state;
    };
    const bytes = new Uint8Array(80_000).map(() => next() >>> 24);
    const lengths = [
      0, 1, 7, 8, 9, 4079, 4080, 4081, 4095, 4096, 4097, 8160, 8161, 12287, 12288, 12289, 12296, 24575, 24576, 24577,
      60_000,
    ];
    for (const length of lengths)
      for (const start of [0, 1, 5, 8, 4096, 19_999]) {
        const seed = next();
        assert.equal(checksum(bytes, start, length, seed), shortChecksum(bytes, start, start + length, seed));
      }
    assert.equal(checksum(new TextEncoder().encode("123456789"), 0, 9), 0xe3069283);
  });
});
