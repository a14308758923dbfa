import assert from "node:assert/strict";
import { describe, it } from "vitest";
import {
  type EvictionPolicy,
  LruPolicy,
  type PolicyChoice,
  SievePolicy,
  WindowManager,
} from "../../src/window/main.ts";
import { cleanTempAfterEach, pattern, tempFile } from "../support/temp.ts";
import { failure, long, PAGE, Random, seed } from "./support.ts";

/** LRU over a plain array, most recently used first. */
class PlainLruPolicy implements EvictionPolicy {
  readonly name = "plain lru";
  #ids: number[] = [];

  insert(id: number): void {
    this.#ids.unshift(id);
  }

  hit(id: number): void {
    this.remove(id);
    this.insert(id);
  }

  remove(id: number): void {
    this.#ids.splice(this.#ids.indexOf(id), 1);
  }

  victim(pinned: (id: number) => boolean): number {
    for (const id of [...this.#ids].reverse()) {
      if (!pinned(id)) return id;
      this.hit(id);
    }
    return -1;
  }

  spare(): void {}
}

/** SIEVE as its paper writes it, over a plain array, newest first. */
class PlainSievePolicy implements EvictionPolicy {
  readonly name = "plain sieve";
  #ids: number[] = [];
  #visited = new Set<number>();
  #hand: number | undefined;

  insert(id: number): void {
    this.#ids.unshift(id);
    this.#visited.delete(id);
  }

  hit(id: number): void {
    this.#visited.add(id);
  }

  #newer(id: number): number | undefined {
    return this.#ids[this.#ids.indexOf(id) - 1];
  }

