import { builtin } from "../builtins.ts";
import { ClosedError, InvalidArgumentError, LimitError } from "../errors.ts";
import { checkInteger, checkOption } from "../memory/check.ts";
import { DataFile, type FileSource, pathOf } from "../memory/data-file.ts";
import { pageSize } from "../memory/page.ts";
import { WindowCursor } from "./cursor.ts";
import { makePolicy, type PolicyChoice } from "./policy.ts";
import { Residency, type WindowCounters } from "./residency.ts";
import { type FileHost, WindowFile, type WindowFileHandle } from "./window-file.ts";

/** Limits and policies of a manager. */
export interface WindowManagerOptions {
  /**
   * Bytes of a window, rounded up to whole pages; "file" makes each file one window. Default 1 MiB. Windows lie on a
   * fixed grid from the start of the file and never overlap.
   */
  windowSize?: number | "file";
  /** Bytes of windows in memory at once, of all files together. Default 256 MiB. */
  budget?: number;
  /** Windows resident at once. Default: no limit but the budget. */
  maxWindows?: number;
  /** Files open at once; files that only cursors had open are closed first. Default 1024. */
  maxFiles?: number;
  /**
   * What happens when leases hold so much that a limit would be exceeded: an error (true), or it is exceeded until they
   * are released (false, the default).
   */
  strict?: boolean;
  /** Who gives way. Default "sieve". */
  policy?: PolicyChoice;
  /**
   * "frequency" (default): a window is mapped at its second touch, and pushes another out only when it is used more.
   * "always": every window that is touched twice is mapped.
   */
  admission?: "frequency" | "always";
}

/** How a file is opened. */
export interface OpenOptions {
  /** "r" reads, "r+" also writes. Default "r". */
  mode?: "r" | "r+";
}

/** What a manager holds and has done. */
export interface WindowStats extends Readonly<WindowCounters> {
  /** Windows resident now. */
  readonly windows: number;
  /** Bytes of windows resident now, and of ranges being scanned. */
  readonly residentBytes: number;
  /** Bytes that leases hold now. */
  readonly pinnedBytes: number;
  /** Files open now; each takes one descriptor. */
  readonly files: number;
  /** Files of them that only cursors use, or have used. */
  readonly cachedFiles: number;
  /** Share of uses that found their window resident, 0 before the first. */
  readonly hitRate: number;
}

/** A file that cursors share, and how many do. */
interface Cached {
  readonly file: WindowFile;
  readonly key: string;
  users: number;
}

/**
 * Opens files and keeps the windows of all of them within one budget. For one thread: a Worker makes its own, and
 * `handle` and `reopen` carry files over.
 */
export class WindowManager implements FileHost, Disposable {
  /** Bytes of a window. */
  readonly windowSize: number;
  /** @internal */
  readonly residency: Residency;
  /** Files that may be open at once. */
  readonly maxFiles: number;
  #files = new Set<WindowFile>();
  #cached = new Map<string, Cached>();
  #closed = false;

  /** @throws {InvalidArgumentError} when an option is none, or the budget is below one window. */
  constructor(options: WindowManagerOptions = {}) {
    const { windowSize = 2 ** 20, budget = 2 ** 28, maxWindows = 2 ** 31 - 1, maxFiles = 1024 } = options;
    const { strict = false, admission = "frequency" } = options;
    const page = pageSize();
    if (windowSize === "file") this.windowSize = 2 ** 52;
    else {
      checkInteger("windowSize", windowSize);
      if (windowSize === 0 || windowSize > 2 ** 52) throw new InvalidArgumentError("windowSize must be 1 to 2^52");
      this.windowSize = Math.ceil(windowSize / page) * page;
    }
    for (const [name, value] of Object.entries({ budget, maxWindows, maxFiles })) {
      checkInteger(name, value);
      if (value === 0) throw new InvalidArgumentError(`${name} must not be 0`);
    }
    if (windowSize !== "file" && budget < this.windowSize)
      throw new InvalidArgumentError(`budget ${budget} is below one window of ${this.windowSize} bytes`);
    checkOption("strict", strict, [true, false]);
    checkOption("admission", admission, ["frequency", "always"]);
    this.maxFiles = maxFiles;
    this.residency = new Residency(
      { budget, maxWindows, strict, admission },
      makePolicy(options.policy ?? "sieve"),
      Math.min(this.windowSize, budget),
    );
  }

  /** True after `close`. */
  get closed(): boolean {
    return this.#closed;
  }

  #live(): void {
    if (this.#closed) throw new ClosedError("the window manager");
  }

  /**
   * Opens a file, by path, `file:` URL or descriptor (which is duplicated).
   *
   * @throws {NotFoundError | PermissionError | UnsupportedFileError} when it cannot be opened.
   * @throws {LimitError} when `maxFiles` are open, or no descriptor is left after collecting.
   */
  open(source: FileSource, options: OpenOptions = {}): WindowFile {
    this.#live();
    const { mode = "r" } = options;
    checkOption("mode", mode, ["r", "r+"]);
    return this.#open(() => DataFile.open(source, mode === "r+"));
  }

