import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { Chest } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

/** So many keys that their index takes more than a small budget lets be mapped. */
const KEYS = 320_000;
const MIB = 2 ** 20;

describe("an index that is larger than memory", () => {
  cleanTempAfterEach();

  it("is looked up without being mapped, by its writer, by readers and after opening again; damage is noticed", () => {
    const folder = path.join(tempFolder(), "chest");
    const options = { path: folder, budget: MIB, durability: "none" } as const;
    let chest = new Chest<number, number>(options);
    let most = 0;
    const note = (): void => {
      most = Math.max(most, chest.usage().resident);
    };
    for (let i = 0; i < KEYS; i++) {
      chest.set(i, i);
      if (i % 40_000 === 0) note();
    }
    chest.flush();
    for (let i = 0; i < KEYS; i += 5) {
      chest.delete(i);
      chest.set(i + 1, -i - 1);
    }
    chest.flush();
    const expected = (i: number): number | undefined => (i % 5 === 0 ? undefined : i % 5 === 1 ? -i : i);
    const check = (where: Chest<number, number>): void => {
      assert.equal(where.size, (KEYS / 5) * 4);
      for (let i = 0; i < KEYS; i += 3) if (where.get(i) !== expected(i)) assert.fail(`the value of ${i}`);
      assert.equal(where.has(KEYS), false);
    };
    check(chest);
    note();
    const reader = new Chest<number, number>({ path: folder, budget: MIB, readOnly: true });
    check(reader);
    assert.ok(reader.usage().resident <= 8 * MIB);
    reader.close();
    chest.close();
    chest = new Chest<number, number>({ ...options, durability: "flush" });
    /* Pages that were looked at as a whole, and what is set and deleted after that. */
    check(chest);
    for (let i = 0; i < KEYS; i += 5) chest.set(i, i).set(-i - 1, i);
    chest.flush();
    for (let i = 0; i < KEYS; i += 5)
      if (chest.get(i) !== i || chest.get(-i - 1) !== i) assert.fail(`what was set of ${i}`);
    for (let i = 0; i < KEYS; i += 5) assert.ok(chest.delete(i) && chest.delete(-i - 1) && !chest.has(-i - 2));
    chest.flush();
    check(chest);
    note();
    chest.set(0, 0).delete(0);
    chest.close();
    assert.ok(most <= 9 * MIB, `${most} bytes resident`);
    const index = fs.readdirSync(folder).find((name) => name.endsWith(".index")) as string;
    assert.ok(fs.statSync(path.join(folder, index)).size > 4.2 * MIB);
    const bytes = fs.readFileSync(path.join(folder, index));
    bytes[4096 * 100 + 50] = (bytes[4096 * 100 + 50] ?? 0) ^ 1;
    fs.writeFileSync(path.join(folder, index), bytes);
    chest = new Chest<number, number>({ ...options, durability: "flush" });
    const damaged = chest;
    assert.throws(
      () => {
        for (let i = 0; i < KEYS; i++) damaged.get(i);
      },
      { code: "DAMAGED" },
    );
    damaged.abandon();
    chest = new Chest<number, number>(options);
    check(chest);
    chest.close();
  });

  it("and what is not in the index yet take no more than the budget", () => {
    const budget = 32 * MIB;
    const chest = new Chest<number, number>({ budget });
    let most = 0;
    for (let i = 0; i < 600_000; i++) {
      chest.set(i, i);
      if (i % 10_000 === 0) most = Math.max(most, chest.usage().resident + chest.memoryUsage);
    }
    assert.ok(most <= budget, `${most} bytes resident`);
    assert.equal(chest.size, 600_000);
    chest.close();
  });
});