  remove(id: number): void {
    if (this.#hand === id) this.#hand = this.#newer(id);
    this.#ids.splice(this.#ids.indexOf(id), 1);
  }

  victim(pinned: (id: number) => boolean): number {
    if (this.#ids.every((id) => pinned(id))) {
      this.#visited.clear();
      return -1;
    }
    for (;;) {
      const id = (this.#hand ?? this.#ids.at(-1)) as number;
      if (!this.#visited.has(id) && !pinned(id)) {
        this.#hand = id;
        return id;
      }
      this.#visited.delete(id);
      this.#hand = this.#newer(id);
    }
  }

  spare(id: number): void {
    if (this.#hand === id) this.#hand = this.#newer(id);
  }
}

/** Does the same to a policy and its model, as a residency would, and compares every victim. */
function compare(policy: EvictionPolicy, model: EvictionPolicy, random: Random, operations: number): void {
  const present: number[] = [];
  const free = Array.from({ length: 200 }, (_, id) => id);
  const pins = new Set<number>();
  const isPinned = (id: number): boolean => pins.has(id);
  let victims = 0;
  for (let operation = 0; operation < operations; operation++) {
    const what = `operation ${operation}, seed ${seed}`;
    const dice = random.next();
    if (dice < 0.3 && free.length > 0) {
      const id = free.splice(random.below(free.length), 1)[0] as number;
      policy.insert(id);
      model.insert(id);
      present.push(id);
    } else if (dice < 0.7 && present.length > 0) {
      const id = random.pick(present);
      policy.hit(id);
      model.hit(id);
    } else if (dice < 0.75 && present.length > 0) {
      const id = random.pick(present);
      if (!pins.delete(id) && pins.size < present.length - 1) pins.add(id);
    } else if (dice < 0.8 && present.length > 0) {
      const id = present.splice(random.below(present.length), 1)[0] as number;
      pins.delete(id);
      policy.remove(id);
      model.remove(id);
      free.push(id);
    } else if (present.length > pins.size) {
      const victim = policy.victim(isPinned);
      assert.equal(victim, model.victim(isPinned), what);
      assert.ok(present.includes(victim) && !pins.has(victim), what);
      victims++;
      if (random.next() < 0.3) {
        policy.spare(victim);
        model.spare(victim);
      } else {
        present.splice(present.indexOf(victim), 1);
        policy.remove(victim);
        model.remove(victim);
        free.push(victim);
      }
    }
  }
  assert.ok(victims > operations / 20);
}

/** First in, first out: the smallest policy that can be. */
class FifoPolicy implements EvictionPolicy {
  readonly name = "fifo";
  readonly asked: number[] = [];
  #ids = new Set<number>();

  insert(id: number): void {
    this.#ids.add(id);
  }

  hit(): void {}

  remove(id: number): void {
    this.#ids.delete(id);
  }

  victim(pinned: (id: number) => boolean): number {
    for (const id of this.#ids) {
      if (pinned(id)) continue;
      this.asked.push(id);
      return id;
    }
    return -1;
  }

  spare(): void {}
}

describe("eviction policies", () => {
  cleanTempAfterEach();
  const operations = long ? 100_000 : 10_000;

  it("LRU chooses the victims that a plain LRU chooses, over random operations", () => {
    compare(new LruPolicy(), new PlainLruPolicy(), new Random(seed), operations);
  });

  it("SIEVE chooses the victims that the paper's algorithm chooses, over random operations", () => {
    compare(new SievePolicy(), new PlainSievePolicy(), new Random(seed), operations);
  });

  for (const policy of [new LruPolicy(), new SievePolicy()]) {
    it(`${policy.name} has no victim when there is no window, or every window is pinned`, () => {
      assert.equal(
        policy.victim(() => false),
        -1,
      );
      for (let id = 0; id < 5; id++) policy.insert(id);
      policy.hit(3);
      assert.equal(
        policy.victim(() => true),
        -1,
      );
      assert.ok(policy.victim((id) => id !== 3) === 3);
      policy.remove(3);
      assert.ok(policy.victim(() => false) >= 0);
    });
  }

  /** Which of windows 0 to 2 are resident after 0, 1, 0, 2 were leased with room for two. */
  function residents(policy: PolicyChoice): boolean[] {
    const manager = new WindowManager({ windowSize: PAGE, budget: 2 * PAGE, policy });
    try {
      const file = manager.open(tempFile(pattern(3 * PAGE)));
      for (const window of [0, 1, 0, 2]) file.lease(window * PAGE, 1).release();
      assert.equal(manager.stats.evictions, 1);
      return [0, 1, 2].map((window) => {
        const { hits } = manager.stats;
        file.readInto(window * PAGE, new Uint8Array(1));
        return manager.stats.hits > hits;
      });
    } finally {
      manager.close();
    }
  }

  it("a policy is chosen by name, and by a function that makes one", () => {
    assert.deepEqual(residents("lru"), [true, false, true]);
    assert.deepEqual(residents("sieve"), [true, false, true]);
    const fifo = new FifoPolicy();
    assert.deepEqual(
      residents(() => fifo),
      [false, true, true],
    );
    assert.equal(fifo.asked.length >= 1, true);
    assert.throws(() => new WindowManager({ policy: "arc" as "lru" }), failure("INVALID_ARGUMENT"));
    assert.throws(() => new WindowManager({ policy: undefined as unknown as "lru", admission: "no" as "always" }));
  });

  for (const policy of ["lru", "sieve", () => new FifoPolicy()] as const) {
    it(`pinned windows are never evicted (${typeof policy === "string" ? policy : "custom"})`, () => {
      const random = new Random(seed);
      const manager = new WindowManager({ windowSize: PAGE, budget: 20 * PAGE, policy });
      try {
        const data = pattern(200 * PAGE);
        const file = manager.open(tempFile(data));
        const pinned = [3, 50, 51, 120, 199];
        const leases = pinned.map((window) => file.lease(window * PAGE, PAGE));
        for (let round = 0; round < 2000; round++) {
          const window = random.below(200);
          if (round % 2 === 0) file.lease(window * PAGE, 1).release();
          else file.u8(window * PAGE);
          assert.ok(manager.stats.residentBytes <= 20 * PAGE);
        }
        assert.ok(manager.stats.evictions > 500);
        const { admissions } = manager.stats;
        for (const [index, lease] of leases.entries()) {
          const offset = (pinned[index] as number) * PAGE;
          lease.release();
          file.lease(offset, 1).release();
          assert.equal(manager.stats.admissions, admissions, "it was resident all the time");
          assert.deepEqual(lease.bytes, data.subarray(offset, offset + PAGE));
        }
      } finally {
        manager.close();
      }
    });
  }

  it("a policy that chooses what is no window, or is pinned, is an error and not an endless loop", () => {
    for (const choice of [99, 0.5, Number.NaN, 0]) {
      class Wrong extends LruPolicy {
        override victim(): number {
          return choice;
        }
      }
      const manager = new WindowManager({ windowSize: PAGE, budget: PAGE, policy: () => new Wrong() });
      try {
        const file = manager.open(tempFile(pattern(3 * PAGE)));
        const lease = file.lease(0, 1);
        assert.throws(() => file.lease(PAGE, 1), failure("INVALID_ARGUMENT"), String(choice));
        lease.release();
        assert.equal(file.u8(2 * PAGE), ((2 * PAGE) % 251) + 1);
      } finally {
        manager.close();
      }
    }
  });

  it("everything pinned: reads go on without windows, and leases exceed a soft limit", () => {
    const manager = new WindowManager({ windowSize: PAGE, budget: 2 * PAGE, maxWindows: 2 });
    try {
      const data = pattern(10 * PAGE);
      const file = manager.open(tempFile(data));
      const leases = [file.lease(0, 1), file.lease(PAGE, 1)];
      for (let round = 0; round < 10; round++)
        assert.deepEqual(file.read(5 * PAGE, 9), data.slice(5 * PAGE, 5 * PAGE + 9));
      assert.equal(manager.stats.windows, 2);
      leases.push(file.lease(2 * PAGE, 1));
      assert.equal(manager.stats.windows, 3);
      for (const lease of leases) lease.release();
      assert.equal(manager.stats.windows, 2);
    } finally {
      manager.close();
    }
  });

  it("with strict limits the number of windows is one too", () => {
    const manager = new WindowManager({ windowSize: PAGE, budget: 10 * PAGE, maxWindows: 2, strict: true });
    try {
      const file = manager.open(tempFile(pattern(10 * PAGE)));
      const lease = file.lease(0, 2 * PAGE);
      assert.throws(() => file.lease(3 * PAGE, 1), failure("LIMIT", { limit: "windows" }));
      lease.release();
      file.lease(3 * PAGE, 1).release();
    } finally {
      manager.close();
    }
  });

  it('with admission "always" the second touch maps a window, with "frequency" only a clearly hotter one', () => {
    for (const admission of ["always", "frequency"] as const) {
      const manager = new WindowManager({ windowSize: PAGE, budget: 2 * PAGE, admission });
      try {
        const file = manager.open(tempFile(pattern(10 * PAGE)));
        const target = new Uint8Array(8);
        for (let round = 0; round < 6; round++)
          for (const window of [0, 2]) file.readInto(window * PAGE + round, target);
        assert.equal(manager.stats.windows, 2);
        const { evictions } = manager.stats;
        for (let round = 0; round < 2; round++) file.readInto(5 * PAGE + 9 * round, target);
        assert.equal(manager.stats.evictions - evictions, admission === "always" ? 1 : 0);
        for (let round = 0; round < 60; round++) file.readInto(5 * PAGE + 9 * (round % 50), target);
        const { hits } = manager.stats;
        file.readInto(5 * PAGE + 1, target);
        assert.equal(manager.stats.hits, hits + 1, "what is used most is resident in the end");
      } finally {
        manager.close();
      }
    }
  });
});
