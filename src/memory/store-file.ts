import { native } from "../../ffi/load.ts";
import { builtin } from "../builtins.ts";
import { UnsupportedFileError } from "../errors.ts";
import { check, checkBytes, errorFor, pathBytes } from "./check.ts";
import { DataFile } from "./data-file.ts";
import { nextData } from "./next-data.ts";
import type { PrivateView } from "./private-view.ts";

/** One step towards the disk, as a recorder of power losses sees it. */
export interface DiskStep {
  readonly kind: "open" | "write" | "truncate" | "sync" | "punch" | "create" | "remove" | "sync-folder";
  /** The file, or the folder. */
  readonly path: string;
  /** Where it begins; the new size for "truncate". */
  readonly offset: number;
  readonly length: number;
  /** The open file through which it is done: a sync that failed is told once to each. */
  readonly file: object | undefined;
  /** What is written; copied only when a recorder asks. */
  bytes(): Uint8Array;
}

/** Sees each step before it is done; throws to make it fail. Returns false to leave it undone. */
export type DiskObserver = (step: DiskStep) => boolean | undefined;

let observer: DiskObserver | undefined;

/** Lets a test see and break what engines do to their files. Undefined ends it. */
export function observeDisk(next: DiskObserver | undefined): void {
  observer = next;
}

const none = new Uint8Array(0);
const nothing = (): Uint8Array => none;

/** Where checksums of pages of so many bytes go. */
export interface PageSums {
  readonly page: number;
  /** One for each page. */
  readonly sums: Uint32Array;
}

