import process from "node:process";

/** Program and arguments that start this command line once more, with a command of its own. */
export function itself(...command: readonly string[]): [string, string[]] {
  const [, program = ""] = process.argv;
  const flags = "deno" in process.versions ? ["run", "-A", "--no-check"] : process.execArgv;
  return [process.execPath, [...flags, program, ...command]];
}
