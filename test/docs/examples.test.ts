import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { afterAll, describe, it } from "vitest";
import { ExampleFolder, findExamples } from "../../scripts/docs/examples.ts";

const { bun, deno, node = "" } = process.versions as Record<string, string | undefined>;
const flags = bun ? [] : deno ? ["run", "--no-check", "-A"] : ["--disable-warning=ExperimentalWarning"];
/** Node 22 cannot parse `using`. */
const parsesUsing = bun !== undefined || deno !== undefined || Number.parseInt(node, 10) >= 24;

describe("examples in the documentation", () => {
  const folder = new ExampleFolder();
  afterAll(() => folder.remove());

  it("are found", () => assert.ok(findExamples().every(({ name }) => name.includes(".md:"))));

  for (const example of findExamples().filter(({ runs }) => runs)) {
    const runnable = parsesUsing || !/^\s*(await )?using /m.test(example.code);
    it.skipIf(!runnable)(`${example.name} runs`, () => {
      const cwd = mkdtempSync(path.join(tmpdir(), "outcore-example-"));
      try {
        const run = spawnSync(process.execPath, [...flags, folder.write(example)], { cwd, encoding: "utf8" });
        assert.equal(run.status, 0, `${run.stdout}\n${run.stderr}`);
      } finally {
        rmSync(cwd, { recursive: true, force: true });
      }
    });
  }
});
