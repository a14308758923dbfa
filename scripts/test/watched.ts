import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { stripVTControlCharacters } from "node:util";

export interface WatchedOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Milliseconds without output after which it is ended. */
  readonly silence: number;
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** Enough of the end of what was printed to find the last lines in. */
const REMEMBERED = 4096;

/** Ends a process and those that it started: it leads a group of its own. */
function endAll(child: ChildProcess): void {
  if (child.pid === undefined) return;
  if (process.platform === "win32") {
    spawnSync("taskkill", ["/F", "/T", "/PID", String(child.pid)]);
    return;
  }
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    /* All of them have ended. */
  }
}

/** The last file of tests that was named, and the last line. */
function lastPrinted(text: string): string {
  const lines = stripVTControlCharacters(text)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const last = lines.at(-1) ?? "nothing";
  const file = lines.findLast((line) => line.includes(".test.ts"));
  return file === undefined || file === last ? last : `${file} ${last}`;
}

/**
 * Runs a command and passes on what it prints. One that prints nothing for too long, because it spins or waits for what
 * never comes, is ended with its children: nothing within it could do that. Resolves to how it ended, when not well.
 */
export function runWatched(
  command: string,
  args: readonly string[],
  { cwd, env, silence }: WatchedOptions,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const stdio = ["ignore", "pipe", "pipe"] as const;
    const child = spawn(command, args, { cwd, env, stdio: [...stdio], detached: process.platform !== "win32" });
    let printed = "";
    let ended: string | undefined;
    const timer = setTimeout(() => {
      ended = `no output for ${Math.round(silence / 1000)} seconds; the last was: ${lastPrinted(printed)}`;
      endAll(child);
    }, silence);
    const stop = (signal: NodeJS.Signals): void => {
      endAll(child);
      process.exit(signal === "SIGINT" ? 130 : 143);
    };
    for (const signal of SIGNALS) process.on(signal, stop);
    const finish = (ending: string | undefined): void => {
      clearTimeout(timer);
      for (const signal of SIGNALS) process.off(signal, stop);
      resolve(ended ?? ending);
    };
    for (const from of ["stdout", "stderr"] as const)
      child[from]?.on("data", (bytes: Buffer) => {
        timer.refresh();
        process[from].write(bytes);
        printed = (printed + bytes.toString()).slice(-REMEMBERED);
      });
    child.on("error", (error) => finish(error.message));
    child.on("close", (code, signal) =>
      finish(code === 0 ? undefined : signal === null ? `exit code ${code}` : `signal ${signal}`),
    );
  });
}
