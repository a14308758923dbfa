import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "vitest";
import { findRuntime } from "../../scripts/runtimes.ts";
import { root, run } from "../support/run.ts";

async function output(name: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(path.join(root, "examples", name), args, { timeout: 60_000 });
  assert.equal(code, 0, stdout + stderr);
  return stdout;
}

describe("examples of rings", () => {
  it("many streams shows streams of every kind", async () => {
    const text = await output("ring-many-streams.ts");
    assert.match(text, /^cloud {4}f32 {2}x 3, room for 1000$/m);
    assert.match(text, /^frame 1 at 0\.01 s, 1264 bytes: tick 1, joints 7, cloud 100$/m);
    assert.match(text, /^frame 3 at 0\.03 s, .* depth 3072, mask 3072, features 128$/m);
    assert.match(text, /^feature 127 is 63\.5$/m);
  });

  it("inspector shows parts, slots and readers", async () => {
    const text = await output("ring-inspector.ts");
    assert.match(text, /wire native, owner alive, 5 frames published$/m);
    assert.match(text, /^ +0 header, 512 bytes$/m);
    assert.match(text, /^slot 0: frame 5 with celsius$/m);
    assert.match(text, /^reader in process \d+: latest, seen 5, messages 7$/m);
  });

  it("processes lets three readers have it their way", async () => {
    const text = await output("ring-processes.ts");
    assert.match(text, /^reliable: 500 frames, 0 dropped, the last is 500 \(closed\)$/m);
    const [, frames, drops] = /^queue: (\d+) frames, (\d+) dropped, the last is 500 \(closed\)$/m.exec(text) ?? [];
    assert.equal(Number(frames) + Number(drops), 500, text);
    assert.match(text, /^latest: \d+ frames, \d+ dropped, the last is 500 \(closed\)$/m);
  });

  it("sensor changes its rate when it is told to", async () => {
    const text = await output("ring-sensor.ts");
    assert.match(text, /^a value every 100 ms\n(.*\n)*asked for 100 Hz\n(.*\n)*a value every 10 ms$/m);
    const [, values, missed] = /^(\d+) values, (\d+) missed, closed$/m.exec(text) ?? [];
    /* Those before it joined are neither. */
    assert.ok(Number(values) > 10 && Number(values) + Number(missed) <= 150, text);
  });

  it("video comes whole to a fast and to a slow reader", async () => {
    const text = await output("ring-video.ts", "2");
    const lines = text.trim().split("\n");
    assert.ok(
      lines.every((line) => /^\w+: [0-9.]+ frames(\/s| in all), \d+ missed, 0 torn$/.test(line)),
      text,
    );
    for (const reader of ["fast", "slow"]) {
      const [, frames, missed] = new RegExp(`^${reader}: (\\d+) frames in all, (\\d+) missed`, "m").exec(text) ?? [];
      assert.ok(Number(frames) > 0, text);
      assert.equal(Number(frames) + Number(missed), 120, text);
    }
  });

  it("runtimes pass a number round: Bun, Deno and Node", async () => {
    const commands = (["bun", "deno", "node24"] as const).map((name) => findRuntime(name).command);
    /* What this process's backend is, is no matter of the other runtimes. */
    const options = { env: { OUTCORE_BACKEND: undefined }, timeout: 60_000 };
    const {
      code,
      stdout: text,
      stderr,
    } = await run(path.join(root, "examples", "ring-runtimes.ts"), commands, options);
    assert.equal(code, 0, text + stderr);
    assert.match(text, /^Deno got 1 from Bun$/m);
    assert.match(text, /^Node got 2 from Deno$/m);
    assert.match(text, /^Bun got 3 from Node$/m);
    assert.match(text, /^300 hops, \d+ us each$/m);
  });
});
