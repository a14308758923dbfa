import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import { openStore } from "../../src/array/main.ts";
import { count } from "../support/counts.ts";
import { randomFrom } from "../support/random.ts";
import { finish, fixture, line, type RunResult, start } from "../support/run.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";
import { lastStep } from "./steps.ts";

const children = new Set<ChildProcess>();

afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
  cleanTemp();
});

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<RunResult>;
  readonly note: string;
}

let started = 0;

async function run(role: string, folder: string): Promise<Running> {
  const note = path.join(folder, "..", `note-${started++}`);
  const child = start(fixture("array-worker.ts"), role === "writer" ? [role, folder, note] : [role, folder]);
  children.add(child);
  const ended = finish(child, 1_800_000);
  await line(child, "ready").catch(async (error) => {
    throw new Error(`${(error as Error).message}${(await ended).stderr}`);
  });
  return { child, ended, note };
}

/* A tenth is 50; the six runtimes of continuous integration make 60 of them together. */
const rounds = count({ long: 500, usual: 16, brief: 4 });

describe("SIGKILL", () => {
  it("of writers at random moments leaves one committed state for four readers and everybody else", async () => {
    const folder = path.join(tempFolder(), "store");
    const store = openStore(folder, { reserve: 2 ** 26 });
    const hit = new Map<string, number>();
    try {
      await store.transact(() => {
        for (const name of ["a", "b"]) store.create(name, { dtype: "f64", shape: 2 ** 16 });
        store.create("c", { dtype: "f64", shape: 1 });
      });
      const random = randomFrom(Number(process.env.OUTCORE_SEED ?? 1));
      const readers = await Promise.all(Array.from({ length: 4 }, () => run("reader", folder)));
      const writers = await Promise.all([run("writer", folder), run("writer", folder)]);
      for (let round = 0; round < rounds; round++) {
        await new Promise((resolve) => setTimeout(resolve, random(40)));
        const at = random(2);
        const victim = writers[at] as Running;
        victim.child.kill("SIGKILL");
        const { signal, stderr } = await victim.ended;
        assert.deepEqual([signal, stderr], ["SIGKILL", ""]);
        const step = lastStep(victim.note);
        hit.set(step, (hit.get(step) ?? 0) + 1);
        const transaction = store.begin();
        const values = ["a", "b"].flatMap((name) => [0, 700, 5000, 40_000].map((each) => store.array(name).get(each)));
        values.push(store.array("c").get(-1));
        transaction.abort();
        assert.equal(new Set(values).size, 1, `killed at "${step}": ${values}`);
        writers[at] = await run("writer", folder);
      }
      fs.writeFileSync(path.join(folder, "..", "stop"), "");
      for (const { ended } of readers) {
        const { stdout, stderr } = await ended;
        assert.match(stdout, /^ready\nread [1-9]\d*\n$/, stderr);
        assert.equal(stderr, "");
      }
      for (const { child, ended } of writers) {
        child.kill("SIGKILL");
        assert.equal((await ended).stderr, "");
      }
      store.refresh();
      assert.deepEqual(store.engine.verify(), []);
    } finally {
      store.close();
    }
    const histogram = [...hit]
      .sort((a, b) => b[1] - a[1])
      .map(([step, count]) => `${String(count).padStart(5)} ${step}`);
    if (process.env.OUTCORE_LONG) console.log(histogram.join("\n"));
  }, 1_800_000);
});
