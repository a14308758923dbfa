import assert from "node:assert/strict";
import path from "node:path";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, openStore, type StoreOptions } from "../../src/array/main.ts";
import { SharedState } from "../../src/array/shared-state.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const { tryCommitLock } = SharedState.prototype;
const open: ArrayStore[] = [];

afterEach(() => {
  SharedState.prototype.tryCommitLock = tryCommitLock;
  for (const each of open.splice(0)) each.engine[Symbol.dispose]();
  cleanTemp();
});

function opened(folder: string, options: StoreOptions): ArrayStore {
  const store = openStore(folder, { reserve: 2 ** 26, ...options });
  open.push(store);
  return store;
}

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

/** Does `work` once, just before the next attempt to take the commit lock, as another process might. */
function justBeforeTheLock(work: () => void): () => boolean {
  let done = false;
  SharedState.prototype.tryCommitLock = function (this: SharedState): boolean {
    SharedState.prototype.tryCommitLock = tryCommitLock;
    done = true;
    work();
    return tryCommitLock.call(this);
  };
  return () => done;
}

describe("upkeep between commits", () => {
  const SIZE = 2 ** 16;
  const rounds = {
    "a checkpoint of a long log": { segmentBytes: 2 ** 16, checkpointDelay: 1e6 },
    "a checkpoint after a pause": { segmentBytes: 2 ** 22, checkpointDelay: 5 },
  };
  for (const [what, options] of Object.entries(rounds))
    it(`of a connection that another has overtaken changes nothing: ${what}`, async () => {
      const folder = path.join(tempFolder(), "store");
      const one = opened(folder, options);
      await one.transact(() => void one.create("a", { dtype: "f64", shape: SIZE }).fill(1));
      const two = opened(folder, { ...options, checkpointDelay: 1e6 });
      for (let value = 2; value < 12; value++) {
        await one.transact(() => void one.array("a", "f64").typed().fill(value, 0, 8192));
        const transaction = two.begin();
        two.array("a", "f64").typed().fill(-value, 0, 8192);
        const done = justBeforeTheLock(() => {
          void transaction.commit();
          void two.engine.checkpoint();
        });
        await turn();
        SharedState.prototype.tryCommitLock = tryCommitLock;
        assert.ok(done());
        const three = opened(folder, options);
        for (const each of [one, two, three]) {
          each.refresh();
          assert.deepEqual(
            [0, 4096, 8191, 8192].map((at) => each.array("a").get(at)),
            [-value, -value, -value, 1],
          );
          assert.deepEqual(each.engine.verify(), []);
        }
        open.pop()?.close();
      }
    });
});
