import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import process from "node:process";
import { Worker } from "node:worker_threads";
import { describe, it } from "vitest";
import { DiskFullError, OutcoreError, WouldBlockError } from "../../src/errors.ts";
import { Mapping } from "../../src/memory/main.ts";
import { collectRings, createRing, openRing, ringRoom } from "../../src/ring/main.ts";
import { exists, fixture, freshName, here, long, peer, plant, prefix, random, seed, unplant } from "./helpers.ts";

const schema = { number: { type: "u32" }, words: { type: "u32", capacity: 1024 } } as const;
const next = random(seed);
const pick = (below: number): number => Math.floor(next() * below);
/** What a killed writer was doing, as its segment tells. */
function momentOf(name: string, wire: "native" | "shmx"): string {
  const bytes = readFileSync(`/dev/shm/${name}`);
  if (wire === "shmx") {
    const [written, reserved] = [bytes.readUInt32LE(112), bytes.readUInt32LE(120)];
    if (written === reserved) return "between frames";
    return bytes.readBigUInt64LE(104) === BigInt(written) ? "writing a frame" : "publishing it";
  }
  const published = bytes.readBigUInt64LE(256);
  const slots = BigInt(bytes.readUInt32LE(96));
  const next = bytes.readBigUInt64LE(72) + (published % slots) * bytes.readBigUInt64LE(80);
  const state = bytes.readBigUInt64LE(Number(next));
  if (state === 2n * published + 1n) return "writing a frame";
  return state === 2n * published + 2n ? "publishing it" : "between frames";
}

describe("rings under faults", () => {
  it("survive a segment that is truncated while open", () => {
    for (const wire of ["native", "shmx"] as const)
      for (const size of [0, 64, 4096]) {
        const name = freshName("cut");
        const server = createRing(name, { schema, wire });
        server.publish({ number: [1] });
        const client = openRing(name, { schema });
        client.take();
        plant(name, new Uint8Array(size));
        for (const use of [() => client.latest(), () => client.nextSync({ timeout: 20 }), () => client.send(3)])
          try {
            use();
          } catch (error) {
            assert.ok(error instanceof OutcoreError, String((error as Error).stack));
          }
        client.close();
        server.close();
        unplant(name);
      }
  });

  it("let the others go on when a writer is killed at any moment", async () => {
    const kills = long ? 300 : 4;
    const moments = new Map<string, number>();
    for (let i = 0; i < kills; i++) {
      const wire = i % 2 === 0 ? "native" : "shmx";
      const name = freshName("kill");
      const writer = peer(here(), "flood", name, wire, "3");
      assert.equal(await writer.line(), "ready");
      const client = openRing(name, { schema, keepAlive: true });
      await client.next({ timeout: 5000 });
      const wait = pick(30);
      setTimeout(() => writer.kill(), wait);
      let ended: unknown;
      try {
        for (;;) if ((await client.next({ timeout: 3000 })) === undefined) break;
      } catch (error) {
        ended = error;
      }
      await writer.exit;
      assert.equal((ended as OutcoreError | undefined)?.code, "PEER_GONE", String(ended));
      client.close();
      const moment = `${wire}: ${momentOf(name, wire)}`;
      moments.set(moment, (moments.get(moment) ?? 0) + 1);
      assert.ok(collectRings(prefix).includes(name));
      assert.equal(exists(name), false);
    }
    console.log([...moments].map(([moment, count]) => `${moment}: ${count}`).join("; "));
  });

  it("free the writer when a reliable reader is killed", async () => {
    for (let i = 0; i < (long ? 100 : 2); i++) {
      const name = freshName("stall");
      const server = createRing(name, { schema, slots: 4, keepAlive: true });
      const reader = peer(here(), "stall", name);
      assert.equal(await reader.line(), "ready");
      server.publish({ number: [1] });
      assert.equal(await reader.line(), "took");
      assert.throws(() => {
        for (let k = 0; k < 100; k++) server.publish({ number: [2] });
      }, WouldBlockError);
      setTimeout(() => reader.kill(), pick(20));
      await server.publishAsync({ number: [3] }, { timeout: 5000 });
      await reader.exit;
      assert.equal(server.readers().length, 0);
      server.close();
    }
  });

  it("end Workers that are terminated while they wait", async () => {
    const name = freshName("workers");
    const server = createRing(name, { schema, readerSlots: 4 });
    const rounds = long ? 1000 : 12;
    for (let i = 0; i < rounds; i++) {
      const worker = new Worker(new URL("waiting.worker.ts", import.meta.url), { workerData: name });
      await new Promise((resolve, reject) => {
        worker.once("message", resolve);
        worker.once("error", reject);
      });
      if (i % 2 === 0) server.publish({ number: [i] });
      await worker.terminate();
      /* Its thread may end a little later; with it its reader slot becomes free. */
      for (let k = 0; k < 500 && server.readers().length > 3; k++) {
        server.reap();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert.ok(server.readers().length <= 3, `round ${i}`);
    }
    const client = openRing(name, { schema });
    server.publish({ number: [7] });
    assert.equal(client.take()?.get("number")[0], 7);
    client.close();
    server.close();
  });

  it("let a process end that waits without asking to be kept alive", async () => {
    const name = freshName("idle");
    const server = createRing(name, { schema });
    const reader = peer(here(), "idle", name);
    assert.equal(await reader.line(), "ready");
    assert.equal(await reader.exit, 0);
    server.close();
  });

  it("see the owner's death although its child lives on", async () => {
    const name = freshName("parent");
    const owner = peer(here(), "parent", name);
    const child = Number(await owner.line());
    const client = openRing(name, { keepAlive: true });
    const waiting = assert.rejects(client.next(), { code: "PEER_GONE" });
    owner.kill();
    await owner.exit;
    await waiting;
    process.kill(child, "SIGKILL");
    client.close();
    assert.deepEqual(collectRings(name), [name]);
  });

  it("say when shared memory is full, and leave nothing", () => {
    const name = freshName("toobig");
    const capacity = Math.ceil(ringRoom().total / 2);
    assert.throws(() => createRing(name, { schema: { big: { type: "u8", capacity } }, slots: 4 }), DiskFullError);
    assert.equal(exists(name), false);
  });

  it("refuse a segment of a newer version", () => {
    for (const [file, at] of [
      ["created.bin", 8],
      ["created.bin", 12],
    ] as const) {
      const name = freshName("newer");
      const bytes = fixture(file);
      new DataView(bytes.buffer).setUint32(at, 9, true);
      plant(name, bytes);
      assert.throws(() => openRing(name), { code: "RING_VERSION" });
      unplant(name);
    }
    const name = freshName("newer");
    const server = createRing(name, { schema });
    const mapping = Mapping.object(name, { access: "write" });
    mapping.view("u32", 8, 1)[0] = 2;
    assert.throws(() => openRing(name), { code: "RING_VERSION" });
    mapping.close();
    server.close();
  });
});
