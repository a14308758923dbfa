import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import { Chest } from "../../src/chest/main.ts";
import { count } from "../support/counts.ts";
import { Crowd, type Member } from "../support/crowd.ts";
import { randomFrom } from "../support/random.ts";
import { line } from "../support/run.ts";
import { cleanTemp, tempMemoryFolder } from "../support/temp.ts";

const crowd = new Crowd("chest-mixed.ts");

afterEach(async () => {
  await crowd.end();
  cleanTemp();
});

const milliseconds = count({ long: 120_000, usual: 1000, brief: 700 });
const seed = Number(process.env.OUTCORE_SEED ?? 1);

describe("readers that do everything, beside writers that are killed at any moment", () => {
  for (const how of ["at full speed", "with pauses between steps"])
    it(`see whole rounds, none older than what was flushed, and no damage, ${how} (seed ${seed})`, async () => {
      const home = tempMemoryFolder();
      const folder = path.join(home, "chest");
      fs.writeFileSync(path.join(home, "round"), new Uint8Array(4096));
      const random = randomFrom(seed);
      const go = (role: string): Member => {
        const slow = how === "at full speed" || random(2) === 0 ? [] : ["slow"];
        return crowd.start(folder, role, String(random(2 ** 30)), ...slow);
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
        for (const each of writers) await crowd.fine(each, how);
        writers = next;
        const at = random(readers.length);
        if (random(6) === 0) {
          readers[at]?.child.kill("SIGKILL");
          await crowd.fine(readers[at] as Member, how);
          readers[at] = go("reader");
        }
        for (const { child, ended } of [...writers, ...readers])
          if (child.exitCode !== null) assert.fail(JSON.stringify(await ended));
      }
      fs.writeFileSync(path.join(home, "stop"), "");
      for (const each of [...writers, ...readers]) await crowd.fine(each, how);
      const chest = new Chest<string, unknown>({ path: folder, readOnly: true });
      assert.deepEqual(chest.damage, []);
      chest.close();
    }, 1_800_000);
});
