import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, it } from "vitest";
import { fixture, line, run, start } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const script = fixture("chest-temporary.ts");
const environment = (folder: string): Record<string, string> => ({ TMPDIR: folder, TMP: folder, TEMP: folder });

describe.skipIf(process.platform === "win32")("what chests have in the temporary folder", () => {
  cleanTempAfterEach();

  for (const [what, name] of [
    ["close", "goes when they are closed, with snapshots that are open"],
    ["exit", "goes when the process ends"],
    ["forget", "goes when they are collected"],
  ] as const)
    it(name, async () => {
      const folder = tempFolder();
      const env = environment(folder);
      const { code, stderr } = await run(script, [what, path.join(tempFolder(), "chest")], { env, timeout: 60_000 });
      assert.equal(code, 0, stderr);
      assert.deepEqual(fs.readdirSync(folder), []);
    }, 90_000);

  it("goes with the next process when theirs was killed, and no other's goes", async () => {
    const folder = tempFolder();
    const env = environment(folder);
    const hold = () => start(script, ["hold", path.join(tempFolder(), "chest")], { env });
    const first = hold();
    const second = hold();
    const killed = path.dirname(await line(first, folder));
    const living = path.dirname(await line(second, folder));
    const gone = new Promise((resolve) => first.on("close", resolve));
    first.kill("SIGKILL");
    await gone;
    assert.deepEqual(fs.readdirSync(folder).sort(), [killed, living].map((each) => path.basename(each)).sort());
    /* Of a process that was killed before it had locked its folder; of somebody else. */
    fs.mkdirSync(path.join(folder, "outcore-chest-empty"));
    fs.mkdirSync(path.join(folder, "outcore-chest-other"));
    fs.writeFileSync(path.join(folder, "outcore-chest-other", "file"), "text");
    const { code, stderr } = await run(script, ["exit", path.join(tempFolder(), "chest")], { env, timeout: 60_000 });
    assert.equal(code, 0, stderr);
    assert.deepEqual(fs.readdirSync(folder).sort(), [path.basename(living), "outcore-chest-other"].sort());
    assert.ok(fs.existsSync(path.join(living, "1", "00000001.log")));
    second.kill("SIGKILL");
  }, 90_000);
});
