import { ClosedError, InvalidArgumentError } from "../errors.ts";
import type { Advice } from "../memory/advice.ts";
import { LONGEST_VIEW } from "../memory/buffer-set.ts";
import { checkBytes, checkInteger, checkRange } from "../memory/check.ts";
import type { DataFile, DataFileHandle } from "../memory/data-file.ts";
import { Lease, type Lessor } from "../memory/lease.ts";
import type { Mapping } from "../memory/mapping.ts";
import { ByteReader } from "./byte-reader.ts";
import { FileWindows } from "./file-windows.ts";
import type { Residency } from "./residency.ts";
import { type ChunkOptions, chunks, findIn, type LineOptions, lines } from "./scan.ts";
import { blobOf, type StreamOptions, streamOf } from "./stream.ts";

/** A file of a manager as it travels to another thread of this process: a plain object. */
export interface WindowFileHandle {
  /** Tells it from other handles. */
  readonly kind: "outcore.window-file";
  /** The file behind it. */
  readonly file: DataFileHandle;
}

/** What a file needs of its manager. */
export interface FileHost {
  readonly windowSize: number;
  readonly residency: Residency;
  /** Frees what can be freed; for when the system itself runs out. */
  collect(): number;
  /** The file closed. */
  fileClosed(file: WindowFile): void;
}

const NOWHERE = -1;

/**
 * A file of any size, seen through windows that share their manager's budget. The first touch of a window is served by
 * `pread`; a window that proves hot is mapped, and then served at memory speed until hotter ones push it out. The file
 * takes one descriptor and, once something is mapped, one mapping; windows take neither.
 *
 * Everything here is synchronous and belongs to the thread that opened it.
 */
export class WindowFile extends ByteReader implements Lessor, Disposable {
  /** Path of the file, or "descriptor N". */
  readonly path: string;
  /** True when opened with mode "r+". */
  readonly writable: boolean;
  #host: FileHost;
  #file: DataFile;
  #windows: FileWindows;
  /** Bytes [begin, end) that `placed` shows, the file offset of its byte 0, and whether that still holds. */
  #placedBegin = NOWHERE;
  #placedEnd = NOWHERE;
  #placedBase = 0;
  #placedGeneration = 0;
  #mappedView: DataView | undefined;
  #mappedViewBase = 0;
  #mappedViewRemaps = 0;
  #small: Uint8Array = new Uint8Array(8);
  #smallView: DataView = new DataView(this.#small.buffer);
  #leases = 0;
  /** The array that was filled last, and its length: known to be what they seem. */
  #target: Uint8Array | undefined;
  #targetLength = 0;

  /** @internal Use `WindowManager.open`. */
  constructor(host: FileHost, file: DataFile) {
    super();
    this.#host = host;
    this.#file = file;
    this.#windows = new FileWindows(file, host.residency, host.windowSize, () => host.collect());
    this.path = file.path;
    this.writable = file.writable;
  }

  /** Bytes of the file, as of its opening, the last `refresh`, or the last read that reached further; 0 when it is closed. */
  get size(): number {
    return this.#windows.size;
  }

  /** True after `close`. */
  get closed(): boolean {
    return this.#file.closed;
  }

  /** Leases that are not released. */
  get leases(): number {
    return this.#leases;
  }

  /** Windows of this file that are resident. O(windows of the manager). */
  get residentWindows(): number {
    return this.#windows.residency.windowsOf(this.#windows).length;
  }

  #live(): void {
    if (this.#file.closed) throw new ClosedError(this.path);
  }

