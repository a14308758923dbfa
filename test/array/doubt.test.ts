import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, openStore } from "../../src/array/main.ts";
import { type Mutations, mutations } from "../../src/array/mutations.ts";
import { DiskFullError, PoisonedError } from "../../src/errors.ts";
import { observeDisk } from "../../src/memory/store-file.ts";
import { count } from "../support/counts.ts";
import { cleanTemp } from "../support/temp.ts";
import { type Fault, fastFolder, Recorder } from "./disk.ts";
import { exploreEvery } from "./explorer.ts";
import { type Attempt, options, PAGE, stateOf } from "./workload.ts";

const open: ArrayStore[] = [];
/** Power losses in each place. */
const times = count({ long: 12, usual: 3, brief: 1 });

afterEach(() => {
  observeDisk(undefined);
  for (const each of open.splice(0)) each.engine[Symbol.dispose]();
  cleanTemp();
});

/** A history that is told step by step; then the power is lost in every place of it. */
class Tale {
  readonly folder: string = path.join(fastFolder(), "work");
  readonly recorder = new Recorder();
  readonly attempts: Attempt[] = [{ txid: 0, state: new Map() }];

  constructor() {
    this.recorder.start(this.folder);
  }

  open(): ArrayStore {
    const store = openStore(this.folder, { ...options, checkpointDelay: 1e6 });
    open.push(store);
    return store;
  }

  async commit(store: ArrayStore, change: () => void, durability: "full" | "none" = "full"): Promise<void> {
    const transaction = store.begin();
    change();
    this.recorder.mark(`attempt ${this.attempts.length}`);
    this.attempts.push({ txid: store.engine.newest() + 1, state: stateOf(store) });
    const txid = await transaction.commit({ durability });
    if (durability === "full") this.recorder.mark(`durable ${txid}`);
  }

  /** Does work that fails at the first step of that kind on that file. */
  async failing(fault: Fault, kind: string, file: RegExp, work: () => unknown): Promise<void> {
    this.recorder.failOn(fault, kind, file);
    await assert.rejects(async () => await work());
    assert.equal(this.recorder.hit.length, 1);
    this.recorder.fail(undefined);
  }

  /** What any power loss shows that must not be. */
  losses(last?: number, often: number = times): Promise<string[]> {
    this.recorder.stop();
    for (const each of open.splice(0)) each.engine[Symbol.dispose]();
    const { steps } = this.recorder;
    const history = { hit: this.recorder.hit, steps, attempts: this.attempts, wrong: [] };
    return exploreEvery(path.dirname(this.folder), history, often, last);
  }
}

function gone(store: ArrayStore): void {
  store.engine[Symbol.dispose]();
  open.splice(open.indexOf(store), 1);
}

const fill = (store: ArrayStore, value: number): void => {
  const view = store.array("a", "f64").typed();
  /* So many that a superblock has several sectors that differ. */
  store.setAttributes("a", { text: String(value).repeat(2000) });
  for (let page = 0; page < 8; page += 2) view[page * PAGE] = value;
};

async function made(tale: Tale, store: ArrayStore): Promise<void> {
  await tale.commit(store, () => void store.create("a", { dtype: "f64", shape: 8 * PAGE }).set([[0, 8 * PAGE]], 1));
  await store.checkpoint();
}

