import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { type RunResult, root, run, runtime } from "../support/run.ts";
import { tempFolder } from "../support/temp.ts";

const cli = (...args: string[]): Promise<RunResult> =>
  run(path.join(root, "cli", "main.ts"), args, { env: { NO_COLOR: "1" }, timeout: 60_000 });

/** A folder with a text, a binary with symbols, and a link that must not be followed. */
function folder(): string {
  const made = tempFolder();
  fs.writeFileSync(path.join(made, "notes.txt"), `${"filler ".repeat(50_000)}SharedArrayBuffer`);
  fs.writeFileSync(path.join(made, "empty"), "");
  fs.copyFileSync("/bin/ls", path.join(made, "program"));
  fs.symlinkSync("/", path.join(made, "link"));
  return made;
}

describe("outcore", () => {
  it("tour works through a folder and finds the same as the plain way, in 80 columns", async () => {
    const { code, stdout, stderr } = await cli("tour", folder());
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /1 matches in 1 files/);
    const lines = stdout.split("\n");
    assert.deepEqual(
      lines.filter((line) => line.length > 80 && !line.startsWith("/")),
      [],
    );
    const jobs = lines.filter((line) => /(yes|NO)$/.test(line));
    assert.ok(jobs.length >= 2, stdout);
    assert.ok(
      jobs.every((line) => line.endsWith("yes")),
      stdout,
    );
    assert.doesNotMatch(stdout, /\u001b/);
  });

  it("tour of a folder that does not exist is an error in one line", async () => {
    const { code, stdout } = await cli("tour", "/nonexistent/folder");
    assert.equal(code, 1);
    assert.equal(stdout.trim().split("\n").length, 1);
    assert.match(stdout, /NOT_FOUND/);
  });

  it("tour of a folder without files says so", async () => {
    const { code, stdout } = await cli("tour", tempFolder());
    assert.equal(code, 0);
    assert.match(stdout, /No files/);
  });

  it("doctor tells runtime, backend and limits", async () => {
    const { code, stdout } = await cli("doctor");
    assert.equal(code, 0);
    for (const word of ["runtime", "backend", "ABI", "descriptors", "shared memory"]) assert.ok(stdout.includes(word));
    const json = JSON.parse((await cli("doctor", "--json")).stdout) as { ok: boolean; runtime: string };
    assert.ok(json.ok);
    assert.ok(json.runtime.startsWith(runtime));
  });

  it("doctor says what is wrong when there is no library", async () => {
    const { code, stdout } = await run(path.join(root, "cli", "main.ts"), ["doctor"], {
      env: { OUTCORE_LIBRARY: "/nonexistent/library" },
    });
    assert.equal(code, 1);
    assert.match(stdout, /not found/);
  });

  it("an unknown command is refused", async () => {
    assert.notEqual((await cli("nonsense")).code, 0);
  });
});
