import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { describe, it } from "vitest";
import {
  ClosedError,
  DiskFullError,
  InvalidArgumentError,
  NameInUseError,
  NotFoundError,
  OutOfRangeError,
  PermissionError,
  ReadOnlyError,
  UnsupportedFileError,
} from "../../src/errors.ts";
import { type Access, Mapping, systemInfo, unlinkObject } from "../../src/memory/main.ts";
import { cleanTempAfterEach, pattern, tempFile, tempFolder } from "../support/temp.ts";

cleanTempAfterEach();

const { pageSize } = systemInfo();
const GIB = 2 ** 30;

/** Runs with a mapping and closes it whatever happens. */
function withMapping<T>(mapping: Mapping, use: (mapping: Mapping) => T): T {
  try {
    return use(mapping);
  } finally {
    mapping.close();
  }
}

const uniqueName = (): string => `outcore-test-${process.pid}-${Math.random().toString(36).slice(2)}`;

describe("a mapped file", () => {
  it("shows its bytes, by path, URL and descriptor", () => {
    const content = pattern(3 * pageSize + 17);
    const file = tempFile(content, "größe 日本.bin");
    const fd = fs.openSync(file, "r");
    try {
      for (const source of [file, pathToFileURL(file), fd])
        withMapping(Mapping.open(source), (mapping) => {
          assert.equal(mapping.length, content.length);
          assert.equal(mapping.access, "read");
          assert.deepEqual(mapping.bytes(), content);
        });
      assert.equal(fs.readSync(fd, new Uint8Array(4)), 4);
    } finally {
      fs.closeSync(fd);
    }
  });

  it("begins at any offset and has any length", () => {
    const content = pattern(4 * pageSize);
    const file = tempFile(content);
    for (const [offset, length] of [
      [0, 1],
      [1, 10],
      [pageSize - 1, 2],
      [pageSize, pageSize],
      [pageSize + 123, 2 * pageSize],
      [4 * pageSize - 1, 1],
      [4 * pageSize, 0],
    ] as const)
      withMapping(Mapping.open(file, { offset, length }), (mapping) => {
        assert.equal(mapping.length, length);
        assert.deepEqual(mapping.bytes(), content.subarray(offset, offset + length));
        const copy = new Uint8Array(length);
        mapping.read(0, copy);
        assert.deepEqual(copy, content.subarray(offset, offset + length));
      });
  });

  it("may be empty", () => {
    for (const access of ["read", "write", "private"] as Access[])
      withMapping(Mapping.open(tempFile(""), { access }), (mapping) => {
        assert.equal(mapping.length, 0);
        assert.equal(mapping.bytes().length, 0);
        assert.equal(mapping.resident(), 0);
        mapping.read(0, new Uint8Array(0));
        mapping.prefetch();
        mapping.lock();
        mapping.unlock();
        assert.equal(mapping.indexOf(new Uint8Array([1])), -1);
        assert.throws(() => mapping.bytes(0, 1), OutOfRangeError);
        assert.throws(() => mapping.read(0, new Uint8Array(1)), OutOfRangeError);
      });
  });

  it("can be read at its end beyond 4 GiB", () => {
    const file = path.join(tempFolder(), "large");
    const size = 4 * GIB + 5 * pageSize + 3;
    fs.writeFileSync(file, "");
    fs.truncateSync(file, size);
    const fd = fs.openSync(file, "r+");
    fs.writeSync(fd, pattern(16), 0, 16, size - 16);
    fs.closeSync(fd);
    withMapping(Mapping.open(file), (mapping) => {
      assert.deepEqual(mapping.bytes(size - 16, 16), pattern(16));
      assert.deepEqual(mapping.bytes(size - 16), pattern(16));
      const copy = new Uint8Array(16);
      mapping.read(size - 16, copy);
      assert.deepEqual(copy, pattern(16));
      const long = mapping.bytes(size - GIB);
      assert.equal(long.length, GIB);
      assert.deepEqual(long.subarray(GIB - 16), pattern(16));
      assert.equal(mapping.view("i64", Math.floor((size - 32) / 8) * 8, 1).length, 1);
      assert.equal(mapping.indexOf(pattern(16), size - 3 * pageSize), size - 16);
    });
    withMapping(Mapping.open(file, { offset: size - 100 }), (mapping) => {
      assert.deepEqual(mapping.bytes(84), pattern(16));
    });
  });

  it("is written through, with access write", () => {
    const file = tempFile(pattern(2 * pageSize));
    withMapping(Mapping.open(file, { access: "write" }), (mapping) => {
      mapping.bytes()[5] = 200;
      mapping.write(pageSize + 5, new Uint8Array([201, 202]));
      mapping.flush(0, pageSize);
      mapping.flush();
      const now = fs.readFileSync(file);
      assert.deepEqual([now[5], now[pageSize + 5], now[pageSize + 6]], [200, 201, 202]);
      fs.writeFileSync(file, new Uint8Array([77]), { flag: "r+" });
      assert.equal(mapping.bytes()[0], 77);
    });
  });

  it("keeps private changes to itself", () => {
    const content = pattern(2 * pageSize);
    const file = tempFile(content);
    withMapping(Mapping.open(file, { access: "private" }), (mapping) => {
      mapping.bytes().fill(3);
      mapping.write(0, new Uint8Array([9]));
      assert.deepEqual([...mapping.bytes(0, 2)], [9, 3]);
      assert.deepEqual(new Uint8Array(fs.readFileSync(file)), content);
      assert.throws(() => mapping.flush(), ReadOnlyError);
      assert.throws(() => mapping.grow(3 * pageSize), InvalidArgumentError);
    });
  });

  it("refuses to be written when it is for reading", () => {
    const file = tempFile(pattern(pageSize));
    withMapping(Mapping.open(file), (mapping) => {
      assert.throws(() => mapping.write(0, new Uint8Array(1)), ReadOnlyError);
      assert.throws(() => mapping.flush(), ReadOnlyError);
      assert.throws(() => mapping.grow(2 * pageSize), OutOfRangeError);
    });
  });

  it("takes back what was written to a view for reading, and says so", () => {
    const content = pattern(4 * pageSize);
    const file = tempFile(content);
    const mapping = Mapping.open(file);
    const view = mapping.bytes();
    view[pageSize] = 0;
    assert.throws(
      () => mapping.bytes(),
      (error: unknown) => error instanceof ReadOnlyError && /taken back/.test(error.message),
    );
    assert.deepEqual(view, content);
    view.fill(0);
    Atomics.store(new Int32Array(view.buffer, 0, 4), 1, 5);
    assert.throws(() => mapping.read(0, new Uint8Array(1)), ReadOnlyError);
    assert.deepEqual(view, content);
    view[0] = 0;
    assert.throws(() => mapping.close(), ReadOnlyError);
    assert.ok(mapping.closed);
    assert.equal(view.length, 0);
    assert.deepEqual(new Uint8Array(fs.readFileSync(file)), content);
  });

  it("takes nothing but a Uint8Array for its bytes", () => {
    const large = Object.defineProperty(new Uint8Array(4), "length", { value: 100_000 });
    withMapping(Mapping.open(tempFile(pattern(200_000)), { access: "write" }), (mapping) => {
      const wrong = [null, undefined, 5, "text", {}, { length: 100_000 }, [1, 2], new DataView(new ArrayBuffer(8))];
      for (const target of [...wrong, new Float64Array(8), new ArrayBuffer(8), new Proxy(new Uint8Array(8), {})]) {
        assert.throws(() => mapping.read(0, target as Uint8Array), InvalidArgumentError);
        assert.throws(() => mapping.write(0, target as Uint8Array), InvalidArgumentError);
        assert.throws(() => mapping.indexOf(target as Uint8Array), InvalidArgumentError);
      }
      mapping.read(0, large);
      assert.deepEqual([...large.subarray(0, 4)], [...pattern(4)]);
      const part = new Uint8Array(16).subarray(4, 12);
      mapping.read(7, part);
      assert.deepEqual(part, pattern(8, 7));
      const shared = new Uint8Array(new SharedArrayBuffer(8));
      mapping.read(7, shared);
      assert.deepEqual([...shared], [...pattern(8, 7)]);
      const resizable = new Uint8Array(new ArrayBuffer(8, { maxByteLength: 64 }));
      mapping.read(7, resizable);
      assert.deepEqual([...resizable], [...pattern(8, 7)]);
      mapping.read(1, mapping.bytes(0, 1000));
      assert.deepEqual(mapping.bytes(0, 1000), pattern(1000, 1));
    });
  });
});

