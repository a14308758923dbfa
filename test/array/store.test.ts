import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, openReference, openStore, type StoreOptions } from "../../src/array/main.ts";
import {
  ClosedError,
  ConflictError,
  CorruptError,
  DiskFullError,
  InvalidArgumentError,
  LockedError,
  LogFullError,
  NameInUseError,
  NotFoundError,
  PoisonedError,
  SnapshotTooOldError,
  StoreFormatError,
  TransactionError,
} from "../../src/errors.ts";
import { DataFile } from "../../src/memory/data-file.ts";
import { lockRange } from "../../src/memory/lock.ts";
import { type DirtyWay, PrivateView } from "../../src/memory/private-view.ts";
import { diskError, observeDisk } from "../../src/memory/store-file.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const open: ArrayStore[] = [];

function store(folder: string, options: StoreOptions = {}): ArrayStore {
  const opened = openStore(folder, { reserve: 2 ** 26, ...options });
  open.push(opened);
  return opened;
}

afterEach(() => {
  observeDisk(undefined);
  for (const each of open.splice(0)) each.close();
  cleanTemp();
});

/** A store with an f64 array "a" of `size` elements, each its own number. */
async function filled(size = 4096, options: StoreOptions = {}): Promise<ArrayStore> {
  const opened = store(tempFolder(), options);
  await opened.transact(() => {
    const a = opened.create("a", { dtype: "f64", shape: size }).typed();
    for (let i = 0; i < size; i++) a[i] = i;
  });
  return opened;
}

const PAGE = 512;

function flip(bytes: Uint8Array, at: number): void {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
}

