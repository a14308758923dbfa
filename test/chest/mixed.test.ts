import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import { Chest } from "../../src/chest/main.ts";
import { randomFrom } from "../array/disk.ts";
import { count } from "../support/counts.ts";
import { finish, fixture, line, type RunResult, start } from "../support/run.ts";
import { cleanTemp, tempMemoryFolder } from "../support/temp.ts";

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<RunResult>;
}

const running = new Set<Running>();

afterEach(async () => {
  for (const { child } of running) child.kill("SIGKILL");
  await Promise.all([...running].map(({ ended }) => ended));
  running.clear();
  cleanTemp();
});

const milliseconds = count({ long: 120_000, usual: 1000, brief: 700 });
const seed = Number(process.env.OUTCORE_SEED ?? 1);

/** Nothing is said but that it has begun, and what it did. */
async function fine(each: Running, role: string): Promise<void> {
  const { signal, stdout, stderr } = await each.ended;
  running.delete(each);
  assert.match(stdout, /^(ready\n(done .*\n)?)?$/, role);
  assert.equal(stderr, "", role);
  if (signal === null) assert.match(stdout, /\ndone /, role);
}

describe("readers that do everything, beside writers that are killed at any moment", () => {
  for (const how of ["at full speed", "with pauses between steps"])
    it(`see whole rounds, none older than what was flushed, and no damage, ${how} (seed ${seed})`, async () => {
      const home = tempMemoryFolder();
      const folder = path.join(home, "chest");
      fs.writeFileSync(path.join(home, "round"), new Uint8Array(4096));
      const random = randomFrom(seed);
      const go = (role: string): Running => {
        const slow = how === "at full speed" || random(2) === 0 ? [] : ["slow"];
        const child = start(fixture("chest-mixed.ts"), [folder, role, String(random(2 ** 30)), ...slow]);
        const each = { child, ended: finish(child, 3_600_000) };
        running.add(each);
        return each;
      };
      let writers = [go("writer")];
      while (!fs.existsSync(folder) || fs.readFileSync(path.join(home, "round"))[0] === 0) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        assert.equal(writers[0]?.child.exitCode, null);
      }
      const readers = [go("reader"), go("reader")];
      await Promise.all(readers.map(({ child }) => line(child, "ready")));
      for (const end = performance.now() + milliseconds; performance.now() < end; ) {
        await new Promise((resolve) => setTimeout(resolve, 150 + random(500)));
        /* At times two of them: the other one waits for the lock. */
        const next = random(3) === 0 ? [go("writer"), go("writer")] : [go("writer")];
        if (random(2) === 0) await Promise.all(next.map(({ child }) => line(child, "ready")));
        for (const { child } of writers) child.kill("SIGKILL");
        for (const each of writers) await fine(each, how);
        writers = next;
        const at = random(readers.length);
        if (random(6) === 0) {
          readers[at]?.child.kill("SIGKILL");
          await fine(readers[at] as Running, how);
          readers[at] = go("reader");
        }
        for (const { child } of [...writers, ...readers])
          if (child.exitCode !== null)
            assert.fail(JSON.stringify(await [...running].find((each) => each.child === child)?.ended));
      }
      fs.writeFileSync(path.join(home, "stop"), "");
      for (const each of [...writers, ...readers]) await fine(each, how);
      const chest = new Chest<string, unknown>({ path: folder, readOnly: true });
      assert.deepEqual(chest.damage, []);
      chest.close();
    }, 1_800_000);
});
