import { native } from "../../ffi/load.ts";
import { builtin } from "../builtins.ts";
import type { DataFile } from "./data-file.ts";

/** First line of every lock file that is not empty. */
const TITLE = "outcore lock";

/** Bytes of the record: fixed, so that one write replaces it whole. */
const RECORD = 256;

/** A file of /proc without its line end; undefined where the system or the runtime does not show it. */
function readProc(path: string): string | undefined {
  try {
    return builtin("fs").readFileSync(path, "utf8").trim();
  } catch (error) {
    return (error as { code?: string }).code === "ENOENT" && builtin("process").platform === "linux" ? "" : undefined;
  }
}

/** When a process started, in clock ticks since boot; "" when there is no such process, undefined when nobody tells. */
function startOf(pid: number | "self"): string | undefined {
  const stat = readProc(`/proc/${pid}/stat`);
  /* The second field is a name in parentheses that may itself hold spaces; the start is the 20th after it. */
  return stat === undefined || stat === "" ? stat : stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}

let own: string | undefined;

/** What this process writes about itself. */
function ownRecord(): string {
  if (own === undefined) {
    const started = startOf("self") || "unknown";
    const boot = readProc("/proc/sys/kernel/random/boot_id") || "unknown";
    const text = `${TITLE}\npid ${native().calls.oc_pid()}\nstarted ${started}\nboot ${boot}\n`;
    own = text
      .padEnd(RECORD - 1)
      .slice(0, RECORD - 1)
      .concat("\n");
  }
  return own;
}

function readRecord(file: DataFile): string {
  const size = Math.min(file.size(), RECORD);
  const bytes = new Uint8Array(size);
  const got = native().calls.oc_pread(file.fd, bytes, 0, size, 0);
  return new TextDecoder().decode(bytes.subarray(0, Math.max(0, got)));
}

/** True unless the file holds something that no lock wrote, and that writing a holder would destroy. */
export function isLockFile(file: DataFile): boolean {
  const text = readRecord(file);
  return text === "" || text.startsWith(`${TITLE}\n`);
}

/** Writes who holds the lock. Information only: a full disk is no reason not to have it. */
export function writeHolder(file: DataFile): void {
  const bytes = new TextEncoder().encode(ownRecord());
  native().calls.oc_pwrite(file.fd, bytes, 0, bytes.length, 0);
}

/** Takes back what `writeHolder` wrote, unless another holder's record has replaced it. */
export function eraseHolder(file: DataFile): void {
  if (readRecord(file) === ownRecord()) native().calls.oc_truncate(file.fd, 0);
}

/** "process 123" for the process that wrote itself into the file; undefined when there is none that still runs. */
export function readHolder(file: DataFile): string | undefined {
  const text = readRecord(file);
  const [, pid, started, boot] = /^outcore lock\npid (\d+)\nstarted (\S+)\nboot (\S+)\n/.exec(text) ?? [];
  if (pid === undefined) return undefined;
  const bootNow = readProc("/proc/sys/kernel/random/boot_id") || "unknown";
  if (boot !== bootNow) return undefined;
  const runs = startOf(Number(pid));
  if (runs !== undefined && started !== "unknown" && runs !== started) return undefined;
  return `process ${pid}${Number(pid) === native().calls.oc_pid() ? " (this one)" : ""}`;
}
