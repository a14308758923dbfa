import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "vitest";
import { fixture, run } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

cleanTempAfterEach();

/** A file system in memory of 1 MiB, which takes the right to mount one; undefined without it. */
function mountSmall(): string | undefined {
  const folder = tempFolder();
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], { stdio: "ignore" });
  return status === 0 ? folder : undefined;
}

function unmount(folder: string): void {
  assert.equal(spawnSync("umount", ["-l", folder], { stdio: "ignore" }).status, 0);
}

const allowed = ((): boolean => {
  const folder = mountSmall();
  if (folder === undefined) return false;
  unmount(folder);
  return true;
})();

describe("a full file system", () => {
  it.skipIf(!allowed)("is an error and never a signal", async () => {
    const folder = mountSmall();
    assert.ok(folder !== undefined);
    try {
      const { code, signal, stdout, stderr } = await run(fixture("full.ts"), [folder]);
      assert.deepEqual({ stdout: stdout.trim(), code, signal }, { stdout: "survived", code: 0, signal: null }, stderr);
    } finally {
      unmount(folder);
    }
  });
});
