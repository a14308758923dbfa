import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import { shortChecksum } from "../../src/chest/bytes.ts";
import { HEAD_CHECKED, HEAD_NAME } from "../../src/chest/log/head.ts";
import { COMMIT_SIZE } from "../../src/chest/log/record.ts";
import { Chest } from "../../src/chest/main.ts";
import { DataFile } from "../../src/memory/data-file.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

type Any = Chest<string, unknown>;

const PAGE = 4096;
const SLOTS = 341;
const COUNT = 20;
const names = Array.from({ length: COUNT }, (_, i) => `key${i}`);
const { write } = DataFile.prototype;

/** A chest as it was closed, or as its killed process left it. */
function make(isClosed: boolean): string {
  const home = tempFolder();
  const folder = path.join(home, "chest");
  const chest: Any = new Chest({ path: folder, segmentSize: 2 ** 20 });
  for (const [i, key] of names.entries()) chest.set(key, i, { tags: ["all"] });
  chest.flush();
  const copy = path.join(home, "copy");
  if (!isClosed) fs.cpSync(folder, copy, { recursive: true, filter: (name) => !name.endsWith("chest.lock") });
  chest.close();
  return isClosed ? folder : copy;
}

function change(file: string, how: (bytes: Uint8Array, view: DataView) => void): void {
  const bytes = new Uint8Array(fs.readFileSync(file));
  how(bytes, new DataView(bytes.buffer));
  fs.writeFileSync(file, bytes);
}

/** Changes what the head says, and its checksum. */
function changeHead(folder: string, how: (view: DataView) => void): void {
  change(path.join(folder, HEAD_NAME), (bytes, view) => {
    how(view);
    const checked = bytes.slice(0, HEAD_CHECKED).fill(0, 12, 16);
    view.setUint32(HEAD_CHECKED, shortChecksum(checked, 0, HEAD_CHECKED), true);
  });
}

/** The head's numbers in their order. */
const NUMBERS = ["committed", "applied", "count", "nextSequence", "commits", "synced", "dead"];
const setNumber = (view: DataView, name: string, value: number): void =>
  view.setFloat64(48 + NUMBERS.indexOf(name) * 8, value, true);

const fileOf = (folder: string, ending: string): string =>
  path.join(folder, fs.readdirSync(folder).find((name) => name.endsWith(ending)) ?? "");

function checkAll(chest: Any): void {
  assert.deepEqual([...chest.keys()], names);
  assert.deepEqual([...chest.values()], [...names.keys()]);
  for (const [i, key] of names.entries()) assert.equal(chest.get(key), i);
}

/** Every kind of work; the chest ends with what it had. */
async function work(chest: Any): Promise<void> {
  checkAll(chest);
  for (const key of names) assert.ok(chest.delete(key));
  for (let i = 0; i < 2000; i++) chest.set(`other${i}`, i);
  chest.flush();
  await chest.compact();
  assert.equal([...chest].length, 2000);
  chest.clear();
  for (const [i, key] of names.entries()) chest.set(key, i, { tags: ["all"] });
  assert.equal(chest.deleteTagged("all"), COUNT);
  for (const [i, key] of names.entries()) chest.set(key, i);
  chest.flush();
  await chest.compact();
  checkAll(chest);
}

