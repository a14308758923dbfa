import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, it } from "vitest";
import { findCompiler } from "../../scripts/build/compile.ts";
import { createRing, openRing } from "../../src/ring/main.ts";
import { openWith } from "../../src/ring/ring.ts";
import { freshName, long, plant, unplant } from "./helpers.ts";

const schema = { number: { type: "u32" }, words: { type: "u32", capacity: 1024 } } as const;

/** A segment as SHMX would have created it: ours, without our marks. */
function foreignSegment(slots: number): Uint8Array {
  const name = freshName("model");
  const server = createRing(name, { schema, wire: "shmx", slots, frameBytes: 8192 });
  const bytes = new Uint8Array(readFileSync(`/dev/shm/${name}`));
  server.close();
  for (const at of [20, 100, 124]) bytes.fill(0, at, at + 4);
  return bytes;
}

function torn(words: Uint32Array, frame: number): boolean {
  return words.some((word, i) => word !== (Math.imul(frame, 0x9e3779b1) ^ Math.imul(i, 0x85ebca6b)) >>> 0);
}

async function withWriter(slots: number, use: (name: string) => void): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), "outcore-ring-"));
  const name = freshName("c");
  const program = path.join(folder, "writer");
  const [command, ...flags] = findCompiler();
  const source = fileURLToPath(new URL("fixtures/shmx-writer.c", import.meta.url));
  const built = spawnSync(command, [...flags, "-O2", "-std=gnu11", source, "-o", program], { stdio: "inherit" });
  assert.equal(built.status, 0);
  plant(name, foreignSegment(slots));
  const writer = spawn(program, [`/dev/shm/${name}`], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => writer.once("close", resolve));
  try {
    await new Promise((resolve) => writer.stdout.once("data", resolve));
    use(name);
  } finally {
    writer.kill("SIGKILL");
    await ended;
    unplant(name);
    rmSync(folder, { recursive: true });
  }
}

describe("a C writer that follows the SHMX protocol and never pauses", () => {
  for (const slots of [2, 4])
    it(`gives no torn frame with ${slots} slots`, async () => {
      await withWriter(slots, (name) => {
        const client = openRing(name, { schema });
        const wanted = long ? 100_000 : 2000;
        const until = performance.now() + (long ? 600_000 : 5000);
        let accepted = 0;
        let tries = 0;
        let bad = 0;
        while (accepted < wanted && performance.now() < until) {
          const frame = client.take();
          if (client.absence !== "seen" || frame !== undefined) tries++;
          if (frame === undefined) continue;
          const id = frame.get("number")[0] as number;
          const words = frame.get("words").slice();
          if (!frame.valid) continue;
          accepted++;
          if (torn(words, id)) bad++;
        }
        console.log(`C writer, ${slots} slots: ${accepted} of ${tries} accepted, ${bad} torn`);
        assert.equal(bad, 0);
        assert.ok(accepted > 0, `starved: ${client.absence}`);
        client.close();
      });
    });

  it("gives torn frames without our checks", async () => {
    await withWriter(2, (name) => {
      const client = openWith<typeof schema>(name, {
        schema,
        delivery: "latest",
        history: 0,
        observe: true,
        keepAlive: false,
        unchecked: true,
      });
      let bad = 0;
      for (const until = performance.now() + 40_000; bad === 0 && performance.now() < until; ) {
        const frame = client.latest();
        if (frame?.has("number") && frame.has("words"))
          if (torn(frame.get("words"), frame.get("number")[0] as number)) bad++;
      }
      assert.ok(bad > 0);
      client.close();
    });
  });
});