describe("a transaction", () => {
  it("commits to every view, and to whoever opens the store later", async () => {
    const one = await filled();
    const view = one.array("a", "f64").typed();
    const transaction = one.begin();
    view[5] = 50;
    view[4000] = 51;
    assert.equal(await transaction.commit(), 2);
    assert.deepEqual([view[5], view[4000], view[6]], [50, 51, 6]);
    one.close();
    assert.equal(view.length, 0);
    const two = store(one.folder);
    assert.deepEqual([two.array("a").get(5), two.array("a").get(4000), two.array("a").get(6)], [50, 51, 6]);
  });

  it("takes everything back from every view when it is aborted, also twice", async () => {
    const one = await filled();
    const a = one.array("a", "f64");
    const [view, part] = [a.typed(), a.view([10, 20]).array];
    const transaction = one.begin();
    view[12] = -1;
    assert.equal(part[2], -1);
    a.resize(100);
    a.resize(5000);
    assert.equal(a.get(200), 0);
    one.create("b", { dtype: "u8", shape: 3 });
    transaction.abort();
    transaction.abort();
    assert.deepEqual([view[12], part[2], a.size, a.get(200), one.names.join()], [12, 12, 4096, 200, "a"]);
    await assert.rejects(() => transaction.commit(), TransactionError);
  });

  it("reads one snapshot until it ends", async () => {
    const one = await filled();
    const two = store(one.folder);
    const reader = two.begin();
    const seen = two.array("a", "f64").typed();
    assert.equal(seen[0], 0);
    for (let i = 1; i <= 3; i++) {
      await one.transact(() => {
        one
          .array("a", "f64")
          .typed()
          .fill(i * 100);
      });
      assert.deepEqual([seen[0], seen[4095]], [0, 4095]);
    }
    await one.checkpoint();
    assert.deepEqual([seen[1], seen[4000]], [1, 4000]);
    reader.abort();
    two.begin().abort();
    assert.deepEqual([seen[0], seen[4095]], [300, 300]);
    await one.checkpoint();
    assert.deepEqual([seen[0], seen[4095]], [300, 300]);
  });

  it("conflicts with another that changed the same page, and with no other", async () => {
    const one = await filled();
    const two = store(one.folder);
    const [first, second] = [one.begin(), two.begin()];
    one.array("a", "f64").typed()[0] = 1000;
    two.array("a", "f64").typed()[PAGE] = 2000;
    await first.commit();
    await second.commit();
    assert.deepEqual([two.array("a").get(0), two.array("a").get(PAGE)], [1000, 2000]);
    const [third, fourth] = [one.begin(), two.begin()];
    assert.equal(one.array("a").get(PAGE), 2000);
    one.array("a", "f64").typed()[PAGE] = 1;
    two.array("a", "f64").typed()[PAGE + 1] = 2;
    await third.commit();
    await assert.rejects(
      () => fourth.commit(),
      (error) => error instanceof ConflictError && error.array === "a" && error.pages.join() === "1",
    );
    assert.equal(fourth.state, "aborted");
    two.refresh();
    assert.deepEqual([two.array("a").get(PAGE), two.array("a").get(PAGE + 1)], [1, PAGE + 1]);
  });

  it("is repeated by transact after a conflict", async () => {
    const one = await filled();
    const two = store(one.folder);
    const add = (which: ArrayStore): Promise<void> =>
      which.transact(
        async () => {
          const view = which.array("a", "f64").typed();
          const value = view[0] ?? 0;
          await new Promise((resolve) => setTimeout(resolve, 1));
          view[0] = value + 1;
        },
        { retries: 100 },
      );
    const many = async (which: ArrayStore): Promise<void> => {
      for (let i = 0; i < 10; i++) await add(which);
    };
    await Promise.all([many(one), many(two)]);
    one.refresh();
    assert.equal(one.array("a").get(0), 20);
  });

  it("of two that make the same array or change one shape conflicts; write skew is possible", async () => {
    const one = await filled();
    const two = store(one.folder);
    const [first, second] = [one.begin(), two.begin()];
    one.create("b", { dtype: "u8", shape: 10 });
    two.create("b", { dtype: "u8", shape: 20 });
    await first.commit();
    await assert.rejects(() => second.commit(), ConflictError);
    const [third, fourth] = [one.begin(), two.begin()];
    one.array("a").resize(5000);
    two.array("a").resize(6000);
    await third.commit();
    await assert.rejects(() => fourth.commit(), ConflictError);
    const [fifth, sixth] = [one.begin(), two.begin()];
    one.array("a", "f64").typed()[0] = two.array("a", "f64").get(PAGE) + 1;
    two.array("a", "f64").typed()[PAGE] = one.array("a", "f64").get(PAGE) + 2;
    await Promise.all([fifth.commit(), sixth.commit()]);
  });

  it("comes back to a savepoint", async () => {
    const one = await filled();
    const view = one.array("a", "f64").typed();
    const transaction = one.begin();
    view[0] = 1.5;
    const savepoint = transaction.savepoint();
    view[0] = 2.5;
    view[3000] = 3.5;
    one.array("a").resize(10);
    transaction.rollback(savepoint);
    assert.deepEqual([view[0], view[3000], one.array("a").size], [1.5, 3000, 4096]);
    assert.throws(() => transaction.rollback({ transaction }), TransactionError);
    await transaction.commit();
    one.close();
    const two = store(one.folder);
    assert.deepEqual([two.array("a").get(0), two.array("a").get(3000)], [1.5, 3000]);
  });

  it("spills what it changed, and commits it all the same", async () => {
    const one = await filled(2 ** 16);
    const view = one.array("a", "f64").typed();
    const transaction = one.begin();
    view.fill(7, 0, 2 ** 15);
    assert.equal(transaction.spill(), 2 ** 18);
    assert.equal(transaction.spill(), 0);
    view[1] = 8;
    await transaction.commit();
    assert.deepEqual([view[0], view[1], view[2 ** 15]], [7, 8, 2 ** 15]);
    const next = one.begin();
    view[0] = 9;
    next.spill();
    next.abort();
    assert.equal(view[0], 7);
  });

  it("needs to be begun, and ends once", async () => {
    const one = await filled();
    assert.throws(() => one.create("x", { dtype: "u8", shape: 1 }), TransactionError);
    assert.throws(() => one.array("a").resize(1), TransactionError);
    const transaction = one.begin();
    assert.throws(() => one.begin(), TransactionError);
    await assert.rejects(() => one.checkpoint(), TransactionError);
    await transaction.commit();
    await assert.rejects(() => transaction.commit(), TransactionError);
    assert.throws(() => transaction.abort(), TransactionError);
    one.close();
    one.close();
    assert.throws(() => one.begin(), ClosedError);
    assert.throws(() => one.array("a"), ClosedError);
  });

  it("keeps what was written before it began, unless others went on meanwhile", async () => {
    const one = await filled();
    const two = store(one.folder);
    const view = one.array("a", "f64").typed();
    view[0] = 77;
    await one.begin().commit();
    two.refresh();
    assert.equal(two.array("a").get(0), 77);
    view[0] = 78;
    await two.transact(() => {
      two.array("a", "f64").typed()[1] = 1.5;
    });
    assert.throws(() => one.begin(), TransactionError);
    one.discard();
    one.begin().abort();
    assert.deepEqual([view[0], view[1]], [77, 1.5]);
  });

  it("with durability none shows at once and is made durable by the next", async () => {
    const one = await filled();
    for (let i = 0; i < 20; i++)
      await one.transact(
        () => {
          one.array("a", "f64").typed()[i * 100] = -i;
        },
        { durability: "none" },
      );
    const two = store(one.folder);
    assert.equal(two.array("a").get(1900), -19);
    await one.checkpoint();
    one.close();
    two.close();
    assert.equal(store(one.folder).array("a").get(1900), -19);
  });

  it("keeps what it wrote below pages that another has committed since: the array was not written so far before", async () => {
    const one = store(tempFolder());
    await one.transact(() => void one.create("a", { dtype: "f64", shape: 64 * PAGE }));
    const two = store(one.folder);
    const transaction = two.begin();
    const view = two.array("a", "f64").typed();
    for (let page = 0; page < 20; page++) view[page * PAGE] = page + 1;
    await one.transact(() => {
      one.array("a", "f64").typed()[40 * PAGE] = 41;
    });
    await transaction.commit();
    const check = (values: ArrayLike<number>): void => {
      for (let page = 0; page < 64; page++)
        assert.equal(values[page * PAGE], page < 20 || page === 40 ? page + 1 : 0, `page ${page}`);
    };
    check(view);
    await new Promise((resolve) => setImmediate(resolve));
    await two.transact(() => {
      check(view);
      view[50 * PAGE] = 51;
    });
    await two.transact(() => {
      view[50 * PAGE] = 0;
    });
    check(view);
    one.refresh();
    check(one.array("a", "f64").typed());
  });
});

