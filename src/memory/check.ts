import { native } from "../../ffi/load.ts";
import {
  DiskFullError,
  InvalidArgumentError,
  LimitError,
  NameInUseError,
  NotFoundError,
  OutcoreError,
  OutOfRangeError,
  PermissionError,
  SystemError,
  UnsupportedFileError,
} from "../errors.ts";

/** @throws {InvalidArgumentError} unless `value` is an integer from 0 to 2^53 - 1. */
export function checkInteger(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new InvalidArgumentError(`${name} must be an integer from 0 to 2^53 - 1, not ${String(value)}`);
}

/** @throws {InvalidArgumentError} unless `value` is a function. */
export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== "function") throw new InvalidArgumentError(`${name} must be a function`);
}

/** @throws {InvalidArgumentError} unless `value` is one of `allowed`. */
export function checkOption<T>(name: string, value: T, allowed: readonly T[]): void {
  if (!allowed.includes(value))
    throw new InvalidArgumentError(`${name} must be one of ${allowed.map(String).join(", ")}, not ${String(value)}`);
}

/**
 * @throws {InvalidArgumentError} when offset or length is no integer from 0 to 2^53 - 1.
 * @throws {OutOfRangeError} when the range does not lie within `size` bytes.
 */
export function checkRange(offset: number, length: number, size: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= size && Number.isInteger(offset) && Number.isInteger(length))
    return;
  checkInteger("offset", offset);
  checkInteger("length", length);
  throw new OutOfRangeError(offset, length, size);
}

const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;
const tagOf = Object.getOwnPropertyDescriptor(typedArray, Symbol.toStringTag)?.get as () => string | undefined;
const lengthOf = Object.getOwnPropertyDescriptor(typedArray, "length")?.get as () => number;

/**
 * Length of a Uint8Array that C will read or fill: what the engine says, not what a property of the object claims.
 * @throws {InvalidArgumentError} when it is anything else.
 */
export function checkBytes(name: string, value: Uint8Array): number {
  if (tagOf.call(value) !== "Uint8Array") throw new InvalidArgumentError(`${name} must be a Uint8Array`);
  return lengthOf.call(value);
}

/** Name of an error number, "EIO" for 5 on Linux. */
export function errnoName(number: number): string {
  const bytes = new Uint8Array(32);
  const length = native().calls.oc_errno_name(number, bytes, bytes.length);
  return length > 0 ? String.fromCharCode(...bytes.subarray(0, length)) : `error ${number}`;
}

/** The typed error for an error name, whether it comes from our library or from the runtime's own file functions. */
export function errorFor(errno: string, operation: string, path: string, cause?: unknown): OutcoreError {
  switch (errno) {
    case "ENOENT":
    case "ENOTDIR":
      return new NotFoundError(path, cause);
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new PermissionError(path, cause);
    case "EEXIST":
      return new NameInUseError(path);
    case "EISDIR":
      return new UnsupportedFileError(path, "a directory");
    case "ENXIO":
      return new UnsupportedFileError(path, "a socket, or a FIFO or device without its other end");
    case "ENODEV":
      return new UnsupportedFileError(path, "on a file system without mappings");
    case "EMFILE":
    case "ENFILE":
      return new LimitError("descriptors", `no descriptor left to open ${path} (${errno})`, cause);
    case "ENOMEM":
      return new LimitError("memory", `no memory, address space or mapping left for ${path}`, cause);
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return new DiskFullError(path, cause);
    default:
      return new SystemError(errno, operation, path, cause);
  }
}

/** What `work` returns; an error of the runtime's own file functions becomes the typed one. */
export function typed<T>(operation: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code, name } = error as { code?: unknown; name?: string };
    if (error instanceof OutcoreError || typeof code !== "string") throw error;
    if (code === "ERR_ACCESS_DENIED" || name === "NotCapable" || name === "PermissionDenied")
      throw new PermissionError(path, error);
    throw errorFor(code, operation, path, error);
  }
}

/** Returns a result `>= 0`; throws the typed error for `-errno`. */
export function check(result: number, operation: string, path: string): number {
  if (result < 0) throw errorFor(errnoName(-result), operation, path);
  return result;
}

/**
 * A path as bytes that end in NUL.
 * @throws {InvalidArgumentError} when it is empty or has a NUL inside.
 */
export function pathBytes(path: string): Uint8Array {
  if (path === "" || path.includes("\0")) throw new InvalidArgumentError("a path must not be empty or contain NUL");
  return new TextEncoder().encode(`${path}\0`);
}
