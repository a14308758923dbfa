import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { describe, it } from "vitest";
import { runWatched } from "../../scripts/test/watched.ts";

/** Not when it has ended and nobody has asked how. */
function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    const status = `/proc/${pid}/stat`;
    return !existsSync(status) || !readFileSync(status, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

describe("a test runner that is watched", () => {
  const shell = (script: string, silence: number): Promise<string | undefined> =>
    runWatched("/bin/sh", ["-c", script], { cwd: "/", env: process.env, silence });

  it.skipIf(process.platform === "win32")(
    "ends as it likes while it prints",
    async () => {
      assert.equal(await shell("for i in 1 2 3 4; do echo; sleep 0.5; done", 1500), undefined);
      assert.equal(await shell("exit 3", 10_000), "exit code 3");
      assert.equal(await shell("kill -TERM $$", 10_000), "signal SIGTERM");
      assert.match((await runWatched("/no/such", [], { cwd: "/", env: {}, silence: 10_000 })) ?? "", /ENOENT|NotFound/);
    },
    30_000,
  );

  it.skipIf(process.platform === "win32")(
    "is ended with its children when it is silent",
    async () => {
      const started = performance.now();
      const script = 'sleep 1000 & echo "test/some.test.ts:"; echo "(pass) child $!"; while :; do :; done';
      const ending = (await shell(script, 1000)) ?? "";
      assert.ok(performance.now() - started < 20_000);
      assert.match(ending, /^no output for 1 seconds; the last was: test\/some\.test\.ts: \(pass\) child \d+$/);
      const child = Number(/\d+$/.exec(ending)?.[0]);
      for (let left = 50; left > 0 && isThere(child); left--) await new Promise((resolve) => setTimeout(resolve, 100));
      assert.ok(!isThere(child));
    },
    60_000,
  );
});
