import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { root } from "../support/run.ts";
import { command } from "./command.ts";
import type { ServedPackage } from "./registry.ts";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

function manifestIn(folder: string): Manifest {
  return JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")) as Manifest;
}

/** Runs a command that must succeed, and returns what it printed to standard output. */
export async function succeed(...args: Parameters<typeof command>): Promise<string> {
  const { code, stdout, stderr } = await command(...args);
  assert.equal(code, 0, `${args[0].join(" ")}\n${stdout}\n${stderr}`);
  return stdout;
}

async function pack(folder: string, into: string): Promise<ServedPackage> {
  const printed = await succeed(
    ["npm", "pack", "--silent", "--ignore-scripts", `--pack-destination=${into}`, folder],
    into,
  );
  return { manifest: manifestIn(folder), tarball: path.join(into, printed.trim()) };
}

/** Folders of all that a package needs from npm, as far as it is installed here: other platforms' parts are not. */
function dependencies(manifest: Manifest, found: Set<string> = new Set()): Set<string> {
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })) {
    const folder = path.join(root, "node_modules", name);
    if (found.has(folder) || !existsSync(folder)) continue;
    found.add(folder);
    dependencies(manifestIn(folder), found);
  }
  return found;
}

/** Builds the npm packages of this machine and packs them with everything that they depend on. */
export async function packEverything(folder: string): Promise<ServedPackage[]> {
  const bun = path.join(root, "node_modules", ".bin", "bun");
  const built = (await succeed([bun, path.join(root, "build.ts"), "npm", path.join(folder, "dist")], folder))
    .trim()
    .split("\n");
  const needed = built.flatMap((each) => [...dependencies(manifestIn(each))]);
  return Promise.all([...built, ...new Set(needed)].map((each) => pack(each, folder)));
}
