/** What smmap gets wrong, each proven absent here. */
import assert from "node:assert/strict";
import { appendFileSync, truncateSync } from "node:fs";
import { describe, it } from "vitest";
import {
  LruPolicy,
  openWindows,
  SievePolicy,
  WindowManager,
  type WindowManagerOptions,
} from "../../src/window/main.ts";
import { Order } from "../../src/window/order.ts";
import { cleanTempAfterEach, pattern, tempFile } from "../support/temp.ts";
import { descriptorsOf, failure, hotLoad, PAGE, PlainLru, Random, zipfLoad } from "./support.ts";

const SLOTS = 64;
const WINDOWS = 1024;
const WARM = 20_000;
const COUNTED = 30_000;

describe("smmap defects", () => {
  cleanTempAfterEach();

  /** Hit rates of a manager and of a plain LRU under one load, after both are warm. */
  function hitRates(load: () => number, options: WindowManagerOptions = {}): { ours: number; lru: number } {
    const path = tempFile(new Uint8Array(0));
    truncateSync(path, WINDOWS * PAGE);
    const manager = new WindowManager({ windowSize: PAGE, budget: SLOTS * PAGE, ...options });
    try {
      const file = manager.open(path);
      const target = new Uint8Array(64);
      const plain = new PlainLru(SLOTS);
      let lruHits = 0;
      let hitsBefore = 0;
      for (let round = 0; round < WARM + COUNTED; round++) {
        if (round === WARM) {
          hitsBefore = manager.stats.hits;
          lruHits = 0;
        }
        const window = load();
        if (plain.use(window)) lruHits++;
        file.readInto(window * PAGE + 100, target);
      }
      assert.ok(manager.stats.windows <= SLOTS);
      return { ours: (manager.stats.hits - hitsBefore) / COUNTED, lru: lruHits / COUNTED };
    } finally {
      manager.close();
    }
  }

  for (const policy of ["sieve", "lru"] as const) {
    it(`hit rate: a hot load hits at least as often as true LRU (policy ${policy}), where smmap hits 0.147`, () => {
      for (const seed of [1, 2, 3]) {
        const { ours, lru } = hitRates(hotLoad(new Random(seed), WINDOWS), { policy });
        assert.ok(lru > 0.8, `the plain LRU reached ${lru}`);
        assert.ok(ours >= lru, `${ours} against ${lru} of LRU`);
        assert.ok(ours > 5 * 0.147);
      }
    });

    it(`hit rate: a Zipf load hits at least as often as true LRU (policy ${policy}), where smmap hits 0.066`, () => {
      for (const seed of [1, 2, 3]) {
        const { ours, lru } = hitRates(zipfLoad(new Random(seed), WINDOWS), { policy });
        assert.ok(ours >= lru, `${ours} against ${lru} of LRU`);
        assert.ok(ours > 5 * 0.066);
      }
    });
  }

  it("hit rate: a scan of everything does not push hot windows out", () => {
    const path = tempFile(new Uint8Array(0));
    truncateSync(path, WINDOWS * PAGE);
    const manager = new WindowManager({ windowSize: PAGE, budget: SLOTS * PAGE });
    try {
      const file = manager.open(path);
      const target = new Uint8Array(64);
      for (let round = 0; round < 10; round++)
        for (let window = 0; window < 48; window++) file.readInto(window * PAGE + 7, target);
      for (const chunk of file.chunks({ size: 10_000 })) assert.equal(chunk[0], 0);
      const { hits } = manager.stats;
      for (let window = 0; window < 48; window++) file.readInto(window * PAGE + 7, target);
      assert.ok(manager.stats.hits - hits >= 46, `${manager.stats.hits - hits} of 48 stayed`);
    } finally {
      manager.close();
    }
  });

  it("windows do not fragment: every window but a file's last has the full size", () => {
    const window = 2 * PAGE;
    const path = tempFile(pattern(100 * window));
    const manager = new WindowManager({ windowSize: window, budget: 11 * window });
    try {
      const random = new Random(5);
      const cursor = manager.cursor(path);
      for (let round = 0; round < 2000; round++) {
        cursor.use(random.below(100 * window - 10), random.between(1, 10));
        const { residentBytes, windows } = manager.stats;
        assert.equal(residentBytes, windows * window);
        assert.ok(windows <= 11);
      }
      assert.equal(manager.stats.windows, 11);
      cursor.close();
    } finally {
      manager.close();
    }
  });

  it("buffer offsets are relative to where the buffer begins", () => {
    const data = pattern(3 * PAGE);
    const manager = new WindowManager({ windowSize: PAGE, budget: PAGE });
    try {
      const buffer = manager.cursor(tempFile(data)).buffer(PAGE + 10, 100);
      assert.equal(buffer.offset, PAGE + 10);
      assert.equal(buffer.length, 100);
      assert.equal(buffer.at(0), data[PAGE + 10]);
      assert.equal(buffer.at(-1), data[PAGE + 109]);
      assert.deepEqual(buffer.slice(5, 8), data.slice(PAGE + 15, PAGE + 18));
      assert.equal(buffer.at(100), undefined);
    } finally {
      manager.close();
    }
  });

  it("an empty slice is empty and a reversed one too", () => {
    const manager = new WindowManager({ windowSize: PAGE, budget: PAGE });
    try {
      const buffer = manager.cursor(tempFile(pattern(2 * PAGE))).buffer();
      assert.equal(buffer.slice(0, 0).length, 0);
      assert.equal(buffer.slice(PAGE, PAGE).length, 0);
      assert.equal(buffer.slice(5, 2).length, 0);
      assert.equal(buffer.slice(-2, -5).length, 0);
      assert.equal(buffer.slice(Number.POSITIVE_INFINITY).length, 0);
      assert.equal(buffer.slice(Number.NaN, 3).length, 3);
    } finally {
      manager.close();
    }
  });

  it("slices are copies, within a window and across windows", () => {
    const data = pattern(2 * PAGE);
    const manager = new WindowManager({ windowSize: PAGE, budget: 2 * PAGE });
    try {
      const buffer = manager.cursor(tempFile(data)).buffer();
      for (const [start, end] of [
        [0, 10],
        [PAGE - 5, PAGE + 5],
      ] as const) {
        const slice = buffer.slice(start, end);
        slice.fill(255);
        assert.deepEqual(buffer.slice(start, end), data.slice(start, end));
        manager.collect();
        assert.equal(slice[0], 255);
      }
    } finally {
      manager.close();
    }
  });

  it("collect with live views neither throws nor spoils them", () => {
    const data = pattern(4 * PAGE);
    const manager = new WindowManager({ windowSize: PAGE, budget: 4 * PAGE });
    try {
      const file = manager.open(tempFile(data));
      const view = file.view(0, data.length);
      const lease = file.lease(PAGE, 10);
      const ended = file.lease(2 * PAGE, 10);
      ended.release();
      assert.equal(manager.collect(), 1, "the leased window stays");
      assert.equal(manager.stats.windows, 1);
      assert.equal(manager.stats.pinnedBytes, PAGE);
      assert.deepEqual(view, data);
      assert.deepEqual(lease.bytes, data.subarray(PAGE, PAGE + 10));
      assert.deepEqual(ended.bytes, data.subarray(2 * PAGE, 2 * PAGE + 10));
      lease.release();
      assert.equal(manager.collect(), 1);
    } finally {
      manager.close();
    }
  });

  it("growth of the file is seen, by reads, cursors, typed reads and refresh", () => {
    const data = pattern(3 * PAGE + 50);
    const path = tempFile(data.subarray(0, 100));
    const manager = new WindowManager({ windowSize: PAGE, budget: 8 * PAGE });
    try {
      const file = manager.open(path);
      const cursor = manager.cursor(path).use(0, 1000);
      const view = file.view(0, 100);
      assert.equal(cursor.size, 100);
      appendFileSync(path, data.subarray(100, PAGE + 50));
      assert.equal(file.size, 100);
      assert.equal(file.u8(PAGE + 49), data[PAGE + 49]);
      assert.equal(file.size, PAGE + 50);
      assert.equal(cursor.use(0, 1000).size, 1000);
      assert.deepEqual(cursor.bytes(), data.subarray(0, 1000));
      appendFileSync(path, data.subarray(PAGE + 50));
      assert.equal(file.refresh(), data.length);
      assert.deepEqual(file.read(PAGE, 2 * PAGE), data.slice(PAGE, 3 * PAGE));
      assert.deepEqual(view, data.subarray(0, 100), "views stay as they are");
      assert.equal(cursor.use(data.length - 1, 10).size, 1);
      cursor.close();
    } finally {
      manager.close();
    }
  });

  it("truncation does not kill the process: zeros, then a TruncatedError", () => {
    const path = tempFile(pattern(8 * PAGE));
    const file = openWindows(path, { windowSize: PAGE, budget: 8 * PAGE });
    const lease = file.lease(0, 8 * PAGE);
    truncateSync(path, PAGE);
    let sum = 0;
    for (const byte of lease.bytes.subarray(2 * PAGE)) sum += byte;
    assert.equal(sum, 0);
    assert.throws(() => lease.release(), failure("TRUNCATED", { path, size: PAGE }));
    assert.throws(() => file.read(2 * PAGE, 10), failure("TRUNCATED", { path, size: PAGE }));
    assert.deepEqual(file.read(0, 10), pattern(10));
    file.close();
  });

  it("a file takes one descriptor, however many windows it has", () => {
    const path = tempFile(pattern(64 * PAGE));
    const manager = new WindowManager({ windowSize: PAGE, budget: 64 * PAGE });
    try {
      const before = descriptorsOf(path);
      const file = manager.open(path);
      for (let window = 0; window < 64; window++) file.lease(window * PAGE, 10).release();
      assert.equal(manager.stats.windows, 64);
      assert.equal(descriptorsOf(path), before + 1);
      file.close();
      assert.equal(descriptorsOf(path), before);
    } finally {
      manager.close();
    }
  });

  /** Steps that the list of the policy takes for `count` evictions from `slots` windows. */
  function stepsPerEviction(Policy: typeof LruPolicy | typeof SievePolicy, slots: number, count: number): number {
    let steps = 0;
    const names = ["pushFront", "remove", "toFront", "towardsHead"] as const;
    const originals = names.map((name) => Order.prototype[name] as (id: number) => unknown);
    const path = tempFile(new Uint8Array(0));
    truncateSync(path, 4 * slots * PAGE);
    const manager = new WindowManager({ windowSize: PAGE, budget: slots * PAGE, policy: () => new Policy() });
    for (const [index, name] of names.entries()) {
      const original = originals[index] as (id: number) => unknown;
      Object.defineProperty(Order.prototype, name, {
        configurable: true,
        writable: true,
        value(this: Order, id: number) {
          steps++;
          return original.call(this, id);
        },
      });
    }
    try {
      const file = manager.open(path);
      const random = new Random(11);
      while (manager.stats.evictions < count) file.lease(random.below(4 * slots) * PAGE, 1).release();
      return steps / manager.stats.evictions;
    } finally {
      for (const [index, name] of names.entries())
        Object.defineProperty(Order.prototype, name, { configurable: true, writable: true, value: originals[index] });
      manager.close();
    }
  }

  for (const Policy of [LruPolicy, SievePolicy]) {
    it(`eviction takes constant time: steps of ${Policy.name} do not grow with the windows`, () => {
      const few = stepsPerEviction(Policy, 32, 4000);
      const many = stepsPerEviction(Policy, 1024, 4000);
      assert.ok(many < 12 && many < 2 * few + 2, `${few} steps with 32 windows, ${many} with 1024`);
    });
  }

  it("the memory limit holds against pins when strict", () => {
    const manager = new WindowManager({ windowSize: PAGE, budget: 2 * PAGE, strict: true });
    try {
      const file = manager.open(tempFile(pattern(8 * PAGE)));
      const first = file.lease(0, 10);
      const second = file.lease(PAGE, 10);
      assert.throws(() => file.lease(2 * PAGE, 10), failure("LIMIT", { limit: "budget" }));
      assert.throws(() => file.lease(0, 2 * PAGE + 1), failure("LIMIT", { limit: "budget" }));
      assert.throws(() => file.lease(PAGE, PAGE + 1), failure("LIMIT", { limit: "budget" }));
      assert.equal(manager.stats.residentBytes, 2 * PAGE);
      assert.equal(file.leases, 2);
      first.release();
      file.lease(2 * PAGE, 10).release();
      second.release();
      assert.equal(manager.stats.pinnedBytes, 0);
      assert.equal(manager.stats.residentBytes, 2 * PAGE);
    } finally {
      manager.close();
    }
  });

  it("a soft memory limit is exceeded by pins alone, and holds again when they end", () => {
    const manager = new WindowManager({ windowSize: PAGE, budget: 2 * PAGE });
    try {
      const file = manager.open(tempFile(pattern(8 * PAGE)));
      const leases = [0, 1, 2, 3, 4].map((window) => file.lease(window * PAGE, 10));
      assert.equal(manager.stats.residentBytes, 5 * PAGE);
      assert.equal(manager.stats.pinnedBytes, 5 * PAGE);
      for (const lease of leases) lease.release();
      assert.equal(manager.stats.pinnedBytes, 0);
      assert.equal(manager.stats.residentBytes, 2 * PAGE);
    } finally {
      manager.close();
    }
  });
});
