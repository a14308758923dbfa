import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, it } from "vitest";
import { type Koffi, open as openKoffi } from "../../ffi/koffi.ts";
import { loadLibrary, native, requireVersion } from "../../ffi/load.ts";
import { locateLibrary } from "../../ffi/locate.ts";
import { ABI, symbols } from "../../ffi/symbols.ts";
import { hostTarget } from "../../ffi/target.ts";
import { findRuntime, type RuntimeName } from "../../scripts/runtimes.ts";
import {
  AbiMismatchError,
  ForeignBufferError,
  LibraryNotFoundError,
  UnsupportedPlatformError,
  UnsupportedRuntimeError,
} from "../../src/errors.ts";
import { fixture, root } from "../support/run.ts";
import { cleanTempAfterEach, tempFile, tempFolder } from "../support/temp.ts";

cleanTempAfterEach();

interface Loaded {
  backend?: string;
  name?: string;
  code?: string;
  message?: string;
  tried?: string[];
}

const library = native().libraryPath;

/** Loads the library in a child process of any runtime. */
function loadIn(name: RuntimeName, flags: readonly string[], env: Record<string, string>, script?: string): Loaded {
  const { command } = findRuntime(name);
  const inherited = { ...process.env, OUTCORE_LIBRARY: library };
  Reflect.deleteProperty(inherited, "OUTCORE_BACKEND");
  const run = spawnSync(command, [...flags, script ?? fixture("load.ts")], {
    cwd: root,
    env: { ...inherited, ...env },
    encoding: "utf8",
  });
  assert.equal(run.status, 0, run.stderr);
  return JSON.parse(run.stdout) as Loaded;
}

const DENO = ["run", "--no-check", "--quiet"] as const;

/** A copy of what loads the library, in a place without node_modules and without a build. */
function loaderElsewhere(): string {
  const folder = tempFolder();
  fs.cpSync(path.join(root, "ffi"), path.join(folder, "ffi"), { recursive: true });
  fs.mkdirSync(path.join(folder, "src"));
  for (const file of ["errors.ts", "builtins.ts"])
    fs.copyFileSync(path.join(root, "src", file), path.join(folder, "src", file));
  fs.mkdirSync(path.join(folder, "test", "fixtures"), { recursive: true });
  fs.writeFileSync(path.join(folder, "package.json"), '{ "type": "module" }');
  const script = path.join(folder, "test", "fixtures", "load.ts");
  fs.copyFileSync(fixture("load.ts"), script);
  return script;
}

