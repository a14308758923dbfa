import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { fixture, run } from "../support/run.ts";
import { cleanTempAfterEach, pattern, tempFile } from "../support/temp.ts";

cleanTempAfterEach();

describe("a forgotten mapping", () => {
  it("is given back without a word", async () => {
    const { code, stdout, stderr } = await run(fixture("leaks.ts"), [tempFile(pattern(10_000)), "quiet"]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout.trim(), "[]");
    assert.doesNotMatch(stderr, /never closed/);
  });

  it("is reported with the place where it was opened, when OUTCORE_DEBUG asks for it", async () => {
    const file = tempFile(pattern(10_000));
    const { code, stderr } = await run(fixture("leaks.ts"), [file, "warnings"], { env: { OUTCORE_DEBUG: "leaks" } });
    assert.equal(code, 0, stderr);
    assert.ok(stderr.includes(`mapping of ${file} was never closed`), stderr);
    assert.match(stderr, /opened at\n(.*\n)*.*forgetOne.*leaks\.ts/);
  });

  it("is reported to a function", async () => {
    const file = tempFile(pattern(10_000));
    const { code, stdout, stderr } = await run(fixture("leaks.ts"), [file, "function"]);
    assert.equal(code, 0, stderr);
    const reports = JSON.parse(stdout) as string[];
    assert.equal(reports.length, 3, stdout);
    assert.ok(reports.every((report) => report.startsWith(`mapping of ${file}`)));
    assert.match(reports[0] ?? "", /forgetOne/);
  });
});
