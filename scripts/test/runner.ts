import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { ROOT } from "../build/compile.ts";
import type { Runtime } from "../runtimes.ts";
import { type Outcomes, readReport } from "./report.ts";

/** One runtime's run of the suite. */
export interface SuiteRun {
  readonly runtime: Runtime;
  readonly outcomes: Outcomes;
  readonly seconds: number;
}

export interface SuiteOptions {
  /** Test files, relative to the project's root. */
  readonly files: readonly string[];
  /** Limit of one test, milliseconds, unless the test states its own. */
  readonly timeout: number;
  readonly env: Readonly<Record<string, string>>;
}

/** The runtime's own test runner, told to write a report beside what it prints. */
function commandLine(runtime: Runtime, files: readonly string[], timeout: number, report: string): string[] {
  switch (runtime.kind) {
    case "bun":
      return [
        "test",
        `--timeout=${timeout}`,
        "--reporter=junit",
        `--reporter-outfile=${report}`,
        ...files.map((f) => `./${f}`),
      ];
    case "deno":
      return ["test", "--no-check", "-A", "--v8-flags=--expose-gc", `--junit-path=${report}`, ...files];
    case "node":
      return [
        path.join("node_modules", "vitest", "vitest.mjs"),
        "run",
        `--testTimeout=${timeout}`,
        `--hookTimeout=${timeout}`,
        "--reporter=default",
        "--reporter=json",
        `--outputFile.json=${report}`,
        ...files,
      ];
  }
}

/** Runs the files in one runtime; a runner that dies or fails without naming a test counts as one failed test. */
export function runSuite(runtime: Runtime, options: SuiteOptions): SuiteRun {
  const folder = mkdtempSync(path.join(tmpdir(), "outcore-test-"));
  const started = performance.now();
  try {
    const report = path.join(folder, "report");
    const run = spawnSync(runtime.command, commandLine(runtime, options.files, options.timeout, report), {
      cwd: ROOT,
      env: { ...process.env, OUTCORE_TEST_TIMEOUT: String(options.timeout), ...options.env, ...runtime.env },
      stdio: ["ignore", "inherit", "inherit"],
    });
    const outcomes: Outcomes = existsSync(report) ? readReport(runtime.kind, report) : new Map();
    const failed = [...outcomes.values()].includes("failed");
    if (run.status !== 0 && !failed) {
      const cause = run.error?.message ?? (run.signal ? `signal ${run.signal}` : `exit code ${run.status}`);
      outcomes.set(`${runtime.name}'s test runner ended with ${cause}`, "failed");
    }
    return { runtime, outcomes, seconds: (performance.now() - started) / 1000 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
