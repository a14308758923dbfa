import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { Chest, folderTier, type Key } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const place = (): string => path.join(tempFolder(), "chest");

/* The numbers are those of the facts of Chest's own tests. */
describe("chest does what Chest does", () => {
  cleanTempAfterEach();

  it("1 int and string keys, length, iteration", () => {
    const chest = new Chest<Key, unknown>();
    chest.set("one", [1, 2, 3]).set(2, "two");
    assert.equal(chest.size, 2);
    assert.deepEqual([...chest.keys()], ["one", 2]);
    assert.deepEqual(chest.get("one"), [1, 2, 3]);
    chest.close();
  });

  it("2 spilling writes a file that other programs can read", () => {
    const folder = place();
    const chest = new Chest<string, unknown>({ path: folder, codec: "json", tier: folderTier() });
    chest.set("x", { a: [1, 2] });
    chest.spill("x");
    chest.flush();
    assert.equal(fs.readFileSync(path.join(folder, "s-x"), "utf8"), '{"a":[1,2]}');
    chest.close();
  });

  it("3 a limit of 5000 with two arrays of 4000 bytes", () => {
    const chest = new Chest<string, Uint8Array>({ budget: 5000 });
    const x = new Uint8Array(4000).fill(1);
    const y = new Uint8Array(4000).fill(2);
    chest.set("x", x).set("y", y);
    assert.ok(chest.memoryUsage < 5000);
    assert.ok(!chest.isResident("x") && chest.isResident("y"));
    assert.deepEqual(chest.get("x"), x);
    assert.deepEqual(chest.get("y"), y);
    chest.close();
  });

  it("4 a limit of 0: nothing stays, even after a read", () => {
    const chest = new Chest<string, unknown>({ budget: 0 });
    chest.set("x", [1]);
    assert.deepEqual(chest.get("x"), [1]);
    assert.equal(chest.memoryUsage, 0);
    chest.close();
  });

  it("5 shrink spills the oldest", () => {
    const chest = new Chest<number, Uint8Array>();
    for (let i = 0; i < 5; i++) chest.set(i, new Uint8Array(1000));
    chest.shrink(chest.memoryUsage - 1);
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((i) => chest.isResident(i)),
      [false, true, true, true, true],
    );
    chest.close();
  });

  it("6 drop removes the folder", () => {
    const folder = place();
    const chest = new Chest<string, number>({ path: folder });
    chest.set("a", 1).flush();
    chest.drop();
    assert.ok(!fs.existsSync(folder));
  });

  it("7 flush, overwrite, flush: new values", () => {
    const folder = place();
    const chest = new Chest<string, number>({ path: folder });
    chest.set("a", 1).flush();
    chest.set("a", 2).flush();
    chest.close();
    const again = new Chest<string, number>({ path: folder });
    assert.equal(again.get("a"), 2);
    again.close();
  });

  it("8 keys, values and entries are complete", () => {
    const chest = new Chest<number, number>({ budget: 1000 });
    for (let i = 0; i < 100; i++) chest.set(i, i * i);
    const numbers = Array.from({ length: 100 }, (_, i) => i);
    assert.deepEqual([...chest.keys()], numbers);
    assert.deepEqual(
      [...chest.values()],
      numbers.map((i) => i * i),
    );
    assert.deepEqual(
      [...chest.entries()],
      numbers.map((i) => [i, i * i]),
    );
    chest.close();
  });

  it("9 a second one on the same path sees equal items", () => {
    const folder = place();
    const first = new Chest<string, unknown>({ path: folder });
    first.set("a", { b: 1 }).set("c", [2]).flush();
    const second = new Chest<string, unknown>({ path: folder, readOnly: true });
    assert.deepEqual([...second], [...first]);
    second.close();
    first.close();
  });

  it("10 delete removes key and data", async () => {
    const folder = place();
    const chest = new Chest<string, Uint8Array>({ path: folder });
    for (let i = 0; i < 10; i++) chest.set(`k${i}`, new Uint8Array(200_000).fill(i));
    chest.flush();
    for (let i = 0; i < 9; i++) assert.equal(chest.delete(`k${i}`), true);
    assert.equal(chest.delete("k0"), false);
    assert.equal(chest.get("k0"), undefined);
    await chest.compact();
    assert.ok(chest.diskUsage < 800_000);
    assert.deepEqual(chest.get("k9"), new Uint8Array(200_000).fill(9));
    chest.close();
  });

  it("11 its text form names the path", () => {
    const chest = new Chest();
    assert.ok(String(chest).includes(chest.path));
    chest.close();
  });

  it("12 loading a resident key has no effect", () => {
    const chest = new Chest<string, object>();
    const value = { a: 1 };
    chest.set("x", value);
    chest.prefetch("x");
    assert.equal(chest.get("x"), value);
    assert.equal(chest.statistics().misses, 0);
    chest.close();
  });

  it("13 a missing key, scalar or tuple, is reported", () => {
    const chest = new Chest();
    for (const key of ["none", 7, ["a", 1]] as Key[]) {
      assert.equal(chest.get(key), undefined);
      assert.equal(chest.has(key), false);
      assert.equal(chest.lease(key), undefined);
    }
    chest.close();
  });

  it("14 no stale value after flush and overwrite", () => {
    const chest = new Chest<string, number>({ budget: 0 });
    chest.set("a", 1).flush();
    chest.set("a", 2);
    assert.equal(chest.get("a"), 2);
    chest.close();
  });

  it("15 sizes: small text below 100 of its own, an array of 4000 bytes above 4000", () => {
    const chest = new Chest<string, unknown>();
    const empty = chest.set("a", undefined).memoryUsage;
    assert.ok(chest.set("a", "small").memoryUsage - empty < 100);
    assert.ok(chest.set("a", new Uint8Array(4000)).memoryUsage >= 4000);
    chest.close();
  });

  it("16 a temporary chest leaves no folder, a given path stays", () => {
    const temporary = new Chest<string, number>();
    temporary.set("a", 1).flush();
    assert.ok(fs.existsSync(temporary.path));
    temporary.close();
    assert.ok(!fs.existsSync(temporary.path));
    const folder = place();
    new Chest({ path: folder }).close();
    assert.ok(fs.existsSync(folder));
  });

  it("17 the JSON codec reopens equal", () => {
    const folder = place();
    const chest = new Chest<string, unknown>({ path: folder, codec: "json" });
    chest.set("a", [1, { b: null }]);
    chest.close();
    const again = new Chest<string, unknown>({ path: folder, codec: "json" });
    assert.deepEqual(again.get("a"), [1, { b: null }]);
    again.close();
  });

  for (const tier of [undefined, folderTier({ sync: false })])
    it(`18 24 '1/2', tuples and prefixes coexist, five deep (${tier ? "folder" : "log"})`, () => {
      const folder = place();
      const options = { path: folder, budget: 0, ...(tier && { tier }) };
      const keys: Key[] = [
        "1/2",
        ["1", "2"],
        ["1"],
        "1",
        "one",
        ["one", "two"],
        [[[[["five"]]]]],
        [],
        "",
        "../up",
        "a".repeat(5000),
      ];
      const chest = new Chest<Key, number>(options);
      for (const [i, key] of keys.entries()) chest.set(key, i);
      chest.close();
      const again = new Chest<Key, number>(options);
      for (const [i, key] of keys.entries()) assert.equal(again.get(key), i);
      assert.deepEqual([...again.keys()], keys);
      again.close();
    });

  it("19 leaving a scope removes the temporary folder and lets errors through", () => {
    let folder = "";
    assert.throws(() => {
      const chest = new Chest<string, number>();
      try {
        folder = chest.path;
        chest.set("a", 1);
        throw new RangeError("mine");
      } finally {
        chest[Symbol.dispose]();
      }
    }, RangeError);
    assert.ok(!fs.existsSync(folder));
  });

  it("20 sets and gets by turns with a limit of 48", async () => {
    const chest = new Chest<number, number>({ budget: 48 });
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        for (let round = 0; round < 20; round++) {
          chest.set(i, round);
          await Promise.resolve();
          assert.equal(chest.get(i), round);
        }
      }),
    );
    chest.close();
  });

  it("21 a value that cannot be encoded stays in memory and leaves nothing behind", () => {
    const folder = place();
    const chest = new Chest<string, unknown>({ path: folder });
    chest.set("good", 1).set("bad", () => 1);
    assert.throws(() => chest.flush(), { code: "CODEC" });
    assert.equal(typeof chest.get("bad"), "function");
    chest.abandon();
    const again = new Chest<string, unknown>({ path: folder });
    assert.deepEqual([...again], [["good", 1]]);
    again.close();
  });

  it("22 update merges, keeps its own where asked, and leaves the source alone", () => {
    const a = new Chest<string, number>([
      ["x", 1],
      ["y", 2],
    ]);
    const b = new Chest<string, number>(
      [
        ["y", 3],
        ["z", 4],
      ],
      { budget: 0 },
    );
    const before = [...b];
    assert.deepEqual(
      [...new Chest<string, number>([...a]).update(b)],
      [
        ["x", 1],
        ["y", 3],
        ["z", 4],
      ],
    );
    assert.deepEqual(
      [...a.update(b, { overwrite: false })],
      [
        ["x", 1],
        ["y", 2],
        ["z", 4],
      ],
    );
    assert.deepEqual([...b], before);
    a.close();
    b.close();
  });

  it("23 close flushes", () => {
    const folder = place();
    const chest = new Chest<string, number>({ path: folder });
    chest.set("a", 1);
    chest.close();
    const again = new Chest<string, number>({ path: folder });
    assert.equal(again.get("a"), 1);
    again.close();
  });

  it("25 a key-to-name function is honoured without it, and the folder may be renamed", () => {
    const folder = place();
    const name = (key: Key): string => `sub/${String(key).toUpperCase()}.json`;
    const chest = new Chest<string, number>({ path: folder, codec: "json", tier: folderTier({ name }) });
    chest.set("a", 1).set("b", 2);
    chest.close();
    assert.equal(fs.readFileSync(path.join(folder, "sub", "A.json"), "utf8"), "1");
    fs.renameSync(folder, `${folder}2`);
    const again = new Chest<string, number>({ path: `${folder}2`, codec: "json", tier: folderTier() });
    assert.deepEqual(
      [...again],
      [
        ["a", 1],
        ["b", 2],
      ],
    );
    again.close();
  });

  it("one value a file: a chest with nothing in it is one, also to a reader", () => {
    const folder = place();
    new Chest({ path: folder, tier: folderTier() }).close();
    const reader = new Chest({ path: folder, tier: folderTier(), readOnly: true });
    assert.deepEqual([reader.size, ...reader], [0]);
    reader.close();
  });

  it("26 usage is 0, grows, and is 0 again when all has left", () => {
    const chest = new Chest<string, Uint8Array>();
    assert.equal(chest.memoryUsage, 0);
    chest.set("a", new Uint8Array(1000));
    assert.ok(chest.memoryUsage >= 1000);
    chest.shrink(0);
    assert.equal(chest.memoryUsage, 0);
    chest.close();
  });

  it("27 prefetch loads without onMiss; get does not", () => {
    const missed: string[] = [];
    const spilled: string[] = [];
    const chest = new Chest<string, number>({ onMiss: (key) => missed.push(key), onSpill: (key) => spilled.push(key) });
    chest.set("a", 1).set("b", 2).shrink(0);
    chest.prefetchAll(["a", "b"]);
    assert.ok(chest.isResident("a") && chest.isResident("b"));
    assert.deepEqual(missed, []);
    assert.deepEqual(spilled, ["a", "b"]);
    chest.spill("a");
    chest.get("a");
    assert.deepEqual(missed, ["a"]);
    chest.close();
  });
});

