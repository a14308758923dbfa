import { native } from "../../ffi/load.ts";
import { builtin } from "../builtins.ts";
import type { DataFile } from "./data-file.ts";

/** Numbers that nobody else in the process comes to. Each is given out once per round, so none soon means another file. */
const FIRST = 1000;
const LAST = 60_000;
const MOST = 256;
const KEPT = 60_000;
const CHECKED = 5_000;

/** A duplicate that a path names. */
interface Kept {
  readonly number: number;
  used: number;
}

/** By file, the one used longest ago first. */
const kept = new Map<string, Kept>();
let next = FIRST;
let timer: ReturnType<typeof setInterval> | undefined;

function drop(file: string, { number }: Kept): void {
  kept.delete(file);
  native().calls.oc_close(number, 0);
  if (kept.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}

/** Lets go of what was not used for `milliseconds`. */
export function dropUnused(milliseconds: number): void {
  const limit = performance.now() - milliseconds;
  for (const [file, one] of kept) if (one.used <= limit) drop(file, one);
}

/** A duplicate with the next number; undefined when the process may have none. */
function duplicate(fd: number): number | undefined {
  for (const least of [next, FIRST]) {
    const number = native().calls.oc_dup(fd, least);
    if (number < 0) continue;
    next = number >= LAST ? FIRST : number + 1;
    return number;
  }
  return undefined;
}

/**
 * A path by which a runtime opens this very file again, wherever its name leads by now: good for a minute, afterwards it
 * names nothing. Undefined where there is none such, or too many are in use.
 */
export function reopeningPath(file: DataFile): string | undefined {
  if (builtin("process").platform !== "linux") return undefined;
  const { device, inode } = file.identity;
  const name = `${device}:${inode}`;
  let one = kept.get(name);
  if (one === undefined) {
    dropUnused(KEPT);
    const number = kept.size < MOST ? duplicate(file.fd) : undefined;
    if (number === undefined) return undefined;
    one = { number, used: 0 };
    timer ??= setInterval(() => dropUnused(KEPT), CHECKED);
    timer.unref?.();
  }
  one.used = performance.now();
  kept.delete(name);
  kept.set(name, one);
  return `/proc/self/fd/${one.number}`;
}
