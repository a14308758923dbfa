import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { isDeepStrictEqual } from "node:util";
import { describe, it } from "vitest";
import { Chest, OutcoreError } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempFolder, tempMemoryFolder } from "../support/temp.ts";

const seed = Number(process.env.OUTCORE_SEED ?? 1);
const ROUNDS = process.env.OUTCORE_LONG ? 2000 : 60;
const COUNT = 100;

let state = 1;
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

const madeOf = (i: number): unknown =>
  i % 10 === 0 ? new Uint32Array(60_000).fill(i) : i % 3 === 0 ? { i, text: "v".repeat(i) } : i;
const names = Array.from({ length: COUNT }, (_, i) => `key${i}`);

type Any = Chest<string, unknown>;
const openChest = (folder: string, readOnly: boolean, budget = 2 ** 20): Any =>
  new Chest<string, unknown>({ path: folder, readOnly, budget, segmentSize: 2 ** 20 });

/** A chest of three segments or so, as it was closed or as its killed process left it. */
function make(home: string, isClosed: boolean): string {
  const folder = path.join(home, isClosed ? "closed" : "killed");
  const chest = openChest(folder, false);
  for (let i = 0; i < COUNT; i++) chest.set(`key${i}`, madeOf(i));
  chest.flush();
  for (let i = 0; i < 5; i++) chest.set(`deleted${i}`, i);
  chest.flush();
  for (let i = 0; i < 5; i++) chest.delete(`deleted${i}`);
  chest.flush();
  if (isClosed) {
    chest.close();
    return folder;
  }
  const copy = `${folder} copy`;
  fs.cpSync(folder, copy, { recursive: true, filter: (name) => !name.endsWith("chest.lock") });
  chest.close();
  return copy;
}

/** Copies all that stands in a folder as it is. */
function copy(from: string, to: string): void {
  fs.rmSync(to, { recursive: true, force: true });
  fs.mkdirSync(to);
  for (const name of fs.readdirSync(from)) {
    const [source, target] = [path.join(from, name), path.join(to, name)];
    const status = fs.lstatSync(source);
    if (status.isFIFO()) assert.equal(spawnSync("mkfifo", [target]).status, 0);
    else if (status.isSymbolicLink()) fs.symlinkSync(fs.readlinkSync(source), target);
    else if (status.isDirectory()) fs.mkdirSync(target);
    else fs.copyFileSync(source, target);
  }
}

const ways: Record<string, (file: string, size: number) => void> = {
  flipped: (file, size) => {
    const bytes = fs.readFileSync(file);
    for (let left = 1 + random(4); left > 0; left--)
      bytes[random(random(4) ? size : Math.min(size, 300))]! ^= 1 << random(8);
    fs.writeFileSync(file, bytes);
  },
  "cut off": (file, size) =>
    fs.truncateSync(file, random(2) ? random(size + 1) : [0, 1, 63, 64, 4095, 4096][random(6)]!),
  "written over": (file, size) => {
    const bytes = fs.readFileSync(file);
    const at = random(size);
    if (random(2)) bytes.fill([0, 255][random(2)]!, at, Math.min(size, at + random(20_000)));
    else randomFillSync(bytes, at, Math.min(size - at, 1 + random(20_000)));
    fs.writeFileSync(file, bytes);
  },
  gone: () => {},
  "a FIFO": (file) => assert.equal(spawnSync("mkfifo", [file]).status, 0),
  "a folder": (file) => fs.mkdirSync(file),
  "a link": (file) =>
    fs.symlinkSync(
      ["/dev/zero", path.basename(file), "/etc/passwd", "/dev/full", "nowhere", "/proc/self/mem"][random(6)]!,
      file,
    ),
  noise: (file) => fs.writeFileSync(file, randomFillSync(new Uint8Array([0, 10, 4096, 60_000][random(4)]!))),
  "another file": (file) => {
    const others = fs.readdirSync(path.dirname(file)).filter((name) => /\.(log|index|head)$/.test(name));
    const other = path.join(path.dirname(file), others[random(others.length)] ?? "none");
    if (fs.lstatSync(other, { throwIfNoEntry: false })?.isFile()) fs.copyFileSync(other, file);
  },
};

