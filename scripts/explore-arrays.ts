/**
 * Looks for violations of what arrays promise: power losses in the middle of random histories, and random interleavings
 * of several connections beside a model of snapshot isolation. Prints each with the seed that repeats it.
 *
 *   explore-arrays.ts [--histories 100000] [--interleavings 5000] [--seed N]
 */
import { randomInt } from "node:crypto";
import { rmSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { fastFolder } from "../test/array/disk.ts";
import { explore } from "../test/array/explorer.ts";
import { interleave } from "../test/array/interleavings.ts";

const { values } = parseArgs({
  options: {
    histories: { type: "string", default: "100000" },
    interleavings: { type: "string", default: "5000" },
    seed: { type: "string", default: String(randomInt(2 ** 31)) },
  },
});
const seed = Number(values.seed);
console.log(`seed ${seed}`);

async function run(what: string, count: number, work: typeof explore): Promise<number> {
  const folder = fastFolder();
  const started = performance.now();
  const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(0)} s`;
  let told = 0;
  try {
    const wrong = await work(folder, seed, count, (done) => {
      if (done - told < count / 10) return;
      told = done;
      console.log(`  ${done} ${what}, ${seconds()}`);
    });
    for (const each of wrong) console.log(each);
    console.log(`${count} ${what}: ${wrong.length} violations, ${seconds()}`);
    return wrong.length;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const found =
  (await run("power losses", Number(values.histories), explore)) +
  (await run("interleavings", Number(values.interleavings), interleave));
process.exitCode = found === 0 ? 0 : 1;