describe("shapes in a store", () => {
  it("shrink and grow again to zeros, also in the middle of a page", async () => {
    const one = await filled();
    const a = one.array("a", "f64");
    const view = a.typed();
    await one.transact(() => a.resize(700));
    await one.transact(() => a.resize(4096));
    assert.deepEqual([view[699], view[700], view[1023], view[1024], view[4095]], [699, 0, 0, 0, 0]);
    one.close();
    const two = store(one.folder);
    assert.equal(two.array("a", "f64").sum(), (699 * 700) / 2);
    await two.transact(() => two.array("a").resize(0));
    assert.equal(two.array("a").size, 0);
  });

  it("append along the major axis, in C and F order, or change nothing", async () => {
    const one = store(tempFolder());
    await one.transact(() => {
      const c = one.create("c", { dtype: "i32", shape: [0, 3] });
      c.append([1, 2, 3, 4, 5, 6]);
      c.append([[7, 8, 9]]);
      const f = one.create("f", { dtype: "i32", shape: [3, 0], order: "F" });
      f.append(Int32Array.of(1, 2, 3, 4, 5, 6));
      assert.throws(() => c.append([1, 2]), InvalidArgumentError);
      assert.throws(() => c.append([1n, 2n, 3n]), InvalidArgumentError);
      assert.deepEqual(
        [c.shape, f.shape],
        [
          [3, 3],
          [3, 2],
        ],
      );
      assert.equal(c.get(2, 0), 7);
      assert.equal(f.get(0, 1), 4);
    });
    one.close();
    assert.equal(store(one.folder).array("c").get(2, 2), 9);
  });

  it("of a terabyte are made, written anywhere and committed", async () => {
    const one = openStore(tempFolder());
    open.push(one);
    const size = 2 ** 37;
    await one.transact(() => {
      const big = one.create("big", { dtype: "f64", shape: size });
      big.typed(size - 10, 10)[9] = 1;
      big.set([[2 ** 36, 2 ** 36 + 1000]], 2);
    });
    const big = one.array("big", "f64");
    assert.deepEqual([big.get(size - 1), big.get(2 ** 36 + 999), big.get(5), big.nbytes], [1, 2, 0, 2 ** 40]);
    const transaction = one.begin();
    assert.throws(() => one.create("over", { dtype: "f64", shape: 2 ** 45 }), RangeError);
    assert.throws(() => one.create("over", { dtype: "u8", shape: [2 ** 24, 2 ** 24] }), RangeError);
    transaction.abort();
  });

  it("are named once, of a known type, and dropped with their file", async () => {
    const one = await filled();
    const transaction = one.begin();
    assert.throws(() => one.create("a", { dtype: "f64", shape: 1 }), NameInUseError);
    assert.throws(() => one.create("b", { dtype: "object" as "f64", shape: 1 }), InvalidArgumentError);
    assert.throws(() => one.array("none"), NotFoundError);
    assert.throws(() => one.array("a", "i8"), InvalidArgumentError);
    const records = one.create("records", { dtype: "u8", shape: 4, record: 16, attributes: { of: "rows" } });
    assert.deepEqual(records.shape, [4, 16]);
    one.drop("a");
    await transaction.commit();
    assert.deepEqual([one.names, one.attributes("records")], [["records"], { of: "rows" }]);
    await one.checkpoint();
    assert.equal(fs.existsSync(path.join(one.folder, "a1.dat")), false);
  });
});

