import { native } from "../../ffi/load.ts";
import { builtin } from "../builtins.ts";
import { UnsupportedFileError } from "../errors.ts";
import { check, errnoName, errorFor, pathBytes } from "./check.ts";
import { DataFile } from "./data-file.ts";
import { forgetLeak, trackLeak } from "./leaks.ts";

const DIRECTORY = 32;
const NOFOLLOW = 16;
const ENOENT = 2;

/** A folder beneath which files are opened by paths that nobody trusts. */
export class Folder {
  /** Where it really is, without symbolic links. */
  readonly path: string;
  #fd: number;

  /**
   * @throws {NotFoundError} when there is none.
   * @throws {UnsupportedFileError} when it is no folder.
   * @throws {PermissionError} when the system or the runtime says no.
   */
  constructor(path: string) {
    const fs = builtin("fs");
    try {
      this.path = fs.realpathSync(path);
      fs.readdirSync(this.path);
    } catch (cause) {
      const { code, name } = cause as { code?: string; name?: string };
      if (code === "ENOTDIR") throw new UnsupportedFileError(path, "no folder");
      throw errorFor(name === "NotCapable" ? "EACCES" : (code ?? "EIO"), "open", path, cause);
    }
    this.#fd = check(native().calls.oc_open(pathBytes(this.path), DIRECTORY, 0), "open", path);
    trackLeak(this, { what: path, descriptor: this.#fd, quiet: true });
  }

  /**
   * Opens a regular file beneath the folder. No path and no link leads out of it: undefined then, as when there is
   * nothing, or nothing that this process may read.
   */
  open(relative: string): DataFile | undefined {
    const { calls } = native();
    let fd = calls.oc_open_beneath(this.#fd, pathBytes(relative), 0);
    if (fd < 0 && errnoName(-fd) === "ENOSYS") fd = this.#openChecked(relative, 0);
    if (fd < 0) return this.#absent(fd, relative);
    try {
      return DataFile.adopt(fd, relative, false);
    } catch (error) {
      if (error instanceof UnsupportedFileError) return undefined;
      throw error;
    }
  }

  /** Whether a folder of this name is beneath this one. */
  hasFolder(relative: string): boolean {
    const { calls } = native();
    const name = relative === "" ? "." : relative;
    let fd = calls.oc_open_beneath(this.#fd, pathBytes(name), DIRECTORY);
    if (fd < 0 && errnoName(-fd) === "ENOSYS") fd = this.#openChecked(name, DIRECTORY);
    if (fd < 0) return this.#absent(fd, relative) !== undefined;
    calls.oc_close(fd, 0);
    return true;
  }

  close(): void {
    if (this.#fd < 0) return;
    forgetLeak(this);
    native().calls.oc_close(this.#fd, 0);
    this.#fd = -1;
  }

  #absent(result: number, relative: string): undefined {
    const errno = errnoName(-result);
    const absent = ["ENOENT", "ENOTDIR", "EXDEV", "ELOOP", "EACCES", "EPERM", "ENXIO", "ENAMETOOLONG", "EISDIR"];
    if (absent.includes(errno)) return undefined;
    throw errorFor(errno, "open", relative);
  }

  /** For systems without openat2: where the path really leads, looked up before the file is opened. */
  #openChecked(relative: string, flags: number): number {
    const path = builtin("path");
    let real = "";
    try {
      real = builtin("fs").realpathSync(path.join(this.path, relative));
    } catch {
      /* It does not exist, or may not be seen: as if it led out. */
    }
    const inside = real === this.path || real.startsWith(this.path + path.sep);
    return inside ? native().calls.oc_open(pathBytes(real), flags | NOFOLLOW, 0) : -ENOENT;
  }
}
