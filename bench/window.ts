import { spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { ROOT } from "../scripts/build/compile.ts";
import type { Area, Context } from "./area.ts";
import { importCases } from "./window/import.ts";
import { memoryCases } from "./window/memory.ts";
import { rateCases } from "./window/rates.ts";
import { readCases } from "./window/reads.ts";

/** A file of random bytes that lies in the page cache and is on the disk, so that nothing is written meanwhile. */
function makeFile(file: string, size: number): void {
  const fd = openSync(file, "wx");
  const block = new Uint8Array(2 ** 24);
  for (let at = 0; at < size; at += block.length) writeSync(fd, randomFillSync(block));
  fsyncSync(fd);
  closeSync(fd);
}

/** Builds the npm package as it would be published and returns the path of its entry point, or "" when it fails. */
function buildPackage(folder: string): string {
  const packages = path.join(folder, "packages");
  const script = path.join(ROOT, "bench", "window", "package.ts");
  const build = spawnSync(process.execPath, [script, packages], { stdio: ["ignore", 2, 2] });
  if (build.status === 0) return path.join(packages, "outcore", "esm", "src", "main.js");
  console.error("import: left out, the package could not be built");
  return "";
}

function findPython(): string {
  return spawnSync("python3", ["-c", "import mmap"]).status === 0 ? "python3" : "";
}

async function prepare({ folder, quick }: Context): Promise<Context["prepared"]> {
  const size = quick ? 2 ** 28 : 2 ** 30;
  const file = path.join(folder, "random");
  makeFile(file, size);
  const project = path.join(folder, "project");
  mkdirSync(project);
  writeFileSync(path.join(project, "package.json"), '{ "type": "module" }');
  const probe = path.join(project, "probe.js");
  const emptyModule = path.join(project, "empty.js");
  writeFileSync(emptyModule, "export {};\n");
  writeFileSync(
    probe,
    `import { pathToFileURL } from "node:url";
const module = pathToFileURL(process.argv[2]).href;
const started = performance.now();
await import(module);
console.log((performance.now() - started) * 1e6);
`,
  );
  return {
    file,
    size,
    probe,
    emptyModule,
    packaged: buildPackage(project),
    python: findPython(),
    pythonPeer: path.join(ROOT, "bench", "peers", "py-mmap.py"),
  };
}

export const area: Area = {
  programs: ["c-pread", "c-mmap"],
  prepare,
  cases: [...readCases, ...importCases, ...rateCases, ...memoryCases],
};
