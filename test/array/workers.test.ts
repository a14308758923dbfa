import assert from "node:assert/strict";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { afterEach, describe, it } from "vitest";
import { openReference, openStore } from "../../src/array/main.ts";
import { InvalidArgumentError, NotFoundError } from "../../src/errors.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const workers: Worker[] = [];

afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.terminate();
  cleanTemp();
});

describe("Workers", () => {
  it("open what a posted reference names, each in a connection of its own, and lose no update", async () => {
    const store = openStore(tempFolder(), { reserve: 2 ** 24 });
    try {
      await store.transact(() => {
        store
          .create("a", { dtype: "f64", shape: [4, 1000] })
          .view(2, [10, 13])
          .array.set([7, 8, 9]);
      });
      const reference = store.array("a").reference(2, [10, 13]);
      const times = 20;
      const answers = [1, 2].map(() => {
        const worker = new Worker(new URL("../fixtures/array.worker.ts", import.meta.url));
        workers.push(worker);
        worker.postMessage({ reference, times });
        return once(worker, "message") as Promise<[{ seen?: number[]; error?: string }]>;
      });
      for (let i = 0; i < times; i++)
        await store.transact(
          () => {
            const row = store.array("a", "f64").view(2).array;
            row[10] = Number(row[10]) + 1;
          },
          { retries: 10_000 },
        );
      for (const [{ seen, error }] of await Promise.all(answers)) {
        assert.equal(error, undefined);
        assert.deepEqual(seen?.slice(1), [8, 9]);
      }
      store.refresh();
      assert.deepEqual(store.array("a").view(2, [10, 13]).toNested(), [7 + 3 * times, 8, 9]);
      assert.deepEqual(store.engine.verify(), []);
    } finally {
      store.close();
    }
  }, 120_000);

  it("append in bulk to one array, each whole and none twice", async () => {
    const store = openStore(tempFolder(), { reserve: 2 ** 26 });
    try {
      await store.transact(() => store.create("a", { dtype: "f64", shape: 0 }));
      const reference = store.array("a").reference();
      const times = 6;
      const lengths = [2 ** 17, 2 ** 17 + 700];
      const answers = lengths.map((append) => {
        const worker = new Worker(new URL("../fixtures/array.worker.ts", import.meta.url));
        workers.push(worker);
        worker.postMessage({ reference, times, append });
        return once(worker, "message") as Promise<[{ error?: string }]>;
      });
      for (const [{ error }] of await Promise.all(answers)) assert.equal(error, undefined);
      store.refresh();
      const values = store.array("a", "f64").typed();
      const seen = new Map(lengths.map((length) => [length, 0]));
      for (let at = 0; at < values.length; ) {
        const length = values[at] as number;
        const part = values.subarray(at, at + length);
        if (part.length !== length || !part.every((value) => value === length)) assert.fail(`torn at ${at}`);
        seen.set(length, (seen.get(length) ?? 0) + 1);
        at += length;
      }
      assert.deepEqual([...seen.values()], [times, times]);
      assert.deepEqual(store.engine.verify(), []);
    } finally {
      store.close();
    }
  }, 120_000);

  it("a reference to what is not there is an error, and makes nothing", async () => {
    const folder = tempFolder();
    const nowhere = { kind: "outcore.array", store: `${folder}/none`, name: "a", index: [] } as const;
    assert.throws(() => openReference(nowhere), NotFoundError);
    assert.throws(() => openReference({ ...nowhere, kind: "other" } as never), InvalidArgumentError);
    const store = openStore(folder, { reserve: 2 ** 24 });
    store.close();
    assert.throws(() => openReference({ ...nowhere, store: folder }), NotFoundError);
  });
});
