import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "vitest";
import { fixture, run } from "../support/run.ts";

async function survives(script: string, ...args: string[]): Promise<void> {
  const { code, signal, stdout, stderr } = await run(fixture(script), args, { timeout: 600_000 });
  const last = stdout.trim().split("\n").at(-1);
  assert.deepEqual({ last, code, signal }, { last: "survived", code: 0, signal: null }, `${args}: ${stdout}${stderr}`);
}

describe("no sequence of calls ends the process", () => {
  it("closing while the runtime works on a view", () => survives("pending.ts"));

  it("several threads on one file that shrinks and grows", () => survives("threads.ts", "400"));

  it("the end of the process, with mappings open and threads at work", async () => {
    for (const way of ["natural", "exit", "pending", "closedPending", "worker", "terminate"])
      await survives("exit.ts", way);
  });

  it("everything in random order, while files shrink and grow", async () => {
    const long = process.env.OUTCORE_LONG !== undefined;
    const seed = Number(process.env.OUTCORE_SEED ?? 1);
    for (let i = 0; i < (long ? 20 : 2); i++)
      await survives("fuzz.ts", String((seed + i * 7919) >>> 0), long ? "20000" : "1500");
  });
});
