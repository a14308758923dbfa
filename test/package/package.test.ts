import assert from "node:assert/strict";
import { copyFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, it } from "vitest";
import { root } from "../support/run.ts";
import { cleanTemp, tempFolder } from "../support/temp.ts";
import { packEverything, succeed } from "./project.ts";
import { type Registry, type ServedPackage, startRegistry } from "./registry.ts";

const modules = path.join(root, "node_modules");
const bun = path.join(modules, ".bin", "bun");
const deno = path.join(modules, ".bin", "deno");
const node = (major: number): string => path.join(modules, `node${major}`, "bin", "node");
const use = path.join(root, "test", "package", "fixtures", "use.ts");
const answer = "a line|text|NotFoundError\n";

/** `deno compile` starts from a part of Deno that it fetches from Deno's own server, unless told where it is. */
async function findsDenort(): Promise<boolean> {
  if (process.env.DENORT_BIN !== undefined) return true;
  const answers = fetch("https://dl.deno.land/release-latest.txt", { signal: AbortSignal.timeout(3000) });
  return answers.then((response) => response.ok).catch(() => false);
}

const denort = await findsDenort();

describe("the npm packages", () => {
  let packages: ServedPackage[];
  let registry: Registry;
  let home: string;

  /** What makes npm, Bun and Deno ask the registry of this test, and nothing else, with empty caches. */
  const settings = (): Record<string, string> => ({
    HOME: home,
    DENO_DIR: path.join(home, "deno"),
    npm_config_registry: registry.url,
    NPM_CONFIG_REGISTRY: registry.url,
    BUN_CONFIG_REGISTRY: registry.url,
  });

  /** An empty project with a program that uses the package. */
  const project = (): string => {
    const folder = tempFolder();
    writeFileSync(path.join(folder, "package.json"), `{ "name": "app", "private": true, "type": "module" }\n`);
    copyFileSync(use, path.join(folder, "use.ts"));
    return folder;
  };

  const npmProject = async (): Promise<string> => {
    const folder = project();
    await succeed(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "outcore"], folder, settings());
    return folder;
  };

  let installed: string;

  beforeAll(async () => {
    home = tempFolder();
    packages = await packEverything(home);
    registry = await startRegistry(packages);
    installed = await npmProject();
  }, 120_000);

  afterAll(async () => {
    await registry?.close();
    cleanTemp();
  });

  it("hold no TypeScript sources, no tests and no dependency of the checkout", () => {
    const folder = path.join(installed, "node_modules", "outcore");
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
    assert.ok(files.every((file) => !/(^|[^d])\.ts$|test/.test(file) || file.endsWith(".d.ts")));
    const names = readdirSync(path.join(installed, "node_modules"));
    assert.ok(!names.some((name) => /^node\d|vitest|typescript|^bun|^deno/.test(name)), names.join(" "));
  });

  it("install the library of this platform only", () => {
    assert.equal(readdirSync(path.join(installed, "node_modules", "@outcore")).length, 1);
  });

  for (const major of [22, 24, 26]) {
    it(`work in Node ${major}`, async () => {
      assert.equal(await succeed([node(major), "use.ts"], installed), answer);
    });
  }

  it("work in Node 26 without koffi", async () => {
    const env = { OUTCORE_BACKEND: "node-ffi" };
    assert.equal(await succeed([node(26), "use.ts"], installed, env), answer);
  });

  it("can be required from CommonJS", async () => {
    const code = `console.log(typeof require("outcore").Mapping, typeof require("outcore/window").WindowManager)`;
    assert.equal(await succeed([node(22), "--no-warnings", "-e", code], installed), "function function\n");
  });

  it("work in Bun, installed by Bun", async () => {
    const folder = project();
    await succeed([bun, "add", "outcore"], folder, settings());
    assert.equal(await succeed([bun, "use.ts"], folder), answer);
  });

  it("work in Deno, installed by Deno", async () => {
    const folder = project();
    await succeed([deno, "add", "--quiet", "npm:outcore"], folder, settings());
    assert.equal(await succeed([deno, "run", "--quiet", "-A", "use.ts"], folder, settings()), answer);
  });

  it("carry types that a strict project accepts", async () => {
    const options = { strict: true, module: "nodenext", target: "es2024", lib: ["es2024", "esnext.disposable"] };
    const types = { types: ["node"], typeRoots: [path.join(modules, "@types")], noEmit: true };
    const config = { compilerOptions: { ...options, ...types }, files: ["use.ts"] };
    writeFileSync(path.join(installed, "tsconfig.json"), JSON.stringify(config));
    await succeed([bun, path.join(modules, "typescript", "bin", "tsc"), "-p", "."], installed);
  });

  it("install the command outcore", async () => {
    const bin = path.join("node_modules", ".bin", "outcore");
    assert.match(await succeed([node(24), bin, "doctor"], installed), /koffi/);
    const folder = path.join("node_modules", "outcore");
    for (const [chapter, said] of [
      ["rings", /fast +\d/],
      ["arrays", /opened again in/],
    ] as const)
      assert.match(await succeed([node(24), bin, "tour", folder, "--chapter", chapter], installed), said);
  }, 120_000);

  /** A compiled program, moved away from the project, with the C library beside it. */
  const ship = (program: string): string => {
    const folder = tempFolder();
    copyFileSync(program, path.join(folder, "app"));
    const native = readdirSync(path.join(installed, "node_modules", "@outcore"))[0] ?? "";
    copyFileSync(
      path.join(installed, "node_modules", "@outcore", native, "liboutcore.so"),
      path.join(folder, "liboutcore.so"),
    );
    return path.join(folder, "app");
  };

  it("work in a program that bun build --compile made", async () => {
    await succeed([bun, "build", "--compile", "use.ts", "--outfile", "bun-app"], installed);
    assert.equal(await succeed([ship(path.join(installed, "bun-app"))], home), answer);
  });

  it.skipIf(!denort)("work in a program that deno compile made", async () => {
    await succeed([deno, "compile", "--quiet", "--no-check", "-A", "-o", "deno-app", "use.ts"], installed);
    assert.equal(await succeed([ship(path.join(installed, "deno-app"))], home), answer);
  });
});
