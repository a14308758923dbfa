import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { finish, root, run, start } from "../support/run.ts";
import { tempFolder } from "../support/temp.ts";

const example = (name: string) => path.join(root, "examples", name);

describe("examples of windows", () => {
  it("grep prints the lines that contain a text", async () => {
    const log = path.join(tempFolder(), "log");
    fs.writeFileSync(log, "one\ntwo needle\nthree\nneedle four");
    const { code, stdout, stderr } = await run(example("window-grep.ts"), ["needle", log]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout, "2: two needle\n4: needle four\n");
  });

  it("follow prints what is appended", async () => {
    const log = path.join(tempFolder(), "log");
    fs.writeFileSync(log, "before\n");
    const child = start(example("window-follow.ts"), [log, "3"]);
    const appended = setInterval(() => fs.appendFileSync(log, "x"), 100);
    const { code, stdout, stderr } = await finish(child);
    clearInterval(appended);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^x+$/);
  });

  it("worker counts in two Workers", async () => {
    const file = path.join(tempFolder(), "bytes");
    fs.writeFileSync(file, "abcaadea");
    const { code, stdout, stderr } = await run(example("window-worker.ts"), [file]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /byte 97 is the most frequent, 4 times/);
  });
});
