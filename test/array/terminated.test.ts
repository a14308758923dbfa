import assert from "node:assert/strict";
import { once } from "node:events";
import process from "node:process";
import { Worker } from "node:worker_threads";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, openStore } from "../../src/array/main.ts";
import type { PageLog } from "../../src/array/page-log.ts";
import { count } from "../support/counts.ts";
import { randomFrom } from "../support/random.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const workers = new Set<Worker>();
const logBytes = ({ engine }: ArrayStore): number => (engine as PageLog).logBytes;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

afterEach(async () => {
  for (const worker of workers) await worker.terminate();
  workers.clear();
  cleanTemp();
});

async function worker(what: "hold" | "write", folder: string): Promise<Worker> {
  const started = new Worker(new URL("../fixtures/array-terminated.worker.ts", import.meta.url));
  workers.add(started);
  started.postMessage({ what, folder });
  assert.deepEqual(await once(started, "message"), ["ready"]);
  return started;
}

async function terminate(each: Worker): Promise<void> {
  workers.delete(each);
  await each.terminate();
}

async function made(folder: string): Promise<ArrayStore> {
  const store = openStore(folder, { reserve: 2 ** 24, segmentBytes: 2 ** 18 });
  await store.transact(() => store.create("a", { dtype: "f64", shape: 10_000 }));
  return store;
}

const add = (store: ArrayStore): void => {
  const a = store.array("a", "f64").typed();
  const value = (a[0] ?? 0) + 1;
  for (const at of [0, 1000, 9000]) a[at] = value;
};

describe("a Worker that is terminated", () => {
  it("in a transaction holds nothing back any longer", async () => {
    const folder = tempFolder();
    const store = await made(folder);
    try {
      const holder = await worker("hold", folder);
      for (let i = 0; i < 10; i++) await store.transact(() => add(store));
      await store.checkpoint();
      assert.ok(store.engine.newest() > 10 && logBytes(store) > 0, "its snapshot keeps the log");
      await terminate(holder);
      for (const end = performance.now() + 20_000; logBytes(store) > 0 && performance.now() < end; await pause(10))
        await store.checkpoint();
      assert.equal(logBytes(store), 0);
      assert.equal(store.array("a").get(0), 10);
      assert.deepEqual(store.engine.verify(), []);
    } finally {
      store.close();
    }
  }, 60_000);

  it("at any moment, also in the middle of a commit, leaves one committed state, and nobody locked out", async () => {
    const folder = tempFolder();
    const store = await made(folder);
    const random = randomFrom(Number(process.env.OUTCORE_SEED ?? 1));
    try {
      let last = 0;
      for (let round = count({ long: 200, usual: 20, brief: 5 }); round > 0; round--) {
        const writer = await worker("write", folder);
        await pause(random(20));
        await terminate(writer);
        await store.transact(() => add(store), { retries: 10_000 });
        const values = [0, 1000, 9000].map((at) => store.array("a").get(at) as number);
        const [value = 0] = values;
        assert.deepEqual(values, [value, value, value]);
        assert.ok(value > last);
        last = value;
      }
      assert.deepEqual(store.engine.verify(), []);
    } finally {
      store.close();
    }
  }, 1_800_000);
});
