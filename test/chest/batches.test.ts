import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { Chest } from "../../src/chest/main.ts";
import { finish, fixture, line, start } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const place = (): string => path.join(tempFolder(), "chest");
const KEYS = 300;
const ROUNDS = 200;

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
      for (let round = 0; round < ROUNDS; round++) {
        for (let i = 0; i < KEYS; i++) {
          /* From both ends, so that it meets the writer on its way. */
          const value = reader.get(`key${round % 2 === 0 ? i : KEYS - 1 - i}`)!;
          assert.ok(value >= newest, `${value} after ${newest}`);
          newest = value;
          seen.add(value);
        }
        const { size } = reader;
        assert.ok(size > KEYS && size <= KEYS + 199, String(size));
      }
      assert.ok(seen.size > 1);
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
