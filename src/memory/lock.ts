import { native } from "../../ffi/load.ts";
import { builtin } from "../builtins.ts";
import { InvalidArgumentError, LockedError, NotFoundError, PermissionError, UnsupportedFileError } from "../errors.ts";
import { check, errnoName } from "./check.ts";
import { DataFile } from "./data-file.ts";
import { eraseHolder, isLockFile, readHolder, writeHolder } from "./lock-holder.ts";

/** What kind of lock. */
export interface LockOptions {
  /** Many may hold it at once, and nobody exclusively. Default false. */
  shared?: boolean;
}

/** How long to wait for a lock. */
export interface AcquireOptions extends LockOptions {
  /** Milliseconds to wait before giving up. Default Infinity. */
  timeout?: number;
  /** Ends the waiting; the promise is rejected with its reason. */
  signal?: AbortSignal;
}

const kinds = { none: 0, shared: 1, exclusive: 2 } as const;

/** The byte that is locked: beyond any text, because Windows lets nobody else read a byte that is locked. */
const LOCK_BYTE: number = 2 ** 40;

/** Longest pause between two attempts, milliseconds. */
const LONGEST_PAUSE = 40;

/**
 * Locks or unlocks bytes [offset, offset + length) of an open file without waiting; length 0 means to the end. The lock
 * belongs to the open file, not to the process: two opens conflict even in one process, and closing ends it.
 *
 * @returns false when another open file has the range.
 */
export function lockRange(file: DataFile, kind: keyof typeof kinds, offset: number, length: number): boolean {
  const result = native().calls.oc_lock(file.fd, kinds[kind], offset, length);
  if (result >= 0) return true;
  if (errnoName(-result) === "EAGAIN") return false;
  check(result, "lock", file.path);
  return false;
}

/**
 * Lets the locks of an open file end with the thread that calls, should it end before they do: a Worker can be terminated
 * at any moment, and its process lives on. A child by fork without exec does not get them either.
 */
export function endWithThread(file: DataFile): void {
  check(native().calls.oc_thread_descriptor(file.fd, 1), "keep", file.path);
}

/** A shared lock needs no right to write; without it the holder stays nameless. */
function openLockFile(path: string, shared: boolean): DataFile {
  try {
    return DataFile.create(path);
  } catch (error) {
    if (!shared || !(error instanceof PermissionError)) throw error;
    return DataFile.open(path, false);
  }
}

function refuse(file: DataFile): void {
  if (file.status().fileSystem === "network")
    throw new UnsupportedFileError(file.path, "on a network file system", "locks there are not to be relied on");
  if (!isLockFile(file))
    throw new UnsupportedFileError(file.path, "not a lock file", "a lock needs a file of its own, which it writes to");
}

/** Whether the path still names the open file: who holds the lock of a file that was removed holds nothing. */
function isCurrent(file: DataFile): boolean {
  if (builtin("process").platform === "win32") return true;
  let named: DataFile;
  try {
    named = DataFile.open(file.path, false);
  } catch (error) {
    return !(error instanceof NotFoundError);
  }
  const { device, inode } = named.identity;
  named.close();
  return device === file.identity.device && inode === file.identity.inode;
}

/** One attempt: the open file with its lock, or what is known of the holder. */
function attempt(path: string, shared: boolean): DataFile | { holder: string | undefined } {
  for (;;) {
    const file = openLockFile(path, shared);
    try {
      refuse(file);
      endWithThread(file);
      if (!lockRange(file, shared ? "shared" : "exclusive", LOCK_BYTE, 1)) {
        const holder = readHolder(file);
        file.close();
        return { holder };
      }
      if (isCurrent(file)) {
        if (file.writable) writeHolder(file);
        return file;
      }
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
  }
}

/** Resolves after `milliseconds`, or at once when the signal is aborted. */
function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener("abort", end);
  });
}

/**
 * A lock between processes, threads and parts of one program, held by having a file of its own open: it ends with
 * `release`, and with the death of its holder, be it a process or a Worker, however that dies. While it is held the file says as text who holds it;
 * that is for people, nothing relies on it. The file stays when the lock ends.
 *
 * @example
 * ```ts
 * import { FileLock } from "outcore";
 * const lock = await FileLock.acquire("/tmp/outcore-example.lock", { timeout: 5000 });
 * try {
 *   // alone
 * } finally {
 *   lock.release();
 * }
 * ```
 */
export class FileLock implements Disposable {
  /** The lock file. */
  readonly path: string;
  /** Whether others may hold it too. */
  readonly shared: boolean;
  #file: DataFile;

  private constructor(file: DataFile, shared: boolean) {
    this.#file = file;
    this.path = file.path;
    this.shared = shared;
  }

  /**
   * Takes the lock if that is possible now; makes the file (mode 0600) when there is none.
   *
   * @throws {LockedError} when somebody else holds it.
   * @throws {UnsupportedFileError} when the file is on a network file system, is no regular file, or holds other data.
   * @throws {NotFoundError | PermissionError} when the file can be neither opened nor made.
   */
  static tryAcquire(path: string, options: LockOptions = {}): FileLock {
    const { shared = false } = options;
    const got = attempt(path, shared);
    if (got instanceof DataFile) return new FileLock(got, shared);
    throw new LockedError(path, got.holder);
  }

  /**
   * Whether somebody, in this process or another, holds the lock for himself alone now. Takes nothing and waits for
   * nobody. False when there is no such file.
   *
   * @throws {PermissionError | UnsupportedFileError} when the file cannot be opened for reading.
   */
  static isHeld(path: string): boolean {
    let file: DataFile;
    try {
      file = DataFile.open(path, false);
    } catch (error) {
      if (error instanceof NotFoundError) return false;
      throw error;
    }
    try {
      return check(native().calls.oc_lock_test(file.fd, LOCK_BYTE), "look at the lock of", path) === 1;
    } finally {
      file.close();
    }
  }

  /**
   * Takes the lock, trying again and again while somebody else holds it; the thread is never blocked. Waiters are not
   * served in order.
   *
   * @throws {LockedError} when somebody else still holds it after `timeout`.
   * @throws what `tryAcquire` throws, and the signal's reason when it is aborted.
   */
  static async acquire(path: string, options: AcquireOptions = {}): Promise<FileLock> {
    const { shared = false, timeout = Number.POSITIVE_INFINITY, signal } = options;
    if (typeof timeout !== "number" || !(timeout >= 0))
      throw new InvalidArgumentError(`timeout must be milliseconds from 0 on, not ${String(timeout)}`);
    const end = performance.now() + timeout;
    for (let wait = 1; ; wait = Math.min(wait * 2, LONGEST_PAUSE)) {
      signal?.throwIfAborted();
      const got = attempt(path, shared);
      if (got instanceof DataFile) return new FileLock(got, shared);
      const left = end - performance.now();
      if (left <= 0) throw new LockedError(path, got.holder);
      await pause(Math.min(wait, left), signal);
    }
  }

  /** True after `release`. */
  get released(): boolean {
    return this.#file.closed;
  }

  /** Lets go of the lock. May be called twice. */
  release(): void {
    if (this.#file.closed) return;
    try {
      if (this.#file.writable) eraseHolder(this.#file);
    } finally {
      this.#file.close();
    }
  }

  /** The same as `release`. */
  [Symbol.dispose](): void {
    this.release();
  }
}
