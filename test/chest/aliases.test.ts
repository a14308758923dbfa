import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "vitest";
import { Chest, type Key } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const place = (): string => path.join(tempFolder(), "chest");

describe("objects that a chest and its user share", () => {
  cleanTempAfterEach();

  it("one key object, filled anew for each call, is each time another key", () => {
    const folder = place();
    let chest = new Chest<Uint8Array, { n: number }>({ path: folder });
    const key = new Uint8Array(1);
    for (let i = 0; i < 50; i++) {
      key[0] = i;
      chest.set(key, { n: i });
    }
    chest.shrink(0);
    for (let i = 0; i < 50; i++) {
      key[0] = i;
      const value = chest.get(key);
      assert.ok(value !== undefined);
      value.n += 100;
    }
    chest.shrink(0);
    for (let i = 0; i < 50; i++) {
      key[0] = i;
      assert.deepEqual(chest.get(key), { n: i + 100 });
      chest.pin(key);
      chest.lease(key)?.release();
      key[0] = 255;
      key[0] = i;
      chest.unpin(key);
    }
    key[0] = 200;
    chest.close();
    chest = new Chest<Uint8Array, { n: number }>({ path: folder });
    assert.deepEqual(
      [...chest],
      Array.from({ length: 50 }, (_, i) => [new Uint8Array([i]), { n: i + 100 }]),
    );
    chest.close();
  });

  it("keys that iteration hands out may be changed", () => {
    const chest = new Chest<[string, Date], number>();
    for (let i = 0; i < 10; i++) chest.set(["k", new Date(i)], i);
    for (const [key] of chest) {
      key[0] = "changed";
      key[1].setTime(99);
    }
    chest.set(["k", new Date(10)], 10);
    chest.shrink(0);
    for (let i = 0; i <= 10; i++) assert.equal(chest.get(["k", new Date(i)]), i);
    for (const key of chest.keys()) key.reverse();
    assert.equal(chest.size, 11);
    assert.equal([...chest.keys()].length, 11);
    chest.close();
  });

  it("a lease keeps its bytes through overwriting, deleting and compaction", async () => {
    const chest = new Chest<string, Uint32Array>({ budget: 2 ** 20, durability: "none" });
    chest.set("leased", new Uint32Array(20_000).fill(7));
    chest.shrink(0);
    const lease = chest.lease("leased");
    assert.ok(lease !== undefined);
    const other = chest.lease("leased");
    chest.delete("leased");
    for (let round = 0; round < 80; round++) {
      chest.set("other", new Uint32Array(20_000).fill(round));
      chest.flush();
    }
    await chest.compact();
    other?.release();
    await chest.compact();
    assert.equal(lease.value.length, 20_000);
    assert.ok(lease.value.every((each) => each === 7));
    const { files } = chest.usage();
    lease.release();
    assert.ok(files <= 6, `${files} files`);
    chest.close();
  });

  it("an expired value is not leased, pinned or counted as there", async () => {
    const chest = new Chest<string, Uint32Array>();
    chest.set("a", new Uint32Array(20_000), { timeToLive: 1 });
    chest.shrink(0);
    await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(chest.lease("a"), undefined);
    assert.equal(chest.pin("a"), false);
    assert.equal(chest.has("a"), false);
    assert.equal(chest.get("a"), undefined);
    chest.close();
  });

  it("a pinned value larger than the budget keeps its tags and its time when it is changed in place", () => {
    const folder = place();
    let chest = new Chest<string, Uint8Array>({ path: folder, budget: 1000 });
    chest.set("a", new Uint8Array(5000), { tags: ["t"], timeToLive: 60_000 });
    assert.ok(chest.pin("a"));
    const value = chest.get("a");
    assert.ok(value !== undefined);
    value[0] = 9;
    chest.unpin("a");
    chest.close();
    chest = new Chest<string, Uint8Array>({ path: folder });
    assert.equal(chest.get("a")?.[0], 9);
    assert.equal(chest.deleteTagged("t"), 1);
    chest.close();
  });

  it("a change in place that its checksum does not show is kept", () => {
    /* The polynomial of crc32c itself: adding it anywhere leaves the checksum as it is. */
    const delta = [0x8d, 0x93, 0x0e, 0xdc, 0x41];
    const bits = (0x1_1edc6f41n << 0n).toString(2).split("").map(Number);
    const chest = new Chest<string, Uint8Array>();
    for (const size of [100, 40_000]) {
      chest.set("a", new Uint8Array(size)).flush();
      const value = chest.get("a");
      assert.ok(value !== undefined);
      /* Bit-reflected: the highest power is the lowest bit of the first byte. */
      for (const [i, bit] of bits.entries()) value[50 + (i >> 3)]! ^= bit << (i & 7);
      const expected = value.slice();
      assert.ok(expected.some((each) => each !== 0) && delta.length === 5);
      chest.shrink(0);
      assert.deepEqual(chest.get("a"), expected);
    }
    chest.close();
  });

  it("updating from a chest with another codec stores values, not bytes", () => {
    const codec = (shift: number) => ({
      encode: (value: number): Uint8Array => new Uint8Array([value + shift]),
      decode: (bytes: Uint8Array): number => (bytes[0] ?? 0) - shift,
    });
    for (const budget of [0, 1000]) {
      const a = new Chest<string, number>([["x", 5]], { codec: codec(1), budget });
      const b = new Chest<string, number>([["y", 6]], { codec: codec(2), budget });
      const c = new Chest<string, number>([["z", 7]], { budget });
      a.flush();
      b.update(a).update(c);
      assert.deepEqual(
        [...b],
        [
          ["y", 6],
          ["x", 5],
          ["z", 7],
        ],
      );
      b.update(b);
      assert.deepEqual([b.size, b.get("x"), b.get("y")], [3, 5, 6]);
      c.update(b);
      assert.equal(c.get("x"), 5);
      for (const each of [a, b, c]) each.close();
    }
    const text = {
      encode: (value: string): Uint8Array => new TextEncoder().encode(value),
      decode: (bytes: Uint8Array): string => new TextDecoder().decode(bytes),
    };
    for (const compression of ["gzip", "zstd"] as const)
      for (const length of [1000, 1_000_000]) {
        const value = "text".repeat(length / 4);
        const from = new Chest<string, string>([["a", value]], { codec: text, compression, budget: 0 });
        const to = new Chest<string, string>({ budget: 0 });
        assert.equal(to.update(from).get("a"), value);
        for (const each of [from, to]) each.close();
      }
  });

  it("values of every kind of buffer come back as what they showed", () => {
    const folder = place();
    const shared = new SharedArrayBuffer(80_000);
    new Uint8Array(shared).fill(3);
    const resizable = new ArrayBuffer(8, { maxByteLength: 64 });
    const growing = new Uint8Array(resizable);
    growing.fill(4);
    const values: [Key, Uint8Array][] = [
      ["shared", new Uint8Array(shared, 8, 70_000)],
      ["shared small", new Uint8Array(shared, 8, 10)],
      ["growing", growing],
      ["part", new Uint8Array(new ArrayBuffer(100), 10, 20).fill(5)],
      ["empty", new Uint8Array(0)],
    ];
    const expected = values.map(([key, value]) => [key, new Uint8Array(value)]);
    const chest = new Chest<Key, Uint8Array>(values, { path: folder });
    chest.close();
    const again = new Chest<Key, Uint8Array>({ path: folder });
    assert.deepEqual([...again], expected);
    again.close();
  });
});
