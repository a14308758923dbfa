import { ClosedError, InvalidArgumentError } from "../errors.ts";
import { LONGEST_VIEW } from "../memory/buffer-set.ts";
import { checkInteger } from "../memory/check.ts";
import type { FileSource } from "../memory/data-file.ts";
import { pathOf } from "../memory/data-file.ts";
import type { Lease } from "../memory/lease.ts";
import { WindowBuffer } from "./buffer.ts";
import type { WindowFile } from "./window-file.ts";

/** The windows that hold a cursor's range. */
export interface WindowRegion {
  /** Offset in the file, a multiple of the window size. */
  readonly offset: number;
  /** Bytes, up to the end of the file. */
  readonly size: number;
  /** Offset behind the last byte. */
  readonly end: number;
}

/** What a cursor needs of its manager. */
export interface CursorHost {
  readonly windowSize: number;
  acquire(source: FileSource): { readonly file: WindowFile };
  release(cached: { readonly file: WindowFile }): void;
}

/**
 * A place in a file that moves: `use` maps a range and pins it until the next `use` or `unuse`. A cursor without a file
 * is not associated; one whose `use` found bytes is valid.
 */
export class WindowCursor implements Disposable {
  #host: CursorHost;
  #source: FileSource | undefined;
  #cached: { readonly file: WindowFile } | undefined;
  #lease: Lease | undefined;

  /** @internal Use `WindowManager.cursor`. */
  constructor(host: CursorHost, source?: FileSource) {
    this.#host = host;
    this.#source = source;
    if (source !== undefined) this.#cached = this.#host.acquire(source);
  }

  #file(): WindowFile {
    if (this.#cached === undefined) throw new ClosedError("a cursor without a file");
    return this.#cached.file;
  }

  /** True when it has a file. */
  get isAssociated(): boolean {
    return this.#cached !== undefined;
  }

  /** True when the last `use` found bytes. */
  get isValid(): boolean {
    return this.#lease !== undefined && !this.#file().closed;
  }

  /**
   * Moves to [offset, offset + size); `size` 0 (default) means the rest of the window of `offset`. What lies beyond the
   * end of the file is left out; at or beyond the end the cursor becomes invalid. Ranges may cross windows, up to 1 GiB.
   *
   * @throws {TruncatedError} when bytes of the range left were lost.
   * @throws {LimitError} when strict limits would be exceeded.
   */
  use(offset = 0, size = 0): this {
    checkInteger("offset", offset);
    checkInteger("size", size);
    this.unuse();
    const file = this.#file();
    const wanted = size > 0 ? size : this.#host.windowSize - (offset % this.#host.windowSize);
    if (offset + wanted > file.size) file.refresh();
    const length = Math.min(wanted, file.size - offset, LONGEST_VIEW);
    if (length > 0) this.#lease = file.lease(offset, length);
    return this;
  }

  /** Ends the use; the windows stay cached. May be called twice. */
  unuse(): void {
    const lease = this.#lease;
    this.#lease = undefined;
    lease?.release();
  }

  /** The bytes of the range, without a copy. @throws {InvalidArgumentError} when the cursor is not valid. */
  bytes(): Uint8Array {
    return this.#used().bytes;
  }

  #used(): Lease {
    if (this.#lease === undefined) throw new InvalidArgumentError("the cursor is not valid: nothing is in use");
    return this.#lease;
  }

  /** Offset in the file of the first byte in use. */
  get begin(): number {
    return this.#used().offset;
  }

  /** Offset behind the last byte in use. */
  get end(): number {
    const lease = this.#used();
    return lease.offset + lease.bytes.length;
  }

  /** Bytes in use; 0 when the cursor is not valid. */
  get size(): number {
    return this.#lease?.bytes.length ?? 0;
  }

  /** True when the byte at `offset` is in use. */
  includes(offset: number): boolean {
    return this.#lease !== undefined && offset >= this.begin && offset < this.end;
  }

  /** The windows that the range lies in; undefined when the cursor is not valid. */
  get region(): WindowRegion | undefined {
    if (this.#lease === undefined) return undefined;
    const { windowSize } = this.#host;
    const offset = Math.floor(this.begin / windowSize) * windowSize;
    const end = Math.min(Math.ceil(this.end / windowSize) * windowSize, this.fileSize);
    return { offset, size: end - offset, end };
  }

  /** Bytes of the file, as of the last look at it. */
  get fileSize(): number {
    return this.#file().size;
  }

  /**
   * Looks at the file's present size and returns it.
   * @throws {TruncatedError} when it has become shorter than what was seen of it.
   */
  refresh(): number {
    return this.#file().refresh();
  }

  /** Path of the file. @throws {InvalidArgumentError} when it was given by descriptor. */
  get path(): string {
    const path = this.#source === undefined ? undefined : pathOf(this.#source);
    if (path === undefined) throw new InvalidArgumentError("the cursor's file was not given by path");
    return path;
  }

  /** The descriptor that the file was given by. @throws {InvalidArgumentError} when it was given by path. */
  get descriptor(): number {
    if (typeof this.#source !== "number")
      throw new InvalidArgumentError("the cursor's file was not given by descriptor");
    return this.#source;
  }

  /** The file's bytes as something like a string; see `WindowBuffer`. */
  buffer(offset = 0, size?: number): WindowBuffer {
    const cursor = this.copy();
    try {
      return new WindowBuffer(cursor, offset, size);
    } catch (error) {
      cursor.close();
      throw error;
    }
  }

  /** A second cursor on the same file, with nothing in use. */
  copy(): WindowCursor {
    return new WindowCursor(this.#host, this.#source);
  }

  /** Takes over another cursor's file and range; what was in use here is not any more. */
  assign(other: WindowCursor): void {
    const { begin, size } = other.isValid ? other : { begin: 0, size: 0 };
    this.close();
    this.#source = other.#source;
    this.#host = other.#host;
    if (this.#source === undefined) return;
    this.#cached = this.#host.acquire(this.#source);
    if (size > 0) this.use(begin, size);
  }

  /** Ends the use and lets go of the file. May be called twice. */
  close(): void {
    const cached = this.#cached;
    this.#cached = undefined;
    if (cached !== undefined) this.#host.release(cached);
    this.unuse();
  }

  /** The same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
