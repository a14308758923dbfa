/**
 * Runs the tests in several runtimes, one after the other, each with the runtime's own runner.
 *
 *   test.ts [FILTER ...] [--runtime NAME] [--also NAME] [--area AREA] [--long]
 *
 *   FILTER          only test files whose path contains it
 *   --runtime NAME  instead of bun, deno and node24: bun deno node22 node24 node26 node26-ffi; may be repeated
 *   --also NAME     on top of them, with fewer repetitions of the longest random tests (OUTCORE_BRIEF=1)
 *   --area AREA     only test/AREA/
 *   --long          full counts in the fault tests (OUTCORE_LONG=1)
 *
 * A runtime that prints nothing for ten minutes (an hour with --long) is ended, and counts as failed.
 *
 * OUTCORE_SEED seeds the random tests; without it one is drawn, and printed.
 */
import { randomInt } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { compile, findCompiler, ROOT } from "./build/compile.ts";
import { hostTarget } from "./build/targets.ts";
import { findRuntime, RUNTIME_NAMES, type Runtime, type RuntimeName } from "./runtimes.ts";
import { forbiddenSkips } from "./test/allowed-skips.ts";
import type { Outcome } from "./test/report.ts";
import { runSuite, type SuiteRun } from "./test/runner.ts";

/** These tests start every runtime themselves: they run once, in the first runtime, and have a row of their own. */
const PACKAGES = "test/package/";
const DEFAULT_RUNTIMES: readonly RuntimeName[] = ["bun", "deno", "node24"];

function testFiles(filters: readonly string[], area: string | undefined): string[] {
  const folder = path.join(ROOT, "test");
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((file) => path.posix.join("test", file.replaceAll(path.sep, "/")))
    .filter((file) => file.endsWith(".test.ts"))
    .filter((file) => !area || file.startsWith(`test/${area}/`))
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .sort();
}

function count(run: SuiteRun, outcome: Outcome): number {
  return [...run.outcomes.values()].filter((each) => each === outcome).length;
}

function printTable(runs: readonly SuiteRun[]): void {
  console.log(`\n${"runtime".padEnd(12)}${"version".padEnd(10)}  passed  failed  skipped  unstable  seconds`);
  for (const run of runs) {
    const cells = [
      run.runtime.name.padEnd(12),
      run.runtime.version.padEnd(10),
      String(count(run, "passed")).padStart(8),
      String(count(run, "failed")).padStart(8),
      String(count(run, "skipped")).padStart(9),
      String(run.unstable.length).padStart(10),
      run.seconds.toFixed(1).padStart(9),
    ];
    console.log(cells.join(""));
  }
}

function printProblems(runs: readonly SuiteRun[]): boolean {
  for (const { runtime, outcomes } of runs) {
    for (const [name, outcome] of outcomes) if (outcome === "failed") console.log(`failed in ${runtime.name}: ${name}`);
  }
  for (const { runtime, unstable } of runs)
    for (const name of unstable) console.log(`unstable in ${runtime.name} (failed, then passed alone): ${name}`);
  const skips = forbiddenSkips(runs);
  for (const { runtime, test, kind } of skips) console.log(`${kind} in ${runtime}, not in allowed-skips.json: ${test}`);
  return skips.length > 0 || runs.some((run) => count(run, "failed") > 0);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runtime: { type: "string", multiple: true },
      also: { type: "string", multiple: true, default: [] },
      area: { type: "string" },
      long: { type: "boolean", default: false },
    },
  });
  const names = [...(values.runtime ?? DEFAULT_RUNTIMES), ...values.also].flatMap((name) => name.split(","));
  const unknown = names.find((name) => !RUNTIME_NAMES.includes(name as RuntimeName));
  if (unknown) throw new Error(`no runtime "${unknown}": choose from ${RUNTIME_NAMES.join(", ")}`);
  const runtimes = [...new Set(names)].map((name) => findRuntime(name as RuntimeName));
  const files = testFiles(positionals, values.area);

  if (!process.env.OUTCORE_LIBRARY) compile(hostTarget(), { compiler: findCompiler() });
  const seed = process.env.OUTCORE_SEED ?? String(randomInt(2 ** 31));
  const env: Record<string, string> = { OUTCORE_SEED: seed };
  if (values.long) env.OUTCORE_LONG = "1";
  console.log(`${files.length} test files; seed ${seed} (OUTCORE_SEED=${seed} repeats it)`);

  const runs: SuiteRun[] = [];
  const brief = new Set(values.also.flatMap((name) => name.split(",")));
  const run = async (runtime: Runtime, some: readonly string[]): Promise<void> => {
    if (some.length === 0) return;
    console.log(`\n== ${runtime.name} (${runtime.version}) ==`);
    const counts = brief.has(runtime.name) && !values.long ? { OUTCORE_BRIEF: "1" } : {};
    const limits = values.long ? { timeout: 900_000, silence: 3_600_000 } : { timeout: 60_000, silence: 600_000 };
    runs.push(await runSuite(runtime, { files: some, ...limits, env: { ...env, ...counts } }));
  };
  const perRuntime = files.filter((file) => !file.startsWith(PACKAGES));
  for (const runtime of runtimes) await run(runtime, perRuntime);
  const [first] = runtimes;
  if (first)
    await run(
      { ...first, name: "packages" },
      files.filter((file) => file.startsWith(PACKAGES)),
    );

  printTable(runs);
  const failed = printProblems(runs);
  const total = (outcome: Outcome): number => runs.reduce((sum, run) => sum + count(run, outcome), 0);
  const unstable = runs.reduce((sum, run) => sum + run.unstable.length, 0);
  console.log(
    `\n${total("passed")} passed, ${total("failed")} failed, ${total("skipped")} skipped, ${unstable} unstable`,
  );
  return failed ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