  /** Refuses a range that is none; looks whether the file has grown when it ends beyond what is known. */
  #checkRange(offset: number, length: number): void {
    this.#live();
    if (offset + length > this.#windows.size && Number.isSafeInteger(offset + length) && offset >= 0 && length >= 0)
      this.refresh();
    checkRange(offset, length, this.#windows.size);
  }

  /* ---- copying reads ---- */

  /**
   * Copies `length` bytes from `offset` on into a new array.
   * @throws {OutOfRangeError} when the file ends before that.
   * @throws {TruncatedError} when it has become shorter than it was.
   */
  read(offset: number, length: number): Uint8Array {
    this.#checkRange(offset, length);
    const bytes = new Uint8Array(length);
    this.readInto(offset, bytes);
    return bytes;
  }

  /**
   * Fills `target` from `offset` on, without allocation. Errors as `read`.
   * @throws {InvalidArgumentError} when `target` is no Uint8Array.
   */
  readInto(offset: number, target: Uint8Array): void {
    const windows = this.#windows;
    const { length } = target;
    if (target !== this.#target || length !== this.#targetLength) this.#checkTarget(target);
    const window = Math.floor(offset / windows.windowSize);
    const end = offset + length;
    if (
      !(offset >= 0 && end <= windows.size && end <= (window + 1) * windows.windowSize) ||
      !Number.isInteger(offset) ||
      length === 0
    ) {
      this.#readParts(offset, target);
      return;
    }
    if (windows.use(window) || windows.miss(window, offset === windows.next))
      this.#copyMapped(offset, target, 0, length);
    else this.#file.readPart(offset, target, 0, length);
    windows.lastWindow = window;
    windows.next = end;
  }

  /** C writes as many bytes as `length` tells, so it must tell the truth. Most callers fill the same array again. */
  #checkTarget(target: Uint8Array): void {
    const length = checkBytes("target", target);
    if (target.length !== length) throw new InvalidArgumentError("target is not as long as it says");
    this.#target = target;
    this.#targetLength = length;
  }

  /** A read across windows: part by part, runs of what is not mapped in one system call. */
  #readParts(offset: number, target: Uint8Array): void {
    const windows = this.#windows;
    const { length } = target;
    this.#checkRange(offset, length);
    const sequential = offset === windows.next;
    let unread = 0;
    let at = 0;
    while (at < length) {
      const window = Math.floor((offset + at) / windows.windowSize);
      const part = Math.min(length - at, (window + 1) * windows.windowSize - offset - at);
      const mapped = windows.use(window) || windows.miss(window, sequential);
      windows.lastWindow = window;
      if (mapped) {
        this.#file.readPart(offset + unread, target, unread, at - unread);
        this.#copyMapped(offset + at, target, at, part);
        unread = at + part;
      }
      at += part;
    }
    this.#file.readPart(offset + unread, target, unread, length - unread);
    windows.next = offset + length;
  }

