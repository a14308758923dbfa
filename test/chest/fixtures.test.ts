import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { Chest, type Key } from "../../src/chest/main.ts";
import { root, run, runtime } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const fixtures = path.join(root, "test", "chest", "fixtures");

describe("chests that earlier versions wrote", () => {
  cleanTempAfterEach();

  for (const version of fs.readdirSync(fixtures))
    for (const parts of ["all", "the log alone"])
      it(`${version}: ${parts} is read as it was written`, () => {
        const folder = path.join(tempFolder(), "chest");
        fs.cpSync(path.join(fixtures, version), folder, { recursive: true });
        for (const name of parts === "all" ? [] : fs.readdirSync(folder))
          if (!name.endsWith(".log")) fs.rmSync(path.join(folder, name));
        const chest = new Chest<Key, unknown>({ path: folder });
        // biome-ignore lint/suspicious/noSparseArray: holes are kept
        const holes = [1, , 3];
        assert.deepEqual(
          [...chest],
          [
            [1, 1],
            ["1", "one"],
            [1n, 1n],
            [true, null],
            [null, undefined],
            [[1, ["2"]], { a: holes, m: new Map([[1, new Set(["x"])]]) }],
            [new Uint8Array([1, 2]), new Float32Array([0.5, -1])],
            [new Date(5), new Date(6)],
            ["ü\ud800", "\ud800"],
            [-0.5, -(2 ** 40)],
            ["large", new Uint16Array(20_000).fill(7)],
            ["tagged", "t"],
          ],
        );
        assert.equal(chest.deleteTagged("a"), 1);
        assert.deepEqual(chest.damage, []);
        chest.close();
      });

  it("what this runtime wrote is read by the others", async () => {
    const folder = path.join(tempFolder(), "chest");
    const chest = new Chest<string, unknown>({ path: folder });
    chest.set("written by", runtime).set("array", new Float64Array(9000).fill(1.5));
    chest.close();
    const others = ["bun/bin/bun.exe", "deno/deno", "node24/bin/node"]
      .map((file) => path.join(root, "node_modules", file))
      .filter((file) => fs.existsSync(file) && !file.includes(`/${runtime}`));
    const script = path.join(root, "cli", "main.ts");
    for (const command of others) {
      const { spawnSync } = await import("node:child_process");
      const flags = command.endsWith("deno") ? ["run", "--no-check", "-A", "--quiet"] : [];
      const out = spawnSync(command, [...flags, script, "chest", "check", folder], { encoding: "utf8", cwd: root });
      assert.match(out.stdout, /2 values are intact, 0 places/, `${command}: ${out.stderr}`);
    }
    assert.equal((await run(script, ["chest", "check", folder])).code, 0);
  }, 60_000);
});
