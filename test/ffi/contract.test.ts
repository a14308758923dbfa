import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import { native } from "../../ffi/load.ts";
import { collect } from "../support/run.ts";
import { cleanTempAfterEach, pattern, tempFile, tempFolder } from "../support/temp.ts";

cleanTempAfterEach();

const { calls, buffer, longestBuffer } = native();

/* Numbers of c/outcore.h. */
const OPEN = { read: 0, write: 1, create: 2, exclusive: 4, truncate: 8, nofollow: 16, directory: 32 };
const PROT = { none: 0, read: 1, write: 2 };
const MAP = { shared: 1, private: 2, anonymous: 4, fixed: 8, populate: 16 };
const LOCK = { none: 0, shared: 1, exclusive: 2 };
const GIB = 2 ** 30;
const page = calls.oc_page_size();

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`);

function nameOf(number: number): string {
  const out = new Uint8Array(64);
  return new TextDecoder().decode(out.subarray(0, calls.oc_errno_name(number, out, out.length)));
}

/** The name of the error that a call returned. */
function errnoOf(result: number): string {
  assert.ok(result < 0, `${result} is no error`);
  return nameOf(-result);
}

const descriptors: number[] = [];

function open(file: string, flags = OPEN.write, mode = 0o600): number {
  const fd = calls.oc_open(bytesOf(file), flags, mode);
  if (fd >= 0) descriptors.push(fd);
  return fd;
}

function sparse(size: number): number {
  const fd = open(path.join(tempFolder(), "sparse"), OPEN.write | OPEN.create);
  assert.equal(calls.oc_truncate(fd, size), 0);
  return fd;
}

function map(
  length: number,
  protection = PROT.write,
  flags = MAP.private | MAP.anonymous,
  fd = -1,
  offset = 0,
): number {
  const address = calls.oc_map(0, length, protection, flags, fd, offset);
  assert.ok(address > 0, `map: ${address < 0 ? nameOf(-address) : address}`);
  return address;
}

afterEach(() => {
  for (const fd of descriptors.splice(0)) calls.oc_close(fd, 0);
});

describe("the C library", () => {
  it("names its backend, runtime and library", () => {
    const { backend, runtime, libraryPath } = native();
    assert.ok(["bun-ffi", "deno-ffi", "koffi", "node-ffi"].includes(backend));
    assert.match(runtime, /^(bun|deno|node) \d+\.\d+/);
    assert.ok(fs.existsSync(libraryPath));
  });

  it("tells pages and granularity", () => {
    assert.ok(page >= 4096 && Number.isInteger(Math.log2(page)));
    assert.equal(calls.oc_map_granularity() % page, 0);
  });

  it("names errors", () => {
    for (const [name, number] of Object.entries({ EPERM: 1, ENOENT: 2, EIO: 5, EBADF: 9, ENOMEM: 12, EINVAL: 22 }))
      assert.equal(nameOf(number), name);
    assert.equal(nameOf(0), "");
    assert.equal(nameOf(99999), "");
    assert.equal(nameOf(-1), "");
    const short = new Uint8Array(3);
    assert.equal(calls.oc_errno_name(2, short, 3), 3);
    assert.equal(new TextDecoder().decode(short), "ENO");
    assert.equal(calls.oc_errno_name(2, short, 0), 0);
  });

  it("tells features and limits", () => {
    for (let which = 0; which < 6; which++) assert.ok([0, 1].includes(calls.oc_feature(which)), `feature ${which}`);
    for (let which = 0; which < 9; which++) {
      const value = calls.oc_limit(which);
      assert.ok(value >= 0 || errnoOf(value) === "ENOSYS", `limit ${which} is ${value}`);
    }
    for (const which of [-1, 1000]) {
      assert.equal(errnoOf(calls.oc_feature(which)), "EINVAL");
      assert.equal(errnoOf(calls.oc_limit(which)), "EINVAL");
    }
  });

  it("counts descriptors", () => {
    const before = calls.oc_limit(1);
    const fd = open(tempFile("x"));
    assert.equal(calls.oc_limit(1), before + 1);
    calls.oc_close(fd, 0);
    descriptors.pop();
    assert.equal(calls.oc_limit(1), before);
  });

  it("has one monotonic clock and this process's number", () => {
    const before = calls.oc_monotonic();
    assert.ok(before > 0 && calls.oc_monotonic() >= before);
    assert.equal(calls.oc_pid(), process.pid);
  });

  it("has counters that all threads share", () => {
    const words = new Int32Array(buffer(calls.oc_shared(), 256));
    const before = words[0] ?? 0;
    const address = map(page);
    assert.equal(words[0], before + 1);
    calls.oc_unmap(address, page);
    assert.equal(words[0], before);
  });
});

describe("descriptors", () => {
  it("opens, and says why not", () => {
    const file = tempFile("hello");
    const folder = path.dirname(file);
    assert.ok(open(file, OPEN.read) > 2);
    assert.equal(errnoOf(open(path.join(folder, "none"))), "ENOENT");
    assert.equal(errnoOf(open(file, OPEN.write | OPEN.create | OPEN.exclusive)), "EEXIST");
    assert.equal(errnoOf(open(file, OPEN.read | OPEN.directory)), "ENOTDIR");
    assert.equal(errnoOf(open(folder, OPEN.write)), "EISDIR");
    assert.equal(errnoOf(open(`/${"x".repeat(300)}`)), "ENAMETOOLONG");
    assert.equal(errnoOf(open("")), "ENOENT");
    assert.ok(open(folder, OPEN.read | OPEN.directory) > 2);
    fs.symlinkSync(file, path.join(folder, "link"));
    assert.ok(open(path.join(folder, "link"), OPEN.read) > 2);
    assert.equal(errnoOf(open(path.join(folder, "link"), OPEN.read | OPEN.nofollow)), "ELOOP");
  });

  it("takes names that are not ASCII", () => {
    const file = path.join(tempFolder(), "größe-日本-🗺");
    fs.writeFileSync(file, "abc");
    assert.equal(calls.oc_size(open(file, OPEN.read), 0), 3);
  });

  it("makes files with the mode asked for, and empties them", () => {
    const file = path.join(tempFolder(), "new");
    const fd = open(file, OPEN.write | OPEN.create, 0o640);
    assert.equal(fs.statSync(file).mode & 0o777 & ~process.umask(), 0o640 & ~process.umask());
    assert.equal(calls.oc_pwrite(fd, pattern(10), 0, 10, 0), 10);
    open(file, OPEN.write | OPEN.truncate);
    assert.equal(calls.oc_size(fd, 0), 0);
  });

  it("does not wait for the other end of a FIFO", () => {
    const fifo = path.join(tempFolder(), "fifo");
    execFileSync("mkfifo", [fifo]);
    const fd = open(fifo, OPEN.read);
    const out = new Float64Array(12);
    assert.equal(calls.oc_stat(fd, out), 0);
    assert.equal(out[1], 3);
  });

  it("closes and duplicates", () => {
    const fd = open(tempFile("abc"));
    const copy = calls.oc_dup(fd, 0);
    assert.ok(copy > 2 && copy !== fd);
    assert.equal(calls.oc_close(fd, 0), 0);
    descriptors.pop();
    assert.equal(calls.oc_size(copy, 0), 3);
    assert.equal(calls.oc_close(copy, 0), 0);
    assert.equal(errnoOf(calls.oc_close(copy, 0)), "EBADF");
    assert.equal(errnoOf(calls.oc_dup(-1, 0)), "EBADF");
  });

  it("stats", () => {
    const file = tempFile(pattern(5000));
    const out = new Float64Array(12);
    assert.equal(calls.oc_stat(open(file), out), 0);
    const status = fs.statSync(file, { bigint: true });
    assert.equal(out[0], 5000);
    assert.equal(out[1], 1);
    assert.equal(out[2], Number(status.dev));
    assert.equal((BigInt(out[4] ?? 0) << 32n) | BigInt(out[3] ?? 0), status.ino);
    assert.ok((out[6] ?? 0) >= 5000);
    assert.ok(Math.abs((out[7] ?? 0) - Number(status.mtimeMs) / 1000) < 1);
    assert.equal(out[8], 1);
    assert.equal(out[9], Number(status.mode) & 0o7777);
    assert.equal(out[10], Number(status.uid));
    assert.equal(errnoOf(calls.oc_stat(-1, out)), "EBADF");
    assert.equal(errnoOf(calls.oc_size(-1, 0)), "EBADF");
  });

  it("tells kinds of file systems, and their room", () => {
    const out = new Float64Array(12);
    assert.equal(calls.oc_room(bytesOf(tempFolder()), out), 0);
    assert.ok((out[0] ?? -1) >= 0 && (out[1] ?? -1) >= (out[0] ?? 0));
    assert.equal(errnoOf(calls.oc_room(bytesOf("/does/not/exist"), out)), "ENOENT");
    if (process.platform !== "linux") return;
    calls.oc_stat(open("/proc/self/status", OPEN.read), out);
    assert.equal(out[11], 3);
    calls.oc_room(bytesOf("/dev/shm"), out);
    assert.equal(out[2], 1);
  });

  it("reads and writes parts of buffers", () => {
    const fd = open(tempFile(""));
    assert.equal(calls.oc_pwrite(fd, pattern(100), 10, 50, 5), 50);
    assert.equal(calls.oc_size(fd, 0), 55);
    const target = new Uint8Array(100).fill(255);
    assert.equal(calls.oc_pread(fd, target, 20, 70, 0), 55);
    assert.deepEqual([...target.subarray(20, 25)], [0, 0, 0, 0, 0]);
    assert.deepEqual(target.subarray(25, 75), pattern(100).subarray(10, 60));
    assert.ok(target.subarray(0, 20).every((byte) => byte === 255));
    assert.ok(target.subarray(75).every((byte) => byte === 255));
    assert.equal(calls.oc_pread(fd, target, 0, 10, 55), 0);
    assert.equal(calls.oc_pread(fd, target, 0, 0, 0), 0);
  });

  it("addresses a view at its own start, not its buffer's", () => {
    const fd = open(tempFile(pattern(64)));
    const whole = new Uint8Array(64);
    assert.equal(calls.oc_pread(fd, whole.subarray(16, 48), 8, 8, 0), 8);
    assert.deepEqual(whole.subarray(24, 32), pattern(8));
    assert.ok(whole.subarray(0, 24).every((byte) => byte === 0));
    const numbers = new Float64Array(4).subarray(2);
    assert.equal(calls.oc_pread(fd, numbers, 0, 16, 0), 16);
    assert.deepEqual(new Uint8Array(numbers.buffer, 16, 16), pattern(16));
  });

  it("says why reading and writing fail", () => {
    const file = tempFile("abc");
    const bytes = new Uint8Array(8);
    assert.equal(errnoOf(calls.oc_pread(-1, bytes, 0, 8, 0)), "EBADF");
    assert.equal(errnoOf(calls.oc_pwrite(open(file, OPEN.read), bytes, 0, 8, 0)), "EBADF");
    assert.equal(errnoOf(calls.oc_pread(open(file), bytes, 0, 8, -1)), "EINVAL");
    assert.equal(errnoOf(calls.oc_pread(open(path.dirname(file), OPEN.read), bytes, 0, 8, 0)), "EISDIR");
    assert.equal(errnoOf(calls.oc_truncate(open(file, OPEN.read), 1)), "EINVAL");
    assert.equal(errnoOf(calls.oc_truncate(open(file), -1)), "EINVAL");
    assert.equal(errnoOf(calls.oc_truncate(-1, 1)), "EBADF");
    assert.equal(errnoOf(calls.oc_sync(-1, 0)), "EBADF");
    assert.ok(calls.oc_sync_begin(-1, 0, 1) < 0);
    assert.equal(errnoOf(calls.oc_allocate(-1, 0, 1)), "EBADF");
    assert.equal(errnoOf(calls.oc_allocate(open(file), 0, -1)), "EINVAL");
    assert.ok(calls.oc_punch(-1, 0, 1) < 0);
    assert.ok(calls.oc_fadvise(-1, 0, 1, 0) < 0);
    assert.equal(errnoOf(calls.oc_fadvise(open(file), 0, 1, 77)), "EINVAL");
  });

  it("keeps offsets beyond 2^32 exact", () => {
    const far = 2 ** 32 + 2 ** 20 + 5;
    const fd = sparse(far);
    assert.equal(calls.oc_size(fd, 0), far);
    assert.equal(calls.oc_pwrite(fd, pattern(16), 0, 16, far), 16);
    assert.equal(calls.oc_size(fd, 0), far + 16);
    const got = new Uint8Array(20);
    assert.equal(calls.oc_pread(fd, got, 0, 20, far - 4), 20);
    assert.deepEqual([...got.subarray(0, 5)], [0, 0, 0, 0, 1]);
    assert.equal(calls.oc_truncate(fd, 2 ** 43 + 1), 0);
    assert.equal(calls.oc_size(fd, 0), 2 ** 43 + 1);
    const out = new Float64Array(12);
    calls.oc_stat(fd, out);
    assert.equal(out[0], 2 ** 43 + 1);
  });

  it("allocates, punches and advises", () => {
    const fd = open(tempFile(""));
    const out = new Float64Array(12);
    assert.equal(calls.oc_allocate(fd, 0, 16 * page), 0);
    calls.oc_stat(fd, out);
    assert.equal(out[0], 16 * page);
    assert.ok((out[6] ?? 0) >= 16 * page);
    assert.equal(calls.oc_pwrite(fd, new Uint8Array(16 * page).fill(7), 0, 16 * page, 0), 16 * page);
    assert.equal(calls.oc_punch(fd, page, page), 0);
    const got = new Uint8Array(3 * page);
    calls.oc_pread(fd, got, 0, 3 * page, 0);
    assert.deepEqual([got[page - 1], got[page], got[2 * page - 1], got[2 * page]], [7, 0, 0, 7]);
    const begun = calls.oc_sync_begin(fd, 0, 16 * page);
    assert.ok(begun === 0 || errnoOf(begun) === "ENOSYS");
    assert.equal(calls.oc_sync(fd, 1), 0);
    assert.equal(calls.oc_sync(fd, 0), 0);
    for (let kind = 0; kind <= 4; kind++) assert.equal(calls.oc_fadvise(fd, 0, page, kind), 0);
  });

  it("locks ranges for an open file, not for a process", () => {
    const file = tempFile("abc");
    const [a, b] = [open(file), open(file)];
    assert.equal(calls.oc_lock(a, LOCK.exclusive, 10, 10), 0);
    assert.equal(errnoOf(calls.oc_lock(b, LOCK.exclusive, 19, 1)), "EAGAIN");
    assert.equal(errnoOf(calls.oc_lock(b, LOCK.shared, 0, 0)), "EAGAIN");
    assert.equal(calls.oc_lock(b, LOCK.exclusive, 20, 10), 0);
    assert.equal(calls.oc_lock(b, LOCK.shared, 2 ** 45, 1), 0);
    assert.equal(calls.oc_lock(a, LOCK.shared, 2 ** 45, 1), 0);
    assert.equal(errnoOf(calls.oc_lock(a, LOCK.exclusive, 2 ** 45, 1)), "EAGAIN");
    assert.equal(calls.oc_lock(a, LOCK.none, 10, 5), 0);
    assert.equal(calls.oc_lock(b, LOCK.exclusive, 10, 5), 0);
    assert.equal(errnoOf(calls.oc_lock(b, LOCK.exclusive, 15, 1)), "EAGAIN");
    fs.readFileSync(file);
    assert.equal(errnoOf(calls.oc_lock(b, LOCK.exclusive, 15, 1)), "EAGAIN");
    assert.equal(errnoOf(calls.oc_lock(a, 9, 0, 1)), "EINVAL");
    assert.equal(errnoOf(calls.oc_lock(-1, LOCK.shared, 0, 1)), "EBADF");
  });
});

describe("names", () => {
  const name = (): string => `outcore-test-${process.pid}-${Math.random().toString(36).slice(2)}`;

  it("makes, opens and removes shared memory objects", () => {
    const object = bytesOf(name());
    assert.equal(errnoOf(calls.oc_object_open(object, OPEN.write, 0)), "ENOENT");
    const fd = calls.oc_object_open(object, OPEN.write | OPEN.create | OPEN.exclusive, 0o600);
    assert.ok(fd > 2);
    descriptors.push(fd);
    assert.equal(calls.oc_truncate(fd, 4096), 0);
    assert.equal(errnoOf(calls.oc_object_open(object, OPEN.write | OPEN.create | OPEN.exclusive, 0o600)), "EEXIST");
    const again = calls.oc_object_open(object, OPEN.read, 0);
    descriptors.push(again);
    assert.equal(calls.oc_size(again, 0), 4096);
    assert.equal(calls.oc_object_unlink(object, 0), 0);
    assert.equal(errnoOf(calls.oc_object_unlink(object, 0)), "ENOENT");
  });

  it("refuses names with a slash, without a letter, or too long", () => {
    assert.equal(errnoOf(calls.oc_object_open(bytesOf("a/b"), OPEN.read, 0)), "EINVAL");
    assert.equal(errnoOf(calls.oc_object_open(bytesOf(""), OPEN.read, 0)), "EINVAL");
    assert.equal(errnoOf(calls.oc_object_open(bytesOf("x".repeat(300)), OPEN.read, 0)), "ENAMETOOLONG");
    assert.equal(errnoOf(calls.oc_object_unlink(bytesOf("a/b"), 0)), "EINVAL");
  });

  it("makes memory files, and files without a name that get one when they are whole", () => {
    const memory = calls.oc_memory_file(bytesOf("label"), 0);
    if (memory < 0) assert.equal(errnoOf(memory), "ENOSYS");
    else {
      descriptors.push(memory);
      assert.equal(calls.oc_pwrite(memory, pattern(9), 0, 9, 0), 9);
    }
    const folder = tempFolder();
    const fd = calls.oc_unnamed(bytesOf(folder), 0o600);
    if (fd < 0) {
      assert.ok(["ENOSYS", "ENOTSUP"].includes(errnoOf(fd)));
      return;
    }
    descriptors.push(fd);
    calls.oc_pwrite(fd, pattern(9), 0, 9, 0);
    assert.deepEqual(fs.readdirSync(folder), []);
    assert.equal(calls.oc_link(fd, bytesOf(path.join(folder, "named"))), 0);
    assert.deepEqual(new Uint8Array(fs.readFileSync(path.join(folder, "named"))), pattern(9));
    assert.equal(errnoOf(calls.oc_link(fd, bytesOf(path.join(folder, "named")))), "EEXIST");
    assert.equal(errnoOf(calls.oc_unnamed(bytesOf(path.join(folder, "none")), 0o600)), "ENOENT");
    assert.ok(calls.oc_link(-1, bytesOf(path.join(folder, "other"))) < 0);
  });
});

describe("memory", () => {
  it("maps files and views them without a copy", () => {
    const file = tempFile(pattern(3 * page));
    const fd = open(file);
    const address = map(3 * page, PROT.write, MAP.shared, fd);
    const view = new Uint8Array(buffer(address, 3 * page));
    assert.deepEqual(view, pattern(3 * page));
    view[page] = 99;
    assert.equal(calls.oc_flush(address, 3 * page, 1), 0);
    assert.equal(calls.oc_flush(address, 3 * page, 0), 0);
    assert.equal(fs.readFileSync(file)[page], 99);
    calls.oc_pwrite(fd, new Uint8Array([98]), 0, 1, page + 1);
    assert.equal(view[page + 1], 98);
    view.buffer.transfer(0);
    assert.equal(calls.oc_unmap(address, 3 * page), 0);
  });

  it("maps from an offset, and privately", () => {
    const file = tempFile(pattern(3 * page));
    const address = map(page, PROT.write, MAP.private | MAP.populate, open(file, OPEN.read), page);
    const view = new Uint8Array(buffer(address, page));
    assert.deepEqual(view, pattern(page, page));
    view.fill(0);
    assert.deepEqual(new Uint8Array(fs.readFileSync(file)), pattern(3 * page));
    view.buffer.transfer(0);
    calls.oc_unmap(address, page);
  });

  it("says why it cannot map", () => {
    const fd = open(tempFile(pattern(page)), OPEN.read);
    assert.equal(errnoOf(calls.oc_map(0, 0, PROT.read, MAP.shared, fd, 0)), "EINVAL");
    assert.equal(errnoOf(calls.oc_map(0, page, PROT.read, MAP.shared, fd, 1)), "EINVAL");
    assert.equal(errnoOf(calls.oc_map(0, page, PROT.read, MAP.shared, -1, 0)), "EBADF");
    assert.equal(errnoOf(calls.oc_map(0, page, PROT.write, MAP.shared, fd, 0)), "EACCES");
    assert.equal(errnoOf(calls.oc_map(0, 2 ** 52, PROT.read, MAP.private | MAP.anonymous, -1, 0)), "ENOMEM");
    assert.equal(errnoOf(calls.oc_unmap(1, page)), "EINVAL");
    assert.equal(errnoOf(calls.oc_flush(1, page, 1)), "EINVAL");
    assert.ok(calls.oc_protect(2 ** 46, page, PROT.read) < 0);
    assert.ok(calls.oc_resident(2 ** 46, page) < 0);
    assert.ok(calls.oc_pin(2 ** 46, page, 1) < 0);
    assert.equal(errnoOf(calls.oc_advise(0, page, 99)), "EINVAL");
  });

  it("views lengths from 1 byte to beyond 4 GiB", () => {
    const length = 5 * GIB;
    const fd = sparse(length);
    const far = 2 ** 32 + 123;
    calls.oc_pwrite(fd, pattern(8), 0, 8, far);
    calls.oc_pwrite(fd, pattern(8), 0, 8, length - 8);
    const address = map(length, PROT.write, MAP.shared, fd);
    for (const size of [1, 4095, page, page + 1, GIB, Math.min(longestBuffer, length)]) {
      const whole = buffer(address, size);
      assert.equal(whole.byteLength, size);
      assert.equal(new Uint8Array(whole, size - 1, 1).length, 1);
      whole.transfer(0);
    }
    const tail = new Uint8Array(buffer(address + far, 8));
    assert.deepEqual(tail, pattern(8));
    if (longestBuffer >= length) {
      const whole = buffer(address, length);
      assert.deepEqual(new Uint8Array(whole, length - 8, 8), pattern(8));
      assert.deepEqual(new Uint8Array(whole, far, 8), pattern(8));
      whole.transfer(0);
    }
    tail.buffer.transfer(0);
    calls.oc_unmap(address, length);
  });

  it("detaches: every view of a transferred buffer has length 0", async () => {
    const address = map(16 * page);
    const whole = buffer(address, 16 * page);
    const bytes = new Uint8Array(whole);
    const numbers = new Float64Array(whole, 8, 100);
    const data = new DataView(whole);
    const words = new Int32Array(whole);
    bytes.fill(5);
    whole.transfer(0);
    assert.ok(whole.detached);
    assert.equal(whole.byteLength, 0);
    assert.deepEqual([bytes.length, numbers.length, words.byteLength, bytes[0]], [0, 0, 0, undefined]);
    assert.throws(() => data.getUint8(0), TypeError);
    assert.throws(() => bytes.fill(1), TypeError);
    assert.throws(() => Atomics.load(words, 0));
    assert.equal(calls.oc_unmap(address, 16 * page), 0);
    bytes[0] = 1;
    await collect();
    assert.equal(bytes[0], undefined);
  });

  it("views overlapping ranges, and one range twice", () => {
    const address = map(2 * page);
    const [a, b, c] = [buffer(address, 2 * page), buffer(address, 2 * page), buffer(address + page, page)];
    new Uint8Array(a)[page + 3] = 77;
    assert.equal(new Uint8Array(b)[page + 3], 77);
    assert.equal(new Uint8Array(c)[3], 77);
    for (const each of [a, b, c]) each.transfer(0);
    calls.oc_unmap(address, 2 * page);
  });

  it("protects, advises, counts and pins pages", () => {
    const address = map(16 * page);
    const view = new Uint8Array(buffer(address, 16 * page));
    view.fill(1, 0, 4 * page);
    assert.ok(calls.oc_resident(address, 16 * page) >= 4 * page);
    for (let kind = 0; kind <= 12; kind++) {
      const result = calls.oc_advise(address, 16 * page, kind);
      assert.ok(result === 0 || ["EINVAL", "ENOSYS"].includes(errnoOf(result)), `advice ${kind}`);
    }
    assert.equal(calls.oc_pin(address, page, 1), 0);
    assert.equal(calls.oc_pin(address, page, 0), 0);
    assert.equal(calls.oc_protect(address, page, PROT.read), 0);
    assert.equal(calls.oc_protect(address, page, PROT.none), 0);
    assert.equal(calls.oc_protect(address, page, PROT.write), 0);
    view[0] = 3;
    assert.equal(view[0], 3);
    view.buffer.transfer(0);
    calls.oc_unmap(address, 16 * page);
  });

  it("buries a range: zeros that can be read and written", () => {
    const words = new Int32Array(buffer(calls.oc_shared(), 256));
    const buried = words[1] ?? 0;
    const address = map(4 * page);
    const view = new Uint8Array(buffer(address, 4 * page)).fill(9);
    assert.equal(calls.oc_bury(address, 4 * page), 0);
    assert.equal(words[1], buried + 1);
    assert.ok(view.every((byte) => byte === 0));
    view.fill(3);
    assert.equal(view[4 * page - 1], 3);
  });

  it("retires a range: zeros for a while, then given back", () => {
    const words = new Int32Array(buffer(calls.oc_shared(), 256));
    const before = words[0] ?? 0;
    const address = map(4 * page);
    const view = new Uint8Array(buffer(address, 4 * page)).fill(9);
    assert.equal(calls.oc_retire(address, 4 * page), 0);
    assert.equal(words[0], before);
    assert.ok(view.every((byte) => byte === 0));
    view.fill(3);
    view.buffer.transfer(0);
    for (let i = 0; i < 600; i++) assert.equal(calls.oc_retire(map(page), page), 0);
    assert.equal(words[0], before);
  });

  it("replaces part of a mapping at a fixed address", () => {
    const fd = open(tempFile(pattern(page)));
    const address = map(3 * page);
    const view = new Uint8Array(buffer(address, 3 * page));
    assert.equal(calls.oc_map(address + page, page, PROT.read, MAP.shared | MAP.fixed, fd, 0), address + page);
    assert.deepEqual(view.subarray(page, 2 * page), pattern(page));
    assert.equal(view[0], 0);
    view.buffer.transfer(0);
    calls.oc_unmap(address, 3 * page);
  });

  it("copies in and out, at starts of both, and when they overlap", () => {
    const address = map(page);
    assert.equal(calls.oc_copy_in(address + 10, pattern(100), 50, 20), 20);
    const target = new Uint8Array(40);
    assert.equal(calls.oc_copy_out(target, 5, address + 10, 20), 20);
    assert.deepEqual(target.subarray(5, 25), pattern(100).subarray(50, 70));
    const view = new Uint8Array(buffer(address, page));
    calls.oc_copy_in(address, pattern(100), 0, 100);
    calls.oc_copy_out(view, 1, address, 100);
    assert.deepEqual(view.subarray(1, 101), pattern(100));
    view.buffer.transfer(0);
    calls.oc_unmap(address, page);
  });

  it("finds bytes", () => {
    const address = map(page);
    const needle = new TextEncoder().encode("needle");
    calls.oc_copy_in(address + 1000, needle, 0, needle.length);
    assert.equal(calls.oc_find(address, page, needle, needle.length), 1000);
    assert.equal(errnoOf(calls.oc_find(address, 1005, needle, needle.length)), "ENOENT");
    assert.equal(calls.oc_find(address, 1006, needle, needle.length), 1000);
    const out = new Float64Array(4);
    assert.equal(calls.oc_find_all(address, page, 101, out, 4), 3);
    assert.deepEqual([...out.subarray(0, 3)], [1001, 1002, 1005]);
    assert.equal(calls.oc_find_all(address, page, 101, out, 2), 2);
    assert.equal(calls.oc_find_all(address, page, 200, out, 4), 0);
    calls.oc_unmap(address, page);
  });

  it("computes crc32c", () => {
    const text = new TextEncoder().encode("123456789");
    assert.equal(calls.oc_crc32c(text, 0, 9, 0), 0xe3069283);
    assert.equal(calls.oc_crc32c(new Uint8Array(32), 0, 32, 0), 0x8a9136aa);
    assert.equal(calls.oc_crc32c(new Uint8Array(32).fill(255), 0, 32, 0), 0x62a8ab43);
    assert.equal(calls.oc_crc32c(text, 4, 5, calls.oc_crc32c(text, 0, 4, 0)), 0xe3069283);
    assert.equal(calls.oc_crc32c(text, 0, 0, 0), 0);
    const address = map(page);
    calls.oc_copy_in(address, text, 0, 9);
    assert.equal(calls.oc_crc32c_at(address, 9, 0), 0xe3069283);
    calls.oc_unmap(address, page);
  });
});

describe("the guard", () => {
  const SLOT = 64;
  const table = (): DataView => new DataView(buffer(calls.oc_guard_table(), 65536 * SLOT));

  it("counts lost pages of a registered range and shows zeros", () => {
    assert.equal(calls.oc_guard_install(), 0);
    assert.equal(calls.oc_guard_install(), 0);
    const file = tempFile(pattern(8 * page));
    const address = map(8 * page, PROT.read, MAP.shared, open(file));
    const slot = calls.oc_guard_add(address, 8 * page, PROT.read);
    assert.ok(slot >= 0);
    const row = slot * SLOT;
    assert.equal(table().getFloat64(row, true), address);
    assert.equal(table().getUint32(row + 28, true), 2);
    fs.truncateSync(file, 2 * page);
    const view = new Uint8Array(buffer(address, 8 * page));
    assert.equal(view[2 * page - 1], pattern(1, 2 * page - 1)[0]);
    assert.equal(table().getUint32(row + 24, true), 0);
    assert.equal(view[5 * page], 0);
    assert.equal(table().getUint32(row + 24, true), 1);
    assert.equal(table().getFloat64(row + 16, true), 5 * page);
    assert.equal(view[2 * page], 0);
    assert.equal(table().getFloat64(row + 16, true), 2 * page);
    const copy = new Uint8Array(8 * page).fill(1);
    calls.oc_copy_out(copy, 0, address, 8 * page);
    assert.ok(copy.subarray(2 * page).every((byte) => byte === 0));
    assert.equal(errnoOf(calls.oc_find(address, 8 * page, new Uint8Array([0, 1]), 2)), "ENOENT");
    view.buffer.transfer(0);
    assert.equal(calls.oc_guard_remove(slot, 0), 0);
    calls.oc_unmap(address, 8 * page);
  });

  it("reuses slots, and refuses numbers that are none", () => {
    const address = map(page);
    const slot = calls.oc_guard_add(address, page, PROT.read);
    calls.oc_guard_remove(slot, 0);
    assert.equal(calls.oc_guard_add(address, page, PROT.read), slot);
    calls.oc_guard_remove(slot, 0);
    assert.equal(errnoOf(calls.oc_guard_remove(-1, 0)), "EINVAL");
    assert.equal(errnoOf(calls.oc_guard_remove(65536, 0)), "EINVAL");
    calls.oc_unmap(address, page);
  });
});
