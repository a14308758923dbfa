import { native } from "../../ffi/load.ts";
import type { Calls } from "../../ffi/symbols.ts";
import { builtin } from "../builtins.ts";
import {
  ClosedError,
  DiskFullError,
  InvalidArgumentError,
  PermissionError,
  ReadOnlyError,
  StaleHandleError,
  TruncatedError,
  UnsupportedFileError,
} from "../errors.ts";
import { check, checkBytes, checkInteger, checkRange, errorFor, pathBytes } from "./check.ts";
import { forgetLeak, type Holding, type Tracked, trackLeak } from "./leaks.ts";

/** What names a file: a path, a `file:` URL, or the number of an open descriptor. */
export type FileSource = string | URL | number;

/** Device and inode: two files are one when both are equal. */
export interface FileIdentity {
  /** Number of the device that holds it. */
  readonly device: number;
  /** Its number there, 64 bits as two decimal numbers. */
  readonly inode: string;
}

/** What the system says of an open file. */
export interface FileStatus extends FileIdentity {
  /** Bytes of the file. */
  readonly size: number;
  /** Bytes that it takes on disk; less than `size` when it has holes. */
  readonly allocated: number;
  /** When it was last written, in seconds since 1970 with a fraction. */
  readonly modified: number;
  readonly fileSystem: "local" | "memory" | "network" | "virtual";
}

const OPEN_WRITE = 1;
const STAT_COUNT = 12;
const kinds = ["not a file", "a file", "a directory", "a FIFO", "a socket", "a character device", "a block device"];
const fileSystems = ["local", "memory", "network", "virtual"] as const;
const scratch = new Float64Array(STAT_COUNT);

/** The path that a source names, or undefined for a descriptor. */
export function pathOf(source: FileSource): string | undefined {
  if (typeof source === "number") return undefined;
  let path: string;
  try {
    path = typeof source === "string" ? source : builtin("url").fileURLToPath(source);
  } catch (error) {
    throw new InvalidArgumentError(`not a path: ${(error as Error).message}`);
  }
  if (typeof path !== "string" || path === "" || path.includes("\0"))
    throw new InvalidArgumentError("a path must be text that is not empty and has no NUL");
  return path;
}

interface Creation {
  readonly exclusive: boolean;
  readonly mode: number;
}

/** Opens through the runtime, so that its own permissions hold; never waits for the other end of a FIFO. */
function openDescriptor(path: string, writable: boolean, creation?: Creation): number {
  const { O_RDONLY, O_RDWR, O_NONBLOCK, O_CREAT, O_EXCL, O_NOFOLLOW } = builtin("fs").constants;
  let flags = (writable ? O_RDWR : O_RDONLY) | (O_NONBLOCK ?? 0);
  if (creation !== undefined) flags |= O_CREAT | (O_NOFOLLOW ?? 0) | (creation.exclusive ? O_EXCL : 0);
  let fd: number;
  try {
    fd = builtin("fs").openSync(path, flags, creation?.mode);
  } catch (cause) {
    const { code, name } = cause as { code?: string; name?: string };
    if (code === "ERR_ACCESS_DENIED" || name === "NotCapable" || name === "PermissionDenied")
      throw new PermissionError(path, cause);
    throw errorFor(code ?? name ?? "EIO", "open", path, cause);
  }
  /* The descriptor that we keep is our own: Deno keeps books of the numbers it gave out, Windows has one C library's
   * numbers mean nothing to another, and a duplicate is close-on-exec whatever the runtime does. */
  const { calls } = native();
  const own =
    builtin("process").platform === "win32"
      ? calls.oc_open(pathBytes(path), writable ? OPEN_WRITE : 0, 0)
      : calls.oc_dup(fd, 0);
  builtin("fs").closeSync(fd);
  return check(own, "open", path);
}

/**
 * An open regular file: one descriptor, never more. Every read is checked against the file's end, so that a file that
 * shrinks is an error and not wrong bytes.
 */
export class DataFile implements Tracked {
  readonly path: string;
  readonly writable: boolean;
  readonly identity: FileIdentity;
  /** The source was a descriptor, of which this is a duplicate. */
  readonly fromDescriptor: boolean;
  #fd: number;
  #calls: Calls;
  #holding: Holding;

