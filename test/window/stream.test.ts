import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { describe, it } from "vitest";
import { openWindows, type WindowFile } from "../../src/window/main.ts";
import { cleanTempAfterEach, pattern, tempFile } from "../support/temp.ts";
import { failure, PAGE, Random, seed } from "./support.ts";

async function all(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(parts);
    parts.push(value);
  }
}

describe("streams and blobs", () => {
  cleanTempAfterEach();

  async function withFile(data: Uint8Array, body: (file: WindowFile, path: string) => Promise<void>): Promise<void> {
    const path = tempFile(data);
    const file = openWindows(path, { windowSize: PAGE, budget: 8 * PAGE });
    try {
      await body(file, path);
    } finally {
      file.close();
    }
  }

  it("a stream is the file's bytes, whole and in part, in chunks of the size asked for", async () => {
    const data = new Random(seed).bytes(700_001);
    await withFile(data, async (file) => {
      assert.equal(Buffer.compare(await all(file.stream()), data), 0);
      assert.equal(
        Buffer.compare(await all(file.stream({ start: 5, end: 99_999, size: 1000 })), data.subarray(5, 99_999)),
        0,
      );
      assert.equal((await all(file.stream({ start: data.length }))).length, 0);
      const first = await file.stream({ size: 1234 }).getReader().read();
      assert.equal(first.value?.length, 1234);
      assert.equal((await new Response(file.stream({ end: 100 })).arrayBuffer()).byteLength, 100);
    });
  });

  it("a stream's chunks are copies that stay when the file is closed", async () => {
    const data = pattern(10_000);
    const path = tempFile(data);
    const file = openWindows(path, { windowSize: PAGE, budget: PAGE });
    const reader = file.stream({ size: 5000 }).getReader();
    const { value } = await reader.read();
    file.close();
    assert.deepEqual(value, data.slice(0, 5000));
  });

  it("a stream of a file that is closed meanwhile fails with ClosedError", async () => {
    const file = openWindows(tempFile(pattern(100_000)), { windowSize: PAGE, budget: PAGE });
    const reader = file.stream({ size: 1000 }).getReader();
    await reader.read();
    file.close();
    await assert.rejects(async () => {
      for (let round = 0; round < 3; round++) await reader.read();
    }, failure("CLOSED"));
  });

  it("an AbortSignal ends a stream with its reason", async () => {
    await withFile(pattern(100_000), async (file) => {
      const controller = new AbortController();
      const reader = file.stream({ size: 1000, signal: controller.signal }).getReader();
      await reader.read();
      const reason = new Error("enough");
      controller.abort(reason);
      await assert.rejects(
        async () => {
          for (let round = 0; round < 3; round++) await reader.read();
        },
        (error) => error === reason,
      );
    });
  });

  it("a stream can be cancelled", async () => {
    await withFile(pattern(100_000), async (file) => {
      const reader = file.stream({ size: 1000 }).getReader();
      await reader.read();
      await reader.cancel();
      assert.equal(file.u8(0), 1);
    });
  });

  it("streams and blobs refuse ranges that are none", async () => {
    await withFile(pattern(100), async (file) => {
      assert.throws(() => file.stream({ start: 101 }), failure("OUT_OF_RANGE"));
      assert.throws(() => file.stream({ end: 101 }), failure("OUT_OF_RANGE"));
      assert.throws(() => file.stream({ start: -1 }), failure("INVALID_ARGUMENT"));
      assert.throws(() => file.stream({ end: Number.NaN }), failure("INVALID_ARGUMENT"));
      assert.throws(() => file.stream({ size: 0 }), failure("INVALID_ARGUMENT"));
      assert.throws(() => file.stream({ size: 0.5 }), failure("INVALID_ARGUMENT"));
      assert.throws(() => file.blob(0, 101), failure("OUT_OF_RANGE"));
      assert.throws(() => file.blob(-1), failure("INVALID_ARGUMENT"));
    });
  });

  it("a blob is a copy of the file or a part of it, with its growth, and outlives it", async () => {
    const data = pattern(300_000);
    const path = tempFile(data.subarray(0, 200_000));
    const file = openWindows(path, { windowSize: PAGE, budget: 8 * PAGE });
    appendFileSync(path, data.subarray(200_000));
    const whole = file.blob();
    const part = file.blob(10, 20, "application/x-part");
    file.close();
    assert.equal(Buffer.compare(new Uint8Array(await whole.arrayBuffer()), data), 0);
    assert.equal(part.type, "application/x-part");
    assert.deepEqual(new Uint8Array(await part.arrayBuffer()), data.slice(10, 20));
  });
});
