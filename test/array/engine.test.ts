import assert from "node:assert/strict";
import { afterEach, describe, it } from "vitest";
import type { ArrayEngine } from "../../src/array/engine.ts";
import { openStore } from "../../src/array/main.ts";
import { PageLog } from "../../src/array/page-log.ts";
import { ArrayStore } from "../../src/array/store.ts";
import { ClosedError, SystemError } from "../../src/errors.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const open: { close(): void }[] = [];

afterEach(() => {
  for (const each of open.splice(0)) each.close();
  cleanTemp();
});

/** An engine whose blocks come from elsewhere: it tells what is fetched and when views are asked for. */
function remote(folder: string, arrive: (count: number) => Promise<void> | void) {
  const engine = PageLog.open(folder, { create: false });
  const calls: string[] = [];
  let count = 0;
  const own: Partial<ArrayEngine> = {
    async fetch(array, offset, length) {
      calls.push(`fetch ${array} ${offset} ${length}`);
      await arrive(++count);
      calls.push("here");
    },
    view(array, reserve) {
      if (calls.at(-1) !== "view") calls.push("view");
      return engine.view(array, reserve);
    },
  };
  const fake = new Proxy(engine, {
    get(target, key) {
      const value = Reflect.get(own, key) ?? Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const store = new ArrayStore(fake, { reserve: 2 ** 24 });
  open.push(store);
  return { store, calls };
}

async function made(): Promise<string> {
  const folder = tempFolder();
  const store = openStore(folder, { reserve: 2 ** 24 });
  await store.transact(() => {
    store
      .create("a", { dtype: "f64", shape: [1000, 10] })
      .view(3)
      .array.fill(7);
    store.create("long", { dtype: "u8", shape: 2 ** 31 });
  });
  store.close();
  return folder;
}

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

describe("an engine of several machines", () => {
  it("is asked for the bytes of a view before the view is made, and for no others", async () => {
    const { store, calls } = remote(await made(), turn);
    const a = store.array("a", "f64");
    const transaction = store.begin();
    assert.equal((await a.viewAsync(3, [2, 4])).array[1], 7);
    assert.deepEqual(calls.splice(0), [`fetch 1 ${(3 * 10 + 2) * 8} 16`, "here", "view"]);
    assert.deepEqual((await a.viewAsync([5, 1, -2], -1)).toNested(), [0, 7]);
    assert.deepEqual(calls.splice(0), [`fetch 1 ${(3 * 10 + 9) * 8} ${21 * 8}`, "here", "view"]);
    assert.deepEqual((await a.viewAsync([4, 4])).shape, [0, 10]);
    assert.deepEqual(calls.splice(0), []);
    await assert.rejects(a.viewAsync(1000), RangeError);
    await assert.rejects(store.array("long").viewAsync(), RangeError);
    assert.deepEqual(calls.splice(0), []);
    transaction.abort();
  });

  it("is asked again when another state is shown, or the index selects others, once the bytes are here", async () => {
    const folder = await made();
    const other = openStore(folder, { reserve: 2 ** 24 });
    open.push(other);
    const { store, calls } = remote(folder, async (count) => {
      if (count === 1) {
        await other.transact(() => other.array("a").set([3, 0], 8));
        store.refresh();
      }
      if (count === 3) store.array("a").resize(500, 10);
    });
    const a = store.array("a", "f64");
    assert.equal((await a.viewAsync(3)).get(0), 8);
    assert.deepEqual(calls.splice(0), ["fetch 1 240 80", "here", "fetch 1 240 80", "here", "view"]);
    const transaction = store.begin();
    assert.equal((await a.viewAsync(-1)).get(0), 0);
    const fetches = calls.filter((call) => call.startsWith("fetch"));
    assert.deepEqual(fetches, ["fetch 1 79920 80", "fetch 1 39920 80"]);
    transaction.abort();
  });

  it("that cannot bring them rejects, and shows nothing; so does a store that was closed meanwhile", async () => {
    const error = new SystemError("ECONNRESET", "fetch from", "the other machine");
    const folder = await made();
    const { store, calls } = remote(folder, (count) => {
      if (count === 1) throw error;
      store.close();
    });
    const a = store.array("a");
    await assert.rejects(a.viewAsync(3), error);
    assert.deepEqual(calls.splice(0), ["fetch 1 240 80"]);
    await assert.rejects(a.viewAsync(3), ClosedError);
    assert.deepEqual(calls, ["fetch 1 240 80", "here"]);
  });
});
