import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { openStore } from "../../src/array/main.ts";
import { type RunResult, root, run } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

cleanTempAfterEach();

const cli = (...args: string[]): Promise<RunResult> =>
  run(path.join(root, "cli", "main.ts"), ["array", ...args], { env: { NO_COLOR: "1" }, timeout: 60_000 });

describe("outcore array", () => {
  it("exports and imports .npy and raw, and tells what is there", async () => {
    const folder = tempFolder();
    const [store, npy, raw] = ["store", "a.npy", "a.raw"].map((name) => path.join(folder, name)) as [
      string,
      string,
      string,
    ];
    const made = openStore(store);
    await made.transact(() => {
      made
        .create("a", { dtype: "i16", shape: [3, 4], order: "F" })
        .typed()
        .set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    });
    made.close();
    for (const args of [
      ["export", store, "a", npy],
      ["export", store, "a", raw],
      ["import", store, "b", npy],
      ["import", store, "c", raw, "--dtype", "i16"],
      ["check", store],
      ["checkpoint", store],
      ["info", store],
    ]) {
      const { code, stdout, stderr } = await cli(...args);
      assert.equal(code, 0, `${args[0]}: ${stdout}${stderr}`);
      if (args[0] === "info") assert.match(stdout, /b +i16 +\[3, 4\] +F/);
    }
    assert.deepEqual([fs.statSync(npy).size, fs.statSync(raw).size], [128 + 24, 24]);
    const again = openStore(store);
    assert.deepEqual(again.array("b").view().toNested(), again.array("a").view().toNested());
    assert.deepEqual([...again.array("c", "i16").typed()], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    again.close();
  });

  it("says in one line what is wrong", async () => {
    const { code, stdout } = await cli("info", path.join(tempFolder(), "none"));
    assert.equal(code, 1);
    assert.match(stdout, /^outcore: .*does not exist \(NOT_FOUND\)\n$/);
  });
});