describe("time", () => {
  it("named snapshots keep the home files back until they are dropped", async () => {
    const one = await filled();
    await one.transact(() => one.keepSnapshot("before"));
    const kept = one.snapshots.before ?? -1;
    assert.equal(kept, 1);
    await one.transact(() => {
      one.array("a", "f64").typed()[0] = 1e9;
    });
    await one.checkpoint();
    assert.equal(one.engine.applied, kept);
    one.close();
    const two = store(one.folder);
    assert.equal(two.array("a").get(0), 1e9);
    assert.equal(new Float64Array(fs.readFileSync(path.join(one.folder, "a1.dat")).buffer, 0, 1)[0], 0);
    await two.transact(() => two.dropSnapshot("before"));
    await two.checkpoint();
    two.close();
    assert.equal(store(one.folder).array("a").get(0), 1e9);
  });

  it("watch tells of commits by others", async () => {
    const one = await filled();
    const two = store(one.folder);
    const seen = new Promise<number>((resolve) => two.watch(resolve, 2));
    await one.transact(() => {
      one.array("a", "f64").typed()[0] = 1;
    });
    assert.equal(await seen, 2);
  });

  it("a snapshot that is too old loses its hold", async () => {
    const one = await filled(4096, { maxSnapshotAge: 0 });
    const two = store(one.folder);
    const reader = two.begin();
    two.array("a", "f64").typed()[0] = 5;
    await new Promise((resolve) => setTimeout(resolve, 5));
    await one.transact(() => {
      one.array("a", "f64").typed()[3000] = 1;
    });
    await assert.rejects(() => reader.commit(), SnapshotTooOldError);
    reader.abort();
  });

  it("the log is bounded when a snapshot keeps it", async () => {
    const one = await filled(4096, { logLimit: 2 ** 17, segmentBytes: 2 ** 16 });
    const two = store(one.folder);
    const reader = two.begin();
    two.array("a").get(0);
    let error: unknown;
    const transaction = (): Promise<unknown> =>
      one.transact(() => void one.array("a", "f64").typed().fill(Math.random()));
    for (let i = 0; i < 10 && error === undefined; i++)
      await transaction().catch((reason: unknown) => (error = reason));
    assert.ok(error instanceof LogFullError, String(error));
    assert.equal(two.array("a").get(7), 7);
    reader.abort();
    await transaction();
  });

  it("a reference opens the same part elsewhere", async () => {
    const one = await filled();
    const reference = structuredClone(one.array("a").reference([10, 20, 3]));
    const { store: other, view } = openReference(reference);
    open.push(other);
    assert.deepEqual(view.toNested(), [10, 13, 16, 19]);
  });
});

