import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Target } from "./targets.ts";

export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url));
const SOURCES = path.join(ROOT, "c");

const NO_COMPILER = `No C compiler found. outcore builds a small C library from c/ and needs one of cc, gcc, clang or zig:
  Debian, Ubuntu   sudo apt install gcc libc6-dev
  Fedora           sudo dnf install gcc
  Alpine           apk add gcc musl-dev
  macOS            xcode-select --install
  anywhere         zig from https://ziglang.org/download, on PATH
or set CC to a compiler. A library built elsewhere can be named by OUTCORE_LIBRARY instead.`;

/** Command and leading arguments of a C compiler, as `["zig", "cc"]`. */
export type Compiler = readonly [string, ...string[]];

export interface CompileOptions {
  readonly compiler: Compiler;
  /** Where the library goes; default build/<target>/. */
  readonly folder?: string;
  /** Flags on top of the usual ones. */
  readonly flags?: readonly string[];
}

/**
 * The compiler of this machine: $CC, cc, gcc, clang, then `zig cc`.
 * @throws {Error} with advice when there is none.
 */
export function findCompiler(): Compiler {
  const named = process.env.CC?.trim().split(/\s+/);
  const candidates: string[][] = [...(named?.[0] ? [named] : []), ["cc"], ["gcc"], ["clang"], ["zig", "cc"]];
  for (const candidate of candidates) {
    const [command, ...rest] = candidate as [string, ...string[]];
    const probe = spawnSync(command, [...rest, "--version"], { stdio: "ignore" });
    if (probe.status === 0) return [command, ...rest];
    if (candidate === named) throw new Error(`CC is "${named.join(" ")}", which does not run`);
  }
  throw new Error(NO_COMPILER);
}

/** A system's own files are named for it; posix.c and guard.c are for all systems but Windows. */
function isFor(name: string, os: Target["os"]): boolean {
  if (name.startsWith("linux")) return os === "linux";
  if (name.startsWith("darwin")) return os === "darwin";
  if (name.startsWith("windows")) return os === "win32";
  return os !== "win32" || !/^(posix|guard)\b/.test(name);
}

function sourcesFor(target: Target): string[] {
  return readdirSync(SOURCES)
    .filter((name) => name.endsWith(".c") && isFor(name, target.os))
    .sort();
}

function flagsFor(target: Target): string[] {
  const common = ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-fvisibility=hidden", "-Wall", "-Wextra"];
  switch (target.os) {
    case "linux":
      // shm_open is in librt up to glibc 2.33.
      return [...common, "-fPIC", "-pthread", "-shared", "-Wl,-z,nodelete", "-Wl,-z,defs", "-lrt"];
    case "darwin":
      return [...common, "-fPIC", "-dynamiclib", `-Wl,-install_name,@rpath/${target.file}`];
    case "win32":
      return [...common, "-shared", "-lws2_32", "-ladvapi32"];
  }
}

function fingerprint(command: readonly string[]): string {
  const hash = createHash("sha256").update(command.join("\0"));
  for (const name of readdirSync(SOURCES).sort())
    hash.update(`\0${name}\0`).update(readFileSync(path.join(SOURCES, name)));
  return hash.digest("hex");
}

interface Plan {
  readonly command: string;
  readonly args: readonly string[];
  readonly library: string;
  readonly stamp: string;
  readonly fingerprint: string;
}

function plan(target: Target, options: CompileOptions): Plan {
  const folder = options.folder ?? path.join(ROOT, "build", target.name);
  const [command, ...prefix] = options.compiler;
  const inputs = sourcesFor(target).map((name) => path.join("c", name));
  // Libraries such as -lws2_32 only count after the sources.
  const args = [...prefix, ...inputs, ...flagsFor(target), ...(options.flags ?? [])];
  return {
    command,
    args,
    library: path.join(folder, target.file),
    stamp: path.join(folder, "stamp"),
    fingerprint: fingerprint([path.basename(command), ...args]),
  };
}

/** True when a library is there that was made from these sources with these flags and this compiler. */
export function isCurrent(target: Target, options: CompileOptions): boolean {
  const { library, stamp, fingerprint } = plan(target, options);
  return existsSync(library) && existsSync(stamp) && readFileSync(stamp, "utf8") === fingerprint;
}

/**
 * Compiles c/ for one target. Does nothing when the library is current.
 * @returns the library's path.
 * @throws {Error} when the compiler fails; its own messages go to standard error.
 */
export function compile(target: Target, options: CompileOptions): string {
  const { command, args, library, stamp, fingerprint } = plan(target, options);
  if (isCurrent(target, options)) return library;
  const folder = path.dirname(library);
  console.error(`building ${path.relative(ROOT, library)} with ${path.basename(command)}`);
  mkdirSync(folder, { recursive: true });
  // A running process may have the old library mapped: write beside it and rename.
  const fresh = path.join(folder, `new-${process.pid}-${target.file}`);
  const run = spawnSync(command, [...args, "-o", fresh], { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  try {
    if (run.status !== 0) throw new Error(`${command} could not build the C library for ${target.name}`);
    rmSync(stamp, { force: true });
    renameSync(fresh, library);
    writeFileSync(stamp, fingerprint);
  } finally {
    for (const name of readdirSync(folder)) {
      if (name.startsWith(`new-${process.pid}-`) || /\.(lib|pdb)$/.test(name)) rmSync(path.join(folder, name));
    }
  }
  return library;
}
