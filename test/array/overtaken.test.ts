import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { afterEach, describe, it } from "vitest";
import { native } from "../../ffi/load.ts";
import { type ArrayStore, openStore, type StoreOptions } from "../../src/array/main.ts";
import type { PageLog } from "../../src/array/page-log.ts";
import { SharedState } from "../../src/array/shared-state.ts";
import { CorruptError, NotFoundError, SnapshotTooOldError } from "../../src/errors.ts";
import { DataFile } from "../../src/memory/data-file.ts";
import { lockRange } from "../../src/memory/lock.ts";
import { StoreFile } from "../../src/memory/store-file.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const { tryCommitLock } = SharedState.prototype;
const { read } = StoreFile.prototype;
const head = Object.getOwnPropertyDescriptor(SharedState.prototype, "head") as PropertyDescriptor;
const { calls } = native() as {
  calls: { oc_lock: (typeof native extends () => { calls: infer C } ? C : never)["oc_lock"] };
};
const { oc_lock } = calls;
const open: ArrayStore[] = [];

afterEach(() => {
  SharedState.prototype.tryCommitLock = tryCommitLock;
  StoreFile.prototype.read = read;
  Object.defineProperty(SharedState.prototype, "head", head);
  calls.oc_lock = oc_lock;
  for (const each of open.splice(0)) each.engine[Symbol.dispose]();
  cleanTemp();
});

function opened(folder: string, options: StoreOptions = {}): ArrayStore {
  const store = openStore(folder, { reserve: 2 ** 24, checkpointDelay: 1e6, ...options });
  open.push(store);
  return store;
}

