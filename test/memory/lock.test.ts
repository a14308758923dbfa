import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import {
  InvalidArgumentError,
  LockedError,
  NotFoundError,
  SystemError,
  UnsupportedFileError,
} from "../../src/errors.ts";
import { FileLock, type LockOptions } from "../../src/memory/main.ts";
import { finish, fixture, line, start } from "../support/run.ts";
import { cleanTempAfterEach, tempFile, tempFolder } from "../support/temp.ts";

cleanTempAfterEach();

const lockPath = (): string => path.join(tempFolder(), "a.lock");
const children = new Set<ChildProcess>();

afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
});

/** A child process that holds the lock, and its number. */
async function holder(file: string, kind = "exclusive"): Promise<{ child: ChildProcess; pid: number }> {
  const child = start(fixture("lock-holder.ts"), [file, kind]);
  children.add(child);
  return { child, pid: Number((await line(child, "locked")).split(" ")[1]) };
}

function isLocked(file: string, options?: LockOptions): LockedError | undefined {
  try {
    FileLock.tryAcquire(file, options).release();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof LockedError, String(error));
    return error;
  }
}

describe("a file lock", () => {
  it("tells whether it is held, here or elsewhere, and takes nothing", async () => {
    const file = lockPath();
    assert.equal(FileLock.isHeld(file), false);
    assert.equal(fs.existsSync(file), false);
    const lock = FileLock.tryAcquire(file);
    assert.equal(FileLock.isHeld(file), true);
    lock.release();
    assert.equal(FileLock.isHeld(file), false);
    const { child } = await holder(file);
    assert.equal(FileLock.isHeld(file), true);
    child.kill("SIGKILL");
    await finish(child);
    assert.equal(FileLock.isHeld(file), false);
    const shared = FileLock.tryAcquire(file, { shared: true });
    assert.equal(FileLock.isHeld(file), false);
    shared.release();
    assert.throws(() => FileLock.isHeld(tempFolder()), UnsupportedFileError);
  });

  it("makes its file, private to the user, and says who holds it", () => {
    const file = lockPath();
    const lock = FileLock.tryAcquire(file);
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    assert.match(
      fs.readFileSync(file, "utf8"),
      new RegExp(`^outcore lock\npid ${process.pid}\nstarted \\S+\nboot \\S+\n`),
    );
    assert.deepEqual([lock.path, lock.shared, lock.released], [file, false, false]);
    lock.release();
    lock.release();
    lock[Symbol.dispose]();
    assert.ok(lock.released);
    assert.equal(fs.statSync(file).size, 0);
  });

  it("is held once, also within one process", () => {
    const file = lockPath();
    const lock = FileLock.tryAcquire(file);
    assert.equal(isLocked(file)?.holder, `process ${process.pid} (this one)`);
    assert.equal(isLocked(file, { shared: true })?.path, file);
    fs.readFileSync(file);
    assert.ok(isLocked(file));
    lock.release();
    assert.equal(isLocked(file), undefined);
  });

  it("is held by many when it is shared", () => {
    const file = lockPath();
    const [a, b] = [FileLock.tryAcquire(file, { shared: true }), FileLock.tryAcquire(file, { shared: true })];
    assert.ok(isLocked(file));
    a.release();
    assert.ok(isLocked(file));
    b.release();
    assert.equal(isLocked(file), undefined);
  });

  it("of a file that was removed is no obstacle, and no lock", () => {
    const file = lockPath();
    const old = FileLock.tryAcquire(file);
    fs.rmSync(file);
    const lock = FileLock.tryAcquire(file);
    old.release();
    assert.ok(isLocked(file));
    lock.release();
  });

  it("touches no file that holds anything else", () => {
    const file = tempFile("precious");
    assert.throws(() => FileLock.tryAcquire(file), UnsupportedFileError);
    assert.equal(fs.readFileSync(file, "utf8"), "precious");
    const folder = tempFolder();
    assert.throws(() => FileLock.tryAcquire(folder), UnsupportedFileError);
    assert.throws(() => FileLock.tryAcquire(path.join(folder, "none", "a.lock")), NotFoundError);
    assert.throws(() => FileLock.tryAcquire(""), InvalidArgumentError);
    assert.throws(() => FileLock.tryAcquire("a\0b"), InvalidArgumentError);
    fs.symlinkSync(path.join(folder, "target"), path.join(folder, "link"));
    assert.throws(() => FileLock.tryAcquire(path.join(folder, "link")), SystemError);
    assert.equal(fs.existsSync(path.join(folder, "target")), false);
  });

  it("names nobody when what the file says is old or nonsense", () => {
    const file = lockPath();
    fs.writeFileSync(file, "outcore lock\npid 999999999\nstarted 1\nboot 00000000-0000\n".padEnd(255));
    const lock = FileLock.tryAcquire(file);
    fs.writeFileSync(file, "outcore lock\npid 999999999\nstarted 1\nboot 00000000-0000\n".padEnd(255));
    assert.equal(isLocked(file)?.holder, undefined);
    fs.writeFileSync(file, "outcore lock\nnonsense");
    assert.equal(isLocked(file)?.holder, undefined);
    lock.release();
  });
});