describe("opening a file that cannot be mapped", () => {
  it("says what it is", () => {
    const folder = tempFolder();
    assert.throws(() => Mapping.open(path.join(folder, "none")), NotFoundError);
    assert.throws(() => Mapping.open(path.join(folder, "none", "below")), NotFoundError);
    assert.throws(
      () => Mapping.open(folder),
      (error: unknown) => error instanceof UnsupportedFileError && /directory/.test(error.kind),
    );
    assert.throws(() => Mapping.open(folder, { access: "write" }), UnsupportedFileError);
    assert.throws(() => Mapping.open("/dev/zero"), UnsupportedFileError);
    if (process.platform === "linux") assert.throws(() => Mapping.open("/proc/self/status"), UnsupportedFileError);
  });

  it("refuses access that the file does not grant", () => {
    const file = tempFile("abc");
    fs.chmodSync(file, 0);
    /* The superuser may read everything. */
    if (process.getuid?.() !== 0) assert.throws(() => Mapping.open(file), PermissionError);
    fs.chmodSync(file, 0o600);
    const fd = fs.openSync(file, "r");
    assert.throws(() => Mapping.open(fd, { access: "write" }), PermissionError);
    fs.closeSync(fd);
  });

  it("checks its arguments", () => {
    const file = tempFile(pattern(100));
    for (const source of ["", "a\0b", -1, 1.5, Number.NaN, 2 ** 40, null, {}, new URL("https://example.org/")])
      assert.throws(() => Mapping.open(source as string), InvalidArgumentError, String(source));
    for (const bad of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, "1", null]) {
      assert.throws(() => Mapping.open(file, { offset: bad as number }), InvalidArgumentError);
      if (bad !== null) assert.throws(() => Mapping.open(file, { length: bad as number }), InvalidArgumentError);
    }
    assert.throws(() => Mapping.open(file, { access: "rw" as Access }), InvalidArgumentError);
    assert.throws(() => Mapping.open(file, { offset: 101 }), OutOfRangeError);
    assert.throws(() => Mapping.open(file, { offset: 50, length: 51 }), OutOfRangeError);
    assert.throws(() => Mapping.open(file, { offset: 2 ** 53 - 1, length: 1 }), OutOfRangeError);
    assert.throws(() => Mapping.open(999_999), { code: "SYSTEM" });
  });

  it("checks ranges of every function", () => {
    withMapping(Mapping.open(tempFile(pattern(100)), { access: "write" }), (mapping) => {
      const one = new Uint8Array(1);
      for (const bad of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, "1" as unknown as number]) {
        assert.throws(() => mapping.bytes(bad), InvalidArgumentError);
        assert.throws(() => mapping.bytes(0, bad), InvalidArgumentError);
        assert.throws(() => mapping.lease(bad, 1), InvalidArgumentError);
        assert.throws(() => mapping.read(bad, one), InvalidArgumentError);
        assert.throws(() => mapping.write(bad, one), InvalidArgumentError);
        assert.throws(() => mapping.flush(bad, 1), InvalidArgumentError);
        assert.throws(() => mapping.advise("random", bad, 1), InvalidArgumentError);
        assert.throws(() => mapping.prefetch(0, bad), InvalidArgumentError);
        assert.throws(() => mapping.resident(bad, 1), InvalidArgumentError);
        assert.throws(() => mapping.lock(bad, 1), InvalidArgumentError);
        assert.throws(() => mapping.unlock(bad, 1), InvalidArgumentError);
        assert.throws(() => mapping.grow(bad), InvalidArgumentError);
        assert.throws(() => mapping.indexOf(one, bad, 1), InvalidArgumentError);
        assert.throws(() => mapping.view("u8", 0, bad), InvalidArgumentError);
      }
      for (const [offset, length] of [
        [101, 0],
        [100, 1],
        [0, 101],
        [2 ** 52, 2 ** 52],
      ] as const) {
        assert.throws(() => mapping.bytes(offset, length), OutOfRangeError);
        assert.throws(() => mapping.resident(offset, length), OutOfRangeError);
        assert.throws(() => mapping.flush(offset, length), OutOfRangeError);
      }
      assert.throws(() => mapping.read(100, one), OutOfRangeError);
      assert.throws(() => mapping.write(100, one), OutOfRangeError);
      assert.throws(() => mapping.advise("constructor" as "random"), InvalidArgumentError);
      assert.throws(() => Mapping.reopen({} as never), InvalidArgumentError);
      assert.throws(() => Mapping.reopen({ ...mapping.handle(), access: "x" as Access }), InvalidArgumentError);
      assert.throws(() => Mapping.reopen({ ...mapping.handle(), length: 101 }), OutOfRangeError);
    });
  });
});

