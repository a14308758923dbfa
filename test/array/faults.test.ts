import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import { native } from "../../ffi/load.ts";
import { type ArrayStore, openStore, type StoreOptions } from "../../src/array/main.ts";
import { readSuperblock, writeSuperblock } from "../../src/array/superblocks.ts";
import {
  CorruptError,
  LockedError,
  OutcoreError,
  StoreFormatError,
  TruncatedError,
  UnsupportedFileError,
} from "../../src/errors.ts";
import { DataFile } from "../../src/memory/data-file.ts";
import { lockRange } from "../../src/memory/lock.ts";
import { StoreFile } from "../../src/memory/store-file.ts";
import { fixture, line, run, start } from "../support/run.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const open: ArrayStore[] = [];
const children: ChildProcess[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.close();
  for (const child of children.splice(0)) child.kill("SIGKILL");
  cleanTemp();
});

function store(folder: string, options: StoreOptions = {}): ArrayStore {
  const opened = openStore(folder, { reserve: 2 ** 26, ...options });
  open.push(opened);
  return opened;
}

async function filled(size = 4096, options: StoreOptions = {}): Promise<ArrayStore> {
  const opened = store(tempFolder(), options);
  await opened.transact(() => {
    const a = opened.create("a", { dtype: "f64", shape: size }).typed();
    for (let i = 0; i < size; i++) a[i] = i;
  });
  return opened;
}

const total = (size: number): number => (size * (size - 1)) / 2;
const BEFORE = total(4096);
const AFTER = BEFORE - 1 - 4000 - 1 - 8192;

async function stuck(folder: string, step: number, ...more: string[]): Promise<{ child: ChildProcess; said: string }> {
  const child = start(fixture("array-stuck.ts"), [folder, String(step), ...more]);
  children.push(child);
  const said = await Promise.race([line(child, "stuck"), line(child, "done")]);
  return { child, said };
}

function killed(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("close", () => resolve());
    child.kill("SIGKILL");
  });
}

describe("a process that is killed", () => {
  it("at any step of a commit leaves all of it or nothing, and its lock, to those who have the store open", async () => {
    const seen = new Set<number>();
    for (let step = 0; ; step++) {
      const one = await filled();
      const { child, said } = await stuck(one.folder, step);
      await killed(child);
      await one.transact(() => void one.create("next", { dtype: "u8", shape: 1 }));
      const sum = one.array("a", "f64").sum();
      assert.ok(sum === BEFORE || sum === AFTER, `${said}: ${sum}`);
      assert.equal(one.array("a").size, sum === BEFORE ? 4096 : 4096 + 8192);
      assert.deepEqual(one.engine.verify(), []);
      seen.add(sum);
      if (said === "done") break;
      assert.ok(step < 50);
    }
    assert.deepEqual(seen, new Set([BEFORE, AFTER]));
  }, 120_000);

  it("and leaves it to the next who opens the store", async () => {
    for (const step of [0, 2, 4, 5, 6]) {
      const one = await filled();
      one.close();
      const { child, said } = await stuck(one.folder, step);
      await killed(child);
      const two = store(one.folder);
      const sum = two.array("a", "f64").sum();
      assert.ok(sum === BEFORE || sum === AFTER, `${said}: ${sum}`);
      two.close();
    }
  }, 120_000);

  it("keeps others waiting while it lives, and nobody afterwards, though a child of it lives on", async () => {
    const one = await filled(4096, { lockTimeout: 30 });
    const child = start(fixture("array-stuck.ts"), [one.folder, "2", "sleep"]);
    children.push(child);
    const [pid] = await Promise.all([line(child, "pid"), line(child, "stuck")]);
    const orphan = Number(pid.split(" ")[1]);
    try {
      await assert.rejects(() => one.transact(() => void one.array("a").set([0], 5)), LockedError);
      await killed(child);
      assert.equal(process.kill(orphan, 0), true);
      await one.transact(() => void one.array("a").set([0], 5));
      await one.checkpoint();
      assert.equal(one.engine.logBytes, 0);
      assert.equal(one.array("a").get(0), 5);
    } finally {
      process.kill(orphan, "SIGKILL");
    }
  }, 60_000);
});

