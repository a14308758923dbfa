/**
 * Every error class of outcore, grouped by when it can happen. Each has a `code` that does not change between
 * versions; messages may.
 */

/** Base of every error that outcore throws. */
export class OutcoreError extends Error {
  /** A name that stays the same between versions, such as "TRUNCATED". */
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.code = code;
  }
}

/* ---- when the library is loaded -------------------------------------------------------------------------------- */

/** Thrown when there is no library for this operating system or processor. */
export class UnsupportedPlatformError extends OutcoreError {
  constructor(platform: string, architecture: string) {
    super(
      "UNSUPPORTED_PLATFORM",
      `outcore has no library for ${platform} on ${architecture}; it runs on Linux (glibc, musl), macOS and Windows, x64 and arm64. To try another, build c/ there and set OUTCORE_LIBRARY.`,
    );
  }
}

/** Thrown when the runtime is too old, or has no way to call C. */
export class UnsupportedRuntimeError extends OutcoreError {
  constructor(found: string, needed: string) {
    super("UNSUPPORTED_RUNTIME", `outcore cannot run on ${found}: it needs ${needed}`);
  }
}

/** Thrown when the C library is not where it should be, or is not a library of this platform. */
export class LibraryNotFoundError extends OutcoreError {
  /** Where it was looked for. */
  readonly tried: readonly string[];

  constructor(tried: readonly string[], cause?: unknown) {
    super(
      "LIBRARY_NOT_FOUND",
      `the outcore library was not found or cannot be loaded (tried ${tried.join(", ")}); reinstall outcore with its optional dependencies, build it with "build.ts", or set OUTCORE_LIBRARY`,
      cause,
    );
    this.tried = tried;
  }
}

/** Thrown when the C library is of another version than the package. */
export class AbiMismatchError extends OutcoreError {
  constructor(path: string, found: number | undefined, needed: number, cause?: unknown) {
    super(
      "ABI_MISMATCH",
      `${path} ${found === undefined ? "lacks functions of" : `has ABI ${found}, not`} ABI ${needed}; install the native package of the same version as outcore, or build it anew`,
      cause,
    );
  }
}

/** Thrown when the runtime was started without the permission to call C. */
export class FfiPermissionError extends OutcoreError {
  constructor(cause: unknown) {
    super(
      "FFI_PERMISSION",
      "outcore needs the permission to call its library: start Deno with --allow-ffi --allow-read, Node's permission model with --allow-ffi or --allow-addons",
      cause,
    );
  }
}

/** Thrown when the engine forbids buffers over foreign memory, as Electron's does. */
export class ForeignBufferError extends OutcoreError {
  constructor(cause: unknown) {
    super(
      "FOREIGN_BUFFER",
      "this engine forbids buffers over foreign memory (Electron does); run outcore in a plain Node, Bun or Deno process beside it",
      cause,
    );
  }
}

/* ---- when a call's arguments are checked ----------------------------------------------------------------------- */

/** Thrown when an argument is of the wrong kind: a fraction, NaN, a path with NUL, an option that does not exist. */
export class InvalidArgumentError extends OutcoreError {
  constructor(message: string) {
    super("INVALID_ARGUMENT", message);
  }
}

/** Thrown when a range does not lie inside what it addresses. */
export class OutOfRangeError extends OutcoreError {
  /** First byte that was asked for. */
  readonly offset: number;
  /** Bytes that were asked for. */
  readonly length: number;
  /** Bytes there are. */
  readonly size: number;

  constructor(offset: number, length: number, size: number) {
    super("OUT_OF_RANGE", `${length} bytes at ${offset} do not lie within ${size} bytes`);
    this.offset = offset;
    this.length = length;
    this.size = size;
  }
}

/** Thrown when something is used after it was closed. */
export class ClosedError extends OutcoreError {
  constructor(what: string) {
    super("CLOSED", `${what} is closed`);
  }
}

/**
 * Thrown when something read-only is written to: at once by a function that writes, and by the next call or close after
 * a write through a view, which is taken back.
 */