describe("closing", () => {
  it("empties every view, and ends every use", () => {
    const mapping = Mapping.open(tempFile(pattern(8 * 2 ** 20)), { access: "write" });
    const views = [mapping.bytes(0, 10), mapping.bytes(), mapping.bytes(2 ** 22, 2 ** 22), mapping.lease(5, 5).bytes];
    const numbers = mapping.view("f64", 8, 2);
    const data = new DataView(mapping.bytes().buffer, 100, 8);
    mapping.close();
    mapping.close();
    mapping[Symbol.dispose]();
    assert.ok(mapping.closed);
    for (const view of views) assert.deepEqual([view.length, view[0]], [0, undefined]);
    assert.equal(numbers.length, 0);
    assert.throws(() => data.getInt8(0), TypeError);
    for (const use of [
      () => mapping.bytes(),
      () => mapping.lease(0, 1),
      () => mapping.read(0, new Uint8Array(1)),
      () => mapping.write(0, new Uint8Array(1)),
      () => mapping.flush(),
      () => mapping.advise("random"),
      () => mapping.prefetch(),
      () => mapping.resident(),
      () => mapping.lock(),
      () => mapping.unlock(),
      () => mapping.grow(2 ** 24),
      () => mapping.refresh(),
      () => mapping.handle(),
      () => mapping.trim(),
      () => mapping.indexOf(new Uint8Array(1)),
    ])
      assert.throws(use, ClosedError);
  });
});