  /**
   * Opens here what another thread of this process described with `file.handle()`.
   * @throws {StaleHandleError} when the file is gone or another has its place.
   */
  reopen(handle: WindowFileHandle): WindowFile {
    this.#live();
    if (handle?.kind !== "outcore.window-file") throw new InvalidArgumentError("not a handle of a window file");
    return this.#open(() => DataFile.reopen(handle.file));
  }

  #open(open: () => DataFile): WindowFile {
    this.#makeRoom();
    return this.#adopt(this.#openData(open));
  }

  #makeRoom(): void {
    if (this.#files.size >= this.maxFiles) this.#closeCached();
    if (this.#files.size >= this.maxFiles)
      throw new LimitError("files", `${this.maxFiles} files are open, as many as this manager may`);
  }

  /** Where the system has no descriptor left, files that nobody uses give up theirs. */
  #openData(open: () => DataFile): DataFile {
    try {
      return open();
    } catch (error) {
      if (!(error instanceof LimitError)) throw error;
      const windows = this.residency.collect();
      if (this.#closeCached() + windows === 0) throw error;
      return open();
    }
  }

  #adopt(data: DataFile): WindowFile {
    try {
      const file = new WindowFile(this, data);
      this.#files.add(file);
      return file;
    } catch (error) {
      data.close();
      throw error;
    }
  }

  /**
   * A cursor on a file, which is opened at the first use and stays open for other cursors until `collect`, or until
   * `maxFiles` forces it out.
   */
  cursor(source?: FileSource): WindowCursor {
    this.#live();
    return source === undefined ? new WindowCursor(this) : new WindowCursor(this, source);
  }

  /** @internal The file that cursors on `source` share. */
  acquire(source: FileSource): Cached {
    this.#live();
    const path = pathOf(source);
    const data = this.#openData(() => DataFile.open(source, false));
    const { device, inode } = data.identity;
    const key = path === undefined ? `fd:${device}:${inode}` : `${device}:${inode}`;
    const known = this.#cached.get(key);
    if (known !== undefined) {
      data.close();
      known.file.refresh();
      known.users++;
      return known;
    }
    try {
      this.#makeRoom();
    } catch (error) {
      data.close();
      throw error;
    }
    const cached = { file: this.#adopt(data), key, users: 1 };
    this.#cached.set(key, cached);
    return cached;
  }

  /** @internal */
  release(cached: Cached): void {
    cached.users--;
  }

  /** Closes files that no cursor uses and returns how many; leases that cursors had have told already what was lost. */
  #closeCached(): number {
    const unused = [...this.#cached.values()].filter(({ users, file }) => users === 0 && file.leases === 0);
    closeAll(unused.map(({ file }) => file));
    return unused.length;
  }

  /** Gives back the memory of every window that no lease holds, and closes files without cursors; returns how many windows. */
  collect(): number {
    this.#live();
    const windows = this.residency.collect();
    this.#closeCached();
    return windows;
  }

  /**
   * Closes every file below a folder, or the file at a path, whatever holds it; returns how many. Windows needs this
   * before it can delete them. When files tell errors, all are closed before the first is thrown.
   */
  closeUnder(folder: string | URL): number {
    this.#live();
    const root = builtin("path").resolve(pathOf(folder) ?? "");
    const prefix = root.endsWith(builtin("path").sep) ? root : root + builtin("path").sep;
    const below = [...this.#files].filter((file) => {
      const path = builtin("path").resolve(file.path);
      return path === root || path.startsWith(prefix);
    });
    const failure = closeAll(below);
    if (failure !== undefined) throw failure.error;
    return below.length;
  }

  /** @internal */
  fileClosed(file: WindowFile): void {
    this.#files.delete(file);
    for (const [key, cached] of this.#cached) if (cached.file === file) this.#cached.delete(key);
  }

  /** Files that are open. */
  files(): IterableIterator<WindowFile> {
    return this.#files.values();
  }

  /** What it holds and has done; a copy. */
  get stats(): WindowStats {
    const { counters } = this.residency;
    const uses = counters.hits + counters.misses;
    return {
      ...counters,
      windows: this.residency.count,
      residentBytes: this.residency.bytes,
      pinnedBytes: this.residency.pinnedBytes,
      files: this.#files.size,
      cachedFiles: this.#cached.size,
      hitRate: uses === 0 ? 0 : counters.hits / uses,
    };
  }

  /** Closes every file, each completely; then throws the first error that one of them told. May be called twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const failure = closeAll([...this.#files]);
    if (failure !== undefined) throw failure.error;
  }

  /** The same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Closes every file, each completely; returns the first error that one of them told. */
function closeAll(files: readonly WindowFile[]): { error: unknown } | undefined {
  let failure: { error: unknown } | undefined;
  for (const file of files) {
    try {
      file.close();
    } catch (error) {
      failure ??= { error };
    }
  }
  return failure;
}

/**
 * Opens one file with a manager of its own, which closes with it.
 * Options and errors are those of `WindowManager` and its `open`.
 */
export function openWindows(source: FileSource, options: WindowManagerOptions & OpenOptions = {}): WindowFile {
  const manager = new WindowManager(options);
  return manager.open(source, options);
}
