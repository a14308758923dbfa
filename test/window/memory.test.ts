import assert from "node:assert/strict";
import { truncateSync } from "node:fs";
import { describe, it } from "vitest";
import { fixture, run } from "../support/run.ts";
import { cleanTempAfterEach, pattern, tempFile, tempFolder } from "../support/temp.ts";

const MiB = 2 ** 20;
const BUDGET = 16 * MiB;

describe("resident memory", () => {
  cleanTempAfterEach();

  async function measure(work: string, path: string): Promise<string> {
    const result = await run(fixture("window-memory.ts"), [work, path], { timeout: 60_000 });
    assert.equal(result.code, 0, result.stderr);
    return result.stdout.trim();
  }

  it("stays within the budget and 48 MiB while a file of 256 MiB is scanned, leased and read at random", async () => {
    const name = tempFile(pattern(MiB));
    truncateSync(name, 256 * MiB);
    const idle = Number(await measure("idle", name));
    for (const work of ["scan", "views", "random"]) {
      const most = Number(await measure(work, name)) - idle;
      assert.ok(most <= BUDGET + 48 * MiB, `${work} took ${(most / MiB).toFixed(1)} MiB over an idle process`);
    }
  });

  it("10 000 files opened, touched and closed leave descriptors, mappings and memory where they were", async () => {
    const [descriptors, held, buried, maps = -1, bytes = -1] = JSON.parse(
      await measure("files", tempFolder()),
    ) as number[];
    assert.deepEqual([descriptors, held, buried], [0, 0, 0]);
    assert.ok(maps <= 500, `${maps} mappings more, the engine's own among them`);
    assert.ok(bytes <= 32 * MiB, `${(bytes / MiB).toFixed(1)} MiB more`);
  });
});
