/** What smmap's own tests state, stated of windows here: on a fixed grid instead of regions that grow. */
import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { describe, it } from "vitest";
import { WindowBuffer, WindowManager, type WindowManagerOptions } from "../../src/window/main.ts";
import { cleanTempAfterEach, pattern, tempFile } from "../support/temp.ts";
import { failure, PAGE, Random } from "./support.ts";

const SIZE = 5 * 4 * PAGE + 1234;
const WINDOW = 4 * PAGE;

describe("smmap facts", () => {
  cleanTempAfterEach();

  /** Runs a body over a file of SIZE bytes with a sliding manager, or the one that options ask for. */
  function withFile(
    body: (manager: WindowManager, path: string, data: Uint8Array) => void,
    options: WindowManagerOptions = {},
  ): void {
    const data = pattern(SIZE);
    const path = tempFile(data);
    const manager = new WindowManager({ windowSize: WINDOW, budget: 3 * WINDOW, ...options });
    try {
      body(manager, path, data);
    } finally {
      manager.close();
    }
  }

  it("smmap fact 1: a fresh cursor is not valid, not associated, size 0", () => {
    withFile((manager) => {
      const cursor = manager.cursor();
      assert.equal(cursor.isAssociated, false);
      assert.equal(cursor.isValid, false);
      assert.equal(cursor.size, 0);
      assert.equal(cursor.region, undefined);
      assert.throws(() => cursor.use(0, 1), failure("CLOSED"));
      assert.throws(() => cursor.path, failure("INVALID_ARGUMENT"));
      cursor.close();
    });
  });

  it("smmap fact 1: a made cursor is associated, not valid, knows size and path before it maps", () => {
    withFile((manager, path) => {
      const cursor = manager.cursor(path);
      assert.equal(cursor.isAssociated, true);
      assert.equal(cursor.isValid, false);
      assert.equal(cursor.size, 0);
      assert.equal(cursor.fileSize, SIZE);
      assert.equal(cursor.path, path);
      assert.equal(manager.stats.windows, 0);
      assert.throws(() => cursor.bytes(), failure("INVALID_ARGUMENT"));
      cursor.close();
    });
  });

  it("smmap fact 2: copy and assign work on an unmapped cursor", () => {
    withFile((manager, path, data) => {
      const cursor = manager.cursor(path);
      const copy = cursor.copy();
      assert.equal(copy.isAssociated, true);
      assert.equal(copy.isValid, false);
      const empty = manager.cursor();
      empty.assign(cursor);
      assert.equal(empty.path, path);
      assert.equal(empty.isValid, false);
      cursor.use(7, 9);
      copy.assign(cursor);
      assert.deepEqual(copy.bytes(), data.subarray(7, 16));
      cursor.assign(manager.cursor());
      assert.equal(cursor.isAssociated, false);
      assert.equal(copy.isValid, true);
      assert.equal(manager.cursor().copy().isAssociated, false);
      for (const each of [cursor, copy, empty]) each.close();
    });
  });

  it("smmap fact 2: unuse and close may be called twice", () => {
    withFile((manager, path) => {
      const cursor = manager.cursor(path).use(0, 10);
      cursor.unuse();
      cursor.unuse();
      assert.equal(cursor.isValid, false);
      assert.equal(cursor.isAssociated, true);
      cursor.close();
      cursor.close();
      assert.equal(cursor.isAssociated, false);
      cursor.unuse();
    });
  });

  it("smmap fact 3: a fresh manager has no windows, files or bytes, and nothing to collect", () => {
    withFile((manager) => {
      const { windows, files, cachedFiles, residentBytes, pinnedBytes, hitRate } = manager.stats;
      assert.deepEqual([windows, files, cachedFiles, residentBytes, pinnedBytes, hitRate], [0, 0, 0, 0, 0, 0]);
      assert.equal(manager.collect(), 0);
    });
  });

  it("smmap fact 4: use(10, 10) is valid, begins at 10, has 10 bytes, equal to the file's, by path and by descriptor", () => {
    withFile((manager, path, data) => {
      const fd = openSync(path, "r");
      try {
        for (const source of [path, fd]) {
          const cursor = manager.cursor(source).use(10, 10);
          assert.equal(cursor.isValid, true);
          assert.equal(cursor.begin, 10);
          assert.equal(cursor.size, 10);
          assert.equal(cursor.end, 20);
          assert.deepEqual(cursor.bytes(), data.subarray(10, 20));
          if (source === path) {
            assert.equal(cursor.path, path);
            assert.throws(() => cursor.descriptor, failure("INVALID_ARGUMENT"));
          } else {
            assert.equal(cursor.descriptor, fd);
            assert.throws(() => cursor.path, failure("INVALID_ARGUMENT"));
          }
          cursor.close();
        }
      } finally {
        closeSync(fd);
      }
    });
  });

  it("smmap fact 5: the first region begins at 0 and is one window, rounded up to a page", () => {
    withFile(
      (manager, path) => {
        assert.equal(manager.windowSize, 2 * PAGE);
        const cursor = manager.cursor(path).use(10, 10);
        assert.deepEqual(cursor.region, { offset: 0, size: 2 * PAGE, end: 2 * PAGE });
        cursor.close();
      },
      { windowSize: PAGE + 1 },
    );
  });

  it('smmap fact 5: with windowSize "file" the region is the whole file', () => {
    withFile(
      (manager, path) => {
        const cursor = manager.cursor(path).use(3 * WINDOW, 10);
        assert.deepEqual(cursor.region, { offset: 0, size: SIZE, end: SIZE });
        assert.equal(manager.stats.windows, 1);
        assert.equal(manager.stats.residentBytes, SIZE);
        cursor.use(0);
        assert.equal(cursor.size, SIZE);
        cursor.close();
      },
      { windowSize: "file" },
    );
  });

  it("smmap fact 6: a second range in the same window has the same region and no new window", () => {
    withFile((manager, path, data) => {
      const cursor = manager.cursor(path).use(10, 10);
      const { region } = cursor;
      const { admissions, windows } = manager.stats;
      cursor.use(WINDOW - 5, 5);
      assert.deepEqual(cursor.region, region);
      assert.deepEqual(cursor.bytes(), data.subarray(WINDOW - 5, WINDOW));
      assert.equal(manager.stats.windows, windows);
      assert.equal(manager.stats.admissions, admissions);
      cursor.close();
    });
  });

  it("smmap fact 7: a range past the end is valid but shorter, and no region passes the end", () => {
    withFile((manager, path, data) => {
      const cursor = manager.cursor(path).use(SIZE - 7, WINDOW);
      assert.equal(cursor.isValid, true);
      assert.equal(cursor.size, 7);
      assert.deepEqual(cursor.bytes(), data.subarray(SIZE - 7));
      assert.equal(cursor.region?.end, SIZE);
      assert.equal(cursor.region?.offset, 5 * WINDOW);
      cursor.close();
    });
  });

  it("smmap fact 8: unuse leaves the window cached", () => {
    withFile((manager, path) => {
      const cursor = manager.cursor(path).use(10, 10);
      cursor.unuse();
      assert.equal(manager.stats.windows, 1);
      assert.equal(manager.stats.pinnedBytes, 0);
      const { hits } = manager.stats;
      cursor.use(20, 10);
      assert.equal(manager.stats.hits, hits + 1);
      cursor.close();
    });
  });

  it("smmap fact 9: 5000 random reads keep to window, memory and handle limits and show the file's bytes", () => {
    const random = new Random(9);
    const data = random.bytes(1_500_000);
    const path = tempFile(data);
    const budget = Math.floor(data.length / 3);
    const manager = new WindowManager({ windowSize: Math.floor(data.length / 100), budget, maxWindows: 15 });
    try {
      assert.equal(manager.windowSize, 4 * PAGE);
      const cursor = manager.cursor(path);
      for (let round = 0; round < 5000; round++) {
        const { windows, residentBytes, files } = manager.stats;
        assert.ok(windows <= 15 && residentBytes <= budget && files <= 1);
        const offset = random.below(data.length);
        const size = random.between(1, manager.windowSize);
        cursor.use(offset, size);
        const end = Math.min(offset + size, data.length);
        assert.equal(cursor.end, end);
        assert.equal(cursor.includes(offset - 1), false);
        assert.equal(cursor.includes(offset), true);
        assert.equal(cursor.includes(end - 1), true);
        assert.equal(cursor.includes(end), false);
        assert.equal(Buffer.compare(cursor.bytes(), data.subarray(offset, end)), 0);
      }
      cursor.close();
      assert.equal(manager.stats.pinnedBytes, 0);
    } finally {
      manager.close();
    }
  });

  it("smmap fact 10: use at the file's size is not valid, and collect frees everything", () => {
    withFile((manager, path) => {
      const cursor = manager.cursor(path).use(0, 10);
      cursor.use(WINDOW, 10).use(SIZE, 10);
      assert.equal(cursor.isValid, false);
      assert.equal(cursor.size, 0);
      assert.equal(manager.stats.windows, 2);
      assert.equal(manager.collect(), 2);
      assert.equal(manager.stats.windows, 0);
      assert.equal(manager.stats.residentBytes, 0);
      assert.equal(cursor.use(SIZE + 100, 1).isValid, false);
      cursor.close();
    });
  });

  it("smmap fact 11: a buffer at the file's size has nothing to access, one at 100 the rest", () => {
    withFile((manager, path) => {
      const cursor = manager.cursor(path);
      const buffer = cursor.buffer();
      assert.equal(buffer.length, SIZE);
      assert.equal(buffer.beginAccess(SIZE), false);
      assert.equal(buffer.length, 0);
      assert.equal(buffer.beginAccess(100), true);
      assert.equal(buffer.length, SIZE - 100);
      assert.equal(buffer.beginAccess(100, 10), true);
      assert.equal(buffer.length, 10);
      assert.equal(cursor.buffer(SIZE).length, 0);
      buffer.close();
      cursor.close();
    });
  });

  it("smmap fact 11: a bad offset in a buffer's constructor is an error", () => {
    withFile((manager, path) => {
      const cursor = manager.cursor(path);
      assert.throws(() => cursor.buffer(SIZE + 1), failure("OUT_OF_RANGE", { offset: SIZE + 1, size: SIZE }));
      assert.throws(() => cursor.buffer(-1), failure("INVALID_ARGUMENT"));
      assert.throws(() => new WindowBuffer(manager.cursor(path), 0.5), failure("INVALID_ARGUMENT"));
      cursor.close();
      manager.collect();
      assert.equal(manager.stats.files, 1, "the cursor that was given stays its owner's");
    });
  });

  it("smmap fact 11: access can begin again after it ended", () => {
    withFile((manager, path, data) => {
      const cursor = manager.cursor(path);
      const buffer = cursor.buffer(10);
      buffer.endAccess();
      buffer.endAccess();
      assert.equal(buffer.length, 0);
      assert.equal(buffer.at(0), undefined);
      assert.equal(buffer.slice().length, 0);
      assert.equal(manager.stats.pinnedBytes, 0);
      assert.equal(buffer.beginAccess(20, 5), true);
      assert.deepEqual(buffer.slice(), data.slice(20, 25));
      buffer.close();
      buffer.close();
      cursor.close();
    });
  });

  it("smmap fact 12: a buffer is indexed and sliced like a string, from the end too, across windows", () => {
    withFile((manager, path, data) => {
      const cursor = manager.cursor(path);
      const buffer = cursor.buffer();
      for (const index of [0, 1, WINDOW - 1, WINDOW, SIZE - 1]) {
        assert.equal(buffer.at(index), data[index]);
        assert.equal(buffer.at(index - SIZE), data[index]);
      }
      assert.equal(buffer.at(SIZE), undefined);
      assert.equal(buffer.at(-SIZE - 1), undefined);
      assert.equal(buffer.at(0.5), undefined);
      const ends = [
        0,
        1,
        10,
        WINDOW - 3,
        WINDOW,
        WINDOW + 3,
        3 * WINDOW + 1,
        SIZE,
        SIZE + 9,
        -1,
        -10,
        -WINDOW,
        -SIZE - 3,
      ];
      for (const start of ends)
        for (const end of ends) assert.deepEqual(buffer.slice(start, end), data.slice(start, end), `${start}, ${end}`);
      buffer.close();
      cursor.close();
    });
  });

  it("smmap fact 13: exactly one file and its window stay cached, until collect", () => {
    withFile((manager, path) => {
      const cursor = manager.cursor(path);
      const buffer = cursor.buffer();
      assert.equal(buffer.at(0), 1);
      buffer.close();
      cursor.close();
      assert.equal(manager.stats.windows, 1);
      assert.equal(manager.stats.files, 1);
      assert.equal(manager.stats.cachedFiles, 1);
      assert.equal(manager.collect(), 1);
      assert.equal(manager.stats.windows, 0);
      assert.equal(manager.stats.files, 0);
      assert.equal(manager.stats.cachedFiles, 0);
      assert.equal(manager.collect(), 0);
    });
  });

  it("smmap fact 14: windows lie on a fixed grid: aligned, of one size, never overlapping", () => {
    withFile((manager, path) => {
      const random = new Random(14);
      const cursor = manager.cursor(path);
      const seen = new Map<number, number>();
      for (let round = 0; round < 300; round++) {
        const { region } = cursor.use(random.below(SIZE), 1);
        assert.ok(region !== undefined);
        assert.equal(region.offset % WINDOW, 0);
        assert.equal(region.end, region.offset + region.size);
        assert.ok(region.size <= WINDOW);
        seen.set(region.offset, region.end);
      }
      const sorted = [...seen].sort(([a], [b]) => a - b);
      assert.equal(sorted.length, 6);
      for (const [index, [begin]] of sorted.entries())
        assert.equal(begin, index === 0 ? 0 : sorted[index - 1]?.[1], "neighbours touch and do not overlap");
      assert.equal(sorted.at(-1)?.[1], SIZE, "the last window ends where the file does");
      cursor.close();
    });
  });

  it("smmap fact 14: a range left or right of a resident window gets the neighbour, one across both gets both", () => {
    withFile((manager, path) => {
      const cursor = manager.cursor(path).use(2 * WINDOW + 5, 10);
      assert.equal(cursor.region?.offset, 2 * WINDOW);
      assert.deepEqual(cursor.use(2 * WINDOW - 1, 1).region, { offset: WINDOW, size: WINDOW, end: 2 * WINDOW });
      assert.deepEqual(cursor.use(3 * WINDOW, 1).region, { offset: 3 * WINDOW, size: WINDOW, end: 4 * WINDOW });
      assert.deepEqual(cursor.use(2 * WINDOW - 1, 2).region, { offset: WINDOW, size: 2 * WINDOW, end: 3 * WINDOW });
      assert.deepEqual(cursor.use(WINDOW + 9).size, WINDOW - 9, "size 0 is the rest of the window");
      assert.equal(manager.stats.windows, 3);
      cursor.close();
    });
  });

  it("smmap: closeUnder releases every file below a folder, so that it can be deleted", () => {
    withFile((manager, path) => {
      const other = tempFile(pattern(100));
      const cursor = manager.cursor(path).use(0, 10);
      const file = manager.open(path);
      const kept = manager.open(other);
      const lease = file.lease(0, 5);
      const bytes = cursor.bytes();
      assert.equal(manager.closeUnder(path.slice(0, path.lastIndexOf("/"))), 2);
      assert.equal(file.closed, true);
      assert.equal(cursor.isValid, false);
      assert.equal(bytes.length, 0);
      assert.equal(lease.bytes.length, 0);
      assert.equal(kept.closed, false);
      assert.equal(manager.stats.files, 1);
      assert.equal(manager.stats.pinnedBytes, 0);
      assert.equal(manager.closeUnder(path), 0);
      assert.throws(() => cursor.use(0, 1), failure("CLOSED"));
      assert.equal(manager.cursor(path).use(0, 1).isValid, true);
      lease.release();
      cursor.close();
    });
  });
});
