import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { afterEach, describe, it } from "vitest";
import { Table } from "../../src/chest/log/table.ts";
import { Chest } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const place = (): string => path.join(tempFolder(), "chest");
const headOf = (folder: string): string => path.join(folder, "chest.head");
/* Of the head: its counter, odd while it changes, and keys, which its checksum covers. */
const COUNTER = 12;
const KEYS = 64;

/** Changes a file in place: who has it mapped sees that. */
function patch(file: string, change: (bytes: Buffer) => void): void {
  const fd = fs.openSync(file, "r+");
  const bytes = Buffer.alloc(fs.fstatSync(fd).size);
  fs.readSync(fd, bytes, 0, bytes.length, 0);
  change(bytes);
  fs.writeSync(fd, bytes, 0, bytes.length, 0);
  fs.closeSync(fd);
}

/** A writer is half through writing the head. */
function tear(folder: string): void {
  patch(headOf(folder), (bytes) => {
    bytes.writeUInt32LE(bytes.readUInt32LE(COUNTER) + 1, COUNTER);
    bytes.writeDoubleLE(bytes.readDoubleLE(KEYS) + 1, KEYS);
  });
}

/** And ends. */
function mend(folder: string): void {
  patch(headOf(folder), (bytes) => {
    bytes.writeUInt32LE(bytes.readUInt32LE(COUNTER) + 1, COUNTER);
    bytes.writeDoubleLE(bytes.readDoubleLE(KEYS) - 1, KEYS);
  });
}

type Numbers = Chest<string, number>;
const open = (folder: string, readOnly = false): Numbers =>
  new Chest<string, number>({ path: folder, readOnly, durability: "none" });

function fill(chest: Numbers, count: number, value: number): void {
  chest.batch((batch) => {
    for (let i = 0; i < count; i++) batch.set(`key${i}`, value);
  });
}

const { add } = Atomics;

/** Calls `look` around each step in which the index and the head are changed. */
function betweenSteps(look: () => void): void {
  let isInside = false;
  Atomics.add = ((...args: Parameters<typeof add>) => {
    const once = (): void => {
      if (isInside) return;
      isInside = true;
      try {
        look();
      } finally {
        isInside = false;
      }
    };
    once();
    const result = add(...args);
    once();
    return result;
  }) as typeof add;
}

/** One that dies in the middle of entering a commit into the index: nobody tidies up behind it. */
function dieCommitting(chest: Numbers, after: number): void {
  let left = after;
  const { put } = Table.prototype;
  Table.prototype.put = function (...args) {
    if (left-- === 0) throw new Error("dies");
    return put.apply(this, args);
  };
  try {
    assert.throws(() => chest.flush(), /dies/);
  } finally {
    Table.prototype.put = put;
  }
  chest.abandon();
}

