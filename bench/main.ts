/**
 * Measures one area in several runtimes, beside what others offer for the same.
 *
 *   bench AREA [CASE ...] [--quick] [--json] [--runtime NAME]
 *
 *   CASE            only these cases
 *   --quick         small files and few rounds
 *   --json          one JSON object per case on standard output, and nothing else there
 *   --runtime NAME  instead of bun, deno and node24; may be repeated
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { compile, findCompiler, ROOT } from "../scripts/build/compile.ts";
import { hostTarget } from "../scripts/build/targets.ts";
import { findRuntime, RUNTIME_NAMES, type Runtime, type RuntimeName } from "../scripts/runtimes.ts";
import type { Area, CaseResult, Context } from "./area.ts";
import { flagsFor } from "./flags.ts";
import { caseLines, summary } from "./report.ts";

const DEFAULT_RUNTIMES: readonly RuntimeName[] = ["bun", "deno", "node24"];
const BENCH = path.join(ROOT, "bench");
const BUILD = path.join(ROOT, "build", "bench");

const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: "ext4",
  1481003842: "xfs",
  2435016766: "btrfs",
  16914836: "tmpfs",
  2035054128: "overlayfs",
  801189825: "zfs",
};

function fileSystem(folder: string): string {
  const { type } = statfsSync(folder);
  return FILE_SYSTEMS[type] ?? `file system 0x${type.toString(16)}`;
}

/** A temporary folder on a disk: files in a file system in memory would be something else. */
function temporaryFolder(): string {
  mkdirSync(BUILD, { recursive: true });
  const parent = fileSystem(os.tmpdir()) === "tmpfs" ? BUILD : os.tmpdir();
  return mkdtempSync(path.join(parent, "outcore-bench-"));
}

/** Compiles bench/peers/NAME.c into build/bench/. */
function buildProgram(name: string, libraries: readonly string[] = []): string {
  const program = path.join(BUILD, name);
  const [command, ...prefix] = findCompiler();
  const source = path.join(BENCH, "peers", `${name}.c`);
  const flags = ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-pthread"];
  const run = spawnSync(command, [...prefix, ...flags, source, "-o", program, ...libraries], {
    stdio: ["ignore", 2, 2],
  });
  if (run.status !== 0) throw new Error(`${command} could not build ${path.relative(ROOT, source)}`);
  return program;
}

/** Runs the cases in one runtime and hands over each result as it comes. */
function runCases(
  runtime: Runtime,
  args: readonly string[],
  onResult: (result: CaseResult) => void,
): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(runtime.command, [...flagsFor(runtime.kind), path.join(BENCH, "runner.ts"), ...args], {
      cwd: ROOT,
      env: { ...process.env, ...runtime.env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const stop = (): boolean => child.kill();
    process.on("exit", stop);
    createInterface({ input: child.stdout }).on("line", (line) => onResult(JSON.parse(line) as CaseResult));
    child.on("error", reject);
    child.on("close", (code) => {
      process.off("exit", stop);
      resolve(code);
    });
  });
}

function header(runtimes: readonly Runtime[], folder: string): string[] {
  const versions = runtimes.map(({ name, version }) => `${name} ${version}`).join(", ");
  const [cpu] = os.cpus();
  const load = os.loadavg().map((each) => each.toFixed(2));
  return [
    versions,
    `${os.type()} ${os.release()} ${os.arch()}, ${os.cpus().length} x ${cpu?.model ?? "unknown processor"}`,
    `load ${load.join(" ")}, ${fileSystem(folder)}`,
  ];
}

/** Modules beside this one that are no areas. */
const PARTS = new Set(["area", "flags", "main", "peer", "random", "report", "rounds", "runner"]);

function areaNames(): string[] {
  return readdirSync(BENCH)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => file.slice(0, -".ts".length))
    .filter((name) => !PARTS.has(name));
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      runtime: { type: "string", multiple: true },
    },
  });
  const [areaName = "", ...wanted] = positionals;
  const names = (values.runtime ?? DEFAULT_RUNTIMES).flatMap((name) => name.split(","));
  const unknown = names.find((name) => !RUNTIME_NAMES.includes(name as RuntimeName));
  if (unknown) throw new Error(`no runtime "${unknown}": choose from ${RUNTIME_NAMES.join(", ")}`);
  if (!areaNames().includes(areaName)) throw new Error(`no area "${areaName}": choose from ${areaNames().join(", ")}`);
  const { area } = (await import(`./${areaName}.ts`)) as { area: Area };
  const noCase = wanted.find((name) => !area.cases.some((each) => each.name === name));
  if (noCase) throw new Error(`no case "${noCase}": choose from ${area.cases.map((each) => each.name).join(", ")}`);
  const runtimes = [...new Set(names)].map((name) => findRuntime(name as RuntimeName));
  const say = (lines: readonly string[]): void => {
    if (!values.json) console.log(lines.join("\n"));
  };

  const folder = temporaryFolder();
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.on("exit", remove);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));
  if (!process.env.OUTCORE_LIBRARY) compile(hostTarget(), { compiler: findCompiler() });
  say(header(runtimes, folder));
  const programs = Object.fromEntries(area.programs.map((name) => [name, buildProgram(name)]));
  for (const [name, libraries] of Object.entries(area.optional ?? {})) {
    try {
      programs[name] = buildProgram(name, libraries);
    } catch {
      say([`${name} is left out: it needs ${libraries.join(" ")}`]);
    }
  }
  const bare: Context = { quick: values.quick, folder, programs, prepared: {} };
  const context: Context = { ...bare, prepared: await area.prepare(bare) };
  const contextFile = path.join(folder, "context.json");
  writeFileSync(contextFile, JSON.stringify(context));

  const results = new Map<string, CaseResult[]>();
  let failed = false;
  for (const runtime of runtimes) {
    const list: CaseResult[] = [];
    results.set(runtime.name, list);
    say(["", `== ${areaName}: ${runtime.name} ${runtime.version} ==`]);
    const code = await runCases(runtime, [areaName, contextFile, ...wanted], (result) => {
      list.push(result);
      say(caseLines(result));
      const { case: name, unit, ours, peers, p99 } = result;
      const line = { area: areaName, case: name, runtime: runtime.name, unit, ours, peers, ...(p99 && { p99 }) };
      if (values.json) console.log(JSON.stringify(line));
    });
    if (code !== 0) {
      console.error(`${runtime.name} ended with ${code}`);
      failed = true;
    }
  }
  say(["", ...summary(results)]);
  return failed ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