export class ReadOnlyError extends OutcoreError {
  constructor(what: string, throughView = false) {
    super(
      "READ_ONLY",
      `${what} is open for reading only${throughView ? "; what was written to a view of it was taken back" : ""}`,
    );
  }
}

/* ---- when a file or object is opened --------------------------------------------------------------------------- */

/** Thrown when the path, or the shared memory object, does not exist. */
export class NotFoundError extends OutcoreError {
  /** The file or object. */
  readonly path: string;

  constructor(path: string, cause?: unknown) {
    super("NOT_FOUND", `${path} does not exist`, cause);
    this.path = path;
  }
}

/** Thrown when the system or the runtime does not permit the access. */
export class PermissionError extends OutcoreError {
  /** The file or object. */
  readonly path: string;

  constructor(path: string, cause?: unknown) {
    const reason = cause instanceof Error ? `: ${cause.message}` : "";
    super("PERMISSION", `no permission to open ${path}${reason}`, cause);
    this.path = path;
  }
}

/**
 * Thrown when the path names something that cannot be used so: a directory, FIFO, socket, device or /proc file; for a
 * lock also a file of a network file system, and one that holds something else.
 */
export class UnsupportedFileError extends OutcoreError {
  /** The file or object. */
  readonly path: string;
  /** What it is. */
  readonly kind: string;

  constructor(path: string, kind: string, needed = "only regular files can be mapped") {
    super("UNSUPPORTED_FILE", `${path} is ${kind}; ${needed}`);
    this.path = path;
    this.kind = kind;
  }
}

/** Thrown when something of that name exists already. */
export class NameInUseError extends OutcoreError {
  constructor(name: string) {
    super("NAME_IN_USE", `${name} exists already`);
  }
}

/** Thrown when a handle is reopened and what it stands for has gone or been replaced. */
export class StaleHandleError extends OutcoreError {
  constructor(what: string) {
    super("STALE_HANDLE", `${what} is gone or is no longer the same file`);
  }
}

/** Thrown when a lock is held by somebody else. */
export class LockedError extends OutcoreError {
  /** The file or object. */
  readonly path: string;
  /** What the holder wrote about itself, when it did. */
  readonly holder: string | undefined;

  constructor(path: string, holder?: string) {
    super("LOCKED", `${path} is locked${holder === undefined ? "" : ` by ${holder}`}`);
    this.path = path;
    this.holder = holder;
  }
}

/* ---- when a limit is met --------------------------------------------------------------------------------------- */

/** Thrown when a limit of the process, the system or the user's own budget is met; nothing was changed. */
export class LimitError extends OutcoreError {
  /** Which limit: "budget", "windows", "files", "descriptors", "memory", "maps" or "buried". */
  readonly limit: string;

  constructor(limit: string, message: string, cause?: unknown) {
    super("LIMIT", message, cause);
    this.limit = limit;
  }
}

/** Thrown when the file system, or shared memory, is full; nothing was changed. */
export class DiskFullError extends OutcoreError {
  /** The file or object. */
  readonly path: string;

  constructor(path: string, cause?: unknown) {
    super("DISK_FULL", `no room left for ${path}`, cause);
    this.path = path;
  }
}

/* ---- while something is in use --------------------------------------------------------------------------------- */

/** Thrown when a mapping or file is closed while leases on it are held. */
export class InUseError extends OutcoreError {
  /** How many. */
  readonly leases: number;

  constructor(what: string, leases: number) {
    super("IN_USE", `${what} has ${leases} lease${leases === 1 ? "" : "s"} that are not released`);
    this.leases = leases;
  }
}

/** Thrown when a file became shorter than what was read or mapped of it; the bytes beyond its end read as zeros. */
export class TruncatedError extends OutcoreError {
  /** The file or object. */
  readonly path: string;
  /** Offset of the first byte that was asked for and is not there. */
  readonly offset: number;
  /** Bytes that the file has now. */
  readonly size: number;

  constructor(path: string, offset: number, size: number) {
    super("TRUNCATED", `${path} was truncated: nothing is at ${offset} any more, it has ${size} bytes`);
    this.path = path;
    this.offset = offset;
    this.size = size;
  }
}

