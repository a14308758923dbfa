import assert from "node:assert/strict";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, openStore, type StoreOptions } from "../../src/array/main.ts";
import { PoisonedError, SystemError } from "../../src/errors.ts";
import { type DiskStep, diskError, observeDisk } from "../../src/memory/store-file.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";
import { observeFolder } from "./disk.ts";

const open: ArrayStore[] = [];

afterEach(() => {
  observeDisk(undefined);
  for (const each of open.splice(0)) each.close();
  cleanTemp();
});

function store(folder: string, options: StoreOptions = {}): ArrayStore {
  const opened = openStore(folder, { reserve: 2 ** 26, checkpointDelay: 1e6, ...options });
  open.push(opened);
  return opened;
}

const PAGE = 512;
const SIZE = 64 * PAGE;
/** Enough pages for a commit to leave them for later. */
const WRITTEN = 40;

/** A store whose log holds a commit that the home files do not hold yet. */
async function committed(options: StoreOptions = {}): Promise<ArrayStore> {
  const one = store(tempFolder(), options);
  await one.transact(() => void one.create("a", { dtype: "f64", shape: SIZE }).fill(1));
  await one.checkpoint();
  await one.transact(() => {
    const view = one.array("a", "f64").typed();
    for (let page = 0; page < WRITTEN; page++) view[page * PAGE] = 2;
    one.array("a", "f64").resize(SIZE - 1);
  });
  return one;
}

function isWhole(one: ArrayStore): void {
  const a = one.array("a", "f64");
  assert.equal(a.size, SIZE - 1);
  assert.equal(a.sum(), SIZE - 1 + WRITTEN);
  assert.deepEqual(one.engine.verify(), []);
}

/** Steps towards the disk while it is broken. */
interface Broken {
  readonly failed: DiskStep[];
  /** What was written after the first failure. */
  readonly later: DiskStep[];
}

const KINDS = ["write", "sync", "truncate", "punch", "create", "sync-folder"];

/** Lets step number `failAt` fail, and with `onlyOnce` no other, else all that follow. */
function breakDisk({ folder }: { folder: string }, failAt: number, onlyOnce: boolean): Broken {
  const broken: Broken = { failed: [], later: [] };
  let count = 0;
  observeFolder(folder, (step) => {
    if (!KINDS.includes(step.kind)) return undefined;
    if (broken.failed.length > 0) broken.later.push(step);
    if (count++ < failAt || (onlyOnce && broken.failed.length > 0)) return undefined;
    broken.failed.push(step);
    throw diskError("EIO", step.kind, step.path);
  });
  return broken;
}

const nameOf = ({ kind, path }: DiskStep): string => `${kind} ${path.split("/").at(-1)?.replace(/\d+/, "N")}`;

/** A connection whose disk failed does nothing more, also when the disk works again; one opened later has everything. */
async function isPoisoned(one: ArrayStore, { failed, later }: Broken): Promise<void> {
  const where = nameOf(failed[0] as DiskStep);
  for (let i = 0; i < 2; i++) {
    assert.throws(() => one.begin(), PoisonedError, where);
    await assert.rejects(() => one.checkpoint(), PoisonedError, where);
  }
  one.close();
  assert.deepEqual(later.map(nameOf), [], `after ${where}`);
  observeDisk(undefined);
  isWhole(store(one.folder));
}

/** Does `work` with one step after the other failing, until none does; what was hit. */
async function everyStep(work: (failAt: number) => Promise<Broken>): Promise<Set<string>> {
  const hit = new Set<string>();
  for (let failAt = 0; failAt < 100; failAt++) {
    const [first] = (await work(failAt)).failed;
    observeDisk(undefined);
    if (first === undefined) return hit;
    hit.add(nameOf(first));
  }
  throw new Error("there is no end of steps");
}

const CHECKPOINT = ["write aN.sum", "write aN.dat", "sync aN.dat", "sync aN.sum", "write head", "sync head"];

for (const onlyOnce of [true, false])
  describe(`a disk that fails ${onlyOnce ? "once" : "for good"} (EIO)`, () => {
    it("at any step of a checkpoint poisons the connection, and nothing is lost", async () => {
      const hit = await everyStep(async (failAt) => {
        const one = await committed();
        const broken = breakDisk(one, failAt, onlyOnce);
        const error = await one.checkpoint().then(
          () => undefined,
          (reason: unknown) => reason,
        );
        assert.equal(error instanceof PoisonedError, broken.failed.length > 0, String(error));
        if (broken.failed.length > 0) await isPoisoned(one, broken);
        return broken;
      });
      for (const step of CHECKPOINT) assert.ok(hit.has(step), `${step} of ${[...hit]}`);
    });

    it("at any step of the checkpoint that closing makes is told, and nothing is lost", async () => {
      const hit = await everyStep(async (failAt) => {
        const one = await committed();
        const broken = breakDisk(one, failAt, onlyOnce);
        let error: unknown;
        try {
          one.close();
        } catch (reason) {
          error = reason;
        }
        assert.equal(error instanceof PoisonedError, broken.failed.length > 0, String(error));
        assert.deepEqual(broken.later.map(nameOf), []);
        observeDisk(undefined);
        isWhole(store(one.folder));
        return broken;
      });
      for (const step of CHECKPOINT) assert.ok(hit.has(step), `${step} of ${[...hit]}`);
    });

    it("at any step between commits poisons the connection, and nothing is lost", async () => {
      const hit = await everyStep(async (failAt) => {
        const one = await committed({ checkpointDelay: 1, segmentBytes: 2 ** 20 });
        const broken = breakDisk(one, failAt, onlyOnce);
        const end = Date.now() + 60_000;
        while (broken.failed.length === 0 && one.engine.logBytes > 0 && Date.now() < end)
          await new Promise((resolve) => setTimeout(resolve, 1));
        if (broken.failed.length > 0) await isPoisoned(one, broken);
        else assert.equal(one.engine.logBytes, 0);
        return broken;
      });
      for (const step of CHECKPOINT) assert.ok(hit.has(step), `${step} of ${[...hit]}`);
      assert.ok(hit.has("write log.N"), [...hit].join());
    });

    it("where the next transaction brings the home files up to date poisons the connection, and nothing is lost", async () => {
      const hit = await everyStep(async (failAt) => {
        const one = await committed();
        const broken = breakDisk(one, failAt, onlyOnce);
        /* In the same turn as the commit's end: nothing was done in between. */
        let error: unknown;
        try {
          one.begin().abort();
        } catch (reason) {
          error = reason;
        }
        assert.equal(error instanceof PoisonedError, broken.failed.length > 0, String(error));
        if (broken.failed.length > 0) await isPoisoned(one, broken);
        return broken;
      });
      assert.deepEqual([...hit], ["write aN.sum", "write aN.dat"]);
    });

    it("at any step of recovery keeps the store from being opened, until the disk works; nothing is lost", async () => {
      const hit = await everyStep(async (failAt) => {
        const one = await committed();
        one.engine[Symbol.dispose]();
        const broken = breakDisk(one, failAt, onlyOnce);
        let error: unknown;
        try {
          store(one.folder).engine[Symbol.dispose]();
        } catch (reason) {
          error = reason;
        }
        assert.equal(error instanceof SystemError, broken.failed.length > 0, String(error));
        observeDisk(undefined);
        isWhole(store(one.folder));
        return broken;
      });
      for (const step of ["sync log.N", ...CHECKPOINT]) assert.ok(hit.has(step), `${step} of ${[...hit]}`);
    });
  });
