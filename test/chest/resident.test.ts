import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "vitest";
import { type Key, KeyBytes } from "../../src/chest/keys.ts";
import type { Entry } from "../../src/chest/policy.ts";
import { Resident } from "../../src/chest/resident.ts";

let state = Number(process.env.OUTCORE_SEED ?? 1) | 1;
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

/** Only `few` different hashes, when that is not 0. */
class Hashed extends KeyBytes {
  few = 0;
  override set(key: unknown): this {
    super.set(key);
    if (this.few !== 0) this.h1 %= this.few;
    return this;
  }
}

function entryOf(key: Key, hash: number): Entry {
  return { key, hash } as Entry;
}

describe("entries by key", () => {
  for (const few of [0, 7])
    it(`are those of a Map after any changes, with ${few === 0 ? "hashes as they are" : "hashes much alike"}`, () => {
      const resident = new Resident(new KeyBytes(5));
      const bytes = new Hashed(5);
      bytes.few = few;
      const model = new Map<number, Entry>();
      const makers: ((i: number) => Key)[] = [(i) => i, (i) => `${i}`, (i) => BigInt(i), (i) => [i], (i) => [`${i}`]];
      const keyOf = (i: number): Key => makers[i % makers.length]!(Math.floor(i / makers.length));
      const most = few === 0 ? 20_000 : 300;
      for (let step = 0; step < most * 5; step++) {
        const i = random(most);
        const key = keyOf(i);
        const found = resident.get(key, bytes.set(key));
        assert.equal(found, model.get(i));
        if (found === undefined) {
          const entry = entryOf(key, bytes.h1);
          resident.add(entry);
          model.set(i, entry);
        } else if (random(3) === 0) {
          resident.delete(found);
          resident.delete(found);
          model.delete(i);
        }
        assert.equal(resident.size, model.size);
      }
      for (let i = 0; i < most; i++) assert.equal(resident.get(keyOf(i), bytes.set(keyOf(i))), model.get(i));
      resident.clear();
      for (let i = 0; i < most; i += 7) assert.equal(resident.get(keyOf(i), bytes.set(keyOf(i))), undefined);
      assert.equal(resident.size, 0);
    });

  it("are told apart by type and by content, as a chest does", () => {
    const bytes = new KeyBytes(1);
    const resident = new Resident(new KeyBytes(1));
    const keys: Key[] = [0, "0", 0n, false, null, undefined, Number.NaN, "NaN", [], [0], ["0"], new Uint8Array([0])];
    keys.push(new Date(0), new Date(Number.NaN), [[0]], "", new Uint8Array(0), 0.5);
    for (const key of keys) {
      assert.equal(resident.get(key, bytes.set(key)), undefined);
      resident.add(entryOf(key, bytes.h1));
    }
    for (const key of keys) assert.equal(resident.get(key, bytes.set(key))!.key, key);
    assert.equal(resident.get(-0, bytes.set(-0))!.key, 0);
    assert.deepEqual(resident.get(["0"], bytes.set(["0"]))!.key, ["0"]);
    assert.deepEqual(resident.get(new Date(0), bytes.set(new Date(0)))!.key, new Date(0));
  });
});
