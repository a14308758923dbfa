import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "vitest";
import { Changes } from "../../src/chest/log/changes.ts";

let state = Number(process.env.OUTCORE_SEED ?? 1) | 1;
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

/** Adds so many changes to few hashes; what is found must be the newest of each hash, and all are visited in order. */
function fill(changes: Changes, count: number, byHash: boolean): void {
  const newest = new Map<string, number>();
  for (let i = 1; i <= count; i++) {
    const h1 = random(2 ** 20) * 4096;
    const tag = random(2);
    changes.add(h1, tag, i, 0);
    newest.set(`${h1} ${tag}`, i);
  }
  for (const [name, position] of newest) {
    const [h1, tag] = name.split(" ").map(Number) as [number, number];
    assert.equal(
      changes.find(h1, tag, (each) => each),
      position,
    );
  }
  assert.equal(
    changes.find(1, 0, (each) => each),
    undefined,
  );
  const seen = new Map<string, number>();
  let visited = 0;
  let last = -1;
  changes.apply((h1, tag, position) => {
    const name = `${h1} ${tag}`;
    assert.ok(position > (seen.get(name) ?? 0));
    seen.set(name, position);
    if (byHash) {
      assert.ok(h1 >= last);
      last = h1;
    }
    visited++;
  }, byHash);
  assert.equal(visited, count);
  assert.deepEqual(seen, newest);
  changes.clear();
  assert.equal(changes.length, 0);
  for (const name of newest.keys()) {
    const [h1, tag] = name.split(" ").map(Number) as [number, number];
    assert.equal(
      changes.find(h1, tag, (each) => each),
      undefined,
    );
  }
}

describe("changes on their way into the index", () => {
  it("keep their room from commit to commit, after many and after few of them", () => {
    const changes = new Changes(2 ** 17);
    fill(changes, 100_000, true);
    const { bytes } = changes;
    for (const count of [1, 100_000, 7, 20_000, 100_000]) {
      fill(changes, count, count !== 7);
      assert.equal(changes.bytes, bytes);
    }
  }, 60_000);

  it("give it up beyond what they may keep", () => {
    const changes = new Changes();
    fill(changes, 70_000, true);
    assert.ok(changes.bytes < 100_000, String(changes.bytes));
    fill(changes, 60_000, true);
    assert.ok(changes.bytes > 60_000 * 36, String(changes.bytes));
  }, 60_000);
});