/** Each is one history, and the part of the protocol without which it ends badly. */
const tales: readonly [what: string, mutant: keyof Mutations, (tale: Tale) => Promise<void>][] = [
  [
    "home files whose sync failed in one connection are written again before a superblock of another",
    "trustHomes",
    async (tale) => {
      const one = tale.open();
      const two = tale.open();
      await made(tale, one);
      await tale.commit(one, () => fill(one, 2));
      await tale.failing("EIO", "sync", /a1\.dat/, () => one.checkpoint());
      gone(one);
      /* Somebody has it open: nobody recovers. */
      const three = tale.open();
      gone(two);
      await three.checkpoint();
      await tale.commit(three, () => three.array("a", "f64").set([5], 3));
    },
  ],
  [
    "the same where the one that failed died of it",
    "trustHomes",
    async (tale) => {
      const one = tale.open();
      const two = tale.open();
      await made(tale, one);
      await tale.commit(one, () => fill(one, 2));
      await tale.failing("death", "sync", /a1\.dat/, () => one.checkpoint());
      gone(one);
      await tale.commit(two, () => two.array("a", "f64").set([5], 3));
      await two.checkpoint();
      await tale.commit(two, () => two.array("a", "f64").set([6], 4));
    },
  ],
  [
    "a record that did not wait for the disk is written again by another's commit that does",
    "trustLog",
    async (tale) => {
      const one = tale.open();
      const two = tale.open();
      await made(tale, one);
      await tale.commit(one, () => fill(one, 2), "none");
      await tale.failing("EIO", "sync", /log/, () => tale.commit(one, () => fill(one, 3)));
      gone(one);
      await two.checkpoint();
      await tale.commit(two, () => two.array("a", "f64").set([PAGE], 3));
    },
  ],
  [
    "the same where nobody was left, and the store was recovered without a loss of power",
    "trustLog",
    async (tale) => {
      const one = tale.open();
      await made(tale, one);
      await tale.commit(one, () => one.keepSnapshot("kept"));
      await tale.commit(one, () => fill(one, 2), "none");
      await tale.failing("EIO", "sync", /log/, () => tale.commit(one, () => fill(one, 3)));
      gone(one);
      const two = tale.open();
      await tale.commit(two, () => two.array("a", "f64").set([PAGE], 3));
    },
  ],
  [
    "a segment that somebody made who died is there by name before it holds a record",
    "trustNames",
    async (tale) => {
      const one = tale.open();
      const two = tale.open();
      await made(tale, one);
      await tale.failing("death", "sync-folder", /work/, () => tale.commit(one, () => fill(one, 2)));
      gone(one);
      await tale.commit(two, () => fill(two, 3));
    },
  ],
  [
    "a file of checksums that somebody made who died is there by name before a superblock relies on it",
    "trustNames",
    async (tale) => {
      const one = tale.open();
      const two = tale.open();
      const reader = two.begin();
      await tale.commit(one, () => void one.create("a", { dtype: "f64", shape: 8 * PAGE }).set([[0, 8 * PAGE]], 1));
      reader.abort();
      await tale.failing("death", "sync-folder", /work/, () => one.checkpoint());
      gone(one);
      await two.checkpoint();
    },
  ],
  [
    "what a commit has written home past memory is written again after a sync that found no room",
    "trustFailed",
    async (tale) => {
      const one = tale.open();
      await made(tale, one);
      const transaction = one.begin();
      one.create("b", { dtype: "f64", shape: 64 * PAGE }).fill(5);
      tale.recorder.mark(`attempt ${tale.attempts.length}`);
      tale.attempts.push({ txid: one.engine.newest() + 1, state: stateOf(one) });
      await tale.failing("ENOSPC", "sync", /a2\.dat/, () => transaction.commit());
      tale.recorder.mark(`durable ${await transaction.commit()}`);
    },
  ],
  [
    "a superblock that nobody knows to be on the disk is written again before the older one is given up",
    "trustSuperblock",
    async (tale) => {
      const one = tale.open();
      await made(tale, one);
      await tale.commit(one, () => fill(one, 2));
      await tale.failing("EIO", "sync", /head/, () => one.checkpoint());
      gone(one);
      const two = tale.open();
      await tale.commit(two, () => fill(two, 3));
      await two.checkpoint();
    },
  ],
  [
    "a superblock that somebody wrote who died is replaced before others commit behind the old one",
    "leaveUnfinished",
    async (tale) => {
      const one = tale.open();
      const two = tale.open();
      await made(tale, one);
      await tale.commit(one, () => fill(one, 2));
      await tale.failing("kill", "sync", /head/, () => one.checkpoint());
      gone(one);
      await tale.commit(two, () => fill(two, 3));
    },
  ],
];

describe("after a sync that failed, and after a death in the middle of one", () => {
  for (const [what, mutant, tell] of tales) {
    it(what, async () => {
      const tale = new Tale();
      await tell(tale);
      assert.deepEqual(await tale.losses(), []);
    }, 60_000);

    it(`${what}: without that a power loss shows it`, async () => {
      Object.assign(mutations, { [mutant]: true });
      try {
        const tale = new Tale();
        await tell(tale);
        assert.ok((await tale.losses(undefined, 12)).length > 0);
      } finally {
        Object.assign(mutations, { [mutant]: undefined });
      }
    }, 60_000);
  }
});

