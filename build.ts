/**
 * Builds what a source tree does not hold.
 *
 *   build.ts            the C library of this machine, into build/<target>/ (nothing happens when it is up to date)
 *   build.ts warnings   the same with warnings as errors, into build/warnings/
 *   build.ts all        the C library of all eight targets with zig cc, into build/release/<target>/
 *   build.ts npm [DIR]  the npm packages, into DIR (default dist/): the main package and one native package
 *                       per target (of this machine only, unless `build.ts all` was run on these sources)
 *
 * Runs in Bun, Deno and Node >= 22.18.
 */
import path from "node:path";
import process from "node:process";
import { compile, findCompiler, isCurrent, ROOT } from "./scripts/build/compile.ts";
import type { BuiltLibrary } from "./scripts/build/packages.ts";
import { hostTarget, TARGETS } from "./scripts/build/targets.ts";
import { fetchZig, releaseOptions } from "./scripts/build/zig.ts";

const WARNINGS = path.join(ROOT, "build", "warnings");

function buildHost(): void {
  if (process.env.OUTCORE_LIBRARY) console.error(`not building: OUTCORE_LIBRARY is ${process.env.OUTCORE_LIBRARY}`);
  else compile(hostTarget(), { compiler: findCompiler() });
}

/** The same with warnings as errors, elsewhere: the gate uses it. */
function buildStrictly(): void {
  compile(hostTarget(), { compiler: findCompiler(), folder: WARNINGS, flags: ["-Werror"] });
}

function buildAll(): void {
  fetchZig();
  for (const target of TARGETS) compile(target, releaseOptions(target));
}

/** What `build.ts all` made of the present sources; without it, what the compiler at hand makes for this machine. */
function libraries(): BuiltLibrary[] {
  const released = TARGETS.filter((target) => isCurrent(target, releaseOptions(target)));
  if (released.length === TARGETS.length) {
    return released.map((target) => ({ target, library: compile(target, releaseOptions(target)) }));
  }
  const target = hostTarget();
  return [{ target, library: compile(target, { compiler: findCompiler() }) }];
}

async function buildPackages(folder = path.join(ROOT, "dist")): Promise<void> {
  // The bundler is slow to load, and only needed here.
  const { writePackages } = await import("./scripts/build/packages.ts");
  for (const written of await writePackages(path.resolve(folder), libraries())) console.log(written);
}

async function main(args: readonly string[]): Promise<number> {
  const [command = "host", ...rest] = args;
  const commands: Record<string, (argument?: string) => unknown> = {
    host: buildHost,
    warnings: buildStrictly,
    all: buildAll,
    npm: buildPackages,
  };
  const run = commands[command];
  if (!run || rest.length > (command === "npm" ? 1 : 0)) {
    console.error("usage: build.ts [host | warnings | all | npm [DIR]]");
    return 2;
  }
  try {
    await run(...rest);
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
