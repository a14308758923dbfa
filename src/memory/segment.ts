import { native } from "../../ffi/load.ts";
import { builtin } from "../builtins.ts";
import { NotFoundError, PermissionError, UnsupportedFileError } from "../errors.ts";
import { check, errnoName, pathBytes } from "./check.ts";
import type { DataFile } from "./data-file.ts";
import { Mapping } from "./mapping.ts";
import type { Access } from "./mapping-options.ts";
import { createUnnamedObject, linkObject, OBJECT_FOLDER, openObject, unlinkObject } from "./object.ts";

const LOCK_NONE = 0;
const LOCK_EXCLUSIVE = 2;

/**
 * A shared memory object that several processes hold, with locks on single bytes (which may lie beyond its end) that
 * show who lives: a lock ends with the process, or the thread, that holds it. Every Segment is an open of its own.
 */
export class Segment {
  readonly name: string;
  readonly path: string;
  readonly writable: boolean;
  #file: DataFile;
  #mappings: Mapping[] = [];

  private constructor(name: string, file: DataFile) {
    this.name = name;
    this.path = file.path;
    this.writable = file.writable;
    this.#file = file;
    native().calls.oc_thread_descriptor(file.fd, 1);
  }

  /**
   * Creates an object of `length` bytes that has no name yet.
   * @throws {DiskFullError} when shared memory is full.
   */
  static unnamed(name: string, length: number, mode: number): Segment {
    return new Segment(name, createUnnamedObject(name, length, mode));
  }

  /**
   * @throws {NotFoundError} when there is none.
   * @throws {PermissionError} when the system or the runtime says no.
   */
  static open(name: string, writable: boolean): Segment {
    return new Segment(name, openObject(name, writable));
  }

  /** Opens for writing where permitted, else for reading. */
  static openBest(name: string): Segment {
    try {
      return Segment.open(name, true);
    } catch (error) {
      if (!(error instanceof PermissionError)) throw error;
      return Segment.open(name, false);
    }
  }

  /**
   * Gives it its name.
   * @throws {NameInUseError} when the name is taken.
   */
  link(): void {
    linkObject(this.#file, this.name);
  }

  /** Whether the name still leads to this object. */
  named(): boolean {
    try {
      const now = openObject(this.name, false);
      const same =
        now.identity.inode === this.#file.identity.inode && now.identity.device === this.#file.identity.device;
      now.close();
      return same;
    } catch (error) {
      if (error instanceof NotFoundError || error instanceof PermissionError || error instanceof UnsupportedFileError)
        return false;
      throw error;
    }
  }

  /** Removes the name, when it still leads here. */
  unlink(): void {
    if (!this.named()) return;
    try {
      unlinkObject(this.name);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
    }
  }

  /** Bytes that it has now. */
  size(): number {
    return this.#file.size();
  }

  /** Tries to take the exclusive lock of one byte. */
  lock(offset: number): boolean {
    const result = native().calls.oc_lock(this.#file.fd, LOCK_EXCLUSIVE, offset, 1);
    if (result < 0 && errnoName(-result) === "EAGAIN") return false;
    check(result, "lock", this.path);
    return true;
  }

  unlock(offset: number): void {
    if (!this.#file.closed) native().calls.oc_lock(this.#file.fd, LOCK_NONE, offset, 1);
  }

  /** Whether somebody else holds the lock of the byte. True where the system cannot tell. */
  held(offset: number): boolean {
    return native().calls.oc_lock_test(this.#file.fd, offset) !== 0;
  }

  /** Maps a part; it is closed with the segment. */
  map(access: Access, offset: number, length: number): Mapping {
    const mapping = new Mapping(this.#file, false, this.path, { access, offset, length, quiet: true });
    /* A mapping that a child by fork had would keep the file, and with it the locks. */
    mapping.advise("dontfork");
    this.#mappings.push(mapping);
    return mapping;
  }

  get closed(): boolean {
    return this.#file.closed;
  }

  /** Detaches all views, gives the memory and all locks back. Never throws for what the file lost meanwhile. */
  close(): void {
    if (this.#file.closed) return;
    for (const mapping of this.#mappings) {
      try {
        mapping.close();
      } catch {
        /* It was truncated by somebody else; nothing of it was believed without a check. */
      }
    }
    this.#mappings = [];
    this.#file.close();
  }
}

/** Names of all shared memory objects that are visible. */
export function listObjects(): string[] {
  try {
    return builtin("fs").readdirSync(OBJECT_FOLDER).sort();
  } catch (cause) {
    throw new PermissionError(OBJECT_FOLDER, cause);
  }
}

/** Bytes of shared memory: free for this user, and in all. */
export function sharedMemoryRoom(): { free: number; total: number } {
  const out = new Float64Array(3);
  check(native().calls.oc_room(pathBytes(OBJECT_FOLDER), out), "look at", OBJECT_FOLDER);
  return { free: out[0] ?? 0, total: out[1] ?? 0 };
}