describe("readers beside writers that are in the middle of something", () => {
  cleanTempAfterEach();
  afterEach(() => {
    Atomics.add = add;
  });

  it("one that opens while the head is being written sees what is committed from then on", () => {
    const folder = place();
    const writer = open(folder);
    writer.set("a", 1).flush();
    tear(folder);
    const reader = open(folder, true);
    assert.deepEqual([...reader], [["a", 1]]);
    mend(folder);
    assert.deepEqual([...reader], [["a", 1]]);
    writer.set("a", 2).set("b", 3).flush();
    assert.deepEqual([reader.size, reader.get("a"), reader.get("b")], [2, 2, 3]);
    reader.close();
    writer.close();
  });

  it("one that opens where there is no head, or a damaged one, sees what the next writer commits", () => {
    for (const damage of ["none", "cut", "flipped", "replaced"]) {
      const folder = place();
      const first = open(folder);
      first.set("a", 1).flush();
      first.close();
      if (damage === "none") fs.rmSync(headOf(folder));
      else if (damage === "cut") fs.truncateSync(headOf(folder), 100);
      else if (damage === "replaced") fs.writeFileSync(headOf(folder), new Uint8Array(4096));
      else
        patch(headOf(folder), (bytes) => {
          bytes[KEYS]! ^= 1;
        });
      const reader = open(folder, true);
      assert.deepEqual([damage, ...reader], [damage, ["a", 1]]);
      const writer = open(folder);
      writer.set("a", 2).set("b", 3).flush();
      assert.deepEqual([damage, reader.get("a"), reader.get("b"), reader.size], [damage, 2, 3, 2]);
      writer.set("b", 4).flush();
      assert.equal(reader.get("b"), 4);
      reader.close();
      writer.close();
    }
  });

  it("one that is there when the writer dies half through writing the head sees what the next one commits", () => {
    const folder = place();
    const writer = open(folder);
    fill(writer, 10, 1);
    writer.flush();
    const reader = open(folder, true);
    assert.equal(reader.get("key1"), 1);
    fill(writer, 10, 2);
    writer.flush();
    writer.abandon();
    tear(folder);
    assert.deepEqual([reader.get("key1"), reader.size], [2, 10]);
    const next = open(folder);
    assert.deepEqual([reader.get("key1"), reader.size], [2, 10]);
    fill(next, 12, 3);
    next.flush();
    assert.deepEqual([reader.get("key1"), reader.get("key11"), reader.size], [3, 3, 12]);
    reader.close();
    next.close();
  });

  it("one sees all or nothing of a batch while the next writer makes good what a dead one left", () => {
    for (const isRebuilt of [false, true]) {
      const folder = place();
      /* Enough for the index to grow while it is made anew. */
      const count = 3000;
      const writer = open(folder);
      fill(writer, count, 1);
      writer.flush();
      const reader = open(folder, true);
      assert.equal(reader.get("key1"), 1);
      fill(writer, count + 5, 2);
      dieCommitting(writer, 500);
      const check = (): void => {
        /* The batch is in the log as a whole. */
        for (const i of [0, 1, 700, count - 1]) assert.equal(reader.get(`key${i}`), 2);
        assert.deepEqual([reader.get(`key${count}`), reader.size], [2, count + 5]);
      };
      check();
      if (isRebuilt)
        for (const name of fs.readdirSync(folder)) if (name.endsWith(".index")) fs.rmSync(path.join(folder, name));
      let looks = 0;
      betweenSteps(() => {
        if (looks++ % 500 === 0) check();
      });
      const next = open(folder);
      Atomics.add = add;
      check();
      assert.ok(looks > 0);
      fill(next, 4, 3);
      next.flush();
      assert.deepEqual([reader.get("key0"), reader.get("key4")], [3, 2]);
      reader.close();
      next.close();
    }
  });

  it("one that has the index mapped keeps it whole while the next writer makes another one", () => {
    const folder = place();
    const count = 3000;
    const first = open(folder);
    fill(first, count, 1);
    first.close();
    const reader = open(folder, true);
    const check = (): void => {
      for (const i of [0, 1, 700, count - 1]) assert.equal(reader.get(`key${i}`), 1);
      assert.equal(reader.size, count);
    };
    check();
    for (const name of fs.readdirSync(folder)) if (name.endsWith(".index")) fs.rmSync(path.join(folder, name));
    let looks = 0;
    betweenSteps(() => {
      if (looks++ % 500 === 0) check();
    });
    const next = open(folder);
    Atomics.add = add;
    check();
    fill(next, 4, 3);
    next.flush();
    assert.deepEqual([reader.get("key0"), reader.get("key4")], [3, 1]);
    reader.close();
    next.close();
  });

  it("one that opens while an index is made anew, where there was no head, sees a whole chest", () => {
    const folder = place();
    const count = 3000;
    const first = open(folder);
    fill(first, count, 1);
    first.close();
    for (const name of fs.readdirSync(folder)) if (!name.endsWith(".log")) fs.rmSync(path.join(folder, name));
    let looks = 0;
    betweenSteps(() => {
      if (looks++ % 1000 !== 0) return;
      const reader = open(folder, true);
      for (const i of [0, 1, 700, count - 1]) assert.equal(reader.get(`key${i}`), 1);
      assert.equal(reader.size, count);
      reader.close();
    });
    const next = open(folder);
    Atomics.add = add;
    assert.ok(looks > count);
    next.close();
  });

  it("the size is that of the keys that are there, also while the index grows", () => {
    const folder = place();
    const writer = open(folder);
    fill(writer, 1000, 1);
    writer.flush();
    const reader = open(folder, true);
    const before = fs.readdirSync(folder).filter((name) => name.endsWith(".index"));
    fill(writer, 5000, 2);
    /* While the counter is odd a reader waits for a second. */
    const counter = (): number => {
      const bytes = Buffer.alloc(4);
      const fd = fs.openSync(headOf(folder), "r");
      fs.readSync(fd, bytes, 0, 4, COUNTER);
      fs.closeSync(fd);
      return bytes.readUInt32LE();
    };
    const sizes = new Set<number>();
    let last = counter();
    betweenSteps(() => {
      const now = counter();
      if (now === last || now % 2 === 1) return;
      last = now;
      assert.equal(reader.has("key4999"), reader.size > 1000, `${reader.size}`);
      sizes.add(reader.size);
    });
    writer.flush();
    Atomics.add = add;
    assert.notDeepEqual(
      fs.readdirSync(folder).filter((name) => name.endsWith(".index")),
      before,
    );
    assert.deepEqual([...sizes], [1000, 5000]);
    reader.close();
    writer.close();
  });

  it("who has seen a segment that was given up reads the one that has its name now", () => {
    const folder = place();
    const options = { path: folder, budget: 0, segmentSize: 2 ** 20, durability: "none" } as const;
    const fill = (chest: Chest<number, Uint8Array>, value: number): void => {
      for (let i = 0; i < 40; i++) chest.set(i, new Uint8Array(30_000).fill(value));
    };
    const dying = new Chest<number, Uint8Array>(options);
    dying.set(-1, new Uint8Array(1000));
    dying.flush();
    using reader = new Chest<number, Uint8Array>({ path: folder, readOnly: true, budget: 0 });
    fill(dying, 1);
    assert.ok(fs.existsSync(path.join(folder, "00000002.log")));
    /* It opens all that there is. */
    reader.snapshot().close();
    assert.deepEqual([...reader.keys()], [-1]);
    dying.abandon();
    using writer = new Chest<number, Uint8Array>(options);
    assert.ok(!fs.existsSync(path.join(folder, "00000002.log")));
    fill(writer, 2);
    writer.flush();
    for (let i = 0; i < 40; i++) assert.deepEqual(reader.get(i), new Uint8Array(30_000).fill(2));
    assert.deepEqual(reader.damage, []);
  });

  it("goes on in segments that it opens ahead of a commit which comes while it iterates", () => {
    const folder = path.join(tempFolder(), "chest");
    const writer = new Chest<string, unknown>({ path: folder, budget: 0, segmentSize: 2 ** 20, durability: "none" });
    writer.set("first", 1).flush();
    const reader = new Chest<string, unknown>({ path: folder, readOnly: true });
    const keys = Array.from({ length: 20 }, (_, i) => `key${i}`);
    for (const key of keys) writer.set(key, new Float64Array(20_000));
    const { readdirSync } = fs;
    /* Right after the reader has listed the segments, of which it knows the first. */
    fs.readdirSync = ((...args: Parameters<typeof readdirSync>) => {
      const names = readdirSync(...args);
      if (args[0] === folder) writer.flush();
      return names;
    }) as typeof readdirSync;
    try {
      assert.deepEqual([...reader.keys()], ["first", ...keys]);
    } finally {
      fs.readdirSync = readdirSync;
    }
    reader.close();
    writer.close();
  });
});
