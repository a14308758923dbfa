/**
 * `deno doc --lint` over the entry points, less what this project does not ask for: a doc comment on constructors and
 * on methods with a well-known symbol for a name, and that a class exports the internal interfaces it implements.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { ROOT } from "../build/compile.ts";
import { findRuntime } from "../runtimes.ts";

const EXEMPT = /^\s*\d+ \|\s+(constructor\(|(async )?\*?\[Symbol\.|.*\bclass \w+)/m;

const { exports } = JSON.parse(readFileSync(path.join(ROOT, "deno.json"), "utf8")) as {
  exports: Record<string, string>;
};
const run = spawnSync(findRuntime("deno").command, ["doc", "--lint", ...Object.values(exports)], {
  cwd: ROOT,
  encoding: "utf8",
  env: { ...process.env, NO_COLOR: "1" },
});
const [start = "", ...problems] = run.stderr.split(/^(?=error\[)/m).map((text) => text.split(/^error: /m)[0] ?? "");
const serious = problems.filter((problem) => {
  const exempt = problem.startsWith("error[missing-jsdoc]") || problem.startsWith("error[private-type-ref]");
  return !(exempt && EXEMPT.test(problem));
});
for (const problem of serious) console.error(problem.trim());
if (problems.length === 0 && run.status !== 0) console.error(start, run.stderr);
console.error(`${serious.length} documentation problems`);
process.exitCode = serious.length > 0 || (problems.length === 0 && run.status !== 0) ? 1 : 0;