describe("growth", () => {
  it("of the mapping makes the file grow, and keeps views", () => {
    const file = tempFile(pattern(100));
    withMapping(Mapping.open(file, { access: "write" }), (mapping) => {
      const before = mapping.bytes();
      mapping.grow(50);
      assert.equal(mapping.length, 100);
      for (const length of [200, pageSize, 10 * pageSize + 1, 4 * 2 ** 20]) {
        mapping.grow(length);
        assert.equal(mapping.length, length);
        assert.equal(fs.statSync(file).size, length);
        mapping.bytes(length - 1)[0] = 5;
      }
      before[0] = 222;
      assert.equal(mapping.bytes()[0], 222);
      assert.deepEqual(mapping.bytes(1, 99), pattern(99, 1));
      mapping.flush();
      assert.equal(fs.readFileSync(file)[4 * 2 ** 20 - 1], 5);
    });
  });

  it("from nothing", () => {
    const file = tempFile("");
    withMapping(Mapping.open(file, { access: "write" }), (mapping) => {
      mapping.grow(10);
      mapping.write(0, pattern(10));
    });
    assert.deepEqual(new Uint8Array(fs.readFileSync(file)), pattern(10));
  });

  it("by others is seen by refresh", () => {
    const file = tempFile(pattern(pageSize));
    withMapping(Mapping.open(file, { offset: 10 }), (mapping) => {
      assert.equal(mapping.refresh(), pageSize - 10);
      fs.appendFileSync(file, pattern(3 * pageSize, pageSize));
      assert.equal(mapping.length, pageSize - 10);
      assert.equal(mapping.refresh(), 4 * pageSize - 10);
      assert.deepEqual(mapping.bytes(), pattern(4 * pageSize).subarray(10));
      for (let i = 0; i < 20; i++) {
        fs.appendFileSync(file, pattern(pageSize, (4 + i) * pageSize));
        mapping.refresh();
      }
      assert.deepEqual(mapping.bytes(), pattern(24 * pageSize).subarray(10));
    });
  });

  it("at opening, allocated or sparse", () => {
    const file = path.join(tempFolder(), "grown");
    fs.writeFileSync(file, "abc");
    withMapping(Mapping.open(file, { access: "write", length: 2 ** 20 }), (mapping) => {
      assert.equal(mapping.length, 2 ** 20);
      assert.ok(fs.statSync(file).blocks * 512 >= 2 ** 20);
    });
    fs.truncateSync(file, 0);
    withMapping(Mapping.open(file, { access: "write", length: 2 ** 36, allocate: false }), (mapping) => {
      mapping.bytes(2 ** 36 - 1)[0] = 1;
      assert.equal(fs.statSync(file).size, 2 ** 36);
      assert.ok(fs.statSync(file).blocks * 512 < 2 ** 20);
    });
  });

  it("that does not fit on the disk changes nothing", () => {
    const file = tempFile(pattern(100));
    assert.throws(() => Mapping.open(file, { access: "write", length: 2 ** 50 }), DiskFullError);
    assert.equal(fs.statSync(file).size, 100);
    withMapping(Mapping.open(file, { access: "write" }), (mapping) => {
      assert.throws(() => mapping.grow(2 ** 50), DiskFullError);
      assert.equal(mapping.length, 100);
      assert.equal(fs.statSync(file).size, 100);
      assert.deepEqual(mapping.bytes(), pattern(100));
    });
  });
});

