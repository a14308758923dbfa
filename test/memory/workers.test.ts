import assert from "node:assert/strict";
import fs from "node:fs";
import process from "node:process";
import { Worker } from "node:worker_threads";
import { afterEach, describe, it } from "vitest";
import { Mapping, type MappingHandle, unlinkObject } from "../../src/memory/main.ts";
import { cleanTempAfterEach, pattern, tempFile } from "../support/temp.ts";

cleanTempAfterEach();

const workers: Worker[] = [];

afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.terminate();
});

/** What a new worker answers about a handle. */
function ask(handle: MappingHandle, rounds = 0): Promise<Record<string, unknown>> {
  const worker = new Worker(new URL("../fixtures/mapping.worker.ts", import.meta.url));
  workers.push(worker);
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.postMessage({ handle, rounds });
  });
}

describe("a mapping's handle", () => {
  it("is a plain object", () => {
    const mapping = Mapping.open(tempFile(pattern(100)));
    assert.deepEqual(structuredClone(mapping.handle()), mapping.handle());
    assert.deepEqual(JSON.parse(JSON.stringify(mapping.handle())).kind, "outcore.mapping");
    mapping.close();
  });

  it("of a file opens the same bytes in a worker", async () => {
    const mapping = Mapping.open(tempFile(new Uint8Array(8192)), { access: "write", offset: 4096 });
    mapping.view("i32", 4, 1)[0] = 42;
    const answer = await ask(mapping.handle(), 1000);
    assert.deepEqual(answer, { length: 4096, access: "write", before: 42, after: 0 });
    assert.equal(mapping.view("i32", 0, 1)[0], 1000);
    mapping.close();
  });

  it("of anonymous memory is shared by several workers at once, exactly", async () => {
    const mapping = Mapping.anonymous(4096);
    const handle = mapping.handle();
    await Promise.all([ask(handle, 20_000), ask(handle, 20_000), ask(handle, 20_000)]);
    assert.equal(mapping.view("i32", 0, 1)[0], 60_000);
    mapping.close();
  });

  it("of a shared memory object works too", async () => {
    const name = `outcore-test-${process.pid}-workers`;
    const mapping = Mapping.object(name, { create: true, length: 4096 });
    try {
      await ask(mapping.handle(), 5);
      assert.equal(mapping.view("i32", 0, 1)[0], 5);
    } finally {
      mapping.close();
      unlinkObject(name);
    }
  });

  it("does not open another file in its place", async () => {
    const file = tempFile(pattern(4096));
    const mapping = Mapping.open(file);
    const handle = mapping.handle();
    fs.renameSync(file, `${file}.old`);
    assert.equal((await ask(handle)).name, "NotFoundError");
    fs.writeFileSync(file, pattern(4096));
    assert.equal((await ask(handle)).name, "StaleHandleError");
    mapping.close();
  });

  it("of memory that was closed is stale", async () => {
    const mapping = Mapping.anonymous(4096);
    const handle = mapping.handle();
    mapping.close();
    assert.equal((await ask(handle)).name, "StaleHandleError");
    const fd = fs.openSync(tempFile(pattern(4096)), "r+");
    assert.equal((await ask({ ...handle, file: { ...handle.file, descriptor: fd } })).name, "StaleHandleError");
    fs.closeSync(fd);
  });

  it("of a file that shrank meanwhile is out of range", async () => {
    const file = tempFile(pattern(8192));
    const mapping = Mapping.open(file);
    fs.truncateSync(file, 4096);
    assert.equal((await ask(mapping.handle())).name, "OutOfRangeError");
    mapping.close();
  });
});