describe("what is damaged makes nothing endless", () => {
  cleanTempAfterEach();
  afterEach(() => {
    DataFile.prototype.write = write;
  });

  for (const isClosed of [true, false])
    it(`pages of the index without an empty slot, ${isClosed ? "with right checksums" : "of a killed process"}`, async () => {
      const folder = make(isClosed);
      change(fileOf(folder, ".index"), (bytes, view) => {
        const pages = view.getUint32(16, true);
        for (let page = 0; page < pages; page++) {
          const start = PAGE * (1 + page);
          for (let slot = 0; slot < SLOTS; slot++) {
            const at = start + slot * 12;
            if (view.getUint32(at + 4, true) !== 0) continue;
            view.setUint32(at, Math.imul(page * SLOTS + slot, 0x9e3779b1) >>> 0, true);
            view.setUint32(at + 4, (slot << 28) | 64, true);
            view.setUint32(at + 8, (slot << 20) | 1, true);
          }
          if (isClosed) view.setUint32(PAGE * (1 + pages) + 4 * page, shortChecksum(bytes, start, start + 4092), true);
        }
      });
      const chest: Any = new Chest({ path: folder });
      for (const key of names) assert.ok(chest.delete(key));
      for (const [i, key] of names.entries()) chest.set(key, i);
      chest.flush();
      await work(chest);
      chest.close();
    }, 60_000);

  it("a head that tells of more sequence numbers than can be counted", async () => {
    for (const isClosed of [true, false]) {
      const folder = make(isClosed);
      changeHead(folder, (view) => setNumber(view, "nextSequence", 2 ** 52));
      const reader: Any = new Chest({ path: folder, readOnly: true });
      checkAll(reader);
      reader.close();
      const chest: Any = new Chest({ path: folder });
      await work(chest);
      chest.close();
    }
  }, 60_000);

  it("keys whose sequence numbers are far apart, and then many that are not", () => {
    const folder = make(true);
    changeHead(folder, (view) => setNumber(view, "nextSequence", 2 ** 40));
    const chest: Any = new Chest({ path: folder, durability: "none" });
    const MANY = 540_000;
    for (let i = 0; i < MANY; i++) chest.set(`many${i}`, i);
    let seen = 0;
    for (const key of chest.keys()) {
      assert.equal(key, seen < COUNT ? names[seen] : `many${seen - COUNT}`);
      seen++;
    }
    assert.equal(seen, COUNT + MANY);
    chest.abandon();
  }, 120_000);

  it("a head with what is no number of anything is a damaged one", () => {
    for (const [i, name] of NUMBERS.entries())
      for (const [j, value] of [Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5, 2 ** 53].entries()) {
        const isClosed = (i + j) % 2 === 0;
        const folder = make(isClosed);
        changeHead(folder, (view) => setNumber(view, name, value));
        for (const readOnly of [true, false]) {
          const chest: Any = new Chest({ path: folder, readOnly });
          const files = chest.damage.map((damage) => path.basename(damage.path));
          assert.deepEqual(files, [HEAD_NAME], `${name} ${value}, closed ${isClosed}, reader ${readOnly}`);
          checkAll(chest);
          chest.close();
        }
      }
  }, 60_000);

  it("a head with more keys than its index has slots", async () => {
    for (const isClosed of [true, false]) {
      const folder = make(isClosed);
      changeHead(folder, (view) => setNumber(view, "count", 2 ** 50));
      const reader: Any = new Chest({ path: folder, readOnly: true });
      checkAll(reader);
      assert.equal(reader.size, COUNT);
      reader.close();
      const chest: Any = new Chest({ path: folder });
      assert.equal(chest.size, COUNT);
      await work(chest);
      chest.close();
    }
  }, 60_000);

  it("a head that tells of keys that there are not, when values are removed because the disk is full", () => {
    const folder = make(true);
    changeHead(folder, (view) => setNumber(view, "count", 1000));
    const chest: Any = new Chest({ path: folder, diskLimit: 1, whenFull: "evict" });
    chest.set("new", 1);
    chest.flush();
    assert.deepEqual([...chest], []);
    chest.close();
  }, 60_000);

  it("a commit with what is no number of anything", async () => {
    for (let field = 0; field < 6; field++)
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5]) {
        const folder = make(true);
        const log = fileOf(folder, ".log");
        change(log, (bytes, view) => {
          const start = bytes.length - COMMIT_SIZE;
          view.setFloat64(start + 6 + field * 8, value, true);
          view.setUint32(start, shortChecksum(bytes, start + 4, bytes.length), true);
        });
        for (const name of fs.readdirSync(folder)) if (!name.endsWith(".log")) fs.rmSync(path.join(folder, name));
        for (const readOnly of [true, false]) {
          const chest: Any = new Chest({ path: folder, readOnly });
          checkAll(chest);
          assert.equal(chest.size, COUNT);
          if (!readOnly && field === 2) await work(chest);
          chest.close();
        }
      }
  }, 60_000);

  it.skipIf(process.platform === "win32")(
    "a log that goes on as a hole, for gigabytes",
    async () => {
      for (const isClosed of [true, false]) {
        const folder = make(isClosed);
        fs.truncateSync(fileOf(folder, ".log"), 2 ** 40);
        const reader: Any = new Chest({ path: folder, readOnly: true });
        checkAll(reader);
        reader.close();
        const chest: Any = new Chest({ path: folder });
        await work(chest);
        chest.close();
      }
    },
    60_000,
  );

  it.skipIf(process.platform === "win32")(
    "a value of more than a view can show, in the middle of a log",
    () => {
      const folder = path.join(tempFolder(), "chest");
      const size = 1.1 * 2 ** 30;
      /* As a hole: it is of zeros. */
      DataFile.prototype.write = function (offset, source) {
        if (source.length < size) write.call(this, offset, source);
        else this.truncate(offset + source.length);
      };
      const chest: Any = new Chest({ path: folder, detectChanges: false });
      chest.set("before", 1).flush();
      chest.set("large", new Uint8Array(size)).flush();
      chest.set("after", 2).flush();
      chest.close();
      const check = (readOnly: boolean): void => {
        const again: Any = new Chest({ path: folder, readOnly });
        assert.deepEqual([...again.keys()], ["before", "large", "after"]);
        assert.deepEqual([again.get("before"), again.get("after"), again.size], [1, 2, 3]);
        assert.deepEqual(again.damage, []);
        again.abandon();
      };
      check(true);
      for (const name of fs.readdirSync(folder)) if (!name.endsWith(".log")) fs.rmSync(path.join(folder, name));
      check(true);
      check(false);
    },
    60_000,
  );
});