describe("changed pages", () => {
  for (const way of ["scan", "pagemap", "compare"] as const satisfies readonly DirtyWay[])
    it(`are found by ${way}`, async () => {
      if (way === "scan" && PrivateView.way() !== "scan") return;
      const one = await filled(2 ** 16, { dirtyWay: way });
      const two = store(one.folder, { dirtyWay: way });
      const hold = two.begin();
      const view = one.array("a", "f64").typed();
      const model = view.slice();
      for (let round = 0; round < 10; round++) {
        const transaction = one.begin();
        for (let i = 0; i < 20; i++) {
          const at = (round * 7919 + i * 104_729) % view.length;
          view[at] = model[at] = round + i / 100;
        }
        await transaction.commit();
        const undone = one.begin();
        view.fill(-1, round * PAGE, round * PAGE + 3 * PAGE);
        undone.abort();
        assert.deepEqual(view, model);
      }
      assert.equal(two.array("a").get(9), 9);
      hold.abort();
      two.refresh();
      assert.deepEqual(two.array("a", "f64").typed(), model);
    });

  it("hide what was committed only until an abort, though nobody could write it home", async () => {
    const one = await filled(20 * PAGE);
    const view = one.array("a", "f64").typed();
    await one.transact(() => {
      for (let page = 0; page < 20; page++) view[page * PAGE] = 7;
    });
    /* It belongs to the next transaction. */
    view[PAGE] = 8;
    view[2 * PAGE + 1] = 9;
    const other = DataFile.open(path.join(one.folder, "lock"), true);
    assert.ok(lockRange(other, "exclusive", 0, 1));
    const transaction = one.begin();
    assert.deepEqual([view[0], view[PAGE], view[2 * PAGE], view[2 * PAGE + 1]], [7, 8, 7, 9]);
    transaction.abort();
    other.close();
    assert.deepEqual([view[0], view[PAGE], view[2 * PAGE], view[2 * PAGE + 1]], [7, 7, 7, 2 * PAGE + 1]);
  });

  it("include what read(2) brought into a view that nobody touched", async () => {
    const one = await filled();
    const bytes = new Uint8Array(one.array("a", "f64").typed().buffer, 8192, 4096);
    const file = path.join(tempFolder(), "source");
    fs.writeFileSync(file, new Uint8Array(4096).fill(1));
    const fd = fs.openSync(file, "r+");
    const transaction = one.begin();
    assert.equal(fs.readSync(fd, bytes, 0, 4096, 0), 4096);
    await transaction.commit();
    fs.writeSync(fd, one.array("a", "f64").typed(0, 512), 0, 4096, 0);
    fs.closeSync(fd);
    assert.equal(fs.readFileSync(file).readDoubleLE(8), 1);
    one.close();
    assert.notEqual(store(one.folder).array("a").get(1024), 1024);
  });
});