describe("a place that is no good for a store", () => {
  it("a read-only folder is PermissionError", async () => {
    const one = await filled();
    one.close();
    const fresh = tempFolder();
    for (const folder of [one.folder, fresh]) fs.chmodSync(folder, 0o555);
    const result = await run(fixture("array-permission.ts"), [one.folder, path.join(fresh, "store"), fresh]);
    for (const folder of [one.folder, fresh]) fs.chmodSync(folder, 0o755);
    assert.equal(result.stdout, "PERMISSION\n".repeat(3), result.stderr);
  });

  it("a network file system is refused before anything is written to it", () => {
    const calls = native().calls as unknown as { oc_stat(fd: number, out: Float64Array): number };
    const stat = calls.oc_stat;
    const folder = tempFolder();
    calls.oc_stat = (fd, out) => {
      const result = stat(fd, out);
      out[11] = 2;
      return result;
    };
    try {
      assert.throws(
        () => store(folder),
        (error) => error instanceof UnsupportedFileError && /network/.test(error.message),
      );
    } finally {
      calls.oc_stat = stat;
    }
    assert.deepEqual(fs.readdirSync(folder), ["lock"]);
    store(folder);
  });

  it("a store that was made with pages of another size is refused, and left as it is", async () => {
    const one = await filled();
    one.close();
    const head = path.join(one.folder, "head");
    const before = fs.readFileSync(head);
    const file = StoreFile.open(head, true);
    const newest = readSuperblock(file, Number.POSITIVE_INFINITY);
    writeSuperblock(file, { ...newest, sequence: newest.sequence + 1, pageSize: 2 * newest.pageSize });
    file.close();
    const after = fs.readFileSync(head);
    assert.throws(
      () => store(one.folder),
      (error) => error instanceof StoreFormatError && /pages of/.test(error.message),
    );
    assert.deepEqual(fs.readFileSync(head), after);
    fs.writeFileSync(head, before);
    assert.equal(store(one.folder).array("a").get(5), 5);
  });

  it("a path that is a file, or has no folder above, is an error of ours", () => {
    const file = path.join(tempFolder(), "file");
    fs.writeFileSync(file, "");
    for (const place of [file, path.join(file, "below")]) assert.throws(() => store(place), OutcoreError);
  });

  it("tmpfs is as good as any", async () => {
    const folder = tempFolder(fs.existsSync("/dev/shm") ? "/dev/shm" : undefined);
    const one = store(folder);
    const a = await one.transact(() => one.create("a", { dtype: "f64", shape: 2 ** 16 }));
    const transaction = one.begin();
    a.typed()[5] = 1;
    transaction.abort();
    await one.transact(() => void a.set([2 ** 15], 3));
    one.close();
    assert.equal(store(folder).array("a", "f64").sum(), 3);
  });
});

describe("locks that somebody else holds", () => {
  for (const [what, byte] of [
    ["the one for opening", 2],
    ["the gate", 1],
  ] as const)
    it(`${what} is LockedError after the timeout`, async () => {
      const one = await filled();
      one.close();
      const other = DataFile.open(path.join(one.folder, "lock"), true);
      assert.ok(lockRange(other, "exclusive", byte, 1));
      try {
        assert.throws(() => store(one.folder, { lockTimeout: 30 }), LockedError);
      } finally {
        other.close();
      }
      assert.equal(store(one.folder).array("a").get(7), 7);
    });
});

describe("a home file that is truncated from outside", () => {
  it("under a live view is no crash: the commit says so, and commits nothing", async () => {
    const one = await filled(2 ** 16);
    await one.checkpoint();
    const view = one.array("a", "f64").typed();
    const home = path.join(one.folder, "a1.dat");
    const bytes = fs.readFileSync(home);
    fs.truncateSync(home, 4096);
    assert.equal(view[60_000], 0);
    const transaction = one.begin();
    view[1] = 5;
    await assert.rejects(
      () => transaction.commit(),
      (error) => error instanceof CorruptError || error instanceof TruncatedError,
    );
    /* Also when it is whole again: what was read meanwhile was wrong. */
    fs.writeFileSync(home, bytes);
    await assert.rejects(() => transaction.commit(), TruncatedError);
    transaction.abort();
    one.close();
    assert.equal(store(one.folder).array("a", "f64").sum(), total(2 ** 16));
  });
});