describe("waiting for a file lock", () => {
  it("ends when it is let go of", async () => {
    const file = lockPath();
    const first = FileLock.tryAcquire(file);
    let turns = 0;
    const timer = setInterval(() => {
      if (++turns === 5) first.release();
    }, 2);
    const second = await FileLock.acquire(file);
    clearInterval(timer);
    assert.ok(turns >= 5);
    second.release();
  });

  it("ends after the timeout with who holds it", async () => {
    const file = lockPath();
    const lock = FileLock.tryAcquire(file);
    for (const timeout of [0, 30])
      await assert.rejects(
        () => FileLock.acquire(file, { timeout }),
        (error: unknown) => error instanceof LockedError && error.holder === `process ${process.pid} (this one)`,
      );
    lock.release();
    (await FileLock.acquire(file, { timeout: 0 })).release();
  });

  it("ends when the signal is aborted, with its reason", async () => {
    const file = lockPath();
    const lock = FileLock.tryAcquire(file);
    const reason = new Error("enough");
    await assert.rejects(
      () => FileLock.acquire(file, { signal: AbortSignal.abort(reason) }),
      (error) => error === reason,
    );
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 20);
    await assert.rejects(
      () => FileLock.acquire(file, { signal: controller.signal }),
      (error) => error === reason,
    );
    lock.release();
    assert.equal(isLocked(file), undefined);
  });

  it("serves many, one at a time", async () => {
    const file = lockPath();
    let inside = 0;
    let done = 0;
    const use = async (): Promise<void> => {
      const lock = await FileLock.acquire(file);
      assert.equal(++inside, 1);
      await new Promise((resolve) => setTimeout(resolve, 1));
      inside--;
      done++;
      lock.release();
    };
    await Promise.all(Array.from({ length: 8 }, use));
    assert.equal(done, 8);
  });

  it("checks the timeout", async () => {
    for (const timeout of [-1, Number.NaN, "5" as unknown as number])
      await assert.rejects(() => FileLock.acquire(lockPath(), { timeout }), InvalidArgumentError);
  });
});

describe("a file lock of another process", () => {
  it("is seen, with the holder's number, and ends with it", async () => {
    const file = lockPath();
    const { child, pid } = await holder(file);
    assert.equal(isLocked(file)?.holder, `process ${pid}`);
    const ended = finish(child);
    child.stdin?.end();
    await ended;
    assert.equal(isLocked(file), undefined);
  });

  it("ends when the holder is killed", async () => {
    const file = lockPath();
    const { child, pid } = await holder(file);
    assert.ok(isLocked(file));
    const ended = finish(child);
    process.kill(pid, "SIGKILL");
    const lock = await FileLock.acquire(file, { timeout: 10_000 });
    lock.release();
    await ended;
  });

  it("may be shared with this one", async () => {
    const file = lockPath();
    const { child } = await holder(file, "shared");
    const lock = FileLock.tryAcquire(file, { shared: true });
    assert.ok(isLocked(file));
    lock.release();
    assert.ok(isLocked(file));
    const ended = finish(child);
    child.stdin?.end();
    await ended;
    assert.equal(isLocked(file), undefined);
  });
});