  #copyMapped(offset: number, target: Uint8Array, start: number, length: number): void {
    if (length === 0) return;
    const mapping = this.#windows.map(offset + length);
    mapping.copyOut(offset, target, start, length);
    mapping.verify(offset, length, target[start + length - 1] ?? 0);
  }

  /** @internal */
  protected override place(offset: number, bytes: number): number {
    if (
      offset >= this.#placedBegin &&
      offset + bytes <= this.#placedEnd &&
      this.#placedGeneration === this.#windows.generation &&
      Number.isInteger(offset)
    ) {
      const mapping = this.#windows.mapping as Mapping;
      if (mapping.faults !== 0) mapping.verify(offset, bytes, 1);
      return offset - this.#placedBase;
    }
    return this.#placeElsewhere(offset, bytes);
  }

  #placeElsewhere(offset: number, bytes: number): number {
    this.#checkRange(offset, bytes);
    const windows = this.#windows;
    const window = Math.floor(offset / windows.windowSize);
    const begin = window * windows.windowSize;
    const end = Math.min(begin + windows.windowSize, windows.size);
    if (offset + bytes <= end) {
      const sequential = offset === windows.next || offset === this.#placedEnd;
      if (windows.use(window) || windows.miss(window, sequential)) {
        windows.lastWindow = window;
        this.#showWindow(offset, bytes, begin, end);
        return this.place(offset, bytes);
      }
    }
    windows.lastWindow = window;
    windows.next = offset + bytes;
    this.#placedBegin = NOWHERE;
    this.#placedEnd = NOWHERE;
    this.#file.readPart(offset, this.#small, 0, bytes);
    this.placed = this.#smallView;
    return 0;
  }

  /**
   * Shows the window [windowBegin, windowEnd), which holds `bytes` bytes at `offset`, through `placed`; of one longer
   * than a view, the part around `offset`.
   */
  #showWindow(offset: number, bytes: number, windowBegin: number, windowEnd: number): void {
    const mapping = this.#windows.map(offset + bytes);
    const long = windowEnd - windowBegin > LONGEST_VIEW;
    const begin = long ? Math.max(windowBegin, offset - (offset % (LONGEST_VIEW / 2))) : windowBegin;
    const end = Math.min(long ? begin + LONGEST_VIEW : windowEnd, windowEnd, mapping.length);
    const view = this.#mappedView;
    const base = this.#mappedViewBase;
    const stale = this.#mappedViewRemaps !== this.#windows.remaps;
    if (
      view === undefined ||
      stale ||
      (view.buffer as ArrayBuffer).detached ||
      begin < base ||
      end > base + view.byteLength
    ) {
      const length = Math.min(end - begin, LONGEST_VIEW);
      const piece = mapping.piece(begin, length);
      const from = Math.max(piece.start, Math.floor(begin / LONGEST_VIEW) * LONGEST_VIEW);
      const to = Math.min(piece.end, mapping.length, Math.max(from + LONGEST_VIEW, begin + length));
      this.#mappedView = new DataView(piece.buffer, from - piece.start, to - from);
      this.#mappedViewBase = from;
      this.#mappedViewRemaps = this.#windows.remaps;
    }
    this.placed = this.#mappedView as DataView;
    this.#placedGeneration = this.#windows.generation;
    this.#placedBase = this.#mappedViewBase;
    this.#placedBegin = begin;
    this.#placedEnd = Math.min(end, this.#mappedViewBase + this.placed.byteLength);
    mapping.expose(this.#placedEnd);
  }

  /* ---- views ---- */

  /**
   * Pins the windows of [offset, offset + length), at most 1 GiB, and shows them without a copy.
   *
   * @throws {LimitError} when other leases hold so much that the limits would be exceeded and they are strict.
   * @throws {OutOfRangeError} when the file ends before that.
   * @throws {TruncatedError} when the range was lost before. What is lost later is told by `release`.
   */
  lease(offset: number, length: number): Lease {
    const windows = this.#windows;
    const window = Math.floor(offset / windows.windowSize);
    const end = offset + length;
    const id = windows.table.id(window);
    if (
      id < 0 ||
      !(end <= windows.size && end <= (window + 1) * windows.windowSize && length > 0) ||
      !Number.isInteger(offset) ||
      !Number.isInteger(length)
    )
      return this.#leaseParts(offset, length);
    const bytes = windows.bytes(offset, length);
    windows.use(window);
    windows.residency.pin(id);
    this.#leases++;
    return new Lease(this, offset, bytes);
  }

  #leaseParts(offset: number, length: number): Lease {
    this.#checkView(offset, length);
    const windows = this.#windows;
    const first = Math.floor(offset / windows.windowSize);
    const last = length === 0 ? first - 1 : Math.floor((offset + length - 1) / windows.windowSize);
    windows.residency.checkLease(length);
    if (length > 0) windows.map(offset + length).verify(offset, length, 1);
    let window = first;
    try {
      for (; window <= last; window++) windows.pin(window);
      const bytes = windows.bytes(offset, length);
      this.#leases++;
      return new Lease(this, offset, bytes);
    } catch (error) {
      windows.unpin(first, window - 1);
      throw error;
    }
  }

  /** @internal */
  endLease(offset: number, length: number, lastByte: number, bytes: Uint8Array): void {
    this.#leases--;
    if (this.#file.closed) return;
    const windows = this.#windows;
    if (length > 0) {
      windows.expose();
      const first = Math.floor(offset / windows.windowSize);
      windows.unpin(first, Math.floor((offset + length - 1) / windows.windowSize));
    }
    const mapping = windows.mappingOf(bytes);
    if (mapping !== undefined && offset + length <= mapping.length) mapping.verify(offset, length, lastByte);
  }

  #checkView(offset: number, length: number): void {
    this.#checkRange(offset, length);
    if (length > LONGEST_VIEW) throw new InvalidArgumentError(`a view has at most 1 GiB, not ${length} bytes`);
  }

  /**
   * An ordinary Uint8Array over up to 1 GiB of the file, without a copy and without a pin: valid until the file is
   * closed, whatever the windows do. Memory that it touches is given back by the next sweep.
   */
  view(offset: number, length: number): Uint8Array {
    this.#checkView(offset, length);
    if (length === 0) return new Uint8Array(0);
    this.#windows.map(offset + length).verify(offset, length, 1);
    this.#windows.expose();
    this.#windows.residency.maybeSweep();
    return this.#windows.bytes(offset, length);
  }

  /* ---- in order ---- */

  /**
   * Bytes to be read in order, without a copy where there is room in the budget, else copied. Valid until the file is
   * closed; the memory is given back when the scan has moved on.
   *
   * @internal
   */
  scan(offset: number, length: number): Uint8Array {
    this.#checkRange(offset, length);
    const windows = this.#windows;
    const end = offset + length;
    let mapped = length > 0;
    for (let window = Math.floor(offset / windows.windowSize); mapped && window * windows.windowSize < end; window++) {
      if (!windows.use(window)) mapped = windows.miss(window, true) && windows.holds(window, offset, end);
      windows.lastWindow = window;
    }
    windows.next = end;
    if (!mapped) {
      const copy = new Uint8Array(length);
      this.#file.readPart(offset, copy, 0, length);
      return copy;
    }
    windows.expose();
    const bytes = windows.bytes(offset, length);
    windows.mapping?.verify(offset, length, bytes[length - 1] ?? 1);
    return bytes;
  }

  /** Offset of the first occurrence of bytes, or of text in UTF-8, at or after `from`; -1 when there is none. */
  indexOf(needle: Uint8Array | string, from = 0): number {
    checkInteger("from", from);
    this.refresh();
    return findIn(this, typeof needle === "string" ? new TextEncoder().encode(needle) : needle, from);
  }

  /** The bytes in order, in chunks without a copy; each is valid until the next is asked for. */
  chunks(options: ChunkOptions = {}): IterableIterator<Uint8Array> {
    return chunks(this, options);
  }

  /** The lines of a text in UTF-8, without their line ends (LF or CRLF). */
  lines(options: LineOptions = {}): IterableIterator<string> {
    return lines(this, options);
  }

  /** The bytes as a stream of copies, for `new Response(...)`, `pipeTo` and their like. */
  stream(options: StreamOptions = {}): ReadableStream<Uint8Array> {
    return streamOf(this, options);
  }

  /** A copy of [start, end) as a Blob. */
  blob(start = 0, end: number = this.refresh(), type = ""): Blob {
    return blobOf(this, start, end, type);
  }

  /* ---- writing ---- */

  /**
   * Writes bytes at `offset`; the file grows when they end beyond it. Seen by every view at once.
   * @throws {ReadOnlyError} unless opened with mode "r+".
   * @throws {DiskFullError} when there is no room.
   */
  write(offset: number, bytes: Uint8Array): void {
    this.#live();
    this.#file.write(offset, bytes);
    if (offset + bytes.length > this.#windows.size) this.refresh();
  }

  /** Waits until what was written, through `write` or through views, is on the disk. */
  flush(offset = 0, length: number = this.#windows.size - offset): void {
    this.#checkRange(offset, length);
    this.#file.requireWritable();
    const { mapping } = this.#windows;
    if (mapping !== undefined && offset + length <= mapping.length) mapping.flush(offset, length);
    this.#file.sync();
  }

  /* ---- the rest ---- */

  /**
   * Looks at the file's present size and returns it. Growth becomes readable; views stay as they are.
   * @throws {TruncatedError} when it has become shorter than what was mapped and seen of it.
   */
  refresh(): number {
    this.#live();
    return this.#windows.refresh();
  }

  /** Begins to read a range in; does not wait. */
  prefetch(offset: number, length: number): void {
    this.advise("willneed", offset, length);
  }

  /** Tells the system how a range will be used. A hint. */
  advise(kind: Advice, offset = 0, length: number = this.#windows.size - offset): void {
    this.#checkRange(offset, length);
    if (length > 0) this.#windows.map(offset + length).advise(kind, offset, length);
  }

  /** A plain object that can be posted to a Worker of this process and given to `WindowManager.reopen` there. */
  handle(): WindowFileHandle {
    this.#live();
    return { kind: "outcore.window-file", file: this.#file.handle() };
  }

  /** @internal */
  get file(): DataFile {
    return this.#file;
  }

  /**
   * Detaches every view and closes the file. May be called twice; leases still held end with it.
   * @throws {TruncatedError | MappedIoError} after everything is released, when bytes that were seen had been lost and
   *   no call has told so yet.
   */
  close(): void {
    if (this.#file.closed) return;
    this.placed = this.#smallView;
    this.#mappedView = undefined;
    this.#placedEnd = NOWHERE;
    this.#host.fileClosed(this);
    const loss = this.#windows.close();
    this.#file.close();
    if (loss !== undefined) throw loss;
  }

  /** The same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
