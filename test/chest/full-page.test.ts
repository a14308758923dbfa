import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, it } from "vitest";
import { Table } from "../../src/chest/log/table.ts";
import { Chest } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

type Any = Chest<string, unknown>;
/** Both parts of a hash, and a position. */
type Slot = [h1: number, tag: number, position: number];

const seed = Number(process.env.OUTCORE_SEED ?? 1);
let state = 1;
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

const SLOTS = 341;

describe("a page of the index in which every slot is taken", () => {
  cleanTempAfterEach();

  it("gives keys up one after the other, and has all others", () => {
    state = seed | 1;
    for (let round = 0; round < 10; round++) {
      const table = Table.create(tempFolder(), 1, 1, { id: new Uint8Array(16), seed: 0 });
      const find = ([h1, tag, position]: Slot): boolean =>
        table.find(h1, tag, (found) => found === position) === position;
      const slots: Slot[] = [];
      for (let i = 0; i < SLOTS; i++) {
        /* Many with the same hash, or with one close to it. */
        const slot: Slot = [random(round < 5 ? 5 : 2 ** 32), random(round % 2 === 0 ? 2 ** 16 : 500), 2 ** 28 + 64 + i];
        assert.ok(table.put(...slot, 0));
        slots.push(slot);
      }
      assert.equal(table.put(1, 2, 3, 0), false);
      while (slots.length > 0) {
        assert.ok(slots.every(find));
        const [gone] = slots.splice(random(slots.length), 1);
        table.remove(...gone!);
        assert.ok(!find(gone!));
        assert.equal(table.count, slots.length);
      }
      assert.ok(table.put(1, 2, 3, 0));
      table.close();
    }
  });

  it("ends no rebuilding, though keys are deleted while it is full, as pages are before each growth", () => {
    state = seed | 1;
    const folder = path.join(tempFolder(), "chest");
    let chest: Any = new Chest({ path: folder, durability: "none" });
    const live: string[] = [];
    for (let i = 0; i < 30_000; i++) {
      chest.set(`key${i}`, i);
      live.push(`key${i}`);
      if (random(100) < 45) chest.delete(live.splice(random(live.length), 1)[0]!);
    }
    chest.close();
    for (const name of fs.readdirSync(folder)) if (!name.endsWith(".log")) fs.rmSync(path.join(folder, name));
    for (const readOnly of [true, false]) {
      chest = new Chest({ path: folder, readOnly, durability: "none" });
      assert.deepEqual([...chest.keys()], live);
      assert.equal(chest.size, live.length);
      chest.abandon();
    }
  }, 60_000);
});
