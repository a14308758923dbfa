import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { afterEach, describe, it } from "vitest";
import { Head } from "../../src/chest/log/head.ts";
import { Segment } from "../../src/chest/log/segment.ts";
import { LogStore } from "../../src/chest/log/store.ts";
import { Table } from "../../src/chest/log/table.ts";
import { Chest } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempFolder, tempMemoryFolder } from "../support/temp.ts";

const place = (): string => path.join(tempFolder(), "chest");
/* Of the head: its counter, odd while it changes, and keys, which its checksum covers. */
const COUNTER = 12;
const KEYS = 64;

/** A writer is half through writing the head, or, with -1, ends that. */
function tear(folder: string, by: 1 | -1 = 1): void {
  const fd = fs.openSync(path.join(folder, "chest.head"), "r+");
  const bytes = Buffer.alloc(4096);
  fs.readSync(fd, bytes, 0, bytes.length, 0);
  bytes.writeUInt32LE(bytes.readUInt32LE(COUNTER) + 1, COUNTER);
  bytes.writeDoubleLE(bytes.readDoubleLE(KEYS) + by, KEYS);
  fs.writeSync(fd, bytes, 0, bytes.length, 0);
  fs.closeSync(fd);
}

const { readdirSync } = fs;

/** Calls `act` once, right after or before the `nth` list of a folder is made. */
function atList(folder: string, nth: number, act: () => void, when: "after" | "before" = "after"): void {
  let left = nth;
  fs.readdirSync = ((...args: Parameters<typeof readdirSync>) => {
    if (args[0] !== folder || --left !== 0) return readdirSync(...args);
    if (when === "before") act();
    const names = readdirSync(...args);
    if (when === "after") act();
    return names;
  }) as typeof readdirSync;
}

/** Runs `first` once, right before a method of a class does its work. */
function beforeCall<T extends object, Name extends keyof T>(prototype: T, name: Name, first: () => void): () => void {
  const own = prototype[name] as (...args: unknown[]) => unknown;
  const restore = (): void => {
    prototype[name] = own as T[Name];
  };
  prototype[name] = function (this: T, ...args: unknown[]) {
    restore();
    first();
    return own.apply(this, args);
  } as T[Name];
  restores.push(restore);
  return restore;
}

const restores: (() => void)[] = [];
type Values = Chest<string | number, unknown>;
const quick = { segmentSize: 2 ** 20, durability: "none", budget: 0 } as const;
const write = (folder: string): Values => new Chest({ path: folder, ...quick });
const read = (folder: string): Values => new Chest({ path: folder, readOnly: true, budget: 0 });

