import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "vitest";
import { root, run } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

cleanTempAfterEach();

async function output(name: string, ...args: string[]): Promise<string> {
  const env = { TMPDIR: tempFolder() };
  const { code, stdout, stderr } = await run(path.join(root, "examples", name), args, { env, timeout: 60_000 });
  assert.equal(code, 0, stdout + stderr);
  assert.equal(stderr, "");
  return stdout;
}

describe("examples of arrays", () => {
  it("series goes on where it ended", async () => {
    const folder = path.join(tempFolder(), "store");
    assert.match(await output("array-series.ts", folder, "500"), /^0 rows were there, 500 are now, 500 x 4 prices\n/);
    assert.match(await output("array-series.ts", folder, "300"), /^500 rows were there, 800 are now, 800 x 4 prices\n/);
  });

  it("conflict counts in two processes and loses nothing", async () => {
    assert.match(await output("array-conflict.ts", "20"), /counted 40 of 40\n$/);
  });

  it("sparse multiplies, and takes a change back", async () => {
    const stdout = await output("array-sparse.ts", "3000");
    assert.match(stdout, /3000 x 3000 with 8998 elements/);
    assert.match(stdout, /times ones: 1, 0, \.\.\. 1; sum 2\nrow 1 changed: 300\ntaken back: 0\n$/);
  });

  it("larger makes an array of 64 GiB and reads it", async () => {
    const stdout = await output("array-larger.ts", "64", String(1 / 8192));
    assert.match(stdout, /^64 GiB, /);
    assert.match(stdout, /all elements are right; a hole reads as 0\n/);
  });
});
