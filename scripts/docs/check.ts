/** Checks the types of every example in the documentation. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { ROOT } from "../build/compile.ts";
import { ExampleFolder, findExamples } from "./examples.ts";

const folder = new ExampleFolder();
try {
  for (const example of findExamples()) folder.write(example);
  writeFileSync(path.join(folder.folder, "none.ts"), "export {};\n");
  const config = path.join(folder.folder, "tsconfig.json");
  const typeRoots = [path.join(ROOT, "node_modules", "@types"), path.join(ROOT, "node_modules")];
  const compilerOptions = { typeRoots, noUnusedLocals: false, isolatedDeclarations: false, declaration: false };
  writeFileSync(
    config,
    JSON.stringify({ extends: path.join(ROOT, "tsconfig.json"), compilerOptions, include: ["*.ts"], exclude: [] }),
  );
  const tsc = path.join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const run = spawnSync(process.execPath, [tsc, "-p", config], { stdio: ["ignore", "inherit", "inherit"] });
  process.exitCode = run.status ?? 1;
} finally {
  folder.remove();
}
