import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import { openStore } from "../../src/array/main.ts";
import { count } from "../support/counts.ts";
import { finish, fixture, type RunResult, start } from "../support/run.ts";
import { cleanTemp, tempMemoryFolder } from "../support/temp.ts";
import { randomFrom } from "./disk.ts";

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

const milliseconds = count({ long: 120_000, usual: 2500, brief: 1500 });
const seed = Number(process.env.OUTCORE_SEED ?? 1);

/** Nothing is said but that it has begun, and what it did. */
async function fine(each: Running, role: string): Promise<void> {
  const { signal, stdout, stderr } = await each.ended;
  running.delete(each);
  assert.match(stdout, /^(ready\n(done .*\n)?)?$/, role);
  assert.equal(stderr, "", role);
  if (signal === null) assert.match(stdout, /\ndone /, role);
}

describe("three processes that do everything in a random order", () => {
  for (const how of ["at full speed", "with pauses before locks and steps towards the disk"])
    it(`see one committed state each, and nothing wrong, while some are killed, ${how}`, async () => {
      const folder = path.join(tempMemoryFolder(), "store");
      const store = openStore(folder, { reserve: 2 ** 22 });
      await store.transact(() => {
        for (const name of ["a", "b"]) store.create(name, { dtype: "f64", shape: 2 ** 16 });
        store.create("c", { dtype: "f64", shape: 1 });
      });
      store.close();
      const random = randomFrom(seed);
      const go = (): Running => {
        const args = [folder, String(random(2 ** 30)), ...(how === "at full speed" ? [] : ["slow"])];
        const child = start(fixture("array-mixed.ts"), args);
        const each = { child, ended: finish(child, 600_000) };
        running.add(each);
        return each;
      };
      const processes = [go(), go(), go()];
      for (const end = performance.now() + milliseconds; performance.now() < end; ) {
        await new Promise((resolve) => setTimeout(resolve, 500 + random(1000)));
        /* At times all of them: then the next one recovers. */
        const victims = random(4) === 0 ? [0, 1, 2] : [random(3)];
        for (const at of victims) processes[at]?.child.kill("SIGKILL");
        for (const at of victims) {
          await fine(processes[at] as Running, how);
          processes[at] = go();
        }
      }
      fs.writeFileSync(path.join(folder, "..", "stop"), "");
      for (const each of processes) await fine(each, how);
      const last = openStore(folder, { create: false, reserve: 2 ** 22 });
      try {
        assert.deepEqual(last.engine.verify(), []);
      } finally {
        last.close();
      }
    }, 1_800_000);
});
