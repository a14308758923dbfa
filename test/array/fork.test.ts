import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import { type ArrayStore, openStore } from "../../src/array/main.ts";
import type { PageLog } from "../../src/array/page-log.ts";
import { Forker } from "../support/forking.ts";
import { fixture, line, start } from "../support/run.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";

const children: ChildProcess[] = [];
const forked: number[] = [];
const logBytes = ({ engine }: ArrayStore): number => (engine as PageLog).logBytes;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill("SIGKILL");
  }
  for (const pid of forked.splice(0)) process.kill(pid, "SIGKILL");
  cleanTemp();
});

describe("a process with a store that was forked without exec", () => {
  for (const role of ["reader", "writer"])
    it(`and killed holds nothing back as a ${role}, although the child lives on`, async () => {
      const folder = path.join(tempFolder(), "store");
      const store = openStore(folder, { reserve: 2 ** 26 });
      try {
        await store.transact(() => {
          for (const name of ["a", "b"]) store.create(name, { dtype: "f64", shape: 2 ** 16 });
          store.create("c", { dtype: "f64", shape: 1 });
        });
        const forker = new Forker(tempFolder());
        for (let round = 0; round < 4; round++) {
          const { env, fork } = forker.prepare();
          const note = path.join(folder, "..", "note");
          const child = start(fixture("array-worker.ts"), [role, folder, ...(role === "writer" ? [note] : [])], {
            env,
          });
          children.push(child);
          /* Not "close": the child of the fork may have its output open. */
          const ended = once(child, "exit");
          await line(child, "ready");
          await pause(20);
          const pid = await fork();
          forked.push(pid);
          await pause(round * 3);
          child.kill("SIGKILL");
          assert.deepEqual(await ended, [null, "SIGKILL"]);
          process.kill(pid, 0);
          for (let i = 0; i < 3; i++)
            await store.transact(
              () => {
                for (const name of ["a", "b"])
                  for (const at of [0, 700, 5000, 40_000])
                    store.array(name, "f64").typed()[at] = (store.array(name).get(at) as number) + 1;
              },
              { retries: 1000 },
            );
          await store.checkpoint();
          assert.equal(logBytes(store), 0);
          const values = ["a", "b"].flatMap((name) => [0, 700, 5000, 40_000].map((at) => store.array(name).get(at)));
          assert.equal(new Set(values).size, 1);
        }
        assert.deepEqual(store.engine.verify(), []);
      } finally {
        store.close();
      }
    }, 60_000);
});
