import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { native } from "../../ffi/load.ts";
import { hostTarget } from "../../ffi/target.ts";
import { fixture, root, run } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

cleanTempAfterEach();

/** The package once more, with a library of its own. */
function copyPackage(): string {
  const folder = tempFolder();
  for (const part of ["src", "ffi"]) fs.cpSync(path.join(root, part), path.join(folder, part), { recursive: true });
  const { name, file } = hostTarget();
  fs.mkdirSync(path.join(folder, "build", name), { recursive: true });
  fs.copyFileSync(native().libraryPath, path.join(folder, "build", name, file));
  fs.symlinkSync(path.join(root, "node_modules"), path.join(folder, "node_modules"));
  fs.writeFileSync(path.join(folder, "package.json"), '{ "type": "module" }');
  return folder;
}

describe("two copies of the package in one process", () => {
  it("both guard their own mappings", async () => {
    const env = { OUTCORE_LIBRARY: undefined };
    const { code, signal, stdout, stderr } = await run(fixture("two-copies.ts"), [copyPackage()], { env });
    assert.deepEqual({ stdout: stdout.trim(), code, signal }, { stdout: "survived", code: 0, signal: null }, stderr);
  });
});
