import { native } from "../../ffi/load.ts";
import { builtin } from "../builtins.ts";
import { InvalidArgumentError, PermissionError } from "../errors.ts";
import { check, pathBytes } from "./check.ts";
import { DataFile } from "./data-file.ts";

const WRITE = 1;
const CREATE_EXCLUSIVE = 1 | 2 | 4;

/** Where Linux keeps shared memory objects, as files. */
export const OBJECT_FOLDER = "/dev/shm";

function checkName(name: string): void {
  if (typeof name !== "string" || name === "" || name === "." || name === ".." || /[/\0]/.test(name))
    throw new InvalidArgumentError(`"${name}" cannot name a shared memory object: no slash, no NUL, not empty`);
  if (new TextEncoder().encode(name).length > 255) throw new InvalidArgumentError("the name is longer than 255 bytes");
}

function requirePermission(name: string, access: "read" | "write"): string {
  checkName(name);
  const path = `${OBJECT_FOLDER}/${name}`;
  if (!native().permits(access, path)) throw new PermissionError(path);
  return path;
}

/** Opens a shared memory object that exists. */
export function openObject(name: string, writable: boolean): DataFile {
  const path = requirePermission(name, writable ? "write" : "read");
  const fd = check(native().calls.oc_object_open(pathBytes(name), writable ? WRITE : 0, 0), "open", path);
  return DataFile.adopt(fd, path, writable);
}

/** Only there can an object be made without a name and get one when it is whole. */
function isLinkable(): boolean {
  return builtin("process").platform === "linux";
}

/**
 * Creates a shared memory object of `length` zeros that gets its name from `linkObject`. Where objects cannot be without
 * a name it has it at once.
 */
export function createUnnamedObject(name: string, length: number, mode: number): DataFile {
  const path = requirePermission(name, "write");
  const { calls } = native();
  const linkable = isLinkable();
  const fd = linkable
    ? calls.oc_unnamed(pathBytes(OBJECT_FOLDER), mode)
    : calls.oc_object_open(pathBytes(name), CREATE_EXCLUSIVE, mode);
  const file = DataFile.adopt(check(fd, "create", path), path, true);
  try {
    if (linkable) file.allocate(0, length);
    else file.truncate(length);
    return file;
  } catch (error) {
    file.close();
    if (!linkable) calls.oc_object_unlink(pathBytes(name), 0);
    throw error;
  }
}

/**
 * Gives an object its name.
 * @throws {NameInUseError} when the name is taken.
 */
export function linkObject(file: DataFile, name: string): void {
  const path = requirePermission(name, "write");
  if (isLinkable()) check(native().calls.oc_link(file.fd, pathBytes(path)), "create", path);
}

/**
 * Creates a shared memory object of `length` zeros. On Linux it gets its name when it is whole; elsewhere it may be
 * seen empty for a moment.
 */
export function createObject(name: string, length: number, mode: number): DataFile {
  const file = createUnnamedObject(name, length, mode);
  try {
    linkObject(file, name);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/**
 * Removes the name of a shared memory object; who has it open keeps it.
 * @throws {NotFoundError} when there is none.
 */
export function unlinkObject(name: string): void {
  const path = requirePermission(name, "write");
  check(native().calls.oc_object_unlink(pathBytes(name), 0), "remove", path);
}
