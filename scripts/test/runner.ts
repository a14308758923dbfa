import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { ROOT } from "../build/compile.ts";
import type { Runtime } from "../runtimes.ts";
import { type Outcomes, readReport, SEPARATOR } from "./report.ts";
import { runWatched } from "./watched.ts";

/** One runtime's run of the suite. */
export interface SuiteRun {
  readonly runtime: Runtime;
  readonly outcomes: Outcomes;
  readonly seconds: number;
  /** Tests that failed at first and passed when their suites ran again alone. */
  readonly unstable: readonly string[];
}

export interface SuiteOptions {
  /** Test files, relative to the project's root. */
  readonly files: readonly string[];
  /** Limit of one test, milliseconds, unless the test states its own. */
  readonly timeout: number;
  /** Milliseconds without output after which a runner is ended. */
  readonly silence: number;
  readonly env: Readonly<Record<string, string>>;
}

/** More failures than these are no accident: they are not tried again. */
const MOST_ACCIDENTS = 3;

const literally = (name: string): string => name.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

/** A pattern of the outermost suites, or of tests that stand in none. */
const patternOf = (suites: readonly string[], after: string): string =>
  `^(${[...new Set(suites)].map(literally).join("|")})${after}`;

/** The runtime's own test runner, told to write a report beside what it prints; with `suites`, of these alone. */
function commandLine(
  runtime: Runtime,
  files: readonly string[],
  timeout: number,
  report: string,
  suites: readonly string[] | undefined,
): string[] {
  switch (runtime.kind) {
    case "bun":
      return [
        "test",
        `--timeout=${timeout}`,
        "--reporter=junit",
        `--reporter-outfile=${report}`,
        ...(suites ? ["-t", patternOf(suites, "( |$)")] : []),
        ...files.map((f) => `./${f}`),
      ];
    case "deno":
      return [
        "test",
        "--no-check",
        "-A",
        "--v8-flags=--expose-gc",
        `--junit-path=${report}`,
        ...(suites ? [`--filter=/${patternOf(suites, "$")}/`] : []),
        ...files,
      ];
    case "node":
      return [
        path.join("node_modules", "vitest", "vitest.mjs"),
        "run",
        `--testTimeout=${timeout}`,
        `--hookTimeout=${timeout}`,
        "--reporter=default",
        "--reporter=json",
        `--outputFile.json=${report}`,
        ...(suites ? ["-t", patternOf(suites, "( |$)")] : []),
        ...files,
      ];
  }
}

interface Run {
  readonly outcomes: Outcomes;
  /** How the runner ended, when not well. */
  readonly ending: string | undefined;
}

async function runOnce(runtime: Runtime, options: SuiteOptions, suites?: readonly string[]): Promise<Run> {
  const folder = mkdtempSync(path.join(tmpdir(), "outcore-test-"));
  try {
    const report = path.join(folder, "report");
    const { files, timeout, silence, env } = options;
    const ending = await runWatched(runtime.command, commandLine(runtime, files, timeout, report, suites), {
      cwd: ROOT,
      env: { ...process.env, OUTCORE_TEST_TIMEOUT: String(timeout), ...env, ...runtime.env },
      silence,
    });
    return { outcomes: existsSync(report) ? readReport(runtime.kind, report) : new Map(), ending };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const failuresOf = (outcomes: Outcomes): string[] =>
  [...outcomes].filter(([, outcome]) => outcome === "failed").map(([name]) => name);

/**
 * Runs the files in one runtime; a runner that dies or fails without naming a test counts as one failed test.
 *
 * A few failed tests run again, with the rest of their suites and nothing else. Those that pass then do not fail the run,
 * and are named: on a machine that others load, one of thousands may be late for a reason that is not the project's, but
 * whoever reads the report must know of it.
 */
export async function runSuite(runtime: Runtime, options: SuiteOptions): Promise<SuiteRun> {
  const started = performance.now();
  const { outcomes, ending } = await runOnce(runtime, options);
  const failed = failuresOf(outcomes);
  if (ending !== undefined && failed.length === 0)
    outcomes.set(`${runtime.name}'s test runner ended with ${ending}`, "failed");
  const unstable: string[] = [];
  if (failed.length > 0 && failed.length <= MOST_ACCIDENTS) {
    console.log(`\n== ${runtime.name}: again, what failed ==`);
    const again = await runOnce(
      runtime,
      options,
      failed.map((name) => name.split(SEPARATOR)[0] ?? name),
    );
    /* Every test of these suites must pass, not only the one that failed. */
    const well = again.ending === undefined && failuresOf(again.outcomes).length === 0;
    for (const name of failed) {
      if (!well || again.outcomes.get(name) !== "passed") continue;
      outcomes.set(name, "passed");
      unstable.push(name);
    }
  }
  return { runtime, outcomes, seconds: (performance.now() - started) / 1000, unstable };
}
