import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import { openStore } from "../../src/array/main.ts";
import { finish, fixture, line, type RunResult, start } from "../support/run.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";
import { randomFrom } from "./disk.ts";

const children = new Set<ChildProcess>();

afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
  cleanTemp();
});

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<RunResult>;
}

async function run(role: string, folder: string): Promise<Running> {
  const child = start(fixture("array-worker.ts"), [role, folder]);
  children.add(child);
  const ended = finish(child, 120_000);
  await line(child, "ready");
  return { child, ended };
}

describe("SIGKILL", () => {
  it("of writers at random moments leaves one committed state for everybody", async () => {
    const folder = tempFolder();
    const store = openStore(folder, { reserve: 2 ** 26 });
    try {
      await store.transact(() => {
        for (const name of ["a", "b"]) store.create(name, { dtype: "f64", shape: 2 ** 16 });
      });
      const random = randomFrom(Number(process.env.OUTCORE_SEED ?? 1));
      const readers = [await run("reader", folder), await run("reader", folder)];
      const survivor = await run("writer", folder);
      const rounds = process.env.OUTCORE_LONG ? 500 : 6;
      for (let round = 0; round < rounds; round++) {
        const victim = await run("writer", folder);
        await new Promise((resolve) => setTimeout(resolve, random(60)));
        victim.child.kill("SIGKILL");
        await victim.ended;
        const transaction = store.begin();
        const values = ["a", "b"].flatMap((name) => [0, 700, 5000, 40_000].map((at) => store.array(name).get(at)));
        transaction.abort();
        assert.equal(new Set(values).size, 1, String(values));
      }
      for (const { child } of [...readers, survivor]) child.kill("SIGKILL");
      for (const { ended } of [...readers, survivor]) {
        const { stdout, stderr } = await ended;
        assert.equal(stdout.includes("torn"), false, stdout);
        assert.equal(stderr, "");
      }
      store.refresh();
      assert.ok(Number(store.array("a").get(0)) > rounds);
      assert.deepEqual(store.engine.verify(), []);
    } finally {
      store.close();
    }
  });
});