/** Does something to a file of the chest; tells what. */
function spoil(folder: string): string {
  const files = fs.readdirSync(folder).filter((name) => name !== "chest.lock");
  const name = files[random(files.length)];
  if (name === undefined) return "nothing";
  const file = path.join(folder, name);
  const status = fs.lstatSync(file);
  const size = status.isFile() ? status.size : 0;
  const how = Object.keys(ways)[random(Object.keys(ways).length)]!;
  const isChange = how === "flipped" || how === "cut off" || how === "written over";
  if (isChange && size === 0) return "nothing";
  if (!isChange) fs.rmSync(file, { recursive: true, force: true });
  ways[how]!(file, size);
  return `${name} is ${how}`;
}

/** What a call does must be right, or a typed error. */
function attempt<T>(told: string, work: () => T): { value: T } | { error: OutcoreError } {
  try {
    return { value: work() };
  } catch (error) {
    assert.ok(error instanceof OutcoreError, `${told}: ${(error as Error).stack}`);
    return { error };
  }
}

interface Seen {
  readonly missing: number;
  /** Something was said of it. */
  readonly isTold: boolean;
}

/** Opens and reads all; what is served must be right. */
function readAll(folder: string, readOnly: boolean, told: string): Seen {
  const opened = attempt(told, () => openChest(folder, readOnly, [0, 2 ** 20][random(2)]));
  if ("error" in opened) return { missing: 0, isTold: true };
  const chest = opened.value;
  let isTold = false;
  let missing = 0;
  const note = <T>(work: () => T): T | undefined => {
    const result = attempt(told, work);
    if ("value" in result) return result.value;
    isTold = true;
    return undefined;
  };
  try {
    for (const [i, key] of names.entries())
      note(() => {
        const value = chest.get(key);
        if (value === undefined) missing++;
        else assert.ok(isDeepStrictEqual(value, madeOf(i)), `${told}: ${key} is wrong`);
      });
    let walked = 0;
    note(() => {
      for (const [key, value] of chest) {
        walked++;
        const i = names.indexOf(key);
        if (i >= 0) assert.ok(isDeepStrictEqual(value, madeOf(i)), `${told}: ${key} is wrong`);
      }
    });
    missing = Math.max(missing, COUNT - walked);
    const others: readonly (() => unknown)[] = [
      () => chest.size,
      () => chest.usage(),
      () => chest.lease("key10")?.release(),
      () => chest.prefetchAll(["key20", "key1"]),
      () => chest.about("key7"),
      () => {
        const snapshot = chest.snapshot();
        try {
          for (const [key, value] of snapshot) {
            const i = names.indexOf(key);
            if (i >= 0) assert.ok(isDeepStrictEqual(value, madeOf(i)), `${told}: ${key} is wrong`);
          }
        } finally {
          snapshot.close();
        }
      },
    ];
    for (const work of others) note(work);
    isTold ||= chest.damage.length > 0;
    for (let i = 0; i < 5 && !isTold; i++) note(() => assert.equal(chest.get(`deleted${i}`), undefined, told));
    return { missing, isTold };
  } finally {
    attempt(told, () => chest.abandon());
  }
}

