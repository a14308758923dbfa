import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, it } from "vitest";
import { collectRings, createRing, openRing } from "../../src/ring/main.ts";
import { Forker } from "../support/forking.ts";
import { exists, freshName, here, type Peer, runs, start } from "./helpers.ts";

const schema = { number: { type: "u32" }, words: { type: "u32", capacity: 1024 } } as const;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

let folder = "";
let forker: Forker;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "outcore-fork-"));
  forker = new Forker(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function forking(...args: string[]): { peer: Peer; fork(): Promise<number> } {
  const { words, env } = runs(here(), new URL("peer.worker.ts", import.meta.url));
  const { env: more, fork } = forker.prepare();
  return { peer: start([...words, ...args], { ...env, ...more }), fork };
}

describe("a process that holds a ring and was forked without exec", () => {
  for (const wire of ["native", "shmx"] as const) {
    it(`is seen dead as the owner of wire ${wire} although the child lives on`, async () => {
      const name = freshName("fork-owner");
      const { peer, fork } = forking("hold", name, wire);
      assert.equal(await peer.line(), "ready");
      const client = openRing(name, { keepAlive: true });
      const child = await fork();
      try {
        assert.equal(client.latest()?.id, 1);
        client.take();
        const waiting = assert.rejects(client.next(), { code: "PEER_GONE" });
        peer.kill();
        await waiting;
        process.kill(child, 0);
        assert.deepEqual(collectRings(name), [name]);
        createRing(name, { schema }).close();
      } finally {
        client.close();
        process.kill(child, "SIGKILL");
        await peer.exit;
      }
      assert.equal(exists(name), false);
    });

    it(`frees its slot as a reader of wire ${wire} although the child lives on`, async () => {
      const name = freshName("fork-reader");
      const server = createRing(name, { schema, wire });
      const { peer, fork } = forking("read", name);
      assert.equal(await peer.line(), "ready");
      const child = await fork();
      try {
        server.publish({ number: [1] });
        assert.equal(await peer.line(), "frame 1 1", "the parent goes on");
        peer.kill();
        /* Its output may stay open in the child, so its exit would not be heard of. */
        while (server.reap() === 0) await pause(5);
        process.kill(child, 0);
        assert.equal(server.readers().length, 0);
      } finally {
        server.close();
        process.kill(child, "SIGKILL");
        await peer.exit;
      }
    });

    it(`keeps its ring of wire ${wire} when the child ends`, async () => {
      const name = freshName("fork-ends");
      const { peer, fork } = forking("hold", name, wire);
      assert.equal(await peer.line(), "ready");
      const client = openRing(name, { keepAlive: true });
      try {
        process.kill(await fork(), "SIGKILL");
        /* Longer than a waiting reader lets pass between two looks at the owner. */
        assert.equal(await client.next({ timeout: 600 }).then((frame) => frame?.id), 1);
        assert.equal(await client.next({ timeout: 600 }), undefined);
        assert.equal(client.absence, "seen");
        assert.deepEqual(collectRings(name), []);
        assert.throws(() => createRing(name, { schema }), { code: "NAME_IN_USE" });
      } finally {
        client.close();
        peer.kill();
        await peer.exit;
        collectRings(name);
      }
    });
  }
});
