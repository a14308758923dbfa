import assert from "node:assert/strict";
import path from "node:path";
import process from "node:process";
import { Worker } from "node:worker_threads";
import { afterEach, describe, it } from "vitest";
import { Chest } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const workers: Worker[] = [];

afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.terminate();
});

/** What a new worker answers. */
function ask(what: string, folder: string, rounds = 0): Promise<unknown> {
  const worker = new Worker(new URL("../fixtures/chest.worker.ts", import.meta.url));
  workers.push(worker);
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.postMessage({ what, folder, rounds });
  });
}

describe("a chest in several threads of one process", () => {
  cleanTempAfterEach();

  it("one writes and two read: each commit is seen whole, in order", async () => {
    const folder = path.join(tempFolder(), "chest");
    const start = Array.from({ length: 21 }, (_, i): [number, unknown] => [i, { round: 0, i }]);
    new Chest<number, unknown>(start, { path: folder }).close();
    const readers = [ask("read", folder, 300), ask("read", folder, 300)];
    assert.equal(await ask("write", folder, 300), "written");
    for (const seen of await Promise.all(readers)) assert.ok(typeof seen === "number" && seen > 0, String(seen));
  }, 120_000);

  it("a second writer gets a LockedError that names this process, until the first has closed", async () => {
    const folder = path.join(tempFolder(), "chest");
    const chest = new Chest<string, number>([["a", 1]], { path: folder });
    assert.match(String(await ask("lock", folder)), new RegExp(`\\b${process.pid}\\b`));
    assert.throws(() => new Chest({ path: folder }), { code: "LOCKED" });
    chest.close();
    assert.equal(await ask("lock", folder), "opened");
  }, 60_000);

  it("a Worker that is terminated while it has one open locks nobody out", async () => {
    const folder = path.join(tempFolder(), "chest");
    assert.equal(await ask("hold", folder), "held");
    assert.throws(() => new Chest({ path: folder }), { code: "LOCKED" });
    await workers.pop()?.terminate();
    /* Its thread may end a little later. */
    const chest = await Chest.open<string, number>({ path: folder }, 20_000);
    assert.deepEqual([...chest], [["a", 1]]);
    chest.close();
  }, 60_000);
});