/** Head and runs as they come to lie in the file. */
function gathered(length: number, head: Uint8Array, view: PrivateView, runs: Float64Array, count: number): Uint8Array {
  const all = new Uint8Array(length);
  all.set(head);
  let at = head.length;
  for (let i = 0; i < count; i++) {
    const part = view.bytes(runs[2 * i] ?? 0, runs[2 * i + 1] ?? 0);
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** True when the step is to be done. */
export function announce(
  kind: DiskStep["kind"],
  path: string,
  offset: number,
  length: number,
  bytes: () => Uint8Array = nothing,
  file?: object,
): boolean {
  return observer === undefined || observer({ kind, path, offset, length, bytes, file }) !== false;
}

/** The error that a failing disk gives, for observers. */
export function diskError(errno: string, operation: string, path: string): Error {
  return errorFor(errno, operation, path);
}

const OPEN_DIRECTORY = 32;

/** Waits until the names in a folder are on the disk. */
export function syncFolder(path: string): void {
  if (!announce("sync-folder", path, 0, 0)) return;
  const { calls } = native();
  const fd = check(calls.oc_open(pathBytes(path), OPEN_DIRECTORY, 0), "open", path);
  const result = calls.oc_sync(fd, 0);
  calls.oc_close(fd, 0);
  check(result, "sync", path);
}

/**
 * Makes a folder, and those above it, for this user alone.
 * @throws {PermissionError} when the system or the runtime says no.
 * @throws {UnsupportedFileError} when something else has its place.
 */
export function makeFolder(path: string): void {
  try {
    builtin("fs").mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const { code = "EIO", name } = cause as { code?: string; name?: string };
    if (code === "EEXIST") throw new UnsupportedFileError(path, "no folder");
    throw errorFor(name === "NotCapable" ? "EACCES" : code, "make", path, cause);
  }
}

/** A file of a store: what a `DataFile` does, gathered writes out of a private mapping, and every step announced. */
export class StoreFile {
  readonly file: DataFile;
  readonly path: string;

  constructor(file: DataFile) {
    this.file = file;
    this.path = file.path;
    announce("open", file.path, 0, 0, nothing, this);
  }

  static open(path: string, writable: boolean): StoreFile {
    return new StoreFile(DataFile.open(path, writable));
  }

  static create(path: string, exclusive = true): StoreFile {
    announce("create", path, 0, 0);
    return new StoreFile(DataFile.create(path, { exclusive }));
  }

  size(): number {
    return this.file.size();
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.file.readInto(offset, bytes);
    return bytes;
  }

  /** Tells of ranges that are asked for from low to high, all before `end`, whether they are a hole. */
  holes(end: number): (offset: number, length: number) => boolean {
    let data: ReturnType<typeof nextData> = { offset: 0, end: 0 };
    return (offset, length) => {
      while (data !== undefined && data.end <= offset) data = nextData(this.file, offset, end);
      return data === undefined || data.offset >= offset + length;
    };
  }

  write(offset: number, bytes: Uint8Array): void {
    if (announce("write", this.path, offset, bytes.length, () => bytes.slice())) this.file.write(offset, bytes);
  }

  /** Writes `head`, then runs of the view behind it. Runs are pairs (start, length) in bytes. */
  writeRuns(offset: number, head: Uint8Array, view: PrivateView, runs: Float64Array, count: number): void {
    let length = head.length;
    for (let i = 0; i < count; i++) length += runs[2 * i + 1] ?? 0;
    if (!announce("write", this.path, offset, length, () => gathered(length, head, view, runs, count))) return;
    const { calls } = native();
    const headLength = head.length === 0 ? 0 : checkBytes("head", head);
    const done = calls.oc_write_runs(this.file.fd, offset, head, headLength, view.address, runs, count);
    check(done, "write", this.path);
  }

  /** Writes runs of the view one after the other, and the crc32c of each of their pages into `sums`. */
  logRuns(offset: number, view: PrivateView, runs: Float64Array, count: number, sums: PageSums): void {
    let length = 0;
    for (let i = 0; i < count; i++) length += runs[2 * i + 1] ?? 0;
    if (!announce("write", this.path, offset, length, () => gathered(length, none, view, runs, count))) return;
    const { calls } = native();
    const done = calls.oc_log_runs(this.file.fd, offset, view.address, runs, count, sums.page, sums.sums);
    check(done, "write", this.path);
  }

  /** Writes whole pages, and the crc32c of each into `sums`. */
  writePages(offset: number, bytes: Uint8Array, { page, sums }: PageSums): void {
    if (!announce("write", this.path, offset, bytes.length, () => bytes.slice())) return;
    const { calls } = native();
    const length = checkBytes("pages", bytes);
    check(calls.oc_write_pages(this.file.fd, offset, bytes, length, page, sums), "write", this.path);
  }

  /** Writes each run of the view at its own place in the file, and the crc32c of each of their pages into `sums`. */
  applyRuns(view: PrivateView, runs: Float64Array, count: number, { page, sums }: PageSums): void {
    for (let i = 0; i < count && observer !== undefined; i++) {
      const [start = 0, length = 0] = [runs[2 * i], runs[2 * i + 1]];
      announce("write", this.path, start, length, () => view.bytes(start, length).slice());
    }
    check(native().calls.oc_apply_runs(this.file.fd, view.address, runs, count, page, sums), "write", this.path);
  }

  /** Copies `from`, from `offset` on, to the places of the runs here, run after run. */
  copyRuns(from: StoreFile, offset: number, runs: Float64Array, count: number): void {
    let at = offset;
    for (let i = 0; i < count && observer !== undefined; i++) {
      const [start = 0, length = 0] = [runs[2 * i], runs[2 * i + 1]];
      const place = at;
      announce("write", this.path, start, length, () => from.read(place, length));
      at += length;
    }
    check(native().calls.oc_copy_runs(from.file.fd, offset, this.file.fd, runs, count), "write", this.path);
  }

  truncate(size: number): void {
    if (announce("truncate", this.path, size, 0)) this.file.truncate(size);
  }

  /** Frees the blocks of a range, which then reads as zeros. */
  punch(offset: number, length: number): void {
    if (!announce("punch", this.path, offset, length)) return;
    check(native().calls.oc_punch(this.file.fd, offset, length), "punch", this.path);
  }

  /** The disk begins with what was written there: `sync` will have less to wait for. */
  begin(offset: number, length: number): void {
    this.file.beginSync(offset, length);
  }

  sync(): void {
    if (announce("sync", this.path, 0, 0, nothing, this)) this.file.sync();
  }

  /** Reads and writes here and there: no reading ahead, and small places stay small. */
  random(): void {
    this.file.advise(2, 0, 0);
  }

  close(): void {
    this.file.close();
  }
}
