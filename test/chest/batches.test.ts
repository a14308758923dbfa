import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { Chest, type ChestSnapshot, type Key } from "../../src/chest/main.ts";
import { finish, fixture, line, start } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const place = (): string => path.join(tempFolder(), "chest");
const KEYS = 300;
const ROUNDS = 200;
/** How many keys there are after a batch: most have new ones, so that the index grows. */
const sizeAfter = (batch: number): number => KEYS + 10 * Math.min(199, batch);

/** The head's counter and number of commits, for a report. */
function headOf(folder: string): string {
  const { buffer, byteOffset } = fs.readFileSync(path.join(folder, "chest.head"));
  const head = new DataView(buffer, byteOffset);
  return `counter ${head.getUint32(12, true)}, commits ${head.getFloat64(80, true)}`;
}

describe("batches and their readers", () => {
  cleanTempAfterEach();

  it("a reader in another process sees a batch whole or not at all", async () => {
    const folder = place();
    const child = start(fixture("chest-batches.ts"), [folder, String(KEYS)]);
    const ended = finish(child);
    try {
      await line(child, "first");
      const reader = new Chest<string, number>({ path: folder, readOnly: true });
      let newest = 0;
      const seen = new Set<number>();
      /* At least so often, and until it has met the writer's next batch. */
      const latest = Date.now() + 60_000;
      for (let round = 0; round < ROUNDS || (seen.size < 2 && Date.now() < latest); round++) {
        for (let i = 0; i < KEYS; i++) {
          /* From both ends, so that it meets the writer on its way. */
          const value = reader.get(`key${round % 2 === 0 ? i : KEYS - 1 - i}`)!;
          assert.ok(value >= newest, `${value} after ${newest}`);
          newest = value;
          seen.add(value);
        }
        const { size } = reader;
        assert.ok(size >= sizeAfter(newest) && size <= sizeAfter(199), String(size));
        await new Promise((resolve) => setImmediate(resolve));
        if (child.exitCode !== null || child.signalCode !== null)
          assert.fail(`the writer ended: ${JSON.stringify(await ended)}`);
      }
      assert.ok(seen.size > 1, "the writer goes on");
      reader.close();
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
    /* Killed at any moment: all keys are of one batch. */
    for (const readOnly of [true, false]) {
      const chest = new Chest<string, number>({ path: folder, readOnly });
      const first = chest.get("key0")!;
      for (let i = 0; i < KEYS; i++) assert.equal(chest.get(`key${i}`), first);
      chest.close();
    }
  }, 120_000);

  it("a snapshot in another process is of one commit, while batches are committed and compacted all the time", async () => {
    const folder = place();
    const child = start(fixture("chest-batches.ts"), [folder, String(KEYS), String(2 ** 20)]);
    const ended = finish(child);
    try {
      await line(child, "first");
      const reader = new Chest<string, number>({ path: folder, readOnly: true });
      const kept: { snapshot: ChestSnapshot<string, number>; value: number; size: number }[] = [];
      const check = ({ snapshot, value, size }: (typeof kept)[number]): void => {
        for (let i = 0; i < KEYS; i++) assert.equal(snapshot.get(`key${i}`), value);
        assert.equal(snapshot.size, size);
      };
      const values = new Set<number>();
      const latest = Date.now() + 60_000;
      for (let round = 0; round < 40 || (values.size < 3 && Date.now() < latest); round++) {
        const snapshot = reader.snapshot();
        const one = { snapshot, value: snapshot.get("key0")!, size: sizeAfter(snapshot.get("key0")!) };
        check(one);
        assert.equal([...snapshot].length, one.size);
        values.add(one.value);
        if (round % 10 === 0) kept.push(one);
        else snapshot.close();
      }
      assert.ok(
        values.size >= 3,
        `${[...values]}; ${headOf(folder)}; the writer: ${child.exitCode} ${child.signalCode}`,
      );
      /* One that has looked at nothing yet. */
      const late = new Chest<string, number>({ path: folder, readOnly: true });
      const unread = late.snapshot();
      /* What they look into is removed by the writer meanwhile. */
      const logs = fs.readdirSync(folder).filter((name) => name.endsWith(".log"));
      while (logs.some((name) => fs.existsSync(path.join(folder, name))) && Date.now() < latest)
        await new Promise((resolve) => setTimeout(resolve, 10));
      assert.ok(logs.every((name) => !fs.existsSync(path.join(folder, name))));
      const value = unread.get("key0")!;
      check({ snapshot: unread, value, size: sizeAfter(value) });
      unread.close();
      late.close();
      for (const one of kept) {
        check(one);
        one.snapshot.close();
      }
      reader.close();
    } finally {
      child.kill("SIGKILL");
      assert.equal((await ended).stderr, "");
    }
  }, 120_000);

  it("a reader does not wait for a writer that died while it entered a commit", () => {
    const folder = place();
    const writer = new Chest<string, number>({ path: folder });
    writer.set("a", 1).set("b", 2).flush();
    /* The lock is gone, and the head does not say that the change has ended. */
    writer.abandon();
    const head = path.join(folder, "chest.head");
    const bytes = fs.readFileSync(head);
    bytes.writeUInt32LE(bytes.readUInt32LE(12) + 1, 12);
    fs.writeFileSync(head, bytes);
    const { wait } = Atomics;
    let pauses = 0;
    Atomics.wait = ((...args: Parameters<typeof wait>) => {
      pauses++;
      return wait(...args);
    }) as typeof wait;
    try {
      const reader = new Chest<string, number>({ path: folder, readOnly: true });
      assert.deepEqual([pauses, reader.size, ...reader], [0, 2, ["a", 1], ["b", 2]]);
      const next = new Chest<string, number>({ path: folder });
      next.set("a", 3).flush();
      assert.deepEqual([...reader], [...Object.entries({ a: 3, b: 2 })]);
      next.close();
      reader.close();
    } finally {
      Atomics.wait = wait;
    }
  });

  it("one that meets damage half way is not applied, in memory or on the disk", () => {
    const folder = place();
    const chest = new Chest<string, unknown>({ path: folder });
    for (const key of ["a", "broken", "c"]) chest.set(key, key);
    chest.close();
    const log = path.join(folder, "00000001.log");
    const bytes = fs.readFileSync(log);
    /* The kind of its record: there is none to be found then. */
    bytes[bytes.indexOf("broken") - 6]! = 0;
    fs.writeFileSync(log, bytes);
    const damaged = new Chest<string, unknown>({ path: folder });
    damaged.set("new", 1);
    const before = ["a", "c", "new", "more"].map((key) => [damaged.get(key), damaged.about(key)]);
    const all = (): void => {
      damaged.batch((batch) => batch.set("a", 2).delete("c").set("new", 3).set("more", 4).delete("broken").set("d", 5));
    };
    assert.throws(all, { code: "DAMAGED" });
    assert.throws(() => damaged.batch((batch) => batch.delete("a").set("broken", 1)), { code: "DAMAGED" });
    assert.deepEqual(
      ["a", "c", "new", "more"].map((key) => [damaged.get(key), damaged.about(key)]),
      before,
    );
    assert.deepEqual([damaged.size, damaged.has("d")], [4, false]);
    damaged.flush();
    damaged.abandon();
    const reader = new Chest<string, unknown>({ path: folder, readOnly: true });
    assert.deepEqual([reader.size, reader.get("a"), reader.get("c"), reader.get("new")], [4, "a", "c", 1]);
    reader.close();
  });

  it("asks a user's functions, and looks at keys, only while it is collected", () => {
    let calls = 0;
    const weigh = (): number => {
      if (++calls > 4) throw new Error("asked again");
      return 100;
    };
    const chest = new Chest<Key, number>({ path: place(), weigh });
    chest.set("old", 0);
    const key = [1, 2];
    chest.batch((batch) => {
      batch
        .set("old", 1)
        .set(key, 2)
        .set("timed", 3, { timeToLive: 60_000, tags: ["t"] })
        .delete("none");
      key[0] = 99;
    });
    assert.deepEqual([...chest.keys()], ["old", [1, 2], "timed"]);
    assert.deepEqual(chest.about("timed")?.tags, ["t"]);
    assert.throws(() => chest.batch((batch) => batch.delete("old").set("more", 1)), /asked again/);
    assert.throws(
      () =>
        chest.batch((batch) => {
          batch.delete("old");
          chest.abandon();
        }),
      { code: "CLOSED" },
    );
  });

  it("removes and sets in the order it was told, whatever had time to live", async () => {
    const chest = new Chest<string, number>({ path: place() });
    for (const [i, key] of ["a", "b", "c", "over"].entries()) chest.set(key, i, { timeToLive: key === "over" ? 1 : 0 });
    chest.flush();
    await new Promise((resolve) => setTimeout(resolve, 10));
    chest.batch((batch) =>
      batch.delete("a").set("over", 9).set("a", 7).set("b", 8).delete("c").set("c", 6).delete("c"),
    );
    const expected = [
      ["b", 8],
      ["over", 9],
      ["a", 7],
    ];
    assert.deepEqual([chest.size, [...chest]], [3, expected]);
    chest.flush();
    const reader = new Chest<string, number>({ path: chest.path, readOnly: true });
    assert.deepEqual([reader.size, [...reader]], [3, expected]);
    reader.close();
    chest.close();
  });

  it("a reader goes by the log while a commit is half in the index, and by the index again afterwards", () => {
    const folder = place();
    const writer = new Chest<string, number>({ path: folder, durability: "none" });
    writer.set("a", 1).set("b", 2).flush();
    const head = path.join(folder, "chest.head");
    const fd = fs.openSync(head, "r+");
    const counter = new Uint32Array(1);
    const raw = new Uint8Array(counter.buffer);
    fs.readSync(fd, raw, 0, 4, 12);
    counter[0]!++;
    fs.writeSync(fd, raw, 0, 4, 12);
    const reader = new Chest<string, number>({ path: folder, readOnly: true });
    assert.deepEqual([...reader], [...Object.entries({ a: 1, b: 2 })]);
    assert.deepEqual(reader.damage, []);
    counter[0]!++;
    fs.writeSync(fd, raw, 0, 4, 12);
    fs.closeSync(fd);
    writer.set("a", 3).set("c", 4).flush();
    assert.deepEqual([...reader], [...Object.entries({ a: 3, b: 2, c: 4 })]);
    reader.close();
    writer.close();
  });
});
