import assert from "node:assert/strict";
import path from "node:path";
import process from "node:process";
import { describe, it } from "vitest";
import { Chest, type ChestOptions, folderTier, type Key } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const seed = Number(process.env.OUTCORE_SEED ?? 1);
const OPERATIONS = process.env.OUTCORE_LONG ? 100_000 : 10_000;

/** xorshift32 */
function randomFrom(start: number): (below: number) => number {
  let state = start | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function makeKey(n: number): Key {
  switch (n % 7) {
    case 0:
      return n;
    case 1:
      return String(n);
    case 2:
      return BigInt(n);
    case 3:
      return [n, String(n)];
    case 4:
      return new Uint8Array([n & 255, n >> 8]);
    case 5:
      return new Date(n);
    default:
      return `${"k".repeat(n % 300)}${n}`;
  }
}

function makeValue(random: (below: number) => number): unknown {
  switch (random(8)) {
    case 0:
      return random(1e6);
    case 1:
      return "text".repeat(random(50));
    case 2:
      return { a: random(100), b: [1, "two", null], c: new Map([[1, 2]]) };
    case 3:
      return new Float64Array(random(300)).fill(random(9));
    case 4:
      return new Uint8Array(40_000 + random(60_000)).fill(random(256));
    case 5:
      return undefined;
    case 6:
      return new Date(random(1e9));
    default:
      return [random(5), -random(5), 0.5, true, 12345678901234567890n];
  }
}

/** As the Map names keys: by content. */
const nameOf = (key: Key): string =>
  key instanceof Uint8Array
    ? `u${[...key]}`
    : key instanceof Date
      ? `d${key.getTime()}`
      : Array.isArray(key)
        ? `t${key.map((each) => nameOf(each as Key))}`
        : `${typeof key}${String(key)}`;

async function compare(options: ChestOptions, operations: number, start: number): Promise<void> {
  const random = randomFrom(start);
  const folder = path.join(tempFolder(), "chest");
  const open = (): Chest => new Chest({ ...options, path: folder });
  let chest = open();
  const model = new Map<string, { key: Key; value: unknown }>();
  const check = (): void => {
    assert.equal(chest.size, model.size);
    const expected = [...model.values()];
    let i = 0;
    for (const [key, value] of chest) {
      assert.deepEqual(key, expected[i]?.key, `the order of keys, at ${i}`);
      assert.deepEqual(value, expected[i]?.value);
      i++;
    }
    assert.equal(i, model.size);
  };
  for (let n = 0; n < operations; n++) {
    const key = makeKey(random(400));
    const name = nameOf(key);
    switch (random(20)) {
      case 0:
      case 1:
      case 2:
        assert.equal(chest.delete(key), model.delete(name));
        break;
      case 3:
      case 4:
      case 5:
      case 6:
        assert.deepEqual(chest.get(key), model.get(name)?.value, `get after ${n} operations`);
        break;
      case 7:
        assert.equal(chest.has(key), model.has(name));
        break;
      case 8:
        if (random(10) === 0) chest.flush();
        break;
      case 9:
        if (random(40) === 0) {
          chest.close();
          chest = open();
        }
        break;
      case 10:
        if (random(100) === 0) await chest.compact();
        break;
      case 11:
        if (random(400) === 0) {
          chest.clear();
          model.clear();
        }
        break;
      case 12: {
        const other = makeKey(random(400));
        const value = makeValue(random);
        chest.batch((batch) => batch.set(key, value).delete(other));
        model.set(name, { key: model.get(name)?.key ?? key, value });
        model.delete(nameOf(other));
        break;
      }
      case 13: {
        const value = model.get(name)?.value;
        if (value instanceof Float64Array && value.length > 0) {
          chest.mutate(key, (each) => {
            (each as Float64Array)[0] = n;
          });
          const copy = value.slice();
          copy[0] = n;
          model.set(name, { key, value: copy });
        }
        break;
      }
      default: {
        const value = makeValue(random);
        chest.set(key, value);
        model.set(name, { key: model.get(name)?.key ?? key, value: structuredClone(value) });
      }
    }
    if (n % Math.floor(operations / 8) === 0) check();
  }
  check();
  chest.close();
  chest = open();
  check();
  chest.close();
  const reader = new Chest({ path: folder, readOnly: true });
  assert.equal(reader.size, model.size);
  for (const { key, value } of model.values()) assert.deepEqual(reader.get(key), value);
  reader.close();
}

describe("chest against Map", () => {
  cleanTempAfterEach();

  for (const policy of ["lru", "sieve", "fifo"] as const)
    it(
      `${policy}, a small budget (seed ${seed})`,
      () =>
        compare(
          { budget: 200_000, policy, segmentSize: 2 ** 20, durability: "none" },
          OPERATIONS,
          seed + policy.length,
        ),
      600_000,
    );

  it(
    "no memory at all",
    () => compare({ budget: 0, segmentSize: 2 ** 20, durability: "none" }, OPERATIONS / 10, seed),
    600_000,
  );
  it("all in memory, every change synced", () => compare({ durability: "always" }, OPERATIONS / 50, seed), 600_000);
  it(
    "compressed",
    () => compare({ budget: 100_000, compression: "zstd", durability: "none" }, OPERATIONS / 10, seed),
    600_000,
  );

  it("iteration while changing does as Map does", () => {
    const random = randomFrom(seed + 5);
    for (let round = 0; round < 40; round++) {
      const tier = round % 4 < 2 ? {} : { tier: folderTier({ sync: false }) };
      const chest = new Chest<number, number>({ budget: round % 2 ? 2000 : 1e9, ...tier });
      const map = new Map<number, number>();
      for (let i = 0; i < 20; i++) {
        chest.set(i, i);
        map.set(i, i);
      }
      const steps = Array.from({ length: 30 }, () => [random(3), random(40)] as const);
      const walk = (target: Map<number, number> | Chest<number, number>): number[] => {
        const seen: number[] = [];
        for (const [key] of target) {
          seen.push(key);
          const step = steps[seen.length];
          if (step === undefined) continue;
          if (step[0] === 0) target.delete(step[1]);
          else target.set(step[1], key);
          if (seen.length % 7 === 0 && target instanceof Chest) target.flush();
        }
        return seen;
      };
      assert.deepEqual(walk(chest), walk(map));
      assert.deepEqual([...chest], [...map]);
      chest.close();
    }
  });
});
