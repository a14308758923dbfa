/**
 * Runs the cases of one area in the runtime that executes this file, and prints one JSON object per case.
 *
 *   runner.ts AREA CONTEXT    CONTEXT is a file that holds a `Context` as JSON
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import type { Area, CaseResult, Context } from "./area.ts";

const [name = "", file = "", ...wanted] = process.argv.slice(2);
const context = JSON.parse(readFileSync(file, "utf8")) as Context;
const { area } = (await import(`./${name}.ts`)) as { area: Area };
for (const each of area.cases) {
  if (wanted.length > 0 && !wanted.includes(each.name)) continue;
  try {
    const figures = await each.run(context);
    if (figures === undefined) continue;
    const target = typeof each.target === "function" ? each.target(context) : each.target;
    const result: CaseResult = { case: each.name, unit: each.unit, ...figures, ...(target && { target }) };
    const line = { ...result, ...(each.more && { more: each.more }) };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  } catch (error) {
    console.error(`${each.name}:`, error);
    process.exitCode = 1;
  }
}
