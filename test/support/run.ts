import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const versions = process.versions as Record<string, string | undefined>;

/** The runtime that this test runs in. */
export const runtime: "bun" | "deno" | "node" =
  versions.bun !== undefined ? "bun" : versions.deno !== undefined ? "deno" : "node";

/** Major version of Node, 0 in Bun and Deno. */
export const nodeMajor: number = runtime === "node" ? Number.parseInt(process.versions.node, 10) : 0;

/** The project's root folder. */
export const root: string = fileURLToPath(new URL("../../", import.meta.url));

/** Path of a script under test/fixtures/. */
export function fixture(name: string): string {
  return path.join(root, "test", "fixtures", name);
}

export interface RunOptions {
  /** Environment on top of this process's own; undefined removes a variable. */
  env?: Record<string, string | undefined>;
  /** Flags of the runtime before the script. Default: what it takes to use the library and `gc`. */
  flags?: readonly string[];
  /** A shell command that runs first in the same process, such as "ulimit -n 64". */
  shell?: string;
  /** Working folder. Default: the project's root. */
  cwd?: string;
  /** Milliseconds after which the child is killed. Default 30 000. */
  timeout?: number;
}

export interface RunResult {
  /** Exit code, null when a signal ended it. */
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** Flags with which this runtime runs a script with everything allowed and `gc` at hand (see `collect`). */
export function defaultFlags(): string[] {
  switch (runtime) {
    case "bun":
      return [];
    case "deno":
      return ["run", "--no-check", "-A", "--quiet", "--v8-flags=--expose-gc"];
    case "node":
      return ["--expose-gc", "--disable-warning=ExperimentalWarning"];
  }
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Starts a script in a child process of the same runtime; its streams are pipes. */
export function start(script: string, args: readonly string[] = [], options: RunOptions = {}): ChildProcess {
  const { env = {}, flags = defaultFlags(), shell, cwd = root } = options;
  const words = [...flags, script, ...args];
  const merged: Record<string, string> = {};
  for (const [name, value] of Object.entries({ ...process.env, ...env })) if (value !== undefined) merged[name] = value;
  const settings: SpawnOptions = { cwd, env: merged, stdio: ["pipe", "pipe", "pipe"] };
  if (shell === undefined) return spawn(process.execPath, words, settings);
  return spawn("sh", ["-c", `${shell}; exec ${[process.execPath, ...words].map(quote).join(" ")}`], settings);
}

/** Waits for the end of a child and returns what it said. */
export function finish(child: ChildProcess, timeout = 30_000): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const out: Uint8Array[] = [];
    const err: Uint8Array[] = [];
    child.stdout?.on("data", (chunk: Uint8Array) => out.push(chunk));
    child.stderr?.on("data", (chunk: Uint8Array) => err.push(chunk));
    const timer = setTimeout(() => child.kill("SIGKILL"), timeout);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      const text = (chunks: Uint8Array[]): string => new TextDecoder().decode(Buffer.concat(chunks));
      resolve({ code, signal, stdout: text(out), stderr: text(err) });
    });
  });
}

/** Runs a script in a child process of the same runtime. */
export function run(script: string, args: readonly string[] = [], options: RunOptions = {}): Promise<RunResult> {
  const child = start(script, args, options);
  child.stdin?.end();
  return finish(child, options.timeout);
}

/** Waits until a child has printed a line that begins with `prefix`, and returns that line. */
export function line(child: ChildProcess, prefix: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const done = (): void => {
      child.stdout?.off("data", onData);
      child.off("close", onClose);
    };
    const onData = (chunk: Uint8Array): void => {
      text += new TextDecoder().decode(chunk);
      const found = text
        .split("\n")
        .slice(0, -1)
        .find((each) => each.startsWith(prefix));
      if (found === undefined) return;
      done();
      resolve(found);
    };
    const onClose = (code: number | null, signal: string | null): void => {
      done();
      reject(new Error(`the child ended (${code ?? signal}) before it printed "${prefix}": ${text}`));
    };
    child.stdout?.on("data", onData);
    child.on("close", onClose);
  });
}

interface Collectors {
  gc?: () => void;
  Bun?: { gc(force: boolean): void };
}

/** Collects garbage now and lets finalizers run. False where the runtime offers no way (no --expose-gc). */
export async function collect(): Promise<boolean> {
  const { gc, Bun } = globalThis as unknown as Collectors;
  const force = Bun === undefined ? gc : () => Bun.gc(true);
  if (force === undefined) return false;
  for (let i = 0; i < 4; i++) {
    force();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return true;
}