/** A store whose home file lost what was written to it; another connection was open already. */
async function forgotten(): Promise<{ tale: Tale; two: ArrayStore }> {
  const tale = new Tale();
  const one = tale.open();
  await made(tale, one);
  const home = path.join(tale.folder, "a1.dat");
  const before = fs.readFileSync(home);
  await tale.commit(one, () => fill(one, 2));
  /* The home file has it, and whoever comes shows it from there. */
  one.refresh();
  assert.equal(one.engine.applied, 2);
  const two = tale.open();
  await tale.failing("EIO", "sync", /a1\.dat/, () => one.checkpoint());
  /* Memory was short, and the page was read again. */
  const fd = fs.openSync(home, "r+");
  fs.writeSync(fd, before, 0, before.length, 0);
  fs.closeSync(fd);
  return { tale, two };
}

describe("pages of a home file that did not reach the disk, and were forgotten", () => {
  it("poison every connection, and whoever opens the store then sees what was committed", async () => {
    const { tale, two } = await forgotten();
    assert.throws(() => two.begin(), PoisonedError);
    await assert.rejects(() => two.checkpoint(), PoisonedError);
    assert.throws(() => two.engine.verify(), PoisonedError);
    const three = tale.open();
    assert.equal(three.array("a").get(0), 2);
    assert.deepEqual(three.engine.verify(), []);
    const four = tale.open();
    await tale.commit(four, () => four.array("a").set([1], 7));
    three.refresh();
    assert.deepEqual([three.array("a").get(0), three.array("a").get(1)], [2, 7]);
    assert.deepEqual(await tale.losses(), []);
  }, 60_000);

  it("also in the middle of a transaction, which cannot commit what it made of them", async () => {
    const tale = new Tale();
    const one = tale.open();
    await made(tale, one);
    const two = tale.open();
    await tale.commit(one, () => fill(one, 2));
    const transaction = two.begin();
    two.array("a").set([1], 7);
    await tale.failing("EIO", "sync", /a1\.dat/, () => one.checkpoint());
    await assert.rejects(() => transaction.commit(), PoisonedError);
    assert.deepEqual(await tale.losses(), []);
  }, 60_000);

  it("would be committed anew by whoever did not ask", async () => {
    mutations.ignoreDoubt = true;
    try {
      const { two } = await forgotten();
      await two.transact(() => two.array("a").set([1], 7));
      assert.equal(two.array("a").get(0), 1);
    } finally {
      Object.assign(mutations, { ignoreDoubt: undefined });
    }
  });
});

describe("a process that dies in a checkpoint", () => {
  it("poisons nobody", async () => {
    for (const [kind, file] of [
      ["sync", /a1\.dat/],
      ["sync", /a1\.sum/],
      ["write", /head/],
      ["sync", /head/],
      ["remove", /log/],
    ] as const) {
      const tale = new Tale();
      const one = tale.open();
      const two = tale.open();
      await made(tale, one);
      await tale.commit(one, () => fill(one, 2));
      await tale.failing("kill", kind, file, () => one.checkpoint());
      gone(one);
      two.refresh();
      assert.equal(two.array("a").get(0), 2);
      await tale.commit(two, () => fill(two, 3));
      await two.checkpoint();
      const three = tale.open();
      assert.equal(three.array("a").get(0), 3);
      assert.deepEqual(await tale.losses(), [], `${kind} ${file}`);
    }
  }, 60_000);
});

describe("a process that dies in a commit right after a checkpoint", () => {
  it("leaves a log that others, and those who were not asked, go on to read", async () => {
    const tale = new Tale();
    const [one, two, three] = [tale.open(), tale.open(), tale.open()];
    await made(tale, one);
    await tale.commit(one, () => fill(one, 1.5));
    for (const each of [two, three]) each.refresh();
    await one.checkpoint();
    const append = (): void => one.array("a").append(new Float64Array(16 * PAGE).fill(9));
    await tale.failing("kill", "sync", /a1\.dat/, () => tale.commit(one, append));
    gone(one);
    await tale.commit(two, () => fill(two, 2));
    three.refresh();
    assert.equal(three.array("a").get(0), 2);
    await tale.commit(three, () => fill(three, 3));
    two.refresh();
    assert.equal(two.array("a").get(0), 3);
    assert.deepEqual(await tale.losses(), []);
  }, 60_000);
});