describe("anonymous memory", () => {
  it("is zeros that can be written, shared or not", () => {
    for (const shared of [true, false])
      withMapping(Mapping.anonymous(3 * pageSize + 5, { shared }), (mapping) => {
        assert.equal(mapping.length, 3 * pageSize + 5);
        assert.ok(mapping.bytes().every((byte) => byte === 0));
        mapping.bytes().set(pattern(100), 50);
        const copy = new Uint8Array(100);
        mapping.read(50, copy);
        assert.deepEqual(copy, pattern(100));
      });
  });

  it("grows when it is shared", () => {
    withMapping(Mapping.anonymous(10), (mapping) => {
      mapping.bytes()[0] = 7;
      mapping.grow(2 ** 22);
      assert.equal(mapping.bytes()[0], 7);
      mapping.bytes(2 ** 22 - 1)[0] = 8;
      mapping.grow(2 ** 40);
      assert.equal(mapping.bytes(2 ** 22 - 1, 1)[0], 8);
    });
    withMapping(Mapping.anonymous(10, { shared: false }), (mapping) => {
      assert.throws(() => mapping.grow(20), InvalidArgumentError);
      assert.throws(() => mapping.handle(), InvalidArgumentError);
    });
  });

  it("may be empty", () => {
    for (const shared of [true, false])
      withMapping(Mapping.anonymous(0, { shared }), (mapping) => assert.equal(mapping.bytes().length, 0));
  });

  it("is seen through every mapping of it", () => {
    withMapping(Mapping.anonymous(pageSize), (mapping) => {
      withMapping(Mapping.reopen(mapping.handle()), (other) => {
        other.bytes()[9] = 99;
        assert.equal(mapping.bytes()[9], 99);
      });
      assert.equal(mapping.bytes()[9], 99);
    });
  });
});

