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

  /** A chest of one segment with `sound`, `hurt` and `other`, the bytes of `hurt`'s record changed by `change` (at its key). */
  function hurt(change: (bytes: Uint8Array, at: number) => void): string {
    const folder = path.join(tempFolder(), "chest");
    const chest = new Chest<string, unknown>({ path: folder });
    chest.set("sound", 1).set("hurt", "before").set("other", 2);
    chest.close();
    const log = path.join(folder, "00000001.log");
    const bytes = new Uint8Array(fs.readFileSync(log));
    change(bytes, Buffer.from(bytes.buffer).indexOf("hurt"));
    fs.writeFileSync(log, bytes);
    return folder;
  }

  const told: Record<string, (bytes: Uint8Array, at: number) => void> = {
    "in the key": (bytes, at) => (bytes[at + 1]! ^= 4),
    "all over the key": (bytes, at) => bytes.fill(0, at - 1, at + 4),
    "in the value": (bytes, at) => (bytes[at + 8]! ^= 1),
    "in the sequence number": (bytes, at) => (bytes[at - 2]! ^= 1),
    "in the format": (bytes, at) => (bytes[at - 5]! ^= 1),
    "in the kind": (bytes, at) => (bytes[at - 6]! ^= 3),
    "in the checksum": (bytes, at) => (bytes[at - 8]! ^= 1),
  };

  it("a damaged record is told of by a snapshot that comes to it, wherever it is damaged", () => {
    const noKey = (bytes: Uint8Array, at: number): unknown => bytes.fill(255, at - 1, at + 4);
    for (const [name, change] of Object.entries({ ...told, "such that it has no key": noKey }))
      for (const readOnly of [true, false]) {
        const chest = new Chest<string, unknown>({ path: hurt(change), readOnly });
        const snapshot = chest.snapshot();
        const seen: string[] = [];
        const go = (): void => {
          for (const [key] of snapshot) seen.push(key);
        };
        assert.throws(go, DamagedError, name);
        assert.ok(!seen.includes("hurt"));
        snapshot.close();
        chest.abandon();
      }
  });

  it("a key whose record is damaged, which can be told all the same, is set and deleted", () => {
    for (const [name, change] of Object.entries(told)) {
      for (const way of ["set", "batch", "update", "delete", "batch-delete"]) {
        const folder = hurt(change);
        let chest = new Chest<string, unknown>({ path: folder });
        const what = `${way} of one damaged ${name}`;
        const source = new Chest<string, unknown>([["hurt", "after"]]);
        assert.throws(() => chest.get("hurt"), DamagedError, what);
        assert.ok(chest.has("hurt"), what);
        if (way === "set") chest.set("hurt", "after");
        if (way === "batch") chest.batch((batch) => batch.set("hurt", "after"));
        if (way === "update") chest.update(source);
        if (way === "delete") assert.equal(chest.delete("hurt"), true, what);
        if (way === "batch-delete") chest.batch((batch) => batch.delete("hurt"));
        source.close();
        const after: [string, unknown][] = [
          ["other", 2],
          ["sound", 1],
        ];
        if (!way.includes("delete")) after.unshift(["hurt", "after"]);
        for (let round = 0; round < 3; round++) {
          assert.equal(chest.size, after.length, what);
          assert.deepEqual([...chest].sort(), after, what);
          assert.equal(chest.get("hurt"), way.includes("delete") ? undefined : "after", what);
          chest.close();
          if (round === 1)
            for (const file of fs.readdirSync(folder)) if (!file.endsWith(".log")) fs.rmSync(path.join(folder, file));
          chest = new Chest<string, unknown>({ path: folder });
        }
        chest.close();
      }
    }
  }, 120_000);

  it("a time that is damaged is no time that is over", () => {
    const folder = path.join(tempFolder(), "chest");
    const made = new Chest<string, unknown>({ path: folder });
    made.set("hurt", 1, { expires: Date.now() + 1e9 });
    made.close();
    const log = path.join(folder, "00000001.log");
    const bytes = new Uint8Array(fs.readFileSync(log));
    bytes[Buffer.from(bytes.buffer).indexOf("hurt") - 2] = 0;
    fs.writeFileSync(log, bytes);
    for (const readOnly of [true, false]) {
      const chest = new Chest<string, unknown>({ path: folder, readOnly });
      for (const call of [() => chest.get("hurt"), () => chest.about("hurt")]) assert.throws(call, DamagedError);
      assert.deepEqual([chest.has("hurt"), chest.size], [true, 1]);
      if (!readOnly) assert.equal(chest.set("hurt", 2).get("hurt"), 2);
      chest.close();
    }
  });

  it("what is left of a record does not say its key: neither set nor deleted, the error says so, others are", () => {
    const folder = hurt((bytes, at) => bytes.fill(0, at - 12, at + 8));
    const chest = new Chest<string, unknown>({ path: folder });
    const log = path.join(folder, "00000001.log");
    const calls = [
      () => chest.get("hurt"),
      () => chest.set("hurt", "after"),
      () => chest.delete("hurt"),
      () => chest.batch((batch) => batch.set("hurt", 1).set("sound", 5)),
      () => chest.mutate("hurt", () => 1),
      () => chest.snapshot().get("hurt"),
    ];
    for (const call of calls)
      assert.throws(call, (error: unknown) => {
        assert.ok(error instanceof DamagedError, String(error));
        assert.equal(error.path, log);
        assert.match(error.message, /whether it is that of "hurt" cannot be told/);
        return true;
      });
    chest.set("sound", 3);
    assert.equal(chest.delete("other"), true);
    assert.deepEqual([chest.get("sound"), chest.get("other"), chest.get("another")], [3, undefined, undefined]);
    chest.close();
  });

  it("a record that is damaged after its value came into memory holds nothing up, whatever is compacted", async () => {
    const folder = path.join(tempFolder(), "chest");
    const chest = new Chest<string, unknown>({ path: folder, segmentSize: 2 ** 20 });
    chest.set("hurt", { n: 1 }).set("moved", { n: 2 });
    for (let i = 0; i < 60; i++) chest.set(`large${i}`, new Uint8Array(40_000).fill(i));
    chest.flush();
    for (let i = 0; i < 60; i++) chest.delete(`large${i}`);
    chest.flush();
    assert.deepEqual(chest.get("hurt"), { n: 1 });
    const log = path.join(folder, "00000001.log");
    const at = fs.readFileSync(log).indexOf("hurt");
    const file = fs.openSync(log, "r+");
    fs.writeSync(file, new Uint8Array(30), 0, 30, at - 12);
    fs.closeSync(file);
    await chest.compact();
    chest.set("hurt", { n: 3 });
    chest.mutate("moved", () => ({ n: 4 }));
    chest.flush();
    assert.deepEqual([chest.get("hurt"), chest.get("moved")], [{ n: 3 }, { n: 4 }]);
    chest.shrink(0);
    assert.deepEqual([chest.get("hurt"), chest.get("moved"), chest.size], [{ n: 3 }, { n: 4 }, 2]);
    assert.equal(chest.delete("hurt"), true);
    assert.equal(chest.get("hurt"), undefined);
    chest.close();
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
