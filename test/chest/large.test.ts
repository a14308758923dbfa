import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, it } from "vitest";
import { Chest } from "../../src/chest/main.ts";
import { fixture, run, runtime } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const MIB = 2 ** 20;
/* Budget 64 MiB and what is not collected yet. Node decides itself when to collect, and Deno takes long for it. */
const MOST_GROWN = runtime === "bun" ? 200 : 280;

describe("large values", () => {
  cleanTempAfterEach();

  it("leave memory when they leave the chest, though the program does not return to its event loop", async () => {
    const { code, stdout, stderr } = await run(fixture("chest-large.ts"), [], { flags: plainFlags() });
    assert.equal(code, 0, stderr);
    const { grown } = JSON.parse(stdout) as { grown: number };
    assert.ok(grown < MOST_GROWN, `grew by ${grown} MiB`);
  });

  it.skipIf(process.platform === "win32")("of zeros do not count as stored when the file has lost them", () => {
    const folder = path.join(tempFolder(), "chest");
    const chest = new Chest<string, Float64Array>({ path: folder });
    chest.set("zeros", new Float64Array(MIB / 8));
    chest.flush();
    fs.truncateSync(path.join(folder, "00000001.log"), 4096);
    assert.throws(() => chest.shrink(0), { code: "TRUNCATED" });
    assert.ok(chest.isResident("zeros"));
    assert.equal(chest.get("zeros")?.length, MIB / 8);
    assert.throws(() => chest.close(), { code: "TRUNCATED" });
  });

  it("that were changed in a single bit are stored anew, others are not", () => {
    const folder = path.join(tempFolder(), "chest");
    const chest = new Chest<number, Uint8Array>({ path: folder });
    for (let i = 0; i < 4; i++) chest.set(i, new Uint8Array(MIB + i).fill(i));
    chest.flush();
    chest.get(1)![0]! ^= 1;
    chest.get(2)![MIB + 1]! ^= 128;
    const { changesDetected } = chest.statistics();
    chest.shrink(0);
    assert.equal(chest.statistics().changesDetected, changesDetected + 2);
    for (let i = 0; i < 4; i++) {
      const expected = new Uint8Array(MIB + i).fill(i);
      if (i === 1) expected[0] = 0;
      if (i === 2) expected[MIB + 1] = 130;
      assert.deepEqual(chest.get(i), expected);
    }
    chest.close();
  });
});

/** Without the `gc` that tests have. */
function plainFlags(): string[] {
  if (runtime === "deno") return ["run", "--no-check", "-A", "--quiet"];
  return runtime === "node" ? ["--disable-warning=ExperimentalWarning"] : [];
}
