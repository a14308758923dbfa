import { native } from "../../ffi/load.ts";
import { check, errnoName } from "./check.ts";
import type { DataFile } from "./data-file.ts";

/**
 * The next stretch of data at or after `offset` and before `end`; undefined when only holes follow. A file system that
 * knows no holes has one stretch.
 */
export function nextData(file: DataFile, offset: number, end: number): { offset: number; end: number } | undefined {
  const { calls } = native();
  const data = calls.oc_seek(file.fd, offset, 0);
  if (data < 0) {
    const errno = errnoName(-data);
    if (errno === "ENXIO") return undefined;
    if (errno === "EINVAL" || errno === "ENOSYS") return { offset, end };
    check(data, "seek in", file.path);
  }
  if (data >= end) return undefined;
  const hole = calls.oc_seek(file.fd, data, 1);
  return { offset: data, end: hole > data ? Math.min(hole, end) : end };
}
