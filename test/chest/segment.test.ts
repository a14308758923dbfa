import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { Pool } from "../../src/chest/log/pool.ts";
import { Segment, segmentName } from "../../src/chest/log/segment.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const SIZE = 2 ** 20;

describe("a segment that its writer has cut and filled again", () => {
  cleanTempAfterEach();

  it("is seen as it is by a reader that has looked behind its end meanwhile", () => {
    const folder = tempFolder();
    const file = path.join(folder, segmentName(3));
    fs.writeFileSync(file, new Uint8Array(SIZE).fill(1));
    const segment = Segment.open(
      folder,
      3,
      false,
      new Pool(false, (error) => {
        throw error;
      }),
    );
    const before = segment.bytes;
    assert.equal(before[SIZE - 1], 1);
    fs.truncateSync(file, 100_000);
    assert.equal(segment.bytes[SIZE - 1], 0);
    assert.ok(segment.hasLost);
    segment.refresh();
    assert.deepEqual([segment.hasLost, segment.bytes.length, segment.bytes[99_999]], [false, 100_000, 1]);
    fs.writeFileSync(file, new Uint8Array(SIZE + 5).fill(2));
    segment.refresh();
    assert.deepEqual([segment.bytes.length, segment.bytes[SIZE - 1], segment.bytes[SIZE + 4]], [SIZE + 5, 2, 2]);
    /* Records that were found before may still be looked at. */
    assert.equal(before.length, SIZE);
    assert.equal(before[0], 2);
    segment.close();
  });
});
