import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { Chest } from "../../src/chest/main.ts";
import { count } from "../support/counts.ts";
import { fixture, start } from "../support/run.ts";
import { cleanTempAfterEach, tempMemoryFolder } from "../support/temp.ts";

/* A tenth would take more than its share where the machine is busy: each kill starts a runtime. */
const KILLS = count({ long: 500, usual: 32, brief: 10 });
/** Steps of the protocol; every second kill comes from within, right after one of them, so that each has its turn. */
const STEPS = [
  "index grow",
  "index discard",
  "append",
  "extent",
  "index put",
  "index remove",
  "head",
  "segment header",
  "segment end",
  "truncate",
  "remove segment",
  "index seal",
  "sync",
  "sync folder",
  "head closed",
  "head sync",
];
/** They happen once a session or less. */
const RARE = new Set(["index grow", "index discard", "index seal", "head closed", "head sync"]);
/** They happen once in the life of a chest, so that each kill needs a new one. */
const ONCE = new Set(["index grow", "index discard"]);
/** They happen only where the disk is waited for. */
const WAITING = new Set(["sync", "sync folder", "head closed", "head sync"]);

/** After which step kill number `kill` is to come from within; "" for one from without. */
const deadlyStep = (kill: number): string => (kill % 2 === 0 ? "" : STEPS[(kill >> 1) % STEPS.length]!);

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
    /* There in the one flush, gone in the next. */
    const more = round % 20 === 2 && chest.has("more0") ? 1500 : 0;
    for (let i = 0; i < more; i++) {
      expected.add(`more${i}`);
      assert.equal(chest.get(`more${i}`), i);
    }
    assert.deepEqual(new Set(chest.keys()), expected);
    assert.equal(chest.size, expected.size);
    return round;
  } finally {
    chest.close();
  }
}

interface Killed {
  readonly step: string;
  /** The last round that it said was flushed. */
  readonly flushed: number;
}

/** Starts a writer and kills it at a random moment, or lets it kill itself after a step. */
async function killOne(folder: string, stepFile: string, kill: number): Promise<Killed> {
  const deadly = deadlyStep(kill);
  const durability = WAITING.has(deadly) || kill % 4 >= 2 ? "flush" : "none";
  const count = ONCE.has(deadly) ? 1 : 1 + Math.floor(Math.random() * (RARE.has(deadly) ? 2 : 12));
  const child = start(fixture("chest-writer.ts"), [folder, durability, stepFile, deadly, String(count)]);
  let text = "";
  let errors = "";
  let begun: () => void = () => {};
  const open = new Promise<void>((resolve) => {
    begun = resolve;
  });
  child.stderr?.on("data", (chunk: Uint8Array) => {
    errors += new TextDecoder().decode(chunk);
  });
  child.stdout?.on("data", (chunk: Uint8Array) => {
    text += new TextDecoder().decode(chunk);
    begun();
  });
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  await Promise.race([open, ended]);
  await Promise.race([
    new Promise((resolve) => setTimeout(resolve, deadly === "" ? Math.random() * 60 : 20_000)),
    ended,
  ]);
  child.kill("SIGKILL");
  await ended;
  assert.equal(errors, "");
  const last = text
    .split("\n")
    .filter((line) => line.startsWith("flushed "))
    .at(-1);
  const at = fs.readFileSync(stepFile, "utf8").slice(0, 32).replaceAll("\0", "").trim();
  return { step: at, flushed: Number(last?.slice(8) ?? 0) };
}

describe("a chest whose process is killed", () => {
  cleanTempAfterEach();

  it("at any moment, again and again, keeps all that was flushed and nothing else", async () => {
    const home = tempMemoryFolder();
    const folder = path.join(home, "chest");
    const hits: Record<string, number> = {};
    let flushed = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const isNew = ONCE.has(deadlyStep(kill));
      const here = isNew ? path.join(home, `new${kill}`) : folder;
      const killed = await killOne(here, path.join(home, "step"), kill);
      hits[killed.step] = (hits[killed.step] ?? 0) + 1;
      const last = verify(here, isNew ? killed.flushed : Math.max(flushed, killed.flushed));
      if (!isNew) flushed = last;
    }
    console.log(`killed at: ${JSON.stringify(hits)}`);
    assert.ok(flushed > 0);
    assert.ok(Object.keys(hits).length >= Math.min(10, Math.floor(KILLS / 4)));
  }, 1_800_000);
});