describe("with another connection that commits on, and a reader", () => {
  for (const fault of ["ENOSPC", "EIO", "kill", "death"] as const)
    it(`${fault} at every step of a commit and a checkpoint loses nothing`, async () => {
      for (let step = 0; ; step++) {
        const tale = new Tale();
        const one = tale.open();
        await made(tale, one);
        let two = tale.open();
        await tale.commit(two, () => fill(two, 2));
        const reader = tale.open();
        const reading = reader.begin();
        assert.equal(reader.array("a").get(0), 2);
        tale.recorder.fail(fault, step);
        const append = async (): Promise<void> => {
          await tale.commit(one, () => {
            fill(one, 3);
            one.array("a").append(new Float64Array(8 * PAGE).fill(3));
          });
          await one.checkpoint();
        };
        const error = await append().then(
          () => undefined,
          (reason: unknown) => reason,
        );
        const [hit = "nothing"] = tale.recorder.hit;
        tale.recorder.fail(undefined);
        const where = `${hit}: ${String(error)}`;
        if (fault === "EIO") assert.equal(error instanceof PoisonedError, hit !== "nothing", where);
        else if (fault === "ENOSPC") assert.ok(error === undefined || error instanceof DiskFullError, where);
        else assert.equal(error !== undefined, hit !== "nothing", where);
        gone(one);
        /* Until home files are in doubt it reads what it read. */
        if (!reader.engine.poisoned) {
          assert.deepEqual([reader.array("a").get(0), reader.array("a").size], [2, 8 * PAGE], where);
          reading.abort();
        }
        /* Each open file is told once of a sync that failed. */
        for (let tries = 0; tries < 2; tries++)
          await two.checkpoint().catch((reason: unknown) => {
            assert.ok(
              reason instanceof PoisonedError || reason instanceof DiskFullError,
              `${where}; ${String(reason)}`,
            );
            if (!two.engine.poisoned) return;
            gone(two);
            two = tale.open();
          });
        await two.checkpoint();
        two.refresh();
        const value = two.array("a").get(0) as number;
        assert.ok(value === 3 || (value === 2 && error !== undefined), where);
        assert.equal(two.array("a").size, value === 3 ? 16 * PAGE : 8 * PAGE, where);
        await tale.commit(two, () => fill(two, 4));
        await two.checkpoint();
        assert.deepEqual(two.engine.verify(), [], where);
        assert.deepEqual(await tale.losses(1), [], where);
        if (hit === "nothing") {
          assert.ok(step > 12);
          break;
        }
      }
    }, 120_000);
});

describe("a record that somebody left who died before he told of it", () => {
  it("is taken whole or not at all where the disk has no room to make it durable", async () => {
    const tale = new Tale();
    const one = tale.open();
    const two = tale.open();
    await made(tale, one);
    /* The dead's transaction: it may come true. */
    tale.recorder.failOn("kill", "sync", /log/);
    await assert.rejects(() => tale.commit(one, () => fill(one, 2)));
    tale.recorder.fail(undefined);
    gone(one);
    two.refresh();
    const before = stateOf(two);
    tale.recorder.failOn("ENOSPC", "sync", /log/);
    await assert.rejects(() => two.checkpoint(), DiskFullError);
    tale.recorder.fail(undefined);
    const three = tale.open();
    two.refresh();
    three.refresh();
    assert.deepEqual([two.snapshot, two.engine.applied <= two.snapshot, stateOf(two)], [1, true, before]);
    assert.deepEqual([three.snapshot, stateOf(three)], [1, before]);
    await two.checkpoint();
    two.refresh();
    three.refresh();
    assert.deepEqual([two.snapshot, three.snapshot], [2, 2]);
    assert.deepEqual(stateOf(two), stateOf(three));
    assert.equal(three.array("a").get(0), 2);
    assert.deepEqual(await tale.losses(), []);
  }, 60_000);
});