/** Thrown when a page of a mapped file could not be read or written (device error, file system full). */
export class MappedIoError extends OutcoreError {
  /** The file or object. */
  readonly path: string;
  /** Offset of the page in the file. */
  readonly offset: number;

  constructor(path: string, offset: number) {
    super("MAPPED_IO", `the page of ${path} at ${offset} could not be read; it was seen as zeros`);
    this.path = path;
    this.offset = offset;
  }
}

/** Thrown when the system refuses a call for a reason that has no class of its own. */
export class SystemError extends OutcoreError {
  /** Name of the error number, such as "EIO". */
  readonly errno: string;
  /** What was being done, such as "map". */
  readonly operation: string;

  constructor(errno: string, operation: string, what: string, cause?: unknown) {
    super("SYSTEM", `${operation} ${what}: ${errno}`, cause);
    this.errno = errno;
    this.operation = operation;
  }
}

/* ---- transactional arrays -------------------------------------------------------------------------------------- */

/** Thrown when a commit meets another one that changed the same page, or the shape of the same array. */
export class ConflictError extends OutcoreError {
  /** Name of the array. */
  readonly array: string;
  /** Pages of it that both changed, at most 16 of them; empty when it was the shape. */
  readonly pages: readonly number[];

  constructor(array: string, pages: readonly number[]) {
    const what = pages.length === 0 ? "the shape" : `page${pages.length === 1 ? "" : "s"} ${pages.join(", ")}`;
    super("CONFLICT", `another transaction changed ${what} of array "${array}"; begin again`);
    this.array = array;
    this.pages = pages;
  }
}

/** Thrown when a checksum does not hold, or a file of a store is not what it must be. */
export class CorruptError extends OutcoreError {
  /** The file. */
  readonly path: string;
  /** Offset of what is wrong. */
  readonly offset: number;

  constructor(path: string, offset: number, what: string) {
    super("CORRUPT", `${path} at ${offset}: ${what}`);
    this.path = path;
    this.offset = offset;
  }
}

/** Thrown when a store was written by a later version, or on a machine with another page size. */
export class StoreFormatError extends OutcoreError {
  constructor(path: string, what: string) {
    super("STORE_FORMAT", `${path}: ${what}`);
  }
}

/** Thrown when the log is at its limit because a snapshot keeps it from being shortened; nothing was written. */
export class LogFullError extends OutcoreError {
  constructor(path: string, limit: number) {
    super("LOG_FULL", `the log of ${path} has reached ${limit} bytes, and a snapshot in use keeps it`);
  }
}

/** Thrown when a transaction is older than maxSnapshotAge and its snapshot was given up; abort and begin again. */
export class SnapshotTooOldError extends OutcoreError {
  constructor(path: string) {
    super("SNAPSHOT_TOO_OLD", `the snapshot of ${path} was given up because it was too old; begin again`);
  }
}

/** Thrown after a write or sync of the log failed in a way that leaves its state unknown; close and open again. */
export class PoisonedError extends OutcoreError {
  constructor(path: string, cause: unknown) {
    super("POISONED", `${path} failed to reach the disk; close the store and open it again`, cause);
  }
}

/** Thrown when a transaction is needed and there is none, or it has ended, or there is one already. */
export class TransactionError extends OutcoreError {
  constructor(message: string) {
    super("TRANSACTION", message);
  }
}

/* ---- rings: frames between processes --------------------------------------------------------------------------- */

/** Thrown when a segment is not what its header says, or is no ring at all. Nothing of it was believed. */
export class RingFormatError extends OutcoreError {
  constructor(name: string, reason: string) {
    super("RING_FORMAT", `${name} is not a ring that can be read: ${reason}`);
  }
}

/** Thrown when a segment was written by a version that this one does not know. */
export class RingVersionError extends OutcoreError {
  constructor(name: string, found: string, known: string) {
    super("RING_VERSION", `${name} has version ${found}; this outcore reads ${known}`);
  }
}