/** A shared library made of C text. */
function compileLibrary(source: string): string {
  const folder = tempFolder();
  fs.writeFileSync(path.join(folder, "lib.c"), source);
  const file = path.join(folder, hostTarget().file);
  const run = spawnSync("cc", ["-shared", "-fPIC", "-o", file, path.join(folder, "lib.c")], { encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
  return file;
}

describe("the platform", () => {
  it("has a target per system, processor and C library", () => {
    assert.match(hostTarget("linux", "x64").name, /^linux-x64-(gnu|musl)$/);
    assert.deepEqual(hostTarget("darwin", "arm64"), { name: "darwin-arm64", file: "liboutcore.dylib" });
    assert.deepEqual(hostTarget("win32", "x64"), { name: "win32-x64", file: "outcore.dll" });
  });

  it("is refused with advice when there is no library for it", () => {
    for (const [system, processor] of [
      ["sunos", "x64"],
      ["linux", "ia32"],
      ["freebsd", "arm64"],
    ] as const)
      assert.throws(
        () => hostTarget(system, processor),
        (error: unknown) => error instanceof UnsupportedPlatformError && /OUTCORE_LIBRARY/.test(error.message),
      );
  });
});

describe("the runtime's version", () => {
  it("may be the oldest or any newer", () => {
    for (const [name, version] of [
      ["bun", "1.3.0"],
      ["bun", "2.0.0"],
      ["deno", "2.4.1"],
      ["node", "22.12.0"],
      ["node", "26.1.0"],
    ] as const)
      requireVersion(name, version);
  });

  it("is refused when older, with what is needed", () => {
    for (const [name, version] of [
      ["bun", "1.2.22"],
      ["deno", "2.3.9"],
      ["deno", "1.46.3"],
      ["node", "20.19.0"],
      ["node", "22.11.0"],
    ] as const)
      assert.throws(
        () => requireVersion(name, version),
        (error: unknown) => error instanceof UnsupportedRuntimeError && error.message.includes(`${name} >=`),
      );
  });
});

describe("the library", () => {
  it("is the one that OUTCORE_LIBRARY names, else that of this tree", () => {
    assert.ok(fs.existsSync(locateLibrary()));
    assert.ok(loadLibrary(locateLibrary()).calls.oc_page_size() > 0);
  });

  it("is loaded anew without harm", () => {
    const again = loadLibrary(library);
    assert.equal(again.calls.oc_shared(), native().calls.oc_shared());
  });

  it("is missing: OUTCORE_LIBRARY names nothing", () => {
    const loaded = loadIn("node24", [], { OUTCORE_LIBRARY: "/does/not/exist.so" });
    assert.equal(loaded.name, "LibraryNotFoundError");
    assert.deepEqual(loaded.tried, ["/does/not/exist.so"]);
    assert.match(loaded.message ?? "", /build\.ts/);
  });

  it("is missing: neither built nor installed", () => {
    const script = loaderElsewhere();
    for (const [name, flags] of [
      ["bun", []],
      ["deno", [...DENO, "-A"]],
      ["node24", []],
    ] as const) {
      const loaded = loadIn(name, flags, { OUTCORE_LIBRARY: "" }, script);
      assert.equal(loaded.name, "LibraryNotFoundError", name);
      assert.ok((loaded.tried?.length ?? 0) >= 2, name);
    }
  });

  it("is no library", () => {
    const head = tempFile(fs.readFileSync(library).subarray(0, 40), "head.so");
    for (const file of [tempFile("text"), tempFile(""), head, tempFolder()])
      assert.throws(
        () => loadLibrary(file),
        (error: unknown) => error instanceof LibraryNotFoundError && error.tried.includes(file) && !!error.cause,
        file,
      );
  });

  it("is of another version: other ABI number", () => {
    const source = Object.keys(symbols).map((name) => `double ${name}(void) { return ${name === "oc_abi" ? 99 : 0}; }`);
    const file = compileLibrary(source.join("\n"));
    assert.throws(
      () => loadLibrary(file),
      (error: unknown) => error instanceof AbiMismatchError && /99/.test(error.message),
    );
  });

  it("is of another version: functions are missing", () => {
    for (const source of [`double oc_abi(void) { return ${ABI}; }`, "int something_else(void) { return 1; }"]) {
      const file = compileLibrary(source);
      assert.throws(
        () => loadLibrary(file),
        (error: unknown) => error instanceof AbiMismatchError && error.message.includes(file),
      );
    }
  });
});

describe("the permission to call C", () => {
  it("is asked for in Deno", () => {
    const some = ["--allow-read", "--allow-env"];
    for (const flags of [some, [...some, `--allow-ffi=${root}`], ["--allow-read"]]) {
      const loaded = loadIn("deno", [...DENO, ...flags], {});
      assert.equal(loaded.name, "FfiPermissionError", flags.join(" "));
      assert.match(loaded.message ?? "", /--allow-ffi --allow-read/);
    }
  });

  it("is all that Deno needs beside reading", () => {
    assert.equal(loadIn("deno", [...DENO, "--allow-ffi", "--allow-read"], {}).backend, "deno-ffi");
  });

  it("is asked for under Node's permission model", () => {
    for (const [name, env] of [
      ["node22", {}],
      ["node24", {}],
      ["node26", {}],
      ["node26", { OUTCORE_BACKEND: "node-ffi" }],
    ] as const) {
      const loaded = loadIn(name, ["--permission", "--allow-fs-read=*"], env);
      assert.equal(loaded.name, "FfiPermissionError", `${name} ${JSON.stringify(env)}: ${loaded.message}`);
    }
  });
});

describe("the backend", () => {
  it("is koffi in Node, or node:ffi where OUTCORE_BACKEND asks for it", () => {
    assert.equal(loadIn("node24", [], {}).backend, "koffi");
    assert.equal(loadIn("node26", [], { OUTCORE_BACKEND: "koffi" }).backend, "koffi");
    assert.equal(loadIn("node26", [], { OUTCORE_BACKEND: "node-ffi" }).backend, "node-ffi");
    assert.equal(loadIn("node24", [], { OUTCORE_BACKEND: "node-ffi" }).name, "UnsupportedRuntimeError");
  });

  it("is node:ffi where koffi is absent, from Node 26 on", () => {
    const script = loaderElsewhere();
    assert.equal(loadIn("node26", [], {}, script).backend, "node-ffi");
    const loaded = loadIn("node24", [], {}, script);
    assert.equal(loaded.name, "UnsupportedRuntimeError");
    assert.match(loaded.message ?? "", /npm install koffi/);
    assert.equal(loadIn("node26", [], { OUTCORE_BACKEND: "koffi" }, script).name, "UnsupportedRuntimeError");
  });

  it("is refused when OUTCORE_BACKEND is nonsense", () => {
    const loaded = loadIn("node24", [], { OUTCORE_BACKEND: "nonsense" });
    assert.equal(loaded.name, "InvalidArgumentError");
    assert.match(loaded.message ?? "", /"koffi" or "node-ffi"/);
  });

  it("is refused where the engine forbids foreign buffers, as Electron's does", () => {
    const electron: Koffi = {
      load: () => ({ func: (name) => () => (name === "oc_abi" ? ABI : 0) }),
      view() {
        throw new Error("External buffers are not allowed");
      },
    };
    assert.throws(
      () => openKoffi(library, electron),
      (error: unknown) => error instanceof ForeignBufferError && /Electron/.test(error.message),
    );
  });
});
