/**
 * The one gate: types, lint, format, unused code, documentation, publishability and C warnings, all at once.
 * Prints one line per step, and the output of the steps that fail.
 *
 *   check.ts [STEP ...]    only the named steps
 */
import { spawn } from "node:child_process";
import path from "node:path";
import process from "node:process";
import { ROOT } from "./build/compile.ts";
import { findRuntime } from "./runtimes.ts";

type Command = readonly [string, ...string[]];

interface StepResult {
  readonly name: string;
  readonly ok: boolean;
  readonly output: string;
  readonly seconds: number;
}

function steps(): Record<string, Command> {
  const bun = findRuntime("bun").command;
  const deno = findRuntime("deno").command;
  const module = (file: string): string => path.join(ROOT, "node_modules", file);
  return {
    types: [bun, module("typescript/bin/tsc"), "--noEmit"],
    lint: [bun, module("@biomejs/biome/bin/biome"), "check", "--error-on-warnings", "--max-diagnostics=30"],
    unused: [bun, module("knip/bin/knip-bun.js"), "--no-progress"],
    examples: [bun, "scripts/docs/check.ts"],
    docs: [bun, "scripts/docs/lint.ts"],
    publish: [deno, "publish", "--dry-run", "--allow-dirty", "--quiet"],
    c: [bun, "build.ts", "warnings"],
  };
}

function run(name: string, [command, ...args]: Command): Promise<StepResult> {
  const started = performance.now();
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const child = spawn(command, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
    const finish = (ok: boolean, note: string): void =>
      resolve({
        name,
        ok,
        output: Buffer.concat(chunks).toString() + note,
        seconds: (performance.now() - started) / 1000,
      });
    child.on("error", (error) => finish(false, error.message));
    child.on("close", (code) => finish(code === 0, ""));
  });
}

async function main(wanted: readonly string[]): Promise<number> {
  const all = steps();
  const unknown = wanted.find((name) => !(name in all));
  if (unknown) throw new Error(`no step "${unknown}": choose from ${Object.keys(all).join(", ")}`);
  const chosen = Object.entries(all).filter(([name]) => wanted.length === 0 || wanted.includes(name));
  const results = await Promise.all(chosen.map(([name, command]) => run(name, command)));
  for (const { name, ok, output } of results) if (!ok) console.log(`== ${name} ==\n${output.trimEnd()}\n`);
  for (const { name, ok, seconds } of results) {
    console.log(`${ok ? "ok    " : "FAILED"} ${name.padEnd(9)} ${seconds.toFixed(1)} s`);
  }
  return results.every(({ ok }) => ok) ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