describe("a failing disk", () => {
  for (const errno of ["ENOSPC", "EIO"])
    it(`${errno} at every write and sync of a commit loses nothing that was committed`, async () => {
      for (let failAt = 0; failAt < 12; failAt++) {
        const one = await filled(2 ** 12, { directBytes: 2 ** 14 });
        const reader = store(one.folder);
        const hold = reader.begin();
        let count = 0;
        let failed = false;
        observeDisk(({ kind, path: file }) => {
          if (kind !== "write" && kind !== "sync") return undefined;
          if (count++ !== failAt) return undefined;
          failed = true;
          throw diskError(errno, kind, file);
        });
        const transaction = one.begin();
        one.array("a", "f64").typed()[0] = -5;
        const appendAndCommit = async (): Promise<unknown> => {
          if (one.array("a").size === 2 ** 12) one.array("a").append(new Float64Array(2 ** 13).fill(3));
          return await transaction.commit();
        };
        const error = await appendAndCommit().then(
          () => undefined,
          (reason: unknown) => reason,
        );
        observeDisk(undefined);
        if (failed) {
          if (errno === "EIO") assert.ok(error instanceof PoisonedError, String(error));
          else assert.ok(error instanceof DiskFullError, String(error));
          if (errno === "EIO") await assert.rejects(() => transaction.commit(), PoisonedError);
          else await appendAndCommit();
        }
        hold.abort();
        const committed = errno !== "EIO" || !failed;
        for (const each of open.splice(0)) each.close();
        const two = store(one.folder);
        const sum = two.array("a", "f64").sum();
        const before = (4095 * 4096) / 2;
        assert.equal(sum, committed ? before - 5 + 3 * 2 ** 13 : before, `failing at ${failAt}`);
        if (!failed) return;
      }
    });
});

function flipAt(file: string, at: number): void {
  const bytes = fs.readFileSync(file);
  flip(bytes, at);
  fs.writeFileSync(file, bytes);
}

/** The same in a file whose holes stay holes. */
function flipInPlace(file: string, at: number): void {
  const fd = fs.openSync(file, "r+");
  const byte = new Uint8Array(1);
  fs.readSync(fd, byte, 0, 1, at);
  flip(byte, 0);
  fs.writeSync(fd, byte, 0, 1, at);
  fs.closeSync(fd);
}

function zeroAt(file: string, at: number, length: number): void {
  const bytes = fs.readFileSync(file);
  fs.writeFileSync(file, bytes.fill(0, at, at + length));
}

