import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "vitest";
import { Chest, type ChestOptions, folderTier, OutcoreError } from "../../src/chest/main.ts";
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

function having<T>(first: () => void, result: T): T {
  first();
  return result;
}

describe("what users' functions do to a chest", () => {
  cleanTempAfterEach();

  it("what is no function, or no list, is refused at once, and changes nothing", async () => {
    for (const path of [undefined, place()]) {
      const chest = new Chest<string, unknown>([["a", { n: 1 }]], path === undefined ? {} : { path });
      for (const wrong of [undefined, null, 5, "text", {}, [], Symbol("s")]) {
        const bad = wrong as never;
        const calls: Record<string, () => unknown> = {
          forEach: () => chest.forEach(bad),
          mutate: () => chest.mutate("a", bad),
          "mutate what is not there": () => chest.mutate("b", bad),
          batch: () => chest.batch(bad),
        };
        if (typeof wrong !== "string" && !Array.isArray(wrong)) {
          calls.update = () => chest.update(bad);
          calls.prefetchAll = () => chest.prefetchAll(bad);
        }
        if (wrong !== undefined) calls.name = () => folderTier({ name: bad });
        for (const [name, call] of Object.entries(calls)) assert.throws(call, { code: "INVALID_ARGUMENT" }, name);
        await assert.rejects(chest.memoize("a", bad), { code: "INVALID_ARGUMENT" });
        await assert.rejects(chest.memoize("b", bad), { code: "INVALID_ARGUMENT" });
        if (wrong !== undefined) await assert.rejects(chest.compact(bad), { code: "INVALID_ARGUMENT" });
      }
      assert.deepEqual([...chest], [["a", { n: 1 }]]);
      chest.close();
    }
    for (const codec of [{}, { encode: 1, decode: 2 }, { encode: () => new Uint8Array(1) }, 5])
      assert.throws(() => new Chest({ codec: codec as never }), { code: "INVALID_ARGUMENT" }, JSON.stringify(codec));
  });

  it("closing, giving up or dropping a chest from within anything is no error, or a typed one, and harms nothing", async () => {
    type Any = Chest<number, unknown>;
    const codecOf = (encoding: () => void, decoding: () => void) => ({
      encode: (value: unknown) => {
        encoding();
        return new TextEncoder().encode(JSON.stringify(value));
      },
      decode: (bytes: Uint8Array) => {
        decoding();
        return JSON.parse(new TextDecoder().decode(bytes)) as unknown;
      },
    });
    const nothing = (): void => {};
    const doings: Record<string, (make: (options: ChestOptions<number, unknown>) => Any, end: () => void) => unknown> =
      {
        onMiss: (make, end) => make({ onMiss: end }).get(1),
        "onSpill of set": (make, end) =>
          make({ budget: 1000, onSpill: end }).set(21, "v".repeat(400)).set(22, "v".repeat(400)),
        "onSpill of shrink": (make, end) => {
          const chest = make({ onSpill: end });
          chest.prefetchAll([1, 3]);
          chest.shrink(0);
        },
        "onSpill in slices": async (make, end) => {
          const chest = make({ budget: 1000, spill: "async", onSpill: end });
          chest.set(21, "v".repeat(400)).set(22, "v".repeat(400));
          await chest.settled();
        },
        "weigh of set": (make, end) => make({ weigh: () => having(end, 10) }).set(21, 1),
        "weigh of get": (make, end) => make({ weigh: () => having(end, 10) }).get(1),
        "weigh of batch": (make, end) => make({ weigh: () => having(end, 10) }).batch((batch) => batch.set(21, 1)),
        "encode of flush": (make, end) =>
          make({ codec: codecOf(end, nothing) })
            .set(21, 1)
            .set(22, 2)
            .flush(),
        "encode of close": (make, end) =>
          make({ codec: codecOf(end, nothing) })
            .set(21, 1)
            .set(22, 2)
            .close(),
        "encode of batch": (make, end) => make({ codec: codecOf(end, nothing) }).batch((batch) => batch.set(21, 1)),
        "encode of shrink": (make, end) =>
          make({ codec: codecOf(end, nothing) })
            .set(21, 1)
            .shrink(0),
        "a getter": (make, end) => {
          const value = {
            n: 1,
            get closes() {
              if (this.n > 1) end();
              return 1;
            },
          };
          const chest = make({}).set(21, value);
          value.n = 2;
          chest.flush();
        },
        mutate: (make, end) => make({}).mutate(1, () => having(end, 5)),
        "mutate in place": (make, end) => make({}).mutate(1, end),
        forEach: (make, end) => make({}).forEach(end),
        iteration: (make, end) => {
          for (const _ of make({})) end();
        },
        batch: (make, end) => make({}).batch((batch) => having(end, batch.set(21, 1)).set(22, 2)),
        memoize: (make, end) => make({}).memoize(21, () => having(end, 5)),
        compact: (make, end) => {
          const chest = make({ segmentSize: 2 ** 20 });
          for (const value of ["v", ""]) {
            for (let i = 100; i < 200; i++) chest.set(i, value.repeat(30_000));
            chest.flush();
          }
          for (let i = 100; i < 200; i++) chest.delete(i);
          return chest.compact(end);
        },
        update: (make, end) =>
          make({}).update(
            (function* (): Iterable<[number, unknown]> {
              yield [21, 1];
              end();
              yield [22, 2];
            })(),
          ),
      };
    for (let how = 0; how < 3; how++)
      for (const [name, doing] of Object.entries(doings)) {
        const folder = place();
        const before = Array.from({ length: 20 }, (_, i): [number, unknown] => [i, i % 2 === 0 ? i : { i }]);
        new Chest<number, unknown>(before, { path: folder }).close();
        let chest: Any | undefined;
        const make = (options: ChestOptions<number, unknown>): Any => {
          chest = new Chest<number, unknown>({ path: folder, ...options });
          return chest;
        };
        const end = (): void => {
          if (how === 0) chest?.close();
          if (how === 1) chest?.abandon();
          if (how === 2) chest?.drop();
        };
        try {
          await doing(make, end);
        } catch (error) {
          assert.ok(error instanceof OutcoreError, `${name}: ${(error as Error).stack}`);
        }
        chest?.abandon();
        const again = new Chest<number, unknown>({ path: folder });
        if (how < 2) for (const [key, value] of before) assert.deepEqual(again.get(key), value, name);
        else if (!name.startsWith("encode of close")) assert.ok(again.size === 0, name);
        assert.deepEqual(again.damage, [], name);
        again.close();
      }
  }, 120_000);

  it("entries that fail while a chest is made leave it closed", () => {
    const folder = place();
    const failing = function* (): Iterable<[string, number]> {
      yield ["a", 1];
      throw new Error("no more");
    };
    assert.throws(() => new Chest(failing(), { path: folder }), /no more/);
    assert.throws(() => new Chest([[Symbol("s") as never, 1]], { path: folder }), { code: "INVALID_ARGUMENT" });
    const chest = new Chest<string, number>([["b", 2]], { path: folder });
    assert.deepEqual([...chest], [["b", 2]]);
    chest.close();
  });

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
