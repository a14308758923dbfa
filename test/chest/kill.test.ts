import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, it } from "vitest";
import { Chest } from "../../src/chest/main.ts";
import { fixture, start } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const KILLS = process.env.OUTCORE_LONG ? 500 : 25;

/** All of round `round`, and nothing else. */
function verify(folder: string, atLeast: number): number {
  const chest = new Chest<string, unknown>({ path: folder });
  try {
    const round = (chest.get("round") as number | undefined) ?? 0;
    assert.ok(round >= atLeast, `round ${atLeast} was flushed, ${round} is there`);
    assert.deepEqual(chest.damage, []);
    const expected = new Set(round === 0 ? [] : ["round"]);
    for (let i = 0; round > 0 && i < 60; i++) {
      if ((i * 7 + round) % 5 === 0) continue;
      expected.add(`key${i}`);
      const value = chest.get(`key${i}`);
      if (i % 20 === 0) assert.deepEqual(value, new Float64Array(6000).fill(round * 100 + i));
      else assert.deepEqual(value, { round, i, text: "x".repeat(i * 10) });
    }
    assert.deepEqual(new Set(chest.keys()), expected);
    assert.equal(chest.size, expected.size);
    return round;
  } finally {
    chest.close();
  }
}

describe("a chest whose process is killed", () => {
  cleanTempAfterEach();

  it(`${KILLS} times at any moment keeps all that was flushed and nothing else`, async () => {
    const home = tempFolder();
    const folder = path.join(home, "chest");
    const stepFile = path.join(home, "step");
    const hits: Record<string, number> = {};
    let flushed = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const child = start(fixture("chest-writer.ts"), [folder, "none", stepFile]);
      let text = "";
      let begun: () => void = () => {};
      const open = new Promise<void>((resolve) => {
        begun = resolve;
      });
      child.stdout?.on("data", (chunk: Uint8Array) => {
        text += new TextDecoder().decode(chunk);
        begun();
      });
      const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
      await Promise.race([open, ended]);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
      child.kill("SIGKILL");
      await ended;
      const last = text
        .split("\n")
        .filter((line) => line.startsWith("flushed "))
        .at(-1);
      flushed = Math.max(flushed, Number(last?.slice(8) ?? 0));
      const step = fs.readFileSync(stepFile, "utf8").slice(-8).trim();
      hits[step] = (hits[step] ?? 0) + 1;
      flushed = verify(folder, flushed);
    }
    console.log(`killed at: ${JSON.stringify(hits)}`);
    assert.ok(flushed > 0);
  }, 900_000);
});
