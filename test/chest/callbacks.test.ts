import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "vitest";
import { Chest, type ChestOptions } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const place = (): string => path.join(tempFolder(), "chest");
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The reason for which something failed; undefined when it did not. */
async function reasonOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

describe("what users' functions do to a chest", () => {
  cleanTempAfterEach();

  it("a memoized function that throws at once is called again, and so is one that fails later", async () => {
    const chest = new Chest<string, number>();
    const fail = (): never => {
      throw new Error("at once");
    };
    assert.equal(await reasonOf(() => chest.memoize("a", fail)), "at once");
    assert.equal(await reasonOf(() => chest.memoize("a", () => Promise.reject(new Error("later")))), "later");
    assert.equal(await chest.memoize("a", () => 1), 1);
    assert.equal(await chest.memoize("a", fail), 1);
    chest.close();
  });

  it("a memoized key is what it was when it was asked for, whatever becomes of the object", async () => {
    const chest = new Chest<Uint8Array, number>();
    const key = new Uint8Array([1]);
    const made = chest.memoize(key, async () => {
      await pause(2);
      return 1;
    });
    key[0] = 2;
    const other = chest.memoize(key, () => 2);
    assert.deepEqual([await made, await other], [1, 2]);
    assert.deepEqual([chest.get(new Uint8Array([1])), chest.get(new Uint8Array([2]))], [1, 2]);
    chest.close();
  });

  it("onMiss may set the key that was missed, and read others", () => {
    const log: unknown[] = [];
    let chest: Chest<string, object | number>;
    const options: ChestOptions<string, object | number> = {
      onMiss(key) {
        log.push(key);
        if (key === "a") chest.set("a", { newer: true });
        else log.push(chest.get("b"));
      },
    };
    chest = new Chest<string, object | number>(options);
    chest.set("a", { newer: false }).set("b", { b: 1 });
    chest.shrink(0);
    chest.get("a");
    assert.deepEqual(chest.get("a"), { newer: true });
    chest.shrink(0);
    assert.deepEqual(chest.get("b"), { b: 1 });
    assert.deepEqual(log, ["a", "b", { b: 1 }]);
    chest.close();
  });

  it("weigh may set the very key that is weighed: it is one key, and what is set last holds", () => {
    let during: (() => void) | undefined;
    const chest = new Chest<string, object>({
      weigh: () => {
        const work = during;
        during = undefined;
        work?.();
        return 100;
      },
    });
    during = () => chest.set("a", { inner: true });
    chest.set("a", { inner: false });
    assert.deepEqual([chest.size, chest.memoryUsage > 400, chest.get("a")], [1, false, { inner: false }]);
    chest.flush();
    chest.shrink(0);
    during = () => chest.set("a", { newer: true });
    chest.get("a");
    assert.deepEqual([chest.size, chest.get("a")], [1, { newer: true }]);
    chest.shrink(0);
    assert.deepEqual([chest.memoryUsage, chest.get("a")], [0, { newer: true }]);
    chest.close();
  });

  it("onSpill and onMiss that throw lose nothing", () => {
    let throws = false;
    const callback = (): void => {
      if (throws) throw new Error("from the callback");
    };
    const path = place();
    const chest = new Chest<number, number[]>({ path, budget: 3000, onSpill: callback, onMiss: callback });
    for (let i = 0; i < 100; i++) {
      throws = i % 3 === 0;
      try {
        chest.set(i, [i, i]);
      } catch (error) {
        assert.equal((error as Error).message, "from the callback");
      }
    }
    throws = true;
    for (let i = 0; i < 100; i++) {
      try {
        assert.deepEqual(chest.get(i), [i, i]);
      } catch (error) {
        assert.equal((error as Error).message, "from the callback");
      }
    }
    throws = false;
    assert.equal(chest.size, 100);
    for (let i = 0; i < 100; i++) assert.deepEqual(chest.get(i), [i, i]);
    chest.close();
    const again = new Chest<number, number[]>({ path });
    assert.deepEqual(
      [...again],
      Array.from({ length: 100 }, (_, i) => [i, [i, i]]),
    );
    again.close();
  });

  it("onSpill may change the chest while it spills", () => {
    const chest = new Chest<string, unknown>({
      budget: 4000,
      onSpill(key) {
        if (!key.startsWith("spilled")) chest.set(`spilled ${key}`, 1);
      },
    });
    for (let i = 0; i < 100; i++) chest.set(`k${i}`, [i]);
    for (let i = 0; i < 100; i++) assert.deepEqual(chest.get(`k${i}`), [i]);
    assert.ok(chest.get("spilled k0") === 1);
    chest.close();
  });

  it("a weigher that answers with no size is refused, and what throws changes nothing", () => {
    let weight: number = Number.NaN;
    const chest = new Chest<string, number>({
      weigh: () => {
        if (weight === -2) throw new Error("no weight");
        return weight;
      },
    });
    for (const bad of [Number.NaN, -1, Number.POSITIVE_INFINITY]) {
      weight = bad;
      assert.throws(() => chest.set("a", 1), { code: "INVALID_ARGUMENT" });
    }
    weight = -2;
    assert.throws(() => chest.set("a", 1), { message: "no weight" });
    assert.equal(chest.size, 0);
    assert.equal(chest.memoryUsage, 0);
    weight = 5;
    chest.set("a", 1);
    weight = -2;
    assert.throws(() => chest.set("a", 2), { message: "no weight" });
    assert.equal(chest.get("a"), 1);
    chest.close();
  });

  it("encoders, decoders and getters may use chests themselves", () => {
    const inner = new Chest<string, unknown>({ budget: 0 });
    inner.set("x", { from: "inner" });
    const folder = place();
    let outer = new Chest<string, unknown>({ path: folder });
    const value = {
      before: 1,
      get nested() {
        inner.set("y", { text: "w".repeat(500) });
        inner.flush();
        return inner.get("x");
      },
      after: 2,
    };
    outer.set("a", value).flush();
    outer.close();
    outer = new Chest<string, unknown>({ path: folder });
    assert.deepEqual(outer.get("a"), { before: 1, nested: { from: "inner" }, after: 2 });
    outer.close();
    assert.deepEqual(inner.get("y"), { text: "w".repeat(500) });
    inner.close();
    const text = new TextDecoder();
    let armed = false;
    const chest: Chest<string, string> = new Chest<string, string>({
      codec: {
        encode: (each) => new TextEncoder().encode(each),
        decode(bytes) {
          if (armed) {
            armed = false;
            chest.set("a", "newer");
          }
          return text.decode(bytes);
        },
      },
    });
    chest.set("a", "older".repeat(100));
    chest.shrink(0);
    armed = true;
    chest.get("a");
    assert.equal(chest.get("a"), "newer");
    chest.close();
  });

  it("mutate keeps what its function set, deleted, tagged or timed itself", async () => {
    for (const budget of [0, 2 ** 20]) {
      const chest = new Chest<string, { n: number }>({ budget });
      chest.set("a", { n: 1 }, { tags: ["t"], timeToLive: 60_000 });
      chest.mutate("a", (value) => ({ n: (value?.n ?? 0) + 1 }));
      assert.deepEqual(chest.get("a"), { n: 2 });
      assert.equal(chest.deleteTagged("t"), 1);
      chest.set("a", { n: 1 });
      chest.mutate("a", () => {
        chest.set("a", { n: 7 });
      });
      assert.deepEqual(chest.get("a"), { n: 7 });
      chest.mutate("a", () => {
        chest.delete("a");
      });
      assert.equal(chest.has("a"), false);
      chest.set("short", { n: 1 }, { timeToLive: 40 });
      chest.mutate("short", (value) => {
        const until = Date.now() + 60;
        while (Date.now() < until);
        return value;
      });
      assert.equal(chest.get("short"), undefined, "its time does not begin anew");
      await pause(0);
      chest.close();
    }
  });

  it("a value that cannot be stored holds back no other one", () => {
    const folder = place();
    const chest = new Chest<string, unknown>({ path: folder });
    const detached = new Float64Array(10);
    structuredClone(detached, { transfer: [detached.buffer] });
    const bad: Record<string, unknown> = {
      function: () => 1,
      getter: {
        get x() {
          throw new Error("no");
        },
      },
      proxy: new Proxy(
        {},
        {
          ownKeys() {
            throw new Error("no keys");
          },
        },
      ),
      detached,
    };
    for (const [key, value] of Object.entries(bad)) {
      chest.set("before", key);
      try {
        chest.set(key, value);
      } catch {
        /* Some cannot even be weighed. */
      }
      chest.set("after", key);
      if (chest.has(key)) assert.throws(() => chest.flush(), { code: "CODEC" }, key);
      chest.delete(key);
      chest.flush();
      const reader = new Chest<string, unknown>({ path: folder, readOnly: true });
      assert.deepEqual([...reader.entries()].sort(), [
        ["after", key],
        ["before", key],
      ]);
      reader.close();
    }
    chest.close();
  });

  it("a key that cannot be stored holds back no other one", () => {
    const folder = place();
    const chest = new Chest<string, number>({ path: folder });
    chest.set("a", 1);
    assert.throws(() => chest.set("k".repeat(2 ** 27 + 1), 1), { code: "INVALID_ARGUMENT" });
    chest.set("b", 2).flush();
    chest.close();
    const again = new Chest<string, number>({ path: folder });
    assert.deepEqual(
      [...again],
      [
        ["a", 1],
        ["b", 2],
      ],
    );
    again.close();
  });
});
