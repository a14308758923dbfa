import { spawn } from "node:child_process";
import process from "node:process";
import { finish, type RunResult } from "../support/run.ts";

/** Runs a command with the environment of a fresh user: no settings of the npm that started the tests, none of ours. */
export function command(
  [program, ...args]: readonly [string, ...string[]],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<RunResult> {
  const own = Object.entries(process.env).filter(([name]) => !/^(npm_|OUTCORE_)/i.test(name));
  const merged = { ...Object.fromEntries(own), NO_COLOR: "1", ...env };
  return finish(spawn(program, args, { cwd, env: merged, stdio: ["ignore", "pipe", "pipe"] }), 120_000);
}
