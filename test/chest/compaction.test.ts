import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, it } from "vitest";
import { LogStore } from "../../src/chest/log/store.ts";
import { Walker } from "../../src/chest/log/walker.ts";
import { Chest } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempFolder, tempMemoryFolder } from "../support/temp.ts";

const place = (): string => path.join(tempFolder(), "chest");
const SMALL = { segmentSize: 2 ** 20, durability: "none" } as const;

/** The folder as a crash of this process would leave it, with or without what is not the log. */
function crashed(folder: string, logAlone: boolean): string {
  const copy = place();
  fs.mkdirSync(copy);
  for (const name of fs.readdirSync(folder))
    if (name !== "chest.lock" && (name.endsWith(".log") || !logAlone))
      fs.copyFileSync(path.join(folder, name), path.join(copy, name));
  return copy;
}

describe("compaction", () => {
  cleanTempAfterEach();

  it("keeps what was deleted deleted, though a snapshot keeps older segments there", async () => {
    const folder = place();
    const chest = new Chest<string, Uint8Array | number>({ path: folder, ...SMALL });
    const fill = (name: string): void => {
      for (let i = 0; i < 40; i++) chest.set(`${name}${i}`, new Uint8Array(30_000));
      chest.flush();
    };
    chest.set("deleted", 1).set("kept", 2);
    fill("first");
    const snapshot = chest.snapshot();
    chest.delete("deleted");
    fill("second");
    for (let round = 0; round < 3; round++) {
      fill("first");
      fill("second");
      await chest.compact();
      for (const logAlone of [false, true]) {
        const copy = new Chest<string, Uint8Array | number>({ path: crashed(folder, logAlone) });
        assert.equal(copy.has("deleted"), false, "it is back");
        assert.equal(copy.get("kept"), 2);
        assert.equal(copy.size, 81);
        copy.close();
      }
    }
    assert.equal(snapshot.get("deleted"), 1);
    snapshot.close();
    chest.close();
  });

  it("iteration goes on while it runs, and sees every key once", async () => {
    const chest = new Chest<number, Uint8Array>({ ...SMALL, budget: 100_000 });
    for (let round = 0; round < 3; round++) for (let i = 0; i < 100; i++) chest.set(i, new Uint8Array(20_000).fill(i));
    chest.flush();
    const seen: number[] = [];
    let running = true;
    const compacting = chest.compact().then(() => {
      running = false;
    });
    let steps = 0;
    for (const [key, value] of chest) {
      assert.equal(value[19_999], key);
      seen.push(key);
      if (running) {
        await new Promise((resolve) => setImmediate(resolve));
        steps++;
      }
    }
    await compacting;
    assert.ok(steps > 0);
    assert.deepEqual(
      seen,
      Array.from({ length: 100 }, (_, i) => i),
    );
    chest.close();
  });

  it("changes between its steps are kept, and so are time to live and tags", async () => {
    const folder = place();
    const chest = new Chest<number, Uint8Array>({ path: folder, ...SMALL, budget: 100_000 });
    for (let round = 0; round < 3; round++)
      for (let i = 0; i < 60; i++)
        chest.set(i, new Uint8Array(20_000).fill(i), { tags: [`t${i % 2}`], timeToLive: 60_000 });
    chest.flush();
    let changed = 0;
    await chest.compact(() => {
      chest.set(changed, new Uint8Array(20_000).fill(100 + changed)).delete(59 - changed);
      changed++;
    });
    assert.ok(changed > 0);
    const check = (where: Chest<number, Uint8Array>): void => {
      for (let i = 0; i < 60; i++) {
        const expected = i > 59 - changed ? undefined : i < changed ? 100 + i : i;
        assert.equal(where.get(i)?.[7], expected);
      }
    };
    check(chest);
    chest.close();
    const again = new Chest<number, Uint8Array>({ path: folder });
    check(again);
    assert.equal(again.deleteTagged("t1") + again.deleteTagged("t0"), 60 - 2 * changed);
    again.close();
  });

  it("its first steps after opening measure one segment each, when there is no time for more", () => {
    const folder = path.join(tempFolder(), "chest");
    const options = { readOnly: false, sync: false, segmentSize: 2 ** 20, mappedLimit: 2 ** 22 };
    const chest = new Chest<number, string>({ path: folder, segmentSize: 2 ** 20, autoCompact: false });
    for (let i = 0; i < 300; i++) chest.set(i % 200, "v".repeat(20_000));
    chest.close();
    const store = LogStore.open(folder, options);
    const { measure } = Walker.prototype;
    let measured = 0;
    Walker.prototype.measure = function (segment) {
      measured++;
      return measure.call(this, segment);
    };
    try {
      const segments = fs.readdirSync(folder).filter((name) => name.endsWith(".log")).length;
      assert.ok(segments >= 4);
      const counts = Array.from({ length: segments }, () => {
        store.compactStep(0, true, () => store.commit(store.storedCount, false));
        return measured;
      });
      assert.deepEqual(
        counts,
        counts.map((_, i) => i + 1),
      );
      for (let step = 0; !store.compactStep(0, true, () => store.commit(store.storedCount, false)); step++)
        assert.ok(step < 10_000);
    } finally {
      Walker.prototype.measure = measure;
      store.close();
    }
    const again = new Chest<number, string>({ path: folder });
    assert.deepEqual(
      [...again.keys()],
      Array.from({ length: 200 }, (_, i) => i),
    );
    again.close();
  });

  it("of a segment with the last commit and nothing live leaves a commit behind it", async () => {
    for (const durability of ["none", "flush"] as const)
      for (const isRemoved of [false, true]) {
        const folder = place();
        const chest = new Chest<number, Uint8Array>({ path: folder, segmentSize: 2 ** 20, durability });
        for (let i = 0; i < 20; i++) chest.set(i, new Uint8Array(20_000));
        chest.flush();
        for (let i = 0; i < 20; i++) chest.delete(i);
        if (!isRemoved) chest.set(99, new Uint8Array([7]));
        await chest.compact();
        const reader = new Chest<number, Uint8Array>({ path: folder, readOnly: true });
        const expected = isRemoved ? [] : [[99, new Uint8Array([7])]];
        assert.deepEqual([...reader], expected);
        chest.set(1, new Uint8Array(5));
        chest.shrink(0);
        /* What was staged is given up. */
        chest.abandon();
        assert.deepEqual([...reader], expected);
        reader.close();
        for (const logAlone of [false, true]) {
          const copy = new Chest<number, Uint8Array>({ path: crashed(folder, logAlone) });
          assert.deepEqual([...copy], expected);
          assert.deepEqual(copy.damage, []);
          copy.set(5, new Uint8Array(3));
          copy.close();
          const again = new Chest<number, Uint8Array>({ path: copy.path });
          assert.deepEqual([[...again.keys()].at(-1), again.damage], [5, []]);
          again.close();
        }
      }
  });

  it("one that is given up with the chest is begun again by the next", async () => {
    const folder = place();
    let chest = new Chest<number, Uint8Array>({ path: folder, ...SMALL, autoCompact: false });
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 50; i++) chest.set(i, new Uint8Array(20_000).fill(i + round));
      chest.flush();
    }
    await assert.rejects(
      chest.compact(() => chest.close()),
      { code: "CLOSED" },
    );
    chest = new Chest<number, Uint8Array>({ path: folder, ...SMALL });
    await chest.compact();
    for (let i = 0; i < 50; i++) assert.equal(chest.get(i)?.[0], i + 4);
    assert.ok(chest.diskUsage < 3 * 2 ** 20);
    chest.close();
  });

  it("a reader has, leases, gets and iterates through it, and keeps no removed file open", async () => {
    const folder = place();
    const writer = new Chest<number, Uint8Array>({ path: folder, ...SMALL, budget: 100_000 });
    const put = (round: number): void => {
      for (let i = 0; i < 50; i++) writer.set(i, new Uint8Array(40_000).fill(i + round));
      writer.flush();
    };
    put(0);
    const reader = new Chest<number, Uint8Array>({ path: folder, readOnly: true, budget: 0 });
    for (let round = 1; round < 12; round++) {
      const walk = reader.entries();
      for (let i = 0; i < 5; i++) walk.next();
      put(round);
      await writer.compact();
      const rest = [...walk];
      assert.deepEqual(
        rest.map(([key]) => key),
        Array.from({ length: 45 }, (_, i) => i + 5),
      );
      for (const [key, value] of rest) assert.equal(value[1], key + round);
      put(round);
      await writer.compact();
      assert.ok(reader.has(7));
      put(round);
      await writer.compact();
      const lease = reader.lease(9);
      assert.equal(lease?.value[39_999], 9 + round);
      lease?.release();
      put(round);
      await writer.compact();
      reader.prefetchAll([1, 2, 3]);
      assert.equal(reader.pin(4), true);
      reader.unpin(4);
      assert.deepEqual(
        [...reader.keys()],
        Array.from({ length: 50 }, (_, i) => i),
      );
    }
    if (process.platform === "linux") {
      const open = fs.readdirSync("/proc/self/fd").filter((fd) => {
        try {
          const target = fs.readlinkSync(`/proc/self/fd/${fd}`);
          return target.startsWith(folder) && target.endsWith("(deleted)");
        } catch {
          return false;
        }
      });
      assert.ok(open.length <= 4, `${open.length} removed files are open`);
    }
    reader.close();
    writer.close();
  });

  it("a backup ends, though what it copies is cut off meanwhile", async () => {
    const home = tempMemoryFolder();
    const chest = new Chest<string, unknown>({ path: path.join(home, "chest"), durability: "none" });
    for (let i = 0; i < 100; i++) chest.set(`key${i}`, i);
    const copy = path.join(home, "copy");
    const done = chest.backup(copy);
    /* The segment that is being written has room that nothing was in: it is cut behind its end. */
    chest.set("large", new Uint8Array(64 * 2 ** 20)).flush();
    await done;
    const other = new Chest<string, unknown>({ path: copy, readOnly: true });
    assert.deepEqual([...other.values()], [...Array(100).keys()]);
    assert.deepEqual(other.damage, []);
    other.close();
    chest.close();
  }, 60_000);
});
