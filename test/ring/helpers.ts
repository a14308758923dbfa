import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { findCompiler } from "../../scripts/build/compile.ts";
import { findRuntime, type RuntimeName } from "../../scripts/runtimes.ts";

let serial = 0;

/** What every name of this process begins with: other test files run at the same time. */
export const prefix: string = `outcore-test-${process.pid}-`;

/** A name that nobody else uses. */
export function freshName(what: string): string {
  return `${prefix}${what}-${serial++}`;
}

/** To be called once at the top of a test file: what its tests left in shared memory is removed, also after a failure. */
export function cleanRingsAfterAll(): void {
  afterAll(() => {
    for (const name of readdirSync("/dev/shm"))
      if (name.startsWith(prefix)) rmSync(`/dev/shm/${name}`, { recursive: true, force: true });
  });
}

export const long: boolean = process.env.OUTCORE_LONG === "1";
export const seed: number = Number(process.env.OUTCORE_SEED ?? "20261121");

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
export function random(start: number): () => number {
  let state = start | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function fixture(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`fixtures/${name}`, import.meta.url)));
}

/** Puts bytes under a name in shared memory, as a foreign program would. */
export function plant(name: string, bytes: Uint8Array, mode = 0o600): void {
  writeFileSync(`/dev/shm/${name}`, bytes, { mode });
}

export function unplant(name: string): void {
  rmSync(`/dev/shm/${name}`, { force: true });
}

export function exists(name: string): boolean {
  return existsSync(`/dev/shm/${name}`);
}

/** Compiles test/ring/fixtures/NAME.c, with more sources and flags, into a folder of its own, which goes with the process. */
export function program(
  name: string,
  more: readonly string[] = [],
  compiler: readonly string[] = findCompiler(),
): string {
  const folder = mkdtempSync(path.join(tmpdir(), "outcore-ring-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const [command = "", ...flags] = compiler;
  const source = fileURLToPath(new URL(`fixtures/${name}.c`, import.meta.url));
  const out = path.join(folder, name);
  const warnings = ["-Wall", "-Wextra"];
  const run = spawnSync(command, [...flags, "-O2", "-std=gnu11", ...warnings, source, ...more, "-o", out], {
    encoding: "utf8",
  });
  if (run.status !== 0) throw new Error(`${name}.c does not compile: ${run.stderr}`);
  return out;
}

/** The runtime that this test runs in, as a name that `peer` takes. */
export function here(): RuntimeName {
  const versions = process.versions as Record<string, string | undefined>;
  if (versions.bun) return "bun";
  if (versions.deno) return "deno";
  const major = process.versions.node.split(".")[0];
  return major === "22" ? "node22" : major === "26" ? "node26" : "node24";
}

export interface Peer {
  readonly pid: number;
  /** The next line that it prints; undefined at its end. */
  line(): Promise<string | undefined>;
  kill(): void;
  readonly exit: Promise<number | null>;
  write(line: string): void;
  /** Ends its standard input. */
  end(): void;
}

/** The command that runs a module in a runtime, and what its environment must have. */
export function runs(runtime: RuntimeName, file: URL): { words: string[]; env: Record<string, string> } {
  const { command, kind, env } = findRuntime(runtime);
  const start = kind === "deno" ? ["run", "-A", "--no-check"] : [];
  return { words: [command, ...start, fileURLToPath(file)], env };
}

/** Starts test/ring/peer.worker.ts in a runtime. */
export function peer(runtime: RuntimeName, ...args: string[]): Peer {
  const { words, env } = runs(runtime, new URL("peer.worker.ts", import.meta.url));
  return start([...words, ...args], env);
}

/** Starts a program whose lines of output can be awaited. */
export function start(words: readonly string[], env: Record<string, string> = {}): Peer {
  const [command = "", ...args] = words;
  const child = spawn(command, args, {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...env, NODE_NO_WARNINGS: "1" },
  });
  const lines: string[] = [];
  const waiting: ((line: string | undefined) => void)[] = [];
  let rest = "";
  let ended = false;
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (chunk: string) => {
    rest += chunk;
    const parts = rest.split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) {
      const resolve = waiting.shift();
      if (resolve) resolve(part);
      else lines.push(part);
    }
  });
  const exit = new Promise<number | null>((resolve) => {
    child.on("close", (code) => {
      ended = true;
      for (const each of waiting) each(undefined);
      resolve(code);
    });
  });
  return {
    pid: child.pid ?? -1,
    line: () =>
      new Promise((resolve) => {
        const next = lines.shift();
        if (next !== undefined || ended) resolve(next);
        else waiting.push(resolve);
      }),
    kill: () => void child.kill("SIGKILL"),
    exit,
    write: (line) => void child.stdin.write(`${line}\n`),
    end: () => void child.stdin.end(),
  };
}
