import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, it } from "vitest";
import { Chest, DamagedError } from "../../src/chest/main.ts";
import { FormatError, NotFoundError } from "../../src/errors.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const seed = Number(process.env.OUTCORE_SEED ?? 1);
const ROUNDS = process.env.OUTCORE_LONG ? 400 : 40;

let state = seed | 1;
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

const expectedAt = (i: number): unknown =>
  i % 10 === 0 ? new Uint32Array(10_000).fill(i) : i % 3 === 0 ? { i, text: "v".repeat(i) } : i;

function make(): { folder: string; whole: Map<string, Uint8Array> } {
  const folder = path.join(tempFolder(), "chest");
  const chest = new Chest<string, unknown>({ path: folder, segmentSize: 2 ** 20, budget: 2 ** 20 });
  for (let i = 0; i < 100; i++) {
    chest.set(`key${i}`, expectedAt(i));
    if (i % 30 === 0) chest.flush();
  }
  chest.close();
  const whole = new Map(
    fs.readdirSync(folder).map((name) => [name, new Uint8Array(fs.readFileSync(path.join(folder, name)))]),
  );
  return { folder, whole };
}

function restore(folder: string, whole: Map<string, Uint8Array>): void {
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder);
  for (const [name, bytes] of whole) fs.writeFileSync(path.join(folder, name), bytes);
}

/** Reads every key; returns those that were reported as damaged. Whatever is served must be right. */
function readAll(folder: string, readOnly: boolean): { damaged: string[]; missing: string[]; reported: number } {
  const chest = new Chest<string, unknown>({ path: folder, readOnly });
  const damaged: string[] = [];
  const missing: string[] = [];
  for (let i = 0; i < 100; i++) {
    try {
      const value = chest.get(`key${i}`);
      if (value === undefined) missing.push(`key${i}`);
      else assert.deepEqual(value, expectedAt(i));
    } catch (error) {
      assert.ok(error instanceof DamagedError, String(error));
      assert.ok(error.path.startsWith(folder));
      assert.ok(error.offset >= 0);
      damaged.push(`key${i}`);
    }
  }
  const reported = chest.damage.length;
  chest.abandon();
  return { damaged, missing, reported };
}