/** Thrown when a schema is impossible, or is not that of the ring. */
export class SchemaError extends OutcoreError {
  constructor(message: string) {
    super("SCHEMA", message);
  }
}

/** Thrown when a stream has more elements than its place in a frame, or a frame more bytes than a slot. */
export class FrameTooLargeError extends OutcoreError {
  constructor(what: string, needed: number, room: number) {
    super("FRAME_TOO_LARGE", `${what} needs ${needed} bytes, there is room for ${room}`);
  }
}

/** Thrown when a reliable reader has not released the slot that the next frame needs, and the wait for it is over. */
export class WouldBlockError extends OutcoreError {
  constructor(name: string) {
    super("WOULD_BLOCK", `a reliable reader of ${name} has not released the oldest frame`);
  }
}

/** Thrown when every reader slot of a ring is taken. */
export class NoReaderSlotError extends OutcoreError {
  constructor(name: string, slots: number) {
    super("NO_READER_SLOT", `all ${slots} reader slots of ${name} are taken`);
  }
}

/** Thrown when a control message does not fit into its ring until the other side has read. */
export class ControlFullError extends OutcoreError {
  constructor(name: string) {
    super("CONTROL_FULL", `the control ring of ${name} is full`);
  }
}

/** Thrown when the process at the other end of a ring is dead or has closed it. */
export class PeerGoneError extends OutcoreError {
  constructor(name: string, what: string) {
    super("PEER_GONE", `${name}: ${what}`);
  }
}

/** Thrown when a wait ended without what it waited for. */
export class TimedOutError extends OutcoreError {
  constructor(what: string) {
    super("TIMED_OUT", `${what} took too long`);
  }
}

/** Thrown when a frame was overwritten while it was being copied. */
export class OverwrittenError extends OutcoreError {
  constructor(frame: number) {
    super("OVERWRITTEN", `frame ${frame} was overwritten by its writer`);
  }
}

/* ---- while a file is sent -------------------------------------------------------------------------------------- */

/** Thrown when the other side takes no more bytes: it closed, reset, went away, or took none for the idle timeout. */
export class PeerClosedError extends OutcoreError {
  /** What the system said: "EPIPE", "ECONNRESET", "ENOTCONN", "ESHUTDOWN", "ECONNABORTED"; "ETIMEDOUT" when idle. */
  readonly errno: string;

  constructor(errno: string, cause?: unknown) {
    super("PEER_CLOSED", `the other side takes no more bytes (${errno})`, cause);
    this.errno = errno;
  }
}

/** Thrown, with `fallback: false` only, when a file cannot be sent without a copy to this target. */
export class SendfileUnavailableError extends OutcoreError {
  /** The system's error name, where it was the system that refused. */
  readonly errno: string | undefined;

  constructor(reason: string, errno?: string) {
    super("SENDFILE_UNAVAILABLE", `sendfile cannot be used: ${reason}${errno === undefined ? "" : ` (${errno})`}`);
    this.errno = errno;
  }
}

/* ---- in a chest ------------------------------------------------------------------------------------------------ */

/** Thrown when stored bytes are not what was written: a checksum that does not match, a record or file cut short. */
export class DamagedError extends OutcoreError {
  /** The damaged file. */
  readonly path: string;
  /** Where in the file the damaged record begins. */
  readonly offset: number;
  /** What is wrong. */
  readonly detail: string;

  constructor(path: string, offset: number, detail: string) {
    super("DAMAGED", `${path} is damaged at ${offset}: ${detail}`);
    this.path = path;
    this.offset = offset;
    this.detail = detail;
  }
}

/** Thrown when a value cannot be encoded, or bytes cannot be decoded. The chest is unchanged. */
export class CodecError extends OutcoreError {
  constructor(message: string, cause?: unknown) {
    super("CODEC", message, cause);
  }
}

/** Thrown when a folder or file is of another format, or of a version that this release does not know. */
export class FormatError extends OutcoreError {
  /** The folder or file. */
  readonly path: string;

  constructor(path: string, detail: string) {
    super("FORMAT", `${path}: ${detail}`);
    this.path = path;
  }
}
