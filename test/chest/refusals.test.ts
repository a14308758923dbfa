import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, it } from "vitest";
import { Chest, folderTier, type Key, OutcoreError } from "../../src/chest/main.ts";
import { fixture, run } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const place = (): string => path.join(tempFolder(), "chest");

describe("a chest in a place that is not good", () => {
  cleanTempAfterEach();

  it("a folder below a file, and a file in the folder's place, are typed errors", () => {
    const file = path.join(tempFolder(), "file");
    fs.writeFileSync(file, "text");
    for (const bad of [path.join(file, "chest"), file])
      for (const options of [{}, { readOnly: true }, { tier: folderTier() }])
        assert.throws(() => new Chest({ path: bad, ...options }), OutcoreError, `${bad} ${JSON.stringify(options)}`);
    assert.equal(fs.readFileSync(file, "utf8"), "text");
  });

  it.skipIf(process.platform !== "linux")(
    "a folder that cannot be written to is a PermissionError, and can be read all the same",
    async () => {
      const folder = place();
      const chest = new Chest<string, unknown>({ path: folder });
      chest.set("a", 1).set("b", new Float64Array(9000).fill(2));
      chest.close();
      const { code, stdout, stderr } = await run(fixture("chest-unwritable.ts"), [folder], { timeout: 60_000 });
      assert.equal(code, 0, stderr);
      assert.match(stdout, /refused and read/);
    },
    90_000,
  );

  it.skipIf(process.platform === "win32")(
    "more segments than there are descriptors: all of it is written and read",
    async () => {
      const { code, stdout, stderr } = await run(fixture("chest-descriptors.ts"), [place()], {
        shell: "ulimit -n 64",
        timeout: 120_000,
      });
      assert.equal(code, 0, stderr);
      assert.match(stdout, /all is there/);
    },
    150_000,
  );

  it("a folder of a newer format version is refused whole, whichever file says so", () => {
    for (const part of ["chest.head", "00000001.log"]) {
      const folder = place();
      const chest = new Chest<string, number>({ path: folder });
      chest.set("a", 1);
      chest.close();
      if (part.endsWith(".log"))
        for (const name of fs.readdirSync(folder)) if (name !== part) fs.rmSync(path.join(folder, name));
      const file = path.join(folder, part);
      const bytes = new Uint8Array(fs.readFileSync(file));
      bytes[8] = 2;
      if (part.endsWith(".log")) {
        /* As a newer release would write it: with a checksum that is right. */
        const view = new DataView(bytes.buffer);
        view.setUint32(60, checksumOf(bytes.subarray(0, 60)), true);
      }
      fs.writeFileSync(file, bytes);
      for (const readOnly of [true, false])
        assert.throws(() => new Chest({ path: folder, readOnly }), { code: "FORMAT" }, part);
      assert.deepEqual(new Uint8Array(fs.readFileSync(file)), bytes);
    }
    const folder = place();
    new Chest<string, number>([["a", 1]], { path: folder, tier: folderTier() }).close();
    const index = path.join(folder, "chest.folder.json");
    fs.writeFileSync(index, fs.readFileSync(index, "utf8").replace('"version":1', '"version":2'));
    assert.throws(() => new Chest({ path: folder, tier: folderTier() }), { code: "FORMAT" });
  });

  it("options and times and tags of another kind are refused, and nothing is set", () => {
    const wrong = [null, "5", {}, [], Number.NaN, -1, Symbol("s"), 1n];
    for (const name of ["budget", "policy", "spill", "hysteresis", "timeToLive", "diskLimit", "segmentSize"])
      for (const value of wrong)
        if (value !== null) assert.throws(() => new Chest({ [name]: value }), { code: "INVALID_ARGUMENT" }, name);
    for (const name of ["weigh", "onMiss", "onSpill", "tier", "path"])
      for (const value of [...wrong, {}, 5])
        if (name !== "path" || typeof value !== "string")
          assert.throws(() => new Chest({ [name]: value }), { code: "INVALID_ARGUMENT" }, name);
    for (const tier of [undefined, folderTier({ sync: false })]) {
      const folder = place();
      const options = { path: folder, ...(tier && { tier }) };
      const chest = new Chest<string, number>(options);
      for (const name of ["expires", "timeToLive", "tags"])
        for (const value of [...wrong, [1], ["a", undefined]]) {
          if (name === "tags" && Array.isArray(value) && value.length === 0) continue;
          /* As if it were not given. */
          if (name === "timeToLive" && value === null) continue;
          const settings = { [name]: value } as object;
          assert.throws(() => chest.set("a", 1, settings), { code: "INVALID_ARGUMENT" }, name);
          assert.throws(() => chest.batch((batch) => batch.set("a", 1, settings)), { code: "INVALID_ARGUMENT" }, name);
        }
      assert.equal(chest.size, 0);
      chest.close();
      const again = new Chest<string, number>(options);
      assert.equal(again.size, 0);
      again.close();
    }
  });

  it("a log where values have files of their own, and the other way round, is refused", () => {
    const options = [{}, { tier: folderTier() }];
    for (const [i, made] of options.entries()) {
      const folder = place();
      new Chest<string, number>([["a", 1]], { path: folder, ...made }).close();
      const before = fs.readdirSync(folder);
      for (const readOnly of [false, true])
        assert.throws(
          () => new Chest({ path: folder, readOnly, ...options[1 - i] }),
          { code: i === 0 && readOnly ? "NOT_FOUND" : "FORMAT" },
          `${i} ${readOnly}`,
        );
      assert.deepEqual(fs.readdirSync(folder), before);
      const again = new Chest<string, number>({ path: folder, ...made });
      assert.deepEqual([...again], [["a", 1]]);
      again.close();
    }
  });

  it("a folder that is deleted while the chest is open: values are served, and flush does not say that all is well", () => {
    const folder = place();
    const chest = new Chest<string, unknown>({ path: folder, budget: 1000 });
    chest.set("a", new Float64Array(9000).fill(1)).set("b", 2).flush();
    fs.rmSync(folder, { recursive: true });
    assert.deepEqual(chest.get("a"), new Float64Array(9000).fill(1));
    chest.set("c", 3);
    assert.throws(() => chest.flush(), { code: "NOT_FOUND" });
    assert.deepEqual([chest.get("b"), chest.get("c")], [2, 3]);
    chest.abandon();
    assert.ok(!fs.existsSync(folder));
  });

  it("every call on a closed chest is a ClosedError, and closing again is nothing", async () => {
    const chest = new Chest<Key, unknown>({ path: place() });
    chest.set("a", new Float64Array(9000)).set("b", 1);
    chest.flush();
    const snapshot = chest.snapshot();
    const iterator = chest.entries();
    iterator.next();
    chest.close();
    const calls: Record<string, () => unknown> = {
      get: () => chest.get("a"),
      set: () => chest.set("a", 1),
      has: () => chest.has("a"),
      about: () => chest.about("a"),
      delete: () => chest.delete("a"),
      clear: () => chest.clear(),
      size: () => chest.size,
      keys: () => [...chest.keys()],
      iterator: () => iterator.next(),
      forEach: () => chest.forEach(() => {}),
      flush: () => chest.flush(),
      shrink: () => chest.shrink(),
      spill: () => chest.spill("a"),
      prefetch: () => chest.prefetch("a"),
      pin: () => chest.pin("a"),
      lease: () => chest.lease("a"),
      mutate: () => chest.mutate("a", () => 1),
      batch: () => chest.batch(() => {}),
      update: () => chest.update([]),
      deleteTagged: () => chest.deleteTagged("t"),
      deleteExpired: () => chest.deleteExpired(),
      usage: () => chest.usage(),
      snapshot: () => chest.snapshot(),
      drop: () => chest.drop(),
    };
    for (const [name, call] of Object.entries(calls)) assert.throws(call, { code: "CLOSED" }, name);
    await assert.rejects(chest.compact(), { code: "CLOSED" });
    await assert.rejects(
      chest.memoize("a", () => 1),
      { code: "CLOSED" },
    );
    await assert.rejects(chest.backup(place()), { code: "CLOSED" });
    chest.close();
    chest.abandon();
    snapshot.close();
  });

  it("megabytes of hostile bytes in a segment do not hold up the rest for long", () => {
    const folder = place();
    const chest = new Chest<string, unknown>({ path: folder });
    chest.set("first", 1);
    for (let i = 0; i < 100; i++) chest.set(`middle${i}`, new Uint8Array(30_000).fill(1));
    chest.set("last", 2);
    chest.close();
    const file = path.join(folder, "00000001.log");
    const bytes = new Uint8Array(fs.readFileSync(file));
    /* Each byte begins what could be a record of many megabytes. */
    for (let at = 4096; at < bytes.length - 40_000; at++) bytes[at] = [1, 0, 0xff, 0xff, 0xff, 1, 0][at % 7]!;
    fs.writeFileSync(file, bytes);
    for (const name of fs.readdirSync(folder)) if (!name.endsWith(".log")) fs.rmSync(path.join(folder, name));
    const again = new Chest<string, unknown>({ path: folder });
    assert.ok(again.damage.length > 0);
    assert.equal(again.get("first"), 1);
    assert.equal(again.get("last"), 2);
    again.close();
  }, 120_000);
});

function checksumOf(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
