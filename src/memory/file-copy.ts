import { native } from "../../ffi/load.ts";
import { check, errnoName } from "./check.ts";
import type { DataFile } from "./data-file.ts";
import { type Job, JobKind } from "./job.ts";
import { startJob } from "./pump.ts";

/** Makes all of `target` share the blocks of `source`. False where the file system cannot. */
export function cloneFile(source: DataFile, target: DataFile): boolean {
  return native().calls.oc_clone(source.fd, target.fd) >= 0;
}

/**
 * Copies between files inside the kernel, sharing blocks where the file system can. Returns how many bytes were copied:
 * fewer than `count` where the system cannot, or the source ends.
 *
 * @throws {DiskFullError} when there is no room.
 */
export function copyRange(
  source: DataFile,
  offset: number,
  target: DataFile,
  targetOffset: number,
  count: number,
): number {
  const { calls } = native();
  for (let done = 0; ; ) {
    const moved = calls.oc_copy_range(source.fd, offset + done, target.fd, targetOffset + done, count - done);
    if (moved < 0 && errnoName(-moved) === "ENOSPC") check(moved, "write", target.path);
    if (moved <= 0) return done;
    done += moved;
    if (done === count) return done;
  }
}

/** Starts copying between files inside the kernel. */
export function copyRangeLater(
  source: DataFile,
  offset: number,
  target: DataFile,
  targetOffset: number,
  count: number,
): Job {
  return startJob(JobKind.copyRange, target.fd, source.fd, offset, targetOffset, count);
}