describe("a damaged chest", () => {
  cleanTempAfterEach();

  it(`names what a flipped bit broke and serves the rest (${ROUNDS} flips, seed ${seed})`, () => {
    const { folder, whole } = make();
    const logs = [...whole.keys()].filter((name) => name.endsWith(".log"));
    for (let round = 0; round < ROUNDS; round++) {
      restore(folder, whole);
      const name = logs[random(logs.length)]!;
      const bytes = whole.get(name)!.slice();
      const at = 64 + random(bytes.length - 64);
      bytes[at]! ^= 1 << random(8);
      fs.writeFileSync(path.join(folder, name), bytes);
      const { damaged, missing } = readAll(folder, round % 2 === 0);
      assert.ok(damaged.length <= 1, `one flip at ${name}:${at} broke ${damaged}`);
      assert.deepEqual(missing, []);
    }
  }, 300_000);

  it("is told by file, offset and key, inline and in an extent", () => {
    const folder = path.join(tempFolder(), "chest");
    const chest = new Chest<string, unknown>({ path: folder });
    chest.set("sound", 1).set("inline", "v".repeat(1000)).set("extent", new Float64Array(10_000).fill(Math.PI));
    chest.close();
    const log = path.join(folder, "00000001.log");
    const bytes = fs.readFileSync(log);
    bytes[bytes.indexOf("v".repeat(1000)) + 500]! ^= 1;
    bytes[bytes.lastIndexOf(new Uint8Array(new Float64Array([Math.PI]).buffer)) + 3]! ^= 1;
    fs.writeFileSync(log, bytes);
    /* Checksum, kind and format, the lengths and the number as varints, of an extent its checksum; then the key's tag. */
    const offsets = { inline: bytes.indexOf("inline") - 11, extent: bytes.indexOf("extent") - 16 };
    for (const readOnly of [true, false]) {
      const damaged = new Chest<string, unknown>({ path: folder, readOnly });
      for (const [key, offset] of Object.entries(offsets))
        for (const read of [() => damaged.get(key), () => damaged.lease(key), () => damaged.prefetch(key)])
          assert.throws(read, (error: unknown) => {
            assert.ok(error instanceof DamagedError, String(error));
            assert.deepEqual([error.path, error.offset], [log, offset]);
            assert.ok(error.message.includes(`its key seems to be ${JSON.stringify(key)}`), error.message);
            return true;
          });
      assert.equal(damaged.get("sound"), 1);
      damaged.abandon();
    }
  });

  it("rebuilds its index from what is whole, and reports the rest", () => {
    const { folder, whole } = make();
    const logs = [...whole.keys()].filter((name) => name.endsWith(".log"));
    for (let round = 0; round < ROUNDS / 4; round++) {
      restore(folder, whole);
      for (const name of whole.keys())
        if (name.endsWith(".index") || (round % 2 === 0 && name === "chest.head")) fs.rmSync(path.join(folder, name));
      const name = logs[random(logs.length)]!;
      const bytes = whole.get(name)!.slice();
      const at = 64 + random(bytes.length - 200);
      bytes[at]! ^= 1 << random(8);
      fs.writeFileSync(path.join(folder, name), bytes);
      const { damaged, missing, reported } = readAll(folder, false);
      assert.ok(damaged.length + missing.length <= 1, `${name}:${at}: ${damaged} ${missing}`);
      assert.ok(missing.length === 0 || reported > 0, `${missing} is missing and nothing was reported`);
    }
  }, 300_000);

  it("serves what a cut left", () => {
    const { folder, whole } = make();
    const logs = [...whole.keys()].filter((name) => name.endsWith(".log")).sort();
    for (let round = 0; round < ROUNDS / 4; round++) {
      restore(folder, whole);
      const name = logs[random(logs.length)]!;
      const at = 64 + random(whole.get(name)!.length - 64);
      fs.truncateSync(path.join(folder, name), at);
      const { damaged, missing } = readAll(folder, round % 2 === 0);
      assert.deepEqual(missing, []);
      assert.ok(damaged.length > 0 || whole.get(name)!.length - at < 200);
    }
  }, 300_000);

  it("notices a damaged index, and opens right the next time", () => {
    const { folder, whole } = make();
    const name = [...whole.keys()].find((each) => each.endsWith(".index"))!;
    for (let round = 0; round < ROUNDS / 4; round++) {
      restore(folder, whole);
      const bytes = whole.get(name)!.slice();
      bytes[random(bytes.length)]! ^= 1 << random(8);
      fs.writeFileSync(path.join(folder, name), bytes);
      readAll(folder, false);
      assert.deepEqual(readAll(folder, false), { damaged: [], missing: [], reported: 0 });
    }
  }, 300_000);

  it("was being made when its process died: there is none yet for readers, and a writer begins anew", () => {
    const { folder, whole } = make();
    const name = [...whole.keys()].find((each) => each.endsWith(".log")) ?? "";
    const header = whole.get(name)?.subarray(0, 32) ?? new Uint8Array(0);
    for (const bytes of [new Uint8Array(0), header, new Uint8Array([...header, ...new Uint8Array(4096)])]) {
      restore(folder, new Map([[name, bytes]]));
      assert.throws(() => new Chest({ path: folder, readOnly: true }), NotFoundError);
      const chest = new Chest<string, number>({ path: folder });
      assert.deepEqual([chest.size, chest.damage], [0, []]);
      chest.set("one", 1);
      chest.close();
      const again = new Chest<string, number>({ path: folder, readOnly: true });
      assert.deepEqual([...again], [["one", 1]]);
      again.close();
    }
    /* With a record behind it the header is damage, and nothing is thrown away. */
    const damaged = new Uint8Array([...header, ...new Uint8Array(32), ...(whole.get(name)?.subarray(64) ?? [])]);
    restore(folder, new Map([[name, damaged]]));
    for (const readOnly of [true, false]) assert.throws(() => new Chest({ path: folder, readOnly }), FormatError);
    assert.equal(fs.statSync(path.join(folder, name)).size, damaged.length);
  });

  it("is refused when its head says a newer version, and left as it is", () => {
    const { folder, whole } = make();
    const head = whole.get("chest.head")!.slice();
    head[8] = 99;
    fs.writeFileSync(path.join(folder, "chest.head"), head);
    assert.throws(() => new Chest({ path: folder }), { code: "FORMAT" });
    assert.deepEqual(new Uint8Array(fs.readFileSync(path.join(folder, "chest.head"))), head);
  });
});