describe("a folder that somebody has been at", () => {
  cleanTempAfterEach();

  it.skipIf(process.platform === "win32")(
    `${ROUNDS} times, each file in every way: right values or typed errors, no silence (seed ${seed})`,
    async () => {
      state = Math.imul(seed, 0x9e3779b1) | 1;
      const home = tempMemoryFolder();
      const sources = [make(home, true), make(home, false)];
      const folder = path.join(home, "x");
      const second = path.join(home, "y");
      for (let round = 0; round < ROUNDS; round++) {
        const isKilled = random(2);
        copy(sources[isKilled]!, folder);
        const all = Array.from({ length: 1 + random(3) }, () => spoil(folder));
        const told = `round ${round}, ${isKilled ? "killed" : "closed"}: ${all.join(", ")}`;
        copy(folder, second);
        /* Without a head nobody knows how long the log was; the index of a killed process has no checksums. */
        const mayBeSilent = all.some((each) => each.startsWith("chest.head") || (isKilled && each.includes(".index")));
        for (const readOnly of [true, false]) {
          const { missing, isTold } = readAll(folder, readOnly, told);
          assert.ok(missing === 0 || isTold || mayBeSilent, `${told}: ${missing} are missing, and nothing is said`);
        }
        const opened = attempt(told, () => openChest(second, false));
        if (!("value" in opened)) continue;
        const chest = opened.value;
        for (const work of [
          () => chest.set("new", 1),
          () => chest.flush(),
          () => chest.batch((batch) => batch.delete("key3").set("key5", madeOf(5))),
        ])
          attempt(told, work);
        try {
          await chest.compact();
          chest.close();
        } catch (error) {
          assert.ok(error instanceof OutcoreError, `${told}: ${(error as Error).stack}`);
          attempt(told, () => chest.abandon());
        }
        readAll(second, true, `${told}, compacted`);
      }
    },
    900_000,
  );

  it("a log that is gone, as a whole or in part, is reported by readers and the next writer", () => {
    for (const isClosed of [true, false])
      for (const which of ["all", "first", "middle", "last"]) {
        const home = tempFolder();
        const folder = make(home, isClosed);
        const logs = fs.readdirSync(folder).filter((name) => name.endsWith(".log"));
        assert.ok(logs.length > 2);
        const gone = which === "all" ? logs : [logs.at({ first: 0, middle: 1, last: -1 }[which]!)!];
        for (const name of gone) fs.rmSync(path.join(folder, name));
        for (const readOnly of [true, false]) {
          const { missing, isTold } = readAll(folder, readOnly, which);
          assert.ok(missing > 0 && isTold, `${which}, closed ${isClosed}, reader ${readOnly}`);
        }
        /* New positions are beyond those that were lost. */
        const chest = openChest(folder, false);
        chest.set("new", 1).flush();
        chest.close();
        const ids = fs.readdirSync(folder).filter((name) => name.endsWith(".log"));
        if (which === "all" || which === "last")
          assert.ok(
            ids.every((name) => !gone.includes(name)),
            String(ids),
          );
        const again = openChest(folder, true);
        assert.equal(again.get("new"), 1);
        again.close();
      }
  });

  it("a reader notices a damaged page of the index, and goes by the log from then on", () => {
    const folder = make(tempFolder(), true);
    const index = path.join(folder, fs.readdirSync(folder).find((name) => name.endsWith(".index")) ?? "");
    const bytes = fs.readFileSync(index);
    bytes.fill(0, 4096 + 100, 4096 + 3000);
    fs.writeFileSync(index, bytes);
    const reader = openChest(folder, true);
    for (const [i, key] of names.entries()) assert.deepEqual(reader.get(key), madeOf(i));
    assert.deepEqual(
      reader.damage.map(({ path: file, offset, length }) => [file, offset, length]),
      [[index, 4096, 4096]],
    );
    const writer = openChest(folder, false);
    assert.throws(
      () => {
        for (const key of names) writer.get(key);
      },
      { code: "DAMAGED" },
    );
    writer.abandon();
    const next = openChest(folder, false);
    next.set("key1", "new").flush();
    assert.deepEqual([reader.get("key1"), reader.get("key3"), reader.size], ["new", madeOf(3), COUNT]);
    reader.close();
    next.close();
  });

  it("a damaged head is reported, and all is read from the log", () => {
    const folder = make(tempFolder(), true);
    const head = path.join(folder, "chest.head");
    const bytes = fs.readFileSync(head);
    bytes[64]! ^= 1;
    fs.writeFileSync(head, bytes);
    for (const readOnly of [true, false, true]) {
      const chest = openChest(folder, readOnly);
      for (const [i, key] of names.entries()) assert.deepEqual(chest.get(key), madeOf(i));
      const paths = chest.damage.map((damage) => damage.path);
      /* Written anew by the writer. */
      assert.deepEqual(paths, readOnly && chest.damage.length === 0 ? [] : [head]);
      chest.close();
    }
    const chest = openChest(folder, true);
    assert.deepEqual(chest.damage, []);
    chest.close();
  });
});
