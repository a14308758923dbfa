import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { rolldown } from "rolldown";
import { findRuntime } from "../runtimes.ts";
import { ROOT } from "./compile.ts";
import type { Target } from "./targets.ts";

/** The part of the checkout's package.json that goes into the published ones. */
interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly keywords: readonly string[];
  readonly license: string;
  readonly author: string;
  readonly engines: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

/** A library that was built, and the platform it is for. */
export interface BuiltLibrary {
  readonly target: Target;
  readonly library: string;
}

const CLI = "./cli/main.ts";

function writeJson(file: string, value: unknown): void {
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);
}

/** "./src/main.ts" as it is emitted under `folder`. */
function emitted(folder: string, source: string, extension: string): string {
  return `./${folder}/${source.slice(2).replace(/\.ts$/, extension)}`;
}

function emitTypes(folder: string, sources: readonly string[]): void {
  const config = path.join(folder, "tsconfig.json");
  writeJson(config, {
    extends: path.join(ROOT, "tsconfig.json"),
    compilerOptions: {
      noEmit: false,
      emitDeclarationOnly: true,
      rootDir: ROOT,
      declarationDir: "types",
      typeRoots: [path.join(ROOT, "node_modules", "@types"), path.join(ROOT, "node_modules")],
    },
    include: [],
    files: sources.map((source) => path.join(ROOT, source)),
  });
  const tsc = path.join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const { command } = findRuntime("bun");
  const run = spawnSync(command, [tsc, "-p", config], { stdio: ["ignore", "inherit", "inherit"] });
  rmSync(config);
  if (run.status !== 0) throw new Error("tsc could not emit the package's types");
}

/** Licences of the npm packages that are part of the bundle, as each asks for. */
function licensesOf(modules: readonly string[]): string {
  const names = modules.map((id) => /^.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(id)?.[0]).filter((name) => name);
  const texts = [...new Set(names as string[])].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")) as Manifest;
    const file = readdirSync(folder).find((each) => /^(licen[cs]e|copying)/i.test(each));
    const text = file ? readFileSync(path.join(folder, file), "utf8").trim() : `Licence: ${license}`;
    return `## ${name} ${version}\n\n${text}\n`;
  });
  return `# Licences of bundled packages\n\n${texts.join("\n")}`;
}

/** Modules that a source file loads, by their names in the bundler. */
async function modulesOf(source: string, external: readonly string[]): Promise<ReadonlySet<string>> {
  const bundle = await rolldown({
    cwd: ROOT,
    input: source,
    external: [/^(node|bun):/, ...external],
    platform: "node",
    logLevel: "warn",
  });
  const { output } = await bundle.generate({ format: "esm" });
  await bundle.close();
  return new Set(output.flatMap((chunk) => (chunk.type === "chunk" ? chunk.moduleIds : [])));
}

/**
 * One file per entry point and few that they share: a file costs each importer 0.5 to 1 ms. What the main entry point
 * loads is one of them, `shared/core.js`, so that importing the package takes two files however many capabilities
 * there are.
 */
async function emitModules(folder: string, sources: readonly string[], external: readonly string[]): Promise<void> {
  const core = await modulesOf("./src/main.ts", external);
  const bundle = await rolldown({
    cwd: ROOT,
    input: Object.fromEntries(sources.map((source) => [source.slice(2, -".ts".length), source])),
    external: [/^(node|bun):/, ...external],
    platform: "node",
    logLevel: "warn",
  });
  const { output } = await bundle.write({
    dir: path.join(folder, "esm"),
    format: "esm",
    entryFileNames: "[name].js",
    chunkFileNames: "shared/[name].js",
    codeSplitting: { groups: [{ name: "core", test: (id) => core.has(id) && !id.endsWith("/main.ts") }] },
    minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
    // The declarations hold the documentation; here it would be parsed at every start.
    comments: { legal: true, annotation: false, jsdoc: false },
  });
  await bundle.close();
  const bundled = output.flatMap((chunk) => (chunk.type === "chunk" ? chunk.moduleIds : []));
  writeFileSync(path.join(folder, "LICENSES-BUNDLED.md"), licensesOf(bundled));
}

/** What npm starts as `outcore` is the emitted file itself: it needs a first line that names Node. */
function makeExecutable(file: string): void {
  const text = readFileSync(file, "utf8").replace(/^#!.*\n/, "");
  writeFileSync(file, `#!/usr/bin/env node\n${text}`);
  chmodSync(file, 0o755);
}

/** esm/ and types/ side by side is the shape that dnt gives a package. */
async function writeMain(manifest: Manifest, folder: string, libraries: readonly BuiltLibrary[]): Promise<void> {
  emitTypes(folder, Object.values(manifest.exports));
  await emitModules(folder, [...Object.values(manifest.exports), CLI], Object.keys(manifest.dependencies));
  const bin = emitted("esm", CLI, ".js").slice(2);
  makeExecutable(path.join(folder, bin));
  for (const name of ["README.md", "LICENSE", "CHANGELOG.md"]) {
    if (existsSync(path.join(ROOT, name))) copyFileSync(path.join(ROOT, name), path.join(folder, name));
  }
  const { name, version, description, keywords, license, author, engines, dependencies } = manifest;
  const exports = Object.entries(manifest.exports).map(([entry, source]) => [
    entry,
    { types: emitted("types", source, ".d.ts"), default: emitted("esm", source, ".js") },
  ]);
  writeJson(path.join(folder, "package.json"), {
    name,
    version,
    description,
    keywords,
    license,
    author,
    type: "module",
    engines,
    exports: { ...Object.fromEntries(exports), "./package.json": "./package.json" },
    bin: { outcore: bin },
    files: ["esm", "types", "CHANGELOG.md", "LICENSES-BUNDLED.md"],
    dependencies,
    optionalDependencies: Object.fromEntries(libraries.map(({ target }) => [`@${name}/${target.name}`, version])),
  });
}

function writeNative(manifest: Manifest, folder: string, { target, library }: BuiltLibrary): void {
  const { name, version, license, author } = manifest;
  copyFileSync(library, path.join(folder, target.file));
  copyFileSync(path.join(ROOT, "LICENSE"), path.join(folder, "LICENSE"));
  writeFileSync(
    path.join(folder, "README.md"),
    `The C library of ${name} for ${target.name}. Install ${name} instead.\n`,
  );
  writeJson(path.join(folder, "package.json"), {
    name: `@${name}/${target.name}`,
    version,
    description: `The C library of ${name} for ${target.name}`,
    license,
    author,
    os: [target.os],
    cpu: [target.cpu],
    ...(target.libc && { libc: [target.libc] }),
    files: [target.file],
  });
}

/**
 * Writes the publishable packages into a folder that is emptied first: outcore/, and <target>/ for every library.
 * @returns the packages' folders, the native ones first: that is the order to publish in.
 */
export async function writePackages(dist: string, libraries: readonly BuiltLibrary[]): Promise<string[]> {
  const manifest = JSON.parse(readFileSync(path.join(ROOT, "package.json"), "utf8")) as Manifest;
  rmSync(dist, { recursive: true, force: true });
  const folderFor = (name: string): string => {
    const folder = path.join(dist, name);
    mkdirSync(folder, { recursive: true });
    return folder;
  };
  const natives = libraries.map((built) => {
    const folder = folderFor(built.target.name);
    writeNative(manifest, folder, built);
    return folder;
  });
  const main = folderFor(manifest.name);
  await writeMain(manifest, main, libraries);
  return [...natives, main];
}