describe("a shared memory object", () => {
  it("is made whole, opened by name, and stays until it is removed", () => {
    const name = uniqueName();
    withMapping(Mapping.object(name, { create: true, length: 2 * pageSize }), (mapping) => {
      assert.equal(mapping.access, "write");
      mapping.bytes().set(pattern(50));
      assert.throws(() => Mapping.object(name, { create: true, length: 10 }), NameInUseError);
      withMapping(Mapping.object(name), (other) => {
        assert.equal(other.length, 2 * pageSize);
        assert.deepEqual(other.bytes(0, 50), pattern(50));
        assert.throws(() => other.write(0, new Uint8Array(1)), ReadOnlyError);
        mapping.bytes()[0] = 123;
        assert.equal(other.bytes()[0], 123);
      });
      withMapping(Mapping.object(name, { access: "write" }), (other) => {
        other.bytes()[60] = 60;
      });
      assert.equal(mapping.bytes()[60], 60);
      withMapping(Mapping.object(name, { access: "private" }), (other) => {
        other.bytes().fill(1);
      });
      assert.equal(mapping.bytes()[60], 60);
    });
    unlinkObject(name);
    assert.throws(() => unlinkObject(name), NotFoundError);
    assert.throws(() => Mapping.object(name), NotFoundError);
  });

  it("has mode 0600, or the one asked for", () => {
    for (const [mode, expected] of [
      [undefined, 0o600],
      [0o640, 0o640],
    ] as const) {
      const name = uniqueName();
      Mapping.object(name, { create: true, length: 1, ...(mode === undefined ? {} : { mode }) }).close();
      try {
        if (process.platform === "linux") assert.equal(fs.statSync(`/dev/shm/${name}`).mode & 0o777, expected);
      } finally {
        unlinkObject(name);
      }
    }
  });

  it("checks its name and length", () => {
    for (const name of ["", "a/b", "/a", ".", "..", "a\0b", "x".repeat(256)])
      assert.throws(() => Mapping.object(name, { create: true, length: 1 }), InvalidArgumentError);
    assert.throws(() => Mapping.object(uniqueName(), { create: true }), InvalidArgumentError);
    for (const length of [-1, 0.5, Number.NaN])
      assert.throws(() => Mapping.object(uniqueName(), { create: true, length }), InvalidArgumentError);
  });

  it("that does not fit is an error, and leaves no name", () => {
    const name = uniqueName();
    assert.throws(() => Mapping.object(name, { create: true, length: 2 ** 45 }), DiskFullError);
    assert.throws(() => Mapping.object(name), NotFoundError);
  });
});

describe("advice", () => {
  it("of every kind is taken and loses nothing", () => {
    const content = pattern(16 * pageSize);
    const file = tempFile(content);
    const kinds = ["normal", "sequential", "random", "willneed", "populate", "hugepage", "nohugepage", "cold"] as const;
    for (const access of ["read", "write", "private"] as Access[])
      withMapping(Mapping.open(file, { access }), (mapping) => {
        for (const kind of [...kinds, "pageout", "dontfork", "dontdump"] as const) {
          mapping.advise(kind);
          mapping.advise(kind, 1, 1);
          mapping.advise(kind, pageSize + 1, 3 * pageSize);
        }
        mapping.prefetch();
        mapping.trim();
        assert.deepEqual(mapping.bytes(), content);
      });
  });

  it("trim lets go of whole pages only: the neighbours' changes stay", () => {
    withMapping(Mapping.anonymous(4 * pageSize, { shared: false }), (mapping) => {
      mapping.bytes().fill(1);
      mapping.trim(pageSize - 1, 2 * pageSize);
      assert.deepEqual(
        [pageSize - 1, pageSize, 2 * pageSize - 1, 2 * pageSize].map((at) => mapping.bytes()[at]),
        [1, 0, 0, 1],
      );
    });
  });

  it("resident counts what is in memory", () => {
    withMapping(Mapping.anonymous(64 * pageSize, { shared: false }), (mapping) => {
      assert.equal(mapping.resident(), 0);
      mapping.bytes(0, 8 * pageSize).fill(1);
      assert.ok(mapping.resident() >= 8 * pageSize);
      assert.ok(mapping.resident(0, 1) === pageSize);
      assert.equal(mapping.resident(0, 0), 0);
      mapping.trim();
      assert.equal(mapping.resident(), 0);
    });
  });

  it("lock and unlock keep pages in memory", () => {
    withMapping(Mapping.open(tempFile(pattern(8 * pageSize))), (mapping) => {
      mapping.lock(pageSize + 1, 10);
      assert.equal(mapping.resident(pageSize, 1), pageSize);
      mapping.unlock(pageSize + 1, 10);
    });
  });
});

describe("indexOf", () => {
  it("finds bytes within the range only", () => {
    const file = tempFile(new TextEncoder().encode("abc needle def needle"));
    withMapping(Mapping.open(file), (mapping) => {
      const needle = new TextEncoder().encode("needle");
      assert.equal(mapping.indexOf(needle), 4);
      assert.equal(mapping.indexOf(needle, 5), 15);
      assert.equal(mapping.indexOf(needle, 16), -1);
      assert.equal(mapping.indexOf(needle, 0, 9), -1);
      assert.equal(mapping.indexOf(needle, 0, 10), 4);
      assert.equal(mapping.indexOf(new Uint8Array(0), 7), 7);
    });
  });
});
