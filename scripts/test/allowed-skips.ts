import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { ROOT } from "../build/compile.ts";
import type { SuiteRun } from "./runner.ts";

/** An entry of test/allowed-skips.json. */
interface AllowedSkip {
  /** Full name, "suite > test"; a `*` at the end stands for any rest. */
  readonly test: string;
  /** Names of runtimes, as in the table; absent: all of them. */
  readonly runtimes?: readonly string[];
  readonly reason: string;
}

/** A test that one runtime did not run and that no entry of the list allows. */
export interface ForbiddenSkip {
  readonly runtime: string;
  readonly test: string;
  /** Skipped, or not even defined in this runtime while another has it. */
  readonly kind: "skipped" | "missing";
}

function matches(entry: AllowedSkip, test: string, runtime: string): boolean {
  if (entry.runtimes && !entry.runtimes.includes(runtime)) return false;
  return entry.test.endsWith("*") ? test.startsWith(entry.test.slice(0, -1)) : entry.test === test;
}

/** Skipped tests, and tests that are missing in one runtime, less those that test/allowed-skips.json allows. */
export function forbiddenSkips(runs: readonly SuiteRun[]): ForbiddenSkip[] {
  const file = path.join(ROOT, "test", "allowed-skips.json");
  const allowed: AllowedSkip[] = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : [];
  // A failure may hide what comes after it (a file that does not load): then only explicit skips are judged.
  const complete = runs.every((run) => ![...run.outcomes.values()].includes("failed"));
  const sameFiles = runs.filter(({ runtime }) => runtime.name !== "packages");
  const everywhere = complete ? sameFiles.flatMap(({ outcomes }) => [...outcomes.keys()]) : [];
  const found: ForbiddenSkip[] = [];
  for (const run of runs) {
    const { runtime, outcomes } = run;
    for (const test of new Set([...(sameFiles.includes(run) ? everywhere : []), ...outcomes.keys()])) {
      const outcome = outcomes.get(test);
      if (outcome === "passed" || outcome === "failed") continue;
      if (allowed.some((entry) => matches(entry, test, runtime.name))) continue;
      found.push({ runtime: runtime.name, test, kind: outcome ?? "missing" });
    }
  }
  return found;
}
