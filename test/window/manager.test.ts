import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { describe, it } from "vitest";
import { OutcoreError, openWindows, WindowManager } from "../../src/window/main.ts";
import { cleanTempAfterEach, pattern, tempFile, tempFolder } from "../support/temp.ts";
import { descriptorsOf, failure, makeResident, PAGE } from "./support.ts";

describe("window managers", () => {
  cleanTempAfterEach();

  function withManager(
    body: (manager: WindowManager) => void,
    options: ConstructorParameters<typeof WindowManager>[0] = {},
  ): void {
    const manager = new WindowManager({ windowSize: PAGE, budget: 8 * PAGE, ...options });
    try {
      body(manager);
    } finally {
      manager.close();
    }
  }

  it("one budget holds over many files", () => {
    withManager((manager) => {
      const files = Array.from({ length: 10 }, () => manager.open(tempFile(pattern(4 * PAGE))));
      for (const file of files)
        for (let window = 0; window < 4; window++) {
          makeResident(file, window * PAGE);
          assert.ok(manager.stats.residentBytes <= 8 * PAGE);
        }
      assert.equal(manager.stats.windows, 8);
      assert.equal(manager.stats.admissions, 40);
      assert.equal(manager.stats.evictions, 32);
      assert.equal(manager.stats.files, 10);
      assert.equal([...manager.files()].length, 10);
      files[9]?.close();
      assert.equal(manager.stats.windows, 4);
      assert.equal(manager.stats.files, 9);
    });
  });

  it("counts hits and misses", () => {
    withManager((manager) => {
      const file = manager.open(tempFile(pattern(4 * PAGE)));
      const target = new Uint8Array(10);
      for (const offset of [5, PAGE + 5, 5, 5, 5]) file.readInto(offset, target);
      const { hits, misses, hitRate, windows } = manager.stats;
      assert.equal(hits + misses, 5);
      assert.equal(hits, 2, "the third touch found what the second mapped");
      assert.equal(hitRate, 2 / 5);
      assert.equal(windows, 1);
    });
  });

  it("cursors on one file share it: it is opened once, also when that is all the manager may open", () => {
    withManager(
      (manager) => {
        const name = tempFile(pattern(PAGE));
        const first = manager.cursor(name);
        const second = manager.cursor(name);
        const third = second.copy();
        const buffer = third.buffer();
        assert.equal(manager.stats.files, 1);
        assert.equal(descriptorsOf(name), 1);
        assert.throws(() => manager.cursor(tempFile("x")), failure("LIMIT", { limit: "files" }));
        assert.throws(() => manager.open(name), failure("LIMIT", { limit: "files" }));
        for (const each of [first, second, third, buffer]) each.close();
        assert.equal(manager.stats.cachedFiles, 1);
        const other = manager.cursor(tempFile("x"));
        assert.equal(manager.stats.files, 1, "the file that no cursor uses made room");
        other.close();
        assert.equal(descriptorsOf(name), 0);
      },
      { maxFiles: 1 },
    );
  });

  it("a buffer that cannot be made leaves no cursor behind", () => {
    withManager((manager) => {
      const cursor = manager.cursor(tempFile(pattern(PAGE)));
      assert.throws(() => cursor.buffer(PAGE + 1), failure("OUT_OF_RANGE"));
      assert.throws(() => cursor.buffer(-1), failure("INVALID_ARGUMENT"));
      assert.throws(() => cursor.buffer(0, -1), failure("INVALID_ARGUMENT"));
      cursor.close();
      manager.collect();
      assert.equal(manager.stats.files, 0);
    });
  });

  it("a file that was replaced is another file: new cursors see it, old ones see what they opened", () => {
    withManager((manager) => {
      const name = tempFile("old old");
      const old = manager.cursor(name).use(0, 3);
      writeFileSync(`${name}.new`, "new");
      renameSync(`${name}.new`, name);
      const fresh = manager.cursor(name).use(0, 3);
      assert.equal(new TextDecoder().decode(old.bytes().slice()), "old");
      assert.equal(new TextDecoder().decode(fresh.bytes().slice()), "new");
      assert.equal(old.fileSize, 7);
      old.close();
      fresh.close();
    });
  });

  it("opens by path, by file: URL and by descriptor, which stays its owner's", () => {
    withManager((manager) => {
      const name = tempFile(pattern(100));
      const fd = openSync(name, "r");
      for (const source of [name, pathToFileURL(name), fd]) assert.equal(manager.open(source).u8(99), 100);
      closeSync(fd);
      for (const file of manager.files()) assert.equal(file.u8(98), 99);
    });
  });

  it("paths that are not ASCII, with spaces, quotes and line ends, name files", () => {
    withManager((manager) => {
      const folder = tempFolder();
      for (const name of ["ünïcödé 漢字 😀", "a b'c\"d", "line\nend", "%41%2f", "-rf", "#?"]) {
        const file = path.join(folder, name);
        writeFileSync(file, name);
        assert.equal(new TextDecoder().decode(manager.open(file).read(0, Buffer.byteLength(name))), name);
        assert.equal(manager.open(pathToFileURL(file)).size, Buffer.byteLength(name));
      }
    });
  });

  it("writes of a read-write file are seen by every view, and are in the file", () => {
    withManager((manager) => {
      const name = tempFile(pattern(4 * PAGE));
      const file = manager.open(name, { mode: "r+" });
      const view = file.view(0, 4 * PAGE);
      const lease = file.lease(PAGE, 100);
      file.write(PAGE + 1, new Uint8Array([250, 251, 252]));
      assert.deepEqual(lease.bytes.slice(1, 4), new Uint8Array([250, 251, 252]));
      assert.equal(view[PAGE + 2], 251);
      lease.bytes[0] = 249;
      assert.equal(file.u8(PAGE), 249);
      file.flush(PAGE, 100);
      file.flush();
      lease.release();
      assert.deepEqual(new Uint8Array(readFileSync(name)).slice(PAGE, PAGE + 4), new Uint8Array([249, 250, 251, 252]));
      file.write(6 * PAGE, new Uint8Array([7]));
      assert.equal(file.size, 6 * PAGE + 1);
      assert.equal(file.u8(6 * PAGE), 7);
      assert.equal(file.u8(5 * PAGE), 0);
      assert.equal(view.length, 4 * PAGE);
      assert.equal(view[PAGE], 249);
    });
  });

  it("a read-only file refuses writes, and takes writes through its views back", () => {
    const data = pattern(2 * PAGE);
    const name = tempFile(data);
    const file = openWindows(name, { windowSize: PAGE, budget: 2 * PAGE });
    assert.throws(() => file.write(0, new Uint8Array(1)), failure("READ_ONLY"));
    assert.throws(() => file.flush(), failure("READ_ONLY"));
    const lease = file.lease(0, 10);
    lease.bytes[3] = 99;
    assert.throws(() => lease.release(), failure("READ_ONLY"));
    assert.deepEqual(file.read(0, 10), data.slice(0, 10));
    file.close();
    assert.deepEqual(new Uint8Array(readFileSync(name)), data);
  });

  it("views and leases of any length up to the file's cross windows without a copy", () => {
    const data = pattern(20 * PAGE + 5);
    withManager((manager) => {
      const file = manager.open(tempFile(data));
      for (const [offset, length] of [
        [0, data.length],
        [PAGE - 1, 2],
        [3, 0],
        [data.length, 0],
        [data.length - 1, 1],
      ] as const) {
        assert.deepEqual(file.view(offset, length), data.subarray(offset, offset + length));
        const lease = file.lease(offset, length);
        assert.deepEqual(lease.bytes, data.subarray(offset, offset + length));
        lease.release();
        lease.release();
      }
      assert.equal(file.leases, 0);
      assert.equal(manager.stats.pinnedBytes, 0);
      assert.equal(file.view(0, 10).buffer, file.view(PAGE, 10).buffer);
    });
  });

  it("advice and prefetch change nothing that is read", () => {
    const data = pattern(8 * PAGE);
    withManager((manager) => {
      const file = manager.open(tempFile(data));
      file.prefetch(0, file.size);
      for (const kind of ["normal", "sequential", "random", "willneed"] as const) file.advise(kind);
      assert.throws(() => file.advise("nothing" as "random"), failure("INVALID_ARGUMENT"));
      assert.throws(() => file.prefetch(0, file.size + 1), failure("OUT_OF_RANGE"));
      assert.deepEqual(file.read(0, file.size), data);
    });
  });

  it("an empty file has nothing to read, and everything that reads nothing works", async () => {
    for (const windowSize of [PAGE, "file"] as const) {
      const file = openWindows(tempFile(""), { windowSize, budget: 4 * PAGE, strict: true });
      assert.equal(file.size, 0);
      assert.equal(file.read(0, 0).length, 0);
      assert.equal(file.view(0, 0).length, 0);
      const lease = file.lease(0, 0);
      assert.equal(lease.bytes.length, 0);
      lease.release();
      file.readInto(0, new Uint8Array(0));
      assert.equal([...file.lines()].length + [...file.chunks()].length, 0);
      assert.equal(file.indexOf("x"), -1);
      assert.equal(file.indexOf(""), 0);
      assert.equal(file.blob().size, 0);
      assert.equal((await file.stream().getReader().read()).done, true);
      file.prefetch(0, 0);
      file.advise("random");
      assert.equal(file.refresh(), 0);
      for (const fail of [() => file.u8(0), () => file.read(0, 1), () => file.lease(0, 1), () => file.view(0, 1)])
        assert.throws(fail, failure("OUT_OF_RANGE", { size: 0 }));
      file.close();
    }
    withManager((manager) => {
      const cursor = manager.cursor(tempFile(""));
      assert.equal(cursor.use().isValid, false);
      assert.equal(cursor.buffer().length, 0);
      cursor.close();
    });
  });

  it("everything that was closed says so, again and again, and nothing stays behind", () => {
    const manager = new WindowManager({ windowSize: PAGE, budget: 8 * PAGE });
    const file = manager.open(tempFile(pattern(4 * PAGE)), { mode: "r+" });
    makeResident(file, 0);
    const lines = file.lines();
    file.close();
    file.close();
    assert.equal(file.closed, true);
    const target = new Uint8Array(4);
    for (let round = 0; round < 4; round++) {
      for (const use of [
        () => file.read(0, 4),
        () => file.readInto(0, target),
        () => file.readInto(round, target),
        () => file.lease(0, 4),
        () => file.view(0, 4),
        () => file.u8(0),
        () => file.f64(PAGE - 4),
        () => file.indexOf("x"),
        () => [...file.chunks()],
        () => lines.next(),
        () => file.stream(),
        () => file.blob(),
        () => file.write(0, target),
        () => file.flush(),
        () => file.refresh(),
        () => file.prefetch(0, 4),
        () => file.advise("random"),
        () => file.handle(),
      ].filter((_, index) => index !== 9 || round === 0))
        assert.throws(use, failure("CLOSED"), String(use));
    }
    assert.equal(manager.stats.windows, 0);
    assert.equal(manager.stats.residentBytes, 0);
    const other = manager.open(tempFile(pattern(PAGE)));
    const cursor = manager.cursor(other.path);
    manager.close();
    manager.close();
    assert.equal(other.closed, true);
    for (const use of [
      () => manager.open(other.path),
      () => manager.cursor(other.path),
      () => manager.collect(),
      () => manager.closeUnder("/"),
      () => other.u8(0),
      () => cursor.use(0, 1),
      () => cursor.copy(),
    ])
      assert.throws(use, failure("CLOSED"), String(use));
    cursor.close();
  });

  it("closing while leased ends the leases: their views have length 0, releasing them does nothing", () => {
    withManager((manager) => {
      const file = manager.open(tempFile(pattern(4 * PAGE)));
      const lease = file.lease(0, 2 * PAGE);
      const view = file.view(PAGE, 10);
      file.close();
      assert.equal(lease.bytes.length, 0);
      assert.equal(lease.length, 2 * PAGE);
      assert.equal(view.length, 0);
      assert.equal(view[0], undefined);
      assert.equal(lease.released, false);
      lease.release();
      lease.release();
      assert.equal(lease.released, true);
      assert.deepEqual([manager.stats.pinnedBytes, manager.stats.windows], [0, 0]);
    });
  });

  it("closeUnder and close go through all files, also when one tells that it was truncated", () => {
    for (const way of ["closeUnder", "close"] as const) {
      const manager = new WindowManager({ windowSize: PAGE, budget: 8 * PAGE });
      const folder = tempFolder();
      const files = ["a", "b", "c"].map((name) => {
        writeFileSync(path.join(folder, name), pattern(4 * PAGE));
        return manager.open(path.join(folder, name));
      });
      for (const file of files) file.lease(0, 4 * PAGE).release();
      truncateSync(path.join(folder, "a"), 10);
      assert.throws(() => (way === "close" ? manager.close() : manager.closeUnder(folder)), failure("TRUNCATED"));
      assert.deepEqual(
        files.map((file) => file.closed),
        [true, true, true],
      );
      assert.deepEqual([manager.stats.files, manager.stats.residentBytes], [0, 0]);
      manager.close();
    }
  });

  it("a descriptor of the wrong kind or access is a typed error", () => {
    const name = tempFile(pattern(4 * PAGE));
    const reads = openSync(name, "r");
    const appends = openSync(name, "a");
    const folder = openSync(tempFolder(), "r");
    try {
      withManager((manager) => {
        const writable = manager.open(reads, { mode: "r+" });
        assert.throws(() => writable.write(0, new Uint8Array(1)), failure("SYSTEM", { errno: "EBADF" }));
        assert.throws(() => writable.lease(0, 1), failure("PERMISSION"));
        assert.equal(writable.u8(3), 4);
        const unreadable = manager.open(appends);
        assert.throws(() => unreadable.read(0, 1), failure("SYSTEM", { errno: "EBADF" }));
        assert.throws(() => unreadable.lease(0, 1), failure("PERMISSION"));
        assert.throws(() => manager.open(folder), failure("UNSUPPORTED_FILE", { kind: "a directory" }));
        assert.equal(manager.stats.pinnedBytes, 0);
      });
    } finally {
      for (const fd of [reads, appends, folder]) closeSync(fd);
    }
  });

  it("reading into a view of a read-only file is an error, not the end of the process", () => {
    const data = pattern(4 * PAGE);
    withManager((manager) => {
      const file = manager.open(tempFile(data));
      const other = manager.open(tempFile(pattern(4 * PAGE, 100)));
      for (let round = 0; round < 4; round++) {
        const view = other.view(0, 100);
        const both = (): void => {
          file.readInto(50 * round, view);
          other.view(0, 1);
        };
        assert.throws(both, OutcoreError);
        assert.deepEqual(other.read(0, 100), pattern(100, 100));
      }
      assert.deepEqual(file.read(0, 4 * PAGE), data);
    });
  });

  it("dispose closes", () => {
    const manager = new WindowManager({ windowSize: PAGE, budget: PAGE });
    const name = tempFile(pattern(PAGE));
    const file = manager.open(name);
    const cursor = manager.cursor(name).use(0, 1);
    const buffer = cursor.buffer();
    const lease = file.lease(0, 1);
    for (const each of [lease, buffer, cursor, file, manager]) each[Symbol.dispose]();
    assert.deepEqual(
      [lease.released, buffer.length, cursor.isAssociated, file.closed, manager.closed],
      [true, 0, false, true, true],
    );
  });

  it("a file deleted while open is read to its end", () => {
    const data = pattern(8 * PAGE);
    const name = tempFile(data);
    const file = openWindows(name, { windowSize: PAGE, budget: 2 * PAGE });
    const lease = file.lease(0, PAGE);
    rmSync(name);
    assert.deepEqual(file.read(0, data.length), data);
    assert.deepEqual(lease.bytes, data.subarray(0, PAGE));
    lease.release();
    file.close();
  });

  it("windows longer than a view: typed reads, copies and leases anywhere in them", () => {
    const name = tempFile("");
    const end = 3 * 2 ** 30 + 100;
    const fd = openSync(name, "r+");
    try {
      for (const [offset, text] of [
        [2 ** 30 - 4, "12345678"],
        [end - 8, "the last"],
      ] as const)
        writeAt(fd, offset, text);
    } finally {
      closeSync(fd);
    }
    const middle = new DataView(new TextEncoder().encode("12345678").buffer).getBigUint64(0, true);
    const last = new DataView(new TextEncoder().encode("the last").buffer).getBigUint64(0, true);
    for (const windowSize of ["file", 3 * 2 ** 29 + PAGE] as const) {
      withManager(
        (manager) => {
          const file = manager.open(name);
          for (let round = 0; round < 4; round++) {
            assert.equal(file.u8(0), 0);
            assert.equal(file.u64(2 ** 30 - 4), middle);
            assert.equal(file.u64(end - 8), last);
            assert.equal(file.u8(2 ** 31), 0);
            assert.equal(file.u64(3 * 2 ** 29 + PAGE - 4), 0n);
            assert.equal(file.u8(2 ** 30), 53);
            assert.deepEqual(file.read(2 ** 30 - 1, 2), new Uint8Array([52, 53]));
          }
          assert.equal(file.lease(2 ** 30 - 1, 2).bytes[1], 53);
          assert.equal(file.indexOf("the last", end - 100), end - 8);
        },
        { windowSize, budget: 2 ** 33 },
      );
    }
  });

  it("a range beyond 4 GiB of a sparse file is read, viewed and searched at its end", () => {
    const name = tempFile("");
    const end = 2 ** 32 + 3 * PAGE + 5;
    const fd = openSync(name, "r+");
    try {
      writeAt(fd, end - 12, "the very end");
    } finally {
      closeSync(fd);
    }
    withManager(
      (manager) => {
        const file = manager.open(name);
        const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes.slice());
        assert.equal(file.size, end);
        for (let round = 0; round < 3; round++) assert.equal(text(file.read(end - 12, 12)), "the very end");
        const lease = file.lease(end - 12, 12);
        assert.equal(text(lease.bytes), "the very end");
        lease.release();
        assert.equal(text(file.view(end - 8, 8)), "very end");
        assert.equal(file.view(end - 2 ** 30, 2 ** 30)[2 ** 30 - 1], 100);
        assert.equal(file.u8(end - 1), 100);
        assert.equal(file.u32(2 ** 32 - 2), 0);
        assert.equal(file.indexOf("very", 2 ** 32 - 5), end - 8);
        assert.deepEqual([...file.lines({ from: end - 12 })], ["the very end"]);
        assert.throws(() => file.view(0, 2 ** 30 + 1), failure("INVALID_ARGUMENT"));
        assert.throws(() => file.lease(end - 1, 2), failure("OUT_OF_RANGE"));
        assert.throws(() => file.u16(end - 1), failure("OUT_OF_RANGE"));
        const cursor = manager.cursor(name).use(end - 12, 100);
        assert.equal(text(cursor.bytes()), "the very end");
        cursor.close();
      },
      { windowSize: 2 ** 20, budget: 2 ** 24 },
    );
  });
});

function writeAt(fd: number, offset: number, text: string): void {
  const file = openWindows(fd, { mode: "r+" });
  file.write(offset, new TextEncoder().encode(text));
  file.close();
}