function gone(store: ArrayStore): void {
  store.engine[Symbol.dispose]();
  open.splice(open.indexOf(store), 1);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const fill = (store: ArrayStore, value: number): void => void store.array("a", "f64").typed().fill(value);
const value = (store: ArrayStore): number => Number(store.array("a").get(5));

async function two(options: StoreOptions = {}): Promise<[ArrayStore, ArrayStore, string]> {
  const folder = path.join(tempFolder(), "store");
  const one = opened(folder, options);
  await one.transact(() => {
    for (const name of ["a", "b"]) store(one, name);
  });
  await one.checkpoint();
  return [one, opened(folder, options), folder];
}

function store(one: ArrayStore, name: string): void {
  one.create(name, { dtype: "f64", shape: 2000 }).typed().fill(1);
}

/** Does `work` once when a connection is about to read from such a file for the `nth` time. */
function beforeReading(file: RegExp, nth: number, work: () => void): void {
  let left = nth;
  StoreFile.prototype.read = function (this: StoreFile, offset, length) {
    if (file.test(this.path) && --left === 0) work();
    return read.call(this, offset, length);
  };
}

describe("a connection that others overtake between a look and a step", () => {
  it("keeps its snapshot when it has begun a transaction while a checkpoint waited for the lock", async () => {
    const [one, other] = await two();
    let isTaken = true;
    SharedState.prototype.tryCommitLock = function (this: SharedState): boolean {
      return !isTaken && tryCommitLock.call(this);
    };
    const done = one.checkpoint();
    const transaction = one.begin();
    isTaken = false;
    await other.transact(() => fill(other, 2));
    await done;
    assert.equal(value(one), 1);
    transaction.abort();
    one.refresh();
    assert.equal(value(one), 2);
  });

  it("gives up no record whose writer died after its sync, before he told of it", async () => {
    const [one, other, folder] = await two({ checkpointDelay: 5 });
    await one.transact(() => fill(one, 2));
    const transaction = other.begin();
    fill(other, 3);
    Object.defineProperty(SharedState.prototype, "head", {
      ...head,
      set() {
        throw new Error("dead");
      },
    });
    await assert.rejects(transaction.commit(), /dead/);
    Object.defineProperty(SharedState.prototype, "head", head);
    gone(other);
    await pause(30);
    one.refresh();
    const third = opened(folder);
    await third.checkpoint();
    one.refresh();
    assert.equal(value(one), 3);
    await one.transact(() => fill(one, 4));
    for (const each of open.splice(0)) each.close();
    const last = opened(folder);
    assert.equal(value(last), 4);
    assert.deepEqual(last.engine.verify(), []);
  });

  it("recovers the store when who was about to has died in the moment in between", async () => {
    const [one, other, folder] = await two();
    await one.transact(() => fill(one, 2));
    gone(other);
    gone(one);
    const dying = SharedState.open(folder, 1000);
    assert.ok(dying.alone);
    calls.oc_lock = (fd, kind, offset, length) => {
      const result = oc_lock(fd, kind, offset, length);
      if (offset === 2 && result < 0) {
        calls.oc_lock = oc_lock;
        dying.close();
      }
      return result;
    };
    const next = opened(folder);
    assert.equal(calls.oc_lock, oc_lock);
    assert.equal(next.snapshot, 2);
    assert.equal(value(next), 2);
    assert.equal(next.engine.applied, 2);
  });

  it("reads a superblock although two are written while it does", async () => {
    const [one, other, folder] = await two();
    const others = [one, other];
    let torn = 2;
    let isChanging = false;
    const change = (): void => {
      isChanging = true;
      const each = others.shift() as ArrayStore;
      const transaction = each.begin();
      fill(each, 3 - torn);
      void transaction.commit();
      void each.engine.checkpoint();
      isChanging = false;
    };
    StoreFile.prototype.read = function (this: StoreFile, offset, length) {
      const bytes = read.call(this, offset, length);
      if (torn > 0 && length === 65536 && !isChanging) {
        change();
        torn--;
        bytes.fill(1, 100);
      }
      return bytes;
    };
    const next = opened(folder);
    assert.equal(torn, 0);
    assert.equal(value(next), 2);
  });

  it("does not take an array that is dropped for one that lost its file", async () => {
    const [one, other, folder] = await two();
    await one.transact(() => one.drop("b"));
    await one.checkpoint();
    for (let i = 0; i < 2; i++) assert.throws(() => other.array("b", "f64").typed(), SnapshotTooOldError);
    assert.ok(!fs.existsSync(path.join(folder, "a2.dat")));
    assert.deepEqual(other.engine.verify(), []);
    assert.ok(!fs.existsSync(path.join(folder, "a2.dat")));
    other.refresh();
    assert.throws(() => other.array("b"), NotFoundError);
  });

  it("says that an array has lost its file where nobody dropped it", async () => {
    const [, other, folder] = await two();
    const home = path.join(folder, "a2.dat");
    fs.rmSync(home);
    for (let i = 0; i < 2; i++) assert.throws(() => other.array("b", "f64").typed(), CorruptError);
    assert.ok(!fs.existsSync(home));
  });

  it("is told of what was committed before it began to watch", async () => {
    const [one, other] = await two();
    await other.transact(() => fill(other, 2));
    const seen: number[] = [];
    const end = one.watch((txid) => seen.push(txid), 1);
    for (const last = performance.now() + 5000; seen.length === 0 && performance.now() < last; ) await pause(2);
    await pause(10);
    end();
    assert.deepEqual(seen, [2]);
  });

  for (const file of ["log", "head", "a2.dat"])
    it(`finds nothing wrong with a store whose log is shortened while it verifies: ${file}`, async () => {
      const [one, other] = await two({ segmentBytes: 2 ** 16 });
      for (let i = 2; i < 12; i++) await other.transact(() => fill(other, i));
      one.refresh();
      const waiting: Promise<unknown>[] = [];
      let times = 0;
      const change = (): void => {
        times++;
        const transaction = other.begin();
        fill(other, 100);
        store(other, "c");
        if (other.names.includes("b")) other.drop("b");
        waiting.push(transaction.commit(), other.engine.checkpoint());
      };
      beforeReading(new RegExp(`${file}[.\\d]*$`), 2, change);
      assert.deepEqual(one.engine.verify(), []);
      assert.equal(times, 1);
      StoreFile.prototype.read = read;
      await Promise.all(waiting);
      assert.deepEqual(one.engine.verify(), []);
    });

  it("commits beside somebody who was stopped while he took his snapshot, and goes home later", async () => {
    const [one, , folder] = await two({ lockTimeout: 30 });
    const transaction = one.begin();
    fill(one, 2);
    const stopped = DataFile.open(path.join(folder, "lock"), true);
    try {
      assert.ok(lockRange(stopped, "shared", 1, 1));
      assert.equal(await transaction.commit(), 2);
      await one.checkpoint();
      assert.ok(one.engine.newest() > (one.engine as PageLog).applied);
    } finally {
      stopped.close();
    }
    await one.checkpoint();
    assert.equal((one.engine as PageLog).applied, 2);
    assert.deepEqual([value(one), one.engine.verify()], [2, []]);
  });
});