  private constructor(fd: number, path: string, writable: boolean, fromDescriptor: boolean) {
    this.#fd = fd;
    this.#calls = native().calls;
    this.path = path;
    this.writable = writable;
    this.fromDescriptor = fromDescriptor;
    try {
      check(this.#calls.oc_stat(fd, scratch), "stat", path);
      const kind = scratch[1] ?? 0;
      if (kind !== 1) throw new UnsupportedFileError(path, kinds[kind] ?? "not a file");
      if (scratch[11] === 3) throw new UnsupportedFileError(path, "a file of a virtual file system");
    } catch (error) {
      this.#calls.oc_close(fd, 0);
      throw error;
    }
    this.identity = { device: scratch[2] ?? 0, inode: `${scratch[4]}:${scratch[3]}` };
    this.#holding = { what: path, descriptor: fd };
    trackLeak(this, this.#holding);
  }

  /**
   * Opens a file for reading, or for reading and writing. A descriptor is duplicated: the caller's stays the caller's.
   *
   * @throws {NotFoundError} when there is none.
   * @throws {PermissionError} when the system or the runtime says no.
   * @throws {UnsupportedFileError} when it is a directory, FIFO, socket, device or file of /proc.
   * @throws {LimitError} when there is no descriptor left.
   */
  static open(source: FileSource, writable: boolean): DataFile {
    const path = pathOf(source);
    if (path !== undefined) return new DataFile(openDescriptor(path, writable), path, writable, false);
    const fd = source as number;
    if (!Number.isInteger(fd) || fd < 0 || fd > 0x7fffffff) throw new InvalidArgumentError(`${fd} is not a descriptor`);
    const name = `descriptor ${fd}`;
    return new DataFile(check(native().calls.oc_dup(fd, 0), "duplicate", name), name, writable, true);
  }

  /**
   * Opens a file for reading and writing and makes an empty one where there is none; never through a symbolic link.
   *
   * @param exclusive: it must not exist yet.
   * @throws {NameInUseError} when it exists and must not.
   * @throws {SystemError} "ELOOP" when the path is a symbolic link.
   */
  static create(path: string, options: { exclusive?: boolean; mode?: number } = {}): DataFile {
    const { exclusive = false, mode = 0o600 } = options;
    const name = pathOf(path) as string;
    return new DataFile(openDescriptor(name, true, { exclusive, mode }), name, true, false);
  }

  /** A file without a name, in memory; undefined where the system has none, or no descriptor is left. */
  static inMemory(label: string): DataFile | undefined {
    const fd = native().calls.oc_memory_file(pathBytes(label), 0);
    return fd < 0 ? undefined : new DataFile(fd, label, true, true);
  }

  /** Takes over a descriptor of our own making. */
  static adopt(fd: number, path: string, writable: boolean): DataFile {
    return new DataFile(fd, path, writable, true);
  }

  /**
   * Opens again what another thread of this process has open, by path or, where there is none, by its descriptor.
   * @throws {StaleHandleError} when it is gone or another file has its place.
   */
  static reopen(handle: DataFileHandle): DataFile {
    let file: DataFile;
    try {
      file = DataFile.open(handle.path ?? handle.descriptor ?? -1, handle.writable);
    } catch (error) {
      if (handle.path === undefined) throw new StaleHandleError(handle.name);
      throw error;
    }
    if (file.identity.device === handle.device && file.identity.inode === handle.inode) return file;
    file.close();
    throw new StaleHandleError(handle.name);
  }

  /** It has an owner, which is reported in its place when both are forgotten. */
  quiet(): void {
    this.#holding.quiet = true;
  }

  /** What `reopen` takes: a plain object that can be posted to a Worker. */
  handle(): DataFileHandle {
    return {
      name: this.path,
      path: this.fromDescriptor ? undefined : this.path,
      descriptor: this.fromDescriptor ? this.fd : undefined,
      writable: this.writable,
      ...this.identity,
    };
  }

  /** The descriptor, for calls of this folder only. */
  get fd(): number {
    if (this.#fd < 0) throw new ClosedError(this.path);
    return this.#fd;
  }

  get closed(): boolean {
    return this.#fd < 0;
  }

  /** Bytes that the file has now. One system call. */
  size(): number {
    return check(this.#calls.oc_size(this.fd, 0), "stat", this.path);
  }

  status(): FileStatus {
    check(this.#calls.oc_stat(this.fd, scratch), "stat", this.path);
    return {
      ...this.identity,
      size: scratch[0] ?? 0,
      allocated: scratch[6] ?? 0,
      modified: scratch[7] ?? 0,
      fileSystem: fileSystems[scratch[11] ?? 0] ?? "local",
    };
  }

  /**
   * Fills `target` from `offset` on.
   * @throws {TruncatedError} when the file ends before that.
   */
  readInto(offset: number, target: Uint8Array): void {
    this.readPart(offset, target, 0, checkBytes("target", target));
  }

  /** Fills `length` bytes of `target` from `start` on. The caller has checked that they fit. */
  readPart(offset: number, target: Uint8Array, start: number, length: number): void {
    if (length === 0) return;
    const got = this.#calls.oc_pread(this.fd, target, start, length, offset);
    if (got === length) return;
    check(got, "read", this.path);
    throw new TruncatedError(this.path, offset + got, this.size());
  }

  /**
   * Writes `source` at `offset`.
   * @throws {DiskFullError} when there is no room.
   */
  write(offset: number, source: Uint8Array): void {
    this.requireWritable();
    checkInteger("offset", offset);
    const length = checkBytes("source", source);
    if (length === 0) return;
    const done = check(this.#calls.oc_pwrite(this.fd, source, 0, length, offset), "write", this.path);
    if (done < length) throw new DiskFullError(this.path);
  }

  /** Sets the size: shorter drops bytes, longer adds a hole of zeros. */
  truncate(size: number): void {
    this.requireWritable();
    checkInteger("size", size);
    check(this.#calls.oc_truncate(this.fd, size), "truncate", this.path);
  }

  /**
   * Gives [offset, offset + length) blocks on disk, so that writing there through a mapping cannot run out of room.
   * @throws {DiskFullError} when there is no room; the size is then what it was.
   */
  allocate(offset: number, length: number): void {
    this.requireWritable();
    checkRange(offset, length, Number.MAX_SAFE_INTEGER);
    if (length === 0) return;
    const { size: before, allocated } = this.status();
    /* Better to refuse what cannot fit than to fill the disk and then fail. */
    const room = new Float64Array(3);
    if (!this.fromDescriptor && this.#calls.oc_room(pathBytes(this.path), room) >= 0)
      if (length - allocated > (room[0] ?? 0)) throw new DiskFullError(this.path);
    const result = this.#calls.oc_allocate(this.fd, offset, length);
    if (result >= 0) return;
    /* A file system may have got part of the way before it was full. */
    if (this.size() > before) this.#calls.oc_truncate(this.fd, before);
    check(result, "allocate", this.path);
  }

  /** Waits until what was written is on the disk: the data (default), or times and owner too. */
  sync(dataOnly = true): void {
    check(this.#calls.oc_sync(this.fd, dataOnly ? 1 : 0), "sync", this.path);
  }

  /** Begins to bring what was written there to the disk, without waiting: `sync` will be quicker. Promises nothing. */
  beginSync(offset: number, length: number): void {
    this.#calls.oc_sync_begin(this.fd, offset, length);
  }

  /** Tells the system how [offset, offset + length) will be read; a hint, so a refusal is no error. */
  advise(kind: number, offset: number, length: number): void {
    this.#calls.oc_fadvise(this.fd, offset, length, kind);
  }

  /** @throws {ReadOnlyError} unless it is open for writing. */
  requireWritable(): void {
    if (!this.writable) throw new ReadOnlyError(this.path);
  }

  /** Closes the descriptor. May be called twice. */
  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    forgetLeak(this);
    check(this.#calls.oc_close(fd, 0), "close", this.path);
  }
}

/** A file as it travels to another thread of this process. */
export interface DataFileHandle extends FileIdentity {
  /** For messages. */
  readonly name: string;
  /** Where to open it again, when it was opened by path. */
  readonly path: string | undefined;
  /** What to duplicate otherwise. */
  readonly descriptor: number | undefined;
  /** Whether it is open for writing. */
  readonly writable: boolean;
}
