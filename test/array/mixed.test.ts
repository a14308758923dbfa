import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import { openStore } from "../../src/array/main.ts";
import { count } from "../support/counts.ts";
import { Crowd, type Member } from "../support/crowd.ts";
import { randomFrom } from "../support/random.ts";
import { cleanTemp, tempMemoryFolder } from "../support/temp.ts";

const crowd = new Crowd("array-mixed.ts");

afterEach(async () => {
  await crowd.end();
  cleanTemp();
});

const milliseconds = count({ long: 120_000, usual: 2500, brief: 1500 });
const seed = Number(process.env.OUTCORE_SEED ?? 1);

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
      const go = (): Member => {
        const args = [folder, String(random(2 ** 30)), ...(how === "at full speed" ? [] : ["slow"])];
        return crowd.start(...args);
      };
      const processes = [go(), go(), go()];
      for (const end = performance.now() + milliseconds; performance.now() < end; ) {
        await new Promise((resolve) => setTimeout(resolve, 500 + random(1000)));
        /* At times all of them: then the next one recovers. */
        const victims = random(4) === 0 ? [0, 1, 2] : [random(3)];
        for (const at of victims) processes[at]?.child.kill("SIGKILL");
        for (const at of victims) {
          await crowd.fine(processes[at] as Member, how);
          processes[at] = go();
        }
      }
      fs.writeFileSync(path.join(folder, "..", "stop"), "");
      for (const each of processes) await crowd.fine(each, how);
      const last = openStore(folder, { create: false, reserve: 2 ** 22 });
      try {
        assert.deepEqual(last.engine.verify(), []);
      } finally {
        last.close();
      }
    }, 1_800_000);
});