describe("readers and what a writer does between two of their steps", () => {
  cleanTempAfterEach();
  afterEach(() => {
    fs.readdirSync = readdirSync;
    for (const restore of restores.splice(0)) restore();
  });

  it("snapshots and backups of one that has an index of its own are of the last commit", async () => {
    const folder = place();
    const dead = write(folder);
    dead.set("a", 1).flush();
    dead.abandon();
    tear(folder);
    using reader = read(folder);
    assert.equal(reader.get("a"), 1);
    using writer = write(folder);
    writer.set("a", 2).flush();
    const snapshot = reader.snapshot();
    assert.equal(snapshot.get("a"), 2);
    snapshot.close();
    writer.abandon();
    tear(folder);
    assert.equal(reader.get("a"), 2);
    using last = write(folder);
    last.set("a", 3).flush();
    const saved = path.join(path.dirname(folder), "saved");
    await reader.backup(saved);
    using copy = read(saved);
    assert.equal(copy.get("a"), 3);
  });

  it("a backup by one that has not looked lately, or whose segments are removed meanwhile, has all", async () => {
    for (const when of ["before", "meanwhile"]) {
      const folder = place();
      using writer = write(folder);
      const fill = (value: number): void => {
        for (let i = 0; i < 60; i++) writer.set(i, new Uint8Array(40_000).fill(value));
        writer.flush();
      };
      fill(1);
      using reader = read(folder);
      assert.equal(reader.size, 60);
      const saved = path.join(path.dirname(folder), "saved");
      const change = async (): Promise<void> => {
        fill(2);
        await writer.compact();
        assert.ok(!fs.existsSync(path.join(folder, "00000001.log")));
      };
      if (when === "before") await change();
      const done = reader.backup(saved);
      if (when === "meanwhile") await change();
      await done;
      using copy = read(saved);
      const expected = new Uint8Array(40_000).fill(when === "before" ? 2 : 1);
      assert.deepEqual([...copy.keys()], [...Array(60).keys()]);
      for (let i = 0; i < 60; i++) assert.deepEqual(copy.get(i), expected);
      assert.deepEqual(copy.damage, []);
    }
  });

  it("one that has read a commit in the log does not go back to the head that does not tell of it yet", () => {
    const folder = place();
    using writer = write(folder);
    writer.set("a", 1).flush();
    /* Its checksum is wrong, and the counter even. */
    tear(folder);
    tear(folder);
    let reader: Values | undefined;
    for (let i = 0; i < 3000; i++) writer.set(i, i);
    writer.set("a", 2);
    beforeCall(Table.prototype, "grow", () => {
      reader = read(folder);
      assert.equal(reader.get("a"), 2);
    });
    /* The head is whole again, as of the commit before, to name the index that has grown. */
    beforeCall(Head.prototype, "begin", () => {
      beforeCall(Head.prototype, "begin", () => {
        assert.deepEqual([reader?.get("a"), reader?.get(1), reader?.size], [2, 1, 3001]);
      });
    });
    writer.flush();
    assert.equal(reader?.get("a"), 2);
    writer.set("a", 3).flush();
    assert.equal(reader?.get("a"), 3);
    reader?.close();
  });

  it("one that goes by the log, which is cut and written to meanwhile, sees what is committed there", () => {
    const folder = place();
    const log = path.join(folder, "00000001.log");
    const bytes = (length: number): Uint8Array => new Uint8Array(length);
    const dead = write(folder);
    dead.set("0", bytes(10)).flush();
    using reader = read(folder);
    assert.equal(reader.size, 1);
    dead.set("a", bytes(10)).set("x", bytes(10)).set("large", bytes(40_000));
    const left = fs.readFileSync(log);
    dead.abandon();
    fs.writeFileSync(log, left);
    tear(folder);
    let writer: Values | undefined;
    /* When it has seen what the dead one left there. */
    beforeCall(Segment.prototype, "copy", () => {
      writer = write(folder);
      writer.set("b", bytes(15)).set("c", bytes(5)).set("large", bytes(40_000)).flush();
    });
    assert.deepEqual(reader.get("c"), bytes(5));
    assert.ok(writer !== undefined);
    assert.deepEqual([...reader.keys()], ["0", "b", "c", "large"]);
    writer.close();
  });

  it("pages of an index that was closed, and that the next writer changes just now, are not damaged", () => {
    const folder = place();
    const first = new Chest<string, number>({ path: folder });
    for (let i = 0; i < 2000; i++) first.set(`key${i}`, 1);
    first.close();
    using reader = new Chest<string, number>({ path: folder, readOnly: true });
    let writer: Chest<string, number> | undefined;
    atList(folder, 1, () => {
      writer = new Chest<string, number>({ path: folder });
      for (let i = 0; i < 2000; i++) writer.set(`key${i}`, 2);
      writer.flush();
    });
    const snapshot = reader.snapshot();
    for (let i = 0; i < 2000; i++) assert.equal(snapshot.get(`key${i}`), 2);
    snapshot.close();
    assert.ok(writer !== undefined);
    assert.deepEqual(reader.damage, []);
    writer.set("key1", 3).flush();
    assert.equal(reader.get("key1"), 3);
    writer.close();
  });

  it("what was looked at behind the end of a segment that was cut is read when it is written to again", () => {
    const folder = place();
    const first = write(folder);
    for (let i = 0; i < 4; i++) first.set(i, "x".repeat(10_000));
    first.flush();
    using reader = read(folder);
    assert.equal(reader.get(1), "x".repeat(10_000));
    first.close();
    /* The next writer dies in its first step: the segment is as it was closed. */
    tear(folder);
    for (let round = 0; round < 3; round++) {
      assert.equal(reader.get(1), "x".repeat(10_000));
      const writer = write(folder);
      for (let i = 10; i < 20; i++) writer.set(i, `${round}`.repeat(20_000));
      writer.flush();
      assert.equal(reader.size, 14);
      for (let i = 10; i < 20; i++) assert.equal(reader.get(i), `${round}`.repeat(20_000));
      assert.equal([...reader].length, 14);
      if (round === 1) writer.abandon();
      else writer.close();
      tear(folder);
    }
    assert.deepEqual(reader.damage, []);
  });

  it("one that iterates does not take a segment that was given up for damaged", () => {
    const folder = place();
    const dying = write(folder);
    for (let i = 0; i < 3; i++) dying.set(i, 1);
    dying.flush();
    using reader = read(folder);
    assert.equal(reader.size, 3);
    for (let i = 10; i < 50; i++) dying.set(i, new Uint8Array(30_000));
    let writer: Values | undefined;
    const next = (): void => {
      dying.abandon();
      writer = write(folder);
      for (let i = 10; i < 100; i++) writer.set(i, new Uint8Array(30_000).fill(2));
      writer.flush();
    };
    /* The list has the second segment, which is given up when the first is gone through. */
    atList(folder, 1, () => beforeCall(Table.prototype, "find", next));
    assert.deepEqual([...reader.keys()], [0, 1, 2, ...Array.from({ length: 90 }, (_, i) => i + 10)]);
    assert.deepEqual(reader.damage, []);
    writer?.close();
  });

  /** A writer whose next flush moves all out of the first segment and removes that. */
  function compactor(folder: string): () => void {
    const writer: Values = new Chest({ path: folder, ...quick, diskLimit: 2 ** 20 + 2 ** 19, whenFull: "evict" });
    restores.push(() => writer.abandon());
    writer.set("a", 1).flush();
    return () => {
      for (let i = 0; i < 3; i++) writer.set("large", new Uint8Array(700_000).fill(i));
      writer.flush();
      assert.ok(!fs.existsSync(path.join(folder, "00000001.log")));
    };
  }

  it("one that opens while the last segment is compacted finds nothing missing", () => {
    const folder = place();
    atList(folder, 2, compactor(folder));
    using reader = read(folder);
    assert.deepEqual(reader.damage, []);
    assert.equal(reader.get("a"), 1);
  });

  it("one that opens while the head is written and the only segment is compacted opens it", () => {
    const folder = place();
    const compact = compactor(folder);
    tear(folder);
    atList(folder, 2, () => {
      tear(folder, -1);
      compact();
    });
    using reader = read(folder);
    assert.equal(reader.get("a"), 1);
  });

  it("a head that begins to change while it is looked at is not damaged", () => {
    const folder = place();
    using writer = write(folder);
    writer.set("a", 1).flush();
    const head = Head.open(folder, false)!;
    beforeCall(Head.prototype, "read", () => tear(folder));
    assert.equal(head.isDamaged(), false);
    tear(folder, -1);
    head.close();
  });

  it("there is no lease of a value that is removed just now", () => {
    const folder = place();
    using writer = write(folder);
    writer.set("a", "small").flush();
    using reader = read(folder);
    beforeCall(LogStore.prototype, "lease", () => writer.delete("a") && writer.flush());
    assert.equal(reader.lease("a"), undefined);
  });

  it("update goes on behind a key that the other chest's writer removes just now", () => {
    const folder = place();
    using writer = write(folder);
    for (let i = 0; i < 5; i++) writer.set(i, i);
    writer.flush();
    using reader = read(folder);
    const own = new Chest<string | number, unknown>();
    const { has } = own;
    own.has = (key) => {
      if (key === 2) writer.delete(2) && writer.flush();
      return has.call(own, key);
    };
    own.update(reader, { overwrite: false });
    assert.deepEqual([...own.keys()], [0, 1, 3, 4]);
    own.close();
  });

  it("a value is not held to be of a commit that was seen while it was decoded", () => {
    const folder = place();
    let atDecoding = (): void => {};
    const codec = {
      encode: (value: unknown) => new TextEncoder().encode(JSON.stringify(value)),
      decode: (bytes: Uint8Array): unknown => {
        const act = atDecoding;
        atDecoding = () => {};
        act();
        return JSON.parse(new TextDecoder().decode(bytes));
      },
    };
    using writer = new Chest<string, unknown>({ path: folder, codec, durability: "none" });
    writer.set("a", [1]).set("b", 1).flush();
    using reader = new Chest<string, unknown>({ path: folder, codec, readOnly: true });
    atDecoding = () => {
      writer.set("a", [2]).flush();
      assert.equal(reader.get("b"), 1);
    };
    reader.get("a");
    assert.deepEqual(reader.get("a"), [2]);
  });

  it("a record that was looked at is read again when its segment has rested meanwhile", () => {
    const folder = place();
    using writer = write(folder);
    writer.set("a", 1).flush();
    using reader = read(folder);
    const snapshot = reader.snapshot();
    let segment: Segment | undefined;
    const { touch } = Segment.prototype;
    Segment.prototype.touch = function (...args) {
      segment = this;
      return touch.apply(this, args);
    };
    restores.push(() => {
      Segment.prototype.touch = touch;
    });
    assert.ok(reader.has("a"));
    segment?.rest();
    assert.deepEqual([...snapshot], [["a", 1]]);
    snapshot.close();
  });

  it("there is no chest to the readers of one that was dropped, also when another one is in its place", () => {
    const folder = place();
    const fill = (chest: Values): void => {
      for (let i = 0; i < 4; i++) chest.set(i, new Uint8Array(600_000).fill(i));
      chest.flush();
    };
    const first = write(folder);
    fill(first);
    using reader = read(folder);
    assert.deepEqual(reader.get(0), new Uint8Array(600_000));
    const gone = (): void => {
      for (const act of [() => reader.size, () => reader.get(0), () => reader.has("none"), () => [...reader]])
        assert.throws(act, { code: "NOT_FOUND" });
      assert.throws(() => reader.snapshot(), { code: "NOT_FOUND" });
      assert.deepEqual(reader.damage, []);
    };
    first.drop();
    gone();
    using second = write(folder);
    fill(second);
    gone();
    using other = read(folder);
    assert.equal(other.size, 4);
  });

  it("a chest whose writer died before it had removed anything of it is there", () => {
    const folder = place();
    const first = write(folder);
    first.set("a", 1).flush();
    using reader = read(folder);
    const { rmSync } = fs;
    fs.rmSync = () => {
      throw new Error("dies");
    };
    try {
      assert.throws(() => first.drop(), /dies/);
    } finally {
      fs.rmSync = rmSync;
    }
    assert.throws(() => reader.get("a"), { code: "NOT_FOUND" });
    assert.throws(() => read(folder), { code: "NOT_FOUND" });
    using next = write(folder);
    assert.deepEqual([next.get("a"), next.damage], [1, []]);
    assert.equal(reader.get("a"), 1);
    next.set("a", 2).flush();
    assert.equal(reader.get("a"), 2);
  });

  it("a snapshot and a backup keep more segments open than stay open otherwise", async () => {
    const folder = path.join(tempMemoryFolder(), "chest");
    using writer = write(folder);
    const count = 270;
    for (let i = 0; i < count; i++) writer.set(i, new Uint8Array(530_000).fill(i));
    writer.flush();
    using reader = read(folder);
    const snapshot = reader.snapshot();
    const saved = path.join(path.dirname(folder), "saved");
    const done = reader.backup(saved);
    for (let i = 0; i < count; i++) writer.set(i, i);
    await writer.compact();
    assert.ok(fs.readdirSync(folder).length < 20);
    for (let i = 0; i < count; i++) assert.deepEqual(snapshot.get(i), new Uint8Array(530_000).fill(i));
    snapshot.close();
    await done;
    using copy = read(saved);
    for (let i = 0; i < count; i++) assert.deepEqual(copy.get(i), new Uint8Array(530_000).fill(i));
    for (let i = 0; i < count; i++) assert.equal(reader.get(i), i);
  }, 120_000);

  it("one that goes by the log sees what its segments had grown by when another one came behind them", () => {
    const folder = place();
    const first = new Chest<number, Uint8Array>({ path: folder, budget: 0, segmentSize: 2 ** 20 });
    first.set(-1, new Uint8Array(10));
    first.close();
    using reader = new Chest<number, Uint8Array>({ path: folder, readOnly: true, budget: 0 });
    assert.ok(reader.has(-1));
    assert.deepEqual(reader.get(-1), new Uint8Array(10));
    tear(folder);
    let writer: Chest<number, Uint8Array> | undefined;
    const next = (): void => {
      writer = new Chest<number, Uint8Array>({ path: folder, budget: 0, segmentSize: 2 ** 20 });
      for (let round = 0; round < 2; round++) {
        for (let i = 0; i < 50; i++) writer.set(i, new Uint8Array(30_000).fill(round));
        writer.flush();
      }
    };
    atList(folder, 1, next, "before");
    for (let i = 0; i < 50; i++) assert.deepEqual(reader.get(i), new Uint8Array(30_000).fill(1));
    assert.deepEqual(reader.damage, []);
    writer?.close();
  });
});