describe("chest has none of Chest's defects", () => {
  cleanTempAfterEach();

  it("1, '1', 1n, true, [1, 2] and ['1', 2] are six keys; 0 and -0 one, every NaN one", () => {
    const chest = new Chest<Key, number>({ budget: 0 });
    const keys: Key[] = [1, "1", 1n, true, [1, 2], ["1", 2]];
    for (const [i, key] of keys.entries()) chest.set(key, i);
    assert.equal(chest.size, 6);
    for (const [i, key] of keys.entries()) assert.equal(chest.get(key), i);
    chest
      .set(0, 10)
      .set(-0, 11)
      .set(Number.NaN, 12)
      .set(0 / 0, 13)
      .set("\ud800", 14)
      .set("\ufffd", 15);
    assert.equal(chest.size, 10);
    assert.equal(chest.get(0), 11);
    chest.close();
  });

  it("changes in place after a flush are kept: at flush, on eviction, at close", () => {
    const folder = place();
    const chest = new Chest<string, { n: number }>({ path: folder });
    for (const key of ["flushed", "evicted", "closed"]) chest.set(key, { n: 0 });
    chest.flush();
    chest.get("evicted")!.n = 2;
    chest.spill("evicted");
    chest.get("flushed")!.n = 1;
    chest.flush();
    chest.get("closed")!.n = 3;
    chest.close();
    const again = new Chest<string, { n: number }>({ path: folder });
    assert.deepEqual(
      [...again.values()].map(({ n }) => n),
      [1, 2, 3],
    );
    again.close();
  });

  it("without a flush a crash leaves the last one whole", () => {
    const folder = place();
    const chest = new Chest<string, number>({ path: folder });
    chest.set("a", 1).flush();
    chest.set("b", 2);
    chest.abandon();
    const again = new Chest<string, number>({ path: folder });
    assert.deepEqual([...again], [["a", 1]]);
    again.close();
  });

  it("a corrupt index is an error or rebuilt, never empty", () => {
    const folder = place();
    const chest = new Chest<string, number>({ path: folder, tier: folderTier() });
    chest.set("a", 1);
    chest.close();
    fs.writeFileSync(path.join(folder, "chest.folder.json"), "nonsense");
    assert.throws(() => new Chest({ path: folder, tier: folderTier() }), { code: "FORMAT" });
    const logged = place();
    const log = new Chest<string, number>({ path: logged });
    log.set("a", 1);
    log.close();
    for (const name of fs.readdirSync(logged))
      if (!name.endsWith(".log")) fs.writeFileSync(path.join(logged, name), "");
    const again = new Chest<string, number>({ path: logged });
    assert.deepEqual([...again], [["a", 1]]);
    again.close();
  });

  it("a second writer is refused, and told who the first is", () => {
    const folder = place();
    const chest = new Chest({ path: folder });
    assert.throws(
      () => new Chest({ path: folder }),
      (error: { code?: string; holder?: string }) => error.code === "LOCKED" && /\d+/.test(error.holder ?? ""),
    );
    chest.close();
    new Chest({ path: folder }).close();
  });

  it("an encoder that fails half way leaves no partial file", () => {
    const folder = place();
    const codec = {
      encode(value: unknown): Uint8Array {
        if (value === "bad") throw new Error("no");
        return new TextEncoder().encode(String(value));
      },
      decode: (bytes: Uint8Array): unknown => new TextDecoder().decode(bytes),
    };
    const chest = new Chest<string, unknown>({ path: folder, codec, tier: folderTier() });
    chest.set("a", "good").set("b", "bad");
    assert.throws(() => chest.flush(), { code: "CODEC" });
    assert.ok(!fs.existsSync(path.join(folder, "s-b")));
    chest.set("b", "better").flush();
    assert.equal(fs.readFileSync(path.join(folder, "s-b"), "utf8"), "better");
    chest.close();
  });

  it("flush and then more sets", () => {
    const chest = new Chest<number, number>({ budget: 500 });
    for (let i = 0; i < 50; i++) {
      chest.set(i, i);
      chest.flush();
    }
    for (let i = 0; i < 50; i++) assert.equal(chest.get(i), i);
    chest.close();
  });

  it("reading refreshes recency", () => {
    const chest = new Chest<string, Uint8Array>();
    chest.set("a", new Uint8Array(1000)).set("b", new Uint8Array(1000));
    chest.get("a");
    chest.shrink(1500);
    assert.ok(chest.isResident("a") && !chest.isResident("b"));
    chest.close();
  });

  it("an object of entries is not silently an empty chest", () => {
    assert.throws(() => new Chest({ a: 1 } as object), { code: "INVALID_ARGUMENT" });
    const chest = new Chest<string, number>(Object.entries({ a: 1 }));
    assert.equal(chest.get("a"), 1);
    chest.close();
  });

  it("nested arrays weigh what they hold", () => {
    const chest = new Chest<string, unknown>();
    chest.set("a", [[new Uint8Array(100_000)], { b: ["x".repeat(50_000)] }]);
    assert.ok(chest.memoryUsage > 150_000);
    chest.close();
  });

  it("keys of any length", () => {
    const folder = place();
    const chest = new Chest<string, number>({ path: folder, budget: 0 });
    for (const length of [300, 5000, 70_000, 2_000_000]) chest.set("k".repeat(length), length);
    chest.close();
    const again = new Chest<string, number>({ path: folder });
    for (const length of [300, 5000, 70_000, 2_000_000]) assert.equal(again.get("k".repeat(length)), length);
    again.close();
  });

  it("a name function cannot write outside the folder", () => {
    for (const bad of ["../out", "/etc/out", "a/../../b", "", "a\0b", "chest.lock", "a\\b", "a//b"]) {
      const folder = place();
      const chest = new Chest<string, number>({ path: folder, tier: folderTier({ name: () => bad }) });
      chest.set("a", 1);
      assert.throws(() => chest.flush(), { code: "INVALID_ARGUMENT" });
      chest.abandon();
    }
  });

  it("many small pairs are few files", () => {
    const folder = place();
    const chest = new Chest<string, number>({ path: folder });
    for (let i = 0; i < 20_000; i++) chest.set(`key${i}`, i);
    chest.close();
    assert.ok(fs.readdirSync(folder).length <= 4);
    const bytes = fs.readdirSync(folder).reduce((sum, name) => sum + fs.statSync(path.join(folder, name)).size, 0);
    assert.ok(bytes < 20_000 * 60, `${bytes} bytes`);
  });
});
