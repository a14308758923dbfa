import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { ROOT } from "./build/compile.ts";

/** A runtime that tests and benches are run in. `node26-ffi` is Node 26 with its own node:ffi in place of koffi. */
export interface Runtime {
  readonly name: string;
  readonly kind: "bun" | "deno" | "node";
  readonly command: string;
  /** As the executable itself says, "1.4.5". */
  readonly version: string;
  /** Environment variables that select the backend. */
  readonly env: Readonly<Record<string, string>>;
}

export const RUNTIME_NAMES = ["bun", "deno", "node22", "node24", "node26", "node26-ffi"] as const;
export type RuntimeName = (typeof RUNTIME_NAMES)[number];

const MODULES = path.join(ROOT, "node_modules");
const EXE = process.platform === "win32" ? ".exe" : "";

function versionOf(command: string): string | undefined {
  const run = spawnSync(command, ["--version"], { encoding: "utf8" });
  return run.status === 0 ? /\d+\.\d+\.\d+/.exec(run.stdout)?.[0] : undefined;
}

/** The packaged executables come first: they have the versions this project names. */
function candidates(kind: Runtime["kind"], major: string): string[] {
  switch (kind) {
    case "bun":
      return [path.join(MODULES, "bun", "bin", "bun.exe"), "bun"];
    case "deno":
      return [path.join(MODULES, "deno", `deno${EXE}`), "deno"];
    case "node":
      return [path.join(MODULES, `node${major}`, "bin", `node${EXE}`), "node"];
  }
}

/**
 * Finds a runtime in node_modules, else on PATH.
 * @throws {Error} when it is in neither, or when the Node on PATH has another major version.
 */
export function findRuntime(name: RuntimeName): Runtime {
  const kind = name.startsWith("node") ? "node" : (name as "bun" | "deno");
  const major = kind === "node" ? name.slice(4, 6) : "";
  for (const command of candidates(kind, major)) {
    if (path.isAbsolute(command) && !existsSync(command)) continue;
    const version = versionOf(command);
    if (!version || (major && !version.startsWith(`${major}.`))) continue;
    return { name, kind, command, version, env: name === "node26-ffi" ? { OUTCORE_BACKEND: "node-ffi" } : {} };
  }
  throw new Error(`${name} is neither in node_modules (npm ci) nor on PATH`);
}