describe("a store that is not what it should be", () => {
  it("is refused: corrupt superblocks, a newer format, none at all", async () => {
    const one = await filled();
    one.close();
    const head = path.join(one.folder, "head");
    const whole = fs.readFileSync(head);
    const broken = Uint8Array.from(whole);
    broken[100] = 255;
    broken[65636] = 255;
    fs.writeFileSync(head, broken);
    assert.throws(() => store(one.folder), CorruptError);
    const newer = Uint8Array.from(whole);
    newer[8] = newer[65544] = 9;
    fs.writeFileSync(head, newer);
    assert.throws(() => store(one.folder), StoreFormatError);
    fs.writeFileSync(head, whole);
    assert.equal(store(one.folder).array("a").get(5), 5);
    assert.throws(() => openStore(path.join(one.folder, "none"), { create: false }), NotFoundError);
    assert.throws(() => openStore("postgres://here"), InvalidArgumentError);
  });

  it("one corrupt superblock of two is no loss", async () => {
    const one = await filled();
    await one.checkpoint();
    one.close();
    const head = path.join(one.folder, "head");
    const bytes = fs.readFileSync(head);
    const older = bytes.readUInt32LE(16) > bytes.readUInt32LE(65552) ? 65536 : 0;
    flip(bytes, older + 70);
    fs.writeFileSync(head, bytes);
    assert.equal(store(one.folder).array("a").get(5), 5);
  });

  it("a corrupt page in the log is named by array and page", async () => {
    const one = await filled();
    for (let i = 0; i < 3; i++)
      await one.transact(() => {
        one.array("a", "f64").typed()[PAGE * 3] = i;
      });
    one.engine[Symbol.dispose]();
    const log = path.join(one.folder, "log.1");
    const bytes = fs.readFileSync(log);
    const at = bytes.lastIndexOf("OCPLREC1");
    const previous = bytes.subarray(0, at).lastIndexOf("OCPLREC1");
    flip(bytes, previous + 4096 + 10);
    fs.writeFileSync(log, bytes);
    assert.throws(
      () => store(one.folder),
      (error) => error instanceof CorruptError && /page 3 of array "a"/.test(error.message),
    );
  });

  it("a flipped bit in a home file is named by array and page", async () => {
    const one = await filled(2 ** 17);
    await one.transact(() => {
      one.array("a", "f64").typed()[PAGE * 9] = -1;
    });
    await one.checkpoint();
    assert.deepEqual(one.engine.verify(), []);
    one.close();
    for (const page of [9, 100]) {
      const home = path.join(one.folder, "a1.dat");
      const bytes = fs.readFileSync(home);
      flip(bytes, page * 4096 + 77);
      fs.writeFileSync(home, bytes);
      const found = store(one.folder).engine.verify();
      assert.equal(found.length, 1);
      assert.ok(found[0]?.message.includes(`page ${page} of array "a"`));
      flip(bytes, page * 4096 + 77);
      fs.writeFileSync(home, bytes);
    }
  });

  it("a bit in a page of a home file that was never written, or cleared, is named by array and page", async () => {
    const one = store(tempFolder());
    const transaction = one.begin();
    const a = one.create("a", { dtype: "u8", shape: 6000 * 4096 });
    for (const page of [0, 5, 900, 5000]) a.view([page * 4096, (page + 1) * 4096]).array.fill(9);
    await transaction.commit();
    await one.transact(() => a.resize(1000 * 4096));
    await one.transact(() => a.resize(6000 * 4096));
    await one.checkpoint();
    assert.deepEqual(one.engine.verify(), []);
    one.close();
    const home = path.join(one.folder, "a1.dat");
    for (const [page, reason] of [
      [2, "never written"],
      [899, "never written"],
      [4500, "never written"],
      [5000, "never written"],
      [900, "checksum"],
    ] as const) {
      flipInPlace(home, page * 4096 + 77);
      const two = store(one.folder);
      const found = two.engine.verify().map(({ message }) => message);
      two.close();
      assert.equal(found.length, 1, found.join());
      assert.ok(found[0]?.includes(`page ${page} of array "a"`) && found[0].includes(reason), found.join());
      flipInPlace(home, page * 4096 + 77);
    }
    const again = store(one.folder);
    assert.deepEqual(again.engine.verify(), []);
    again.close();
  });

  it("pages that a snapshot keeps from being applied are none of those", async () => {
    const one = await filled();
    await one.checkpoint();
    const old = store(one.folder);
    old.begin();
    await one.transact(() => one.array("a").resize(2 ** 21));
    await one.transact(() => one.array("a").set([[2 ** 19, 2 ** 20]], 5));
    await one.transact(() => one.array("a").resize(2 ** 15));
    assert.deepEqual(one.engine.verify(), []);
    old.close();
    await one.checkpoint();
    assert.deepEqual(one.engine.verify(), []);
  });

  it("a home file that was truncated from outside is told", async () => {
    const one = await filled();
    one.close();
    fs.truncateSync(path.join(one.folder, "a1.dat"), 4096);
    assert.throws(() => store(one.folder), CorruptError);
  });

  for (const [what, hasShm, work] of [
    ["the head of a record in the middle", false, (log: string, heads: number[]) => flipAt(log, (heads[1] ?? 0) + 30)],
    ["all of such a record", false, (log: string, heads: number[]) => zeroAt(log, heads[1] ?? 0, 8192)],
    ["the last record, that was told of", true, (log: string, heads: number[]) => flipAt(log, (heads[3] ?? 0) + 4100)],
    ["the end of the log", true, (log: string, heads: number[]) => fs.truncateSync(log, heads[3] ?? 0)],
    ["the file of the log", true, (log: string) => fs.rmSync(log)],
  ] as const)
    it(`is refused when ${what} is damaged: nothing that was committed is given up`, async () => {
      const one = await filled();
      for (let i = 0; i < 3; i++) await one.transact(() => void one.array("a").set([i], -1));
      const folder = tempFolder();
      /* A copy of a store that nobody has closed. */
      for (const name of fs.readdirSync(one.folder))
        if (hasShm || name !== "shm") fs.copyFileSync(path.join(one.folder, name), path.join(folder, name));
      const log = path.join(folder, "log.1");
      const bytes = fs.readFileSync(log);
      const heads: number[] = [];
      for (let at = bytes.indexOf("OCPLREC1"); at >= 0; at = bytes.indexOf("OCPLREC1", at + 1)) heads.push(at);
      assert.equal(heads.length, 4);
      work(log, heads);
      const damaged = fs.readdirSync(folder).map((name) => fs.readFileSync(path.join(folder, name)));
      for (let attempt = 0; attempt < 2; attempt++)
        assert.throws(
          () => store(folder),
          (error) => error instanceof CorruptError && /transaction [0-9] is damaged/.test(error.message),
        );
      if (hasShm) return;
      assert.deepEqual(fs.readdirSync(folder).filter((name) => name !== "shm").length, damaged.length);
    });

  it("junk in shm is no loss, and not believed", async () => {
    for (const fill of [0xff, 0x11]) {
      const one = await filled();
      one.engine[Symbol.dispose]();
      const shm = path.join(one.folder, "shm");
      fs.writeFileSync(shm, fs.readFileSync(shm).fill(fill));
      assert.equal(store(one.folder).array("a").get(5), 5);
    }
  });

  it("a torn end of the log is as if it had not been", async () => {
    const one = await filled();
    await one.transact(() => {
      one.array("a", "f64").typed()[0] = 9;
    });
    one.engine[Symbol.dispose]();
    /* Nobody was told that it is on the disk. */
    fs.rmSync(path.join(one.folder, "shm"));
    const log = path.join(one.folder, "log.1");
    const bytes = fs.readFileSync(log);
    flip(bytes, bytes.lastIndexOf("OCPLREC1") + 4096 + 5);
    fs.writeFileSync(log, bytes);
    const two = store(one.folder);
    assert.equal(two.snapshot, 1);
  });

  it("a commit lock that is held too long is LockedError", async () => {
    const one = await filled(4096, { lockTimeout: 30 });
    const other = DataFile.open(path.join(one.folder, "lock"), true);
    assert.ok(lockRange(other, "exclusive", 0, 1));
    const transaction = one.begin();
    one.array("a", "f64").typed()[0] = 4;
    await assert.rejects(() => transaction.commit(), LockedError);
    other.close();
    await transaction.commit();
  });
});

describe("a page that was written to without a change", () => {
  for (const dirtyWay of ["scan", "pagemap", "compare"] as const)
    for (const end of ["commit", "abort", "empty commit"] as const)
      it(`shows afterwards what others commit (${dirtyWay}, ${end})`, async () => {
        const one = openStore(tempFolder(), { dirtyWay, reserve: 2 ** 20 });
        const two = openStore(one.folder);
        try {
          const a = await one.transact(() => one.create("a", { dtype: "f64", shape: 4096 }));
          await one.transact(() => a.typed().fill(5));
          await one.checkpoint();
          const transaction = one.begin();
          a.typed()[0] = a.typed()[0] as number;
          if (end === "commit") a.typed()[2000] = 6;
          if (end === "abort") transaction.abort();
          else await transaction.commit();
          await two.transact(() => two.array("a", "f64").typed().fill(7, 0, 10));
          await two.checkpoint();
          one.refresh();
          assert.deepEqual([a.typed()[0], a.typed()[9], a.typed()[10]], [7, 7, 5]);
        } finally {
          one.close();
          two.close();
        }
      });
});
