import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { ClosedError, OutOfRangeError } from "../../src/errors.ts";
import { Mapping } from "../../src/memory/main.ts";
import { cleanTempAfterEach, pattern, tempFile } from "../support/temp.ts";

cleanTempAfterEach();

describe("a lease", () => {
  it("gives bytes without a copy, counts until it is released, and leaves the view readable", () => {
    const mapping = Mapping.open(tempFile(pattern(10_000)), { access: "write" });
    const lease = mapping.lease(100, 50);
    assert.deepEqual(lease.bytes, pattern(50, 100));
    assert.equal(lease.offset, 100);
    assert.equal(mapping.leases, 1);
    mapping.write(100, new Uint8Array([200]));
    assert.equal(lease.bytes[0], 200);
    lease.release();
    assert.ok(lease.released);
    assert.equal(mapping.leases, 0);
    lease.release();
    lease[Symbol.dispose]();
    assert.equal(mapping.leases, 0);
    assert.equal(lease.bytes[0], 200);
    mapping.close();
    assert.equal(lease.bytes.length, 0);
  });

  it("ends with its mapping, and may be released after", () => {
    const mapping = Mapping.open(tempFile(pattern(100)));
    const leases = [mapping.lease(0, 10), mapping.lease(5, 10), mapping.lease(100, 0)];
    assert.equal(mapping.leases, 3);
    mapping.close();
    for (const lease of leases) {
      assert.equal(lease.bytes.length, 0);
      lease.release();
    }
    assert.throws(() => mapping.lease(0, 1), ClosedError);
  });

  it("lies within the mapping", () => {
    const mapping = Mapping.open(tempFile(pattern(100)));
    assert.throws(() => mapping.lease(50, 51), OutOfRangeError);
    assert.equal(mapping.leases, 0);
    mapping.close();
  });
});
