import { native } from "../../ffi/load.ts";
import type { Calls } from "../../ffi/symbols.ts";
import { builtin } from "../builtins.ts";
import { ClosedError, InvalidArgumentError, OutOfRangeError, ReadOnlyError } from "../errors.ts";
import { ADVISE_DONTNEED, type Advice, adviceKinds } from "./advice.ts";
import { LONGEST_VIEW, type Piece } from "./buffer-set.ts";
import { check, checkBytes, checkInteger, checkOption, checkRange } from "./check.ts";
import { DataFile, type FileSource } from "./data-file.ts";
import { forgetLeak, type Holding, trackLeak } from "./leaks.ts";
import { Lease, type Lessor } from "./lease.ts";
import { MappedBytes } from "./mapped-bytes.ts";
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, MappedRange, PROT_READ, PROT_WRITE } from "./mapped-range.ts";
import {
  type Access,
  accesses,
  type MapOptions,
  type MappingHandle,
  type ObjectOptions,
  type Shape,
} from "./mapping-options.ts";
import { createObject, openObject } from "./object.ts";
import { type ElementArray, type ElementName, elements } from "./typed.ts";

/**
 * A file, an anonymous memory or a shared memory object in the address space, and the only way to its bytes. All views
 * lie on a few large buffers; closing detaches them, so that every view ever handed out has length 0 afterwards. A file
 * that shrinks under its mapping shows zeros; the next call, release or close of what was touched throws.
 *
 * A mapping belongs to the thread that made it; another thread opens its own from `handle()`.
 */
export class Mapping implements Disposable, Lessor {
  /** Path of the file or object, or what stands for one in messages. */
  readonly path: string;
  /** What may be done through it. */
  readonly access: Access;
  /** Offset of the first byte in the file. */
  readonly offset: number;
  #file: DataFile | undefined;
  #length: number;
  #mapped: MappedBytes;
  #leases = 0;
  #closed = false;
  #ownsFile: boolean;
  #sparse: boolean;
  #holding: Holding;
  #copyPiece: Piece | undefined;
  readonly #calls: Calls = native().calls;
  readonly #cheapCalls: boolean = native().cheapBufferCalls;

  /** @internal Maps part of an open file, or anonymous memory when there is no file. Use the static functions. */
  constructor(file: DataFile | undefined, ownsFile: boolean, path: string, shape: Shape) {
    this.path = path;
    this.access = shape.access;
    this.offset = shape.offset;
    this.#file = file;
    this.#ownsFile = ownsFile;
    this.#sparse = shape.sparse ?? false;
    this.#length = shape.length;
    const lead = shape.offset % native().calls.oc_map_granularity();
    this.#mapped = new MappedBytes(path, file, shape.offset, lead);
    this.#holding = { what: `mapping of ${path}`, ranges: [], ...(shape.quiet ? { quiet: true } : {}) };
    this.#mapped.range = this.#map(shape.length);
    if (ownsFile) file?.quiet();
    trackLeak(this, this.#holding);
  }

  #map(length: number): MappedRange | undefined {
    if (length === 0) return undefined;
    const range = new MappedRange(this, {
      length: this.#mapped.lead + length,
      protection: this.access === "read" ? PROT_READ : PROT_WRITE,
      /* Only a private mapping can become writable when somebody writes to a view of a file open for reading. */
      flags: (this.access === "write" ? MAP_SHARED : MAP_PRIVATE) | (this.#file === undefined ? MAP_ANONYMOUS : 0),
      fd: this.#file?.fd ?? -1,
      offset: this.offset - this.#mapped.lead,
      path: this.path,
    });
    this.#holding.ranges?.push(range.leaked());
    return range;
  }

  /**
   * Maps a file, by path, `file:` URL or descriptor.
   *
   * @throws {NotFoundError | PermissionError | UnsupportedFileError} when it cannot be opened.
   * @throws {OutOfRangeError} when the range lies beyond the end and access is not "write".
   * @throws {DiskFullError} when there is no room to grow or allocate it.
   * @throws {LimitError} when descriptors, address space or mappings are used up.
   */
  static open(source: FileSource, options: MapOptions = {}): Mapping {
    const { access = "read", offset = 0, allocate = true } = options;
    checkOption("access", access, accesses);
    checkInteger("offset", offset);
    const file = DataFile.open(source, access === "write");
    try {
      const { size, allocated } = file.status();
      const length = options.length ?? Math.max(0, size - offset);
      checkInteger("length", length);
      if (access !== "write") checkRange(offset, length, size);
      else if (allocate && (offset + length > size || allocated < size)) file.allocate(offset, length);
      else if (offset + length > size) file.truncate(offset + length);
      return new Mapping(file, true, file.path, { access, offset, length, sparse: !allocate });
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** @internal Maps an open file that stays its caller's. */
  static ofFile(file: DataFile, access: Access, length: number): Mapping {
    return new Mapping(file, false, file.path, { access, offset: 0, length, quiet: true });
  }

  /**
   * Memory without a name, zeros at first. `shared` (default true) can be posted to a Worker and reopened there;
   * otherwise it is this thread's alone.
   */
  static anonymous(length: number, options: { shared?: boolean } = {}): Mapping {
    checkInteger("length", length);
    const path = "anonymous memory";
    if (options.shared === false) return new Mapping(undefined, false, path, { access: "private", offset: 0, length });
    const label = new TextEncoder().encode("outcore\0");
    const file = DataFile.adopt(check(native().calls.oc_memory_file(label, 0), "create", path), path, true);
    try {
      file.truncate(length);
      return new Mapping(file, true, path, { access: "write", offset: 0, length, sparse: true });
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * A shared memory object by name, which other processes can open too. Creating is exclusive, and nobody sees the
   * object before it is whole. The object stays until `unlinkObject`.
   *
   * @throws {NameInUseError} when it exists already and `create` is set.
   * @throws {NotFoundError} when it does not exist and `create` is not set.
   * @throws {DiskFullError} when shared memory is full.
   */
  static object(name: string, options: ObjectOptions = {}): Mapping {
    const { create = false, access = create ? "write" : "read", mode = 0o600 } = options;
    checkOption("access", access, accesses);
    if (create && options.length === undefined) throw new InvalidArgumentError("creating an object needs its length");
    const file = create ? createObject(name, options.length ?? 0, mode) : openObject(name, access === "write");
    try {
      return new Mapping(file, true, file.path, { access, offset: 0, length: file.size() });
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * Opens in this thread what another thread of this process described with `handle()`. Its own until closed.
   * @throws {StaleHandleError} when the file is gone or another has its place.
   */
  static reopen(handle: MappingHandle): Mapping {
    if (handle?.kind !== "outcore.mapping" || !handle.file) throw new InvalidArgumentError("not a handle of a mapping");
    checkOption("access", handle.access, accesses);
    const file = DataFile.reopen(handle.file);
    try {
      checkRange(handle.offset, handle.length, file.size());
      return new Mapping(file, true, file.path, handle);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** A plain object that can be posted to a Worker of this process and given to `Mapping.reopen` there. */
  handle(): MappingHandle {
    this.#live();
    if (this.#file === undefined) throw new InvalidArgumentError("private anonymous memory cannot be reopened");
    const { access, offset } = this;
    return { kind: "outcore.mapping", file: this.#file.handle(), access, offset, length: this.#length };
  }

  /** Bytes mapped. */
  get length(): number {
    return this.#length;
  }

  /** True after `close`. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Leases that are not released. */
  get leases(): number {
    return this.#leases;
  }

  #live(): void {
    if (this.#closed) throw new ClosedError(`the mapping of ${this.path}`);
    this.#mapped.checkStrays();
  }

  /**
   * Bytes of the file from `offset`, without a copy, at most 1 GiB: an ordinary Uint8Array. `length` defaults to the
   * rest.
   */
  bytes(offset = 0, length: number = this.#length - offset): Uint8Array {
    return this.view("u8", offset, length);
  }

  /**
   * `count` elements from byte `offset` of the mapping on, without a copy, at most 1 GiB.
   *
   * @throws {InvalidArgumentError} when the view is longer than 1 GiB, or its place in the file is no multiple of its
   *   element's size.
   * @throws {TruncatedError} when the file no longer reaches that far.
   */
  view<Name extends ElementName>(type: Name, offset: number, count: number): ElementArray<Name> {
    this.#live();
    if (!Object.hasOwn(elements, type)) checkOption("type", type, Object.keys(elements) as ElementName[]);
    checkInteger("count", count);
    const Type = elements[type];
    const length = count * Type.BYTES_PER_ELEMENT;
    checkRange(offset, length, this.#length);
    if (length > LONGEST_VIEW) throw new InvalidArgumentError(`a view has at most 1 GiB, not ${length} bytes`);
    if ((this.#mapped.lead + offset) % Type.BYTES_PER_ELEMENT !== 0)
      throw new InvalidArgumentError(`a view of ${type} cannot begin at ${offset}: elements must be aligned`);
    if (length === 0) return new Type(0) as ElementArray<Name>;
    this.#mapped.checkLost(offset, length);
    this.#mapped.expose(offset + length);
    const { buffer, start } = this.piece(offset, length);
    return new Type(buffer, offset - start, count) as ElementArray<Name>;
  }

  /** A pinned view; see `Lease`. */
  lease(offset: number, length: number): Lease {
    const bytes = this.bytes(offset, length);
    this.#leases++;
    return new Lease(this, offset, bytes);
  }

  /** @internal */
  endLease(offset: number, length: number, lastByte: number): void {
    this.#leases--;
    if (this.#closed) return;
    this.verify(offset, length, lastByte);
  }

  /**
   * Throws when bytes of the range are not the file's any more; see `MappedBytes.verify`.
   *
   * @internal
   */
  verify(offset: number, length: number, lastByte: number): void {
    this.#mapped.verify(offset, length, lastByte);
  }

  /**
   * Two loads and no call when nobody wrote.
   *
   * @internal
   * @throws {ReadOnlyError} when somebody wrote to a view of a mapping that is for reading; the write is taken back.
   */
  checkStrays(): void {
    this.#mapped.checkStrays();
  }

  /**
   * @internal
   * @throws {TruncatedError | MappedIoError} when bytes that were seen had been lost and no call has told so yet.
   */
  checkIntact(): void {
    const loss = this.#mapped.untold();
    if (loss !== undefined) throw loss;
  }

  /**
   * Copies `target.length` bytes from `offset` on into `target`.
   * @throws {TruncatedError} when the file no longer has them.
   */
  read(offset: number, target: Uint8Array): void {
    this.#live();
    const length = checkBytes("target", target);
    checkRange(offset, length, this.#length);
    if (length === 0) return;
    this.copyOut(offset, target, 0, length);
    this.verify(offset, length, target[length - 1] ?? 0);
  }

  /**
   * Copies `source` to `offset`.
   * @throws {ReadOnlyError} when access is "read".
   * @throws {TruncatedError} when the file no longer reaches that far.
   */
  write(offset: number, source: Uint8Array): void {
    this.#live();
    if (this.access === "read") throw new ReadOnlyError(this.path);
    const length = checkBytes("source", source);
    checkRange(offset, length, this.#length);
    if (length === 0) return;
    this.#mapped.expose(offset + length);
    native().calls.oc_copy_in(this.#mapped.address(offset), source, 0, length);
    this.verify(offset, length, 0);
  }

  /** The pages of [offset, offset + length): their address and bytes. Ends beyond the mapping are refused. */
  #pages(offset: number, length: number): { address: number; length: number } | undefined {
    this.#live();
    checkRange(offset, length, this.#length);
    if (length === 0) return undefined;
    const address = this.#mapped.address(offset);
    const beyond = address % native().calls.oc_page_size();
    return { address: address - beyond, length: beyond + length };
  }

  /**
   * Waits until changes of the range are on the disk (access "write").
   * @throws {TruncatedError | MappedIoError} when pages of it were lost, so that changes may be too.
   */
  flush(offset = 0, length: number = this.#length - offset): void {
    const pages = this.#pages(offset, length);
    if (this.access !== "write") throw new ReadOnlyError(this.path);
    if (pages === undefined) return;
    check(native().calls.oc_flush(pages.address, pages.length, 1), "flush", this.path);
    this.verify(offset, length, 0);
  }

  /** Tells the system how the range will be used. A hint: what the system lacks is ignored. */
  advise(kind: Advice, offset = 0, length: number = this.#length - offset): void {
    if (!Object.hasOwn(adviceKinds, kind)) checkOption("advice", kind, Object.keys(adviceKinds) as Advice[]);
    const pages = this.#pages(offset, length);
    if (pages !== undefined) native().calls.oc_advise(pages.address, pages.length, adviceKinds[kind]);
  }

  /** Begins to read the range in; does not wait. */
  prefetch(offset = 0, length: number = this.#length - offset): void {
    this.advise("willneed", offset, length);
  }

  /**
   * Gives the memory of the whole pages within the range back to the system; they are read in again when touched.
   * A private mapping loses its changes there.
   */
  trim(offset = 0, length: number = this.#length - offset): void {
    const page = native().calls.oc_page_size();
    const { lead } = this.#mapped;
    const first = Math.ceil((lead + offset) / page) * page - lead;
    const end = offset + length;
    const last = end === this.#length ? end : Math.floor((lead + end) / page) * page - lead;
    const pages = last > first ? this.#pages(first, last - first) : this.#pages(offset, 0);
    if (pages !== undefined) native().calls.oc_advise(pages.address, pages.length, ADVISE_DONTNEED);
  }

  /** @internal Gives back the memory under ranges that growth has replaced. */
  trimRetired(): void {
    this.#mapped.trimRetired();
  }

  /** Bytes of the range that are in memory now (in the page cache, for a file). O(pages). */
  resident(offset = 0, length: number = this.#length - offset): number {
    const pages = this.#pages(offset, length);
    if (pages === undefined) return 0;
    return check(native().calls.oc_resident(pages.address, pages.length), "count the resident pages of", this.path);
  }

  /**
   * Locks the range in memory.
   * @throws {LimitError} when more than the process may lock.
   */
  lock(offset = 0, length: number = this.#length - offset): void {
    const pages = this.#pages(offset, length);
    if (pages !== undefined) check(native().calls.oc_pin(pages.address, pages.length, 1), "lock", this.path);
  }

  /** Undoes `lock`. */
  unlock(offset = 0, length: number = this.#length - offset): void {
    const pages = this.#pages(offset, length);
    if (pages !== undefined) check(native().calls.oc_pin(pages.address, pages.length, 0), "unlock", this.path);
  }

  /**
   * Makes the mapping `length` bytes long, and the file too when it is shorter (access "write"). Views handed out
   * before stay valid and show the same bytes.
   *
   * @throws {DiskFullError} when there is no room for the file to grow.
   * @throws {OutOfRangeError} when the file is shorter and access is not "write".
   */
  grow(length: number): void {
    this.#live();
    checkInteger("length", length);
    if (length <= this.#length) return;
    if (this.#file === undefined || this.access === "private")
      throw new InvalidArgumentError("private memory cannot grow: its changes are in this mapping only");
    const size = this.#file.size();
    if (this.offset + length > size) {
      if (this.access !== "write") checkRange(this.offset, length, size);
      if (this.#sparse) this.#file.truncate(this.offset + length);
      else this.#file.allocate(this.offset + this.#length, length - this.#length);
    }
    if (this.#mapped.lead + length > (this.#mapped.range?.length ?? 0)) {
      /* Address space beyond the end of the file costs nothing and makes the number of ranges logarithmic. */
      const ahead = builtin("process").platform === "win32" ? 0 : Math.floor(length / 4);
      this.#mapped.replace(this.#map(length + ahead));
      this.#copyPiece = undefined;
    }
    this.#length = length;
  }

  /** Sees growth of the file by others: maps up to its present end and returns the length. */
  refresh(): number {
    this.#live();
    if (this.#file !== undefined && this.access !== "private") {
      const available = this.#file.size() - this.offset;
      if (available > this.#length) this.grow(available);
    }
    return this.#length;
  }

  /** @internal How often a page was lost. */
  get faults(): number {
    return this.#mapped.range?.guard.faults ?? 0;
  }

  /** @internal Whether pages were lost, under views of ranges that growth has replaced too. */
  get lost(): boolean {
    return this.#mapped.faults > 0;
  }

  /** @internal Whether a view lies on this mapping. */
  holds(bytes: Uint8Array): boolean {
    return this.#mapped.holds(bytes);
  }

  /**
   * The large buffer that holds [offset, offset + length), and where in it byte 0 of the mapping lies. For capabilities
   * that make many views; they tell `expose` what they hand out.
   *
   * @internal
   */
  piece(offset: number, length: number): Piece {
    this.#live();
    const { range, lead } = this.#mapped;
    if (range === undefined) throw new OutOfRangeError(offset, length, 0);
    const { buffer, start, end } = range.buffers.at(lead + offset, length);
    return { buffer, start: start - lead, end: end - lead };
  }

  /** @internal Bytes up to `end` may have been seen: `close` makes sure that they were the file's. */
  expose(end: number): void {
    this.#mapped.expose(end);
  }

  /**
   * Copies without any check but the caller's, the way that costs this runtime least: a call or a typed-array copy.
   *
   * @internal
   */
  copyOut(offset: number, target: Uint8Array, start: number, length: number): void {
    const end = offset + length;
    this.#mapped.expose(end);
    if (this.#cheapCalls) {
      this.#calls.oc_copy_out(target, start, this.#mapped.address(offset), length);
      return;
    }
    let piece = this.#copyPiece;
    if (piece === undefined || offset < piece.start || end > piece.end || piece.buffer.detached) {
      piece = this.piece(offset, length);
      this.#copyPiece = piece;
    }
    target.set(new Uint8Array(piece.buffer, offset - piece.start, length), start);
  }

  /** Offset of the first occurrence of `needle` within the range, -1 when there is none. Runs at memory speed. */
  indexOf(needle: Uint8Array, offset = 0, length: number = this.#length - offset): number {
    this.#live();
    checkRange(offset, length, this.#length);
    const wanted = checkBytes("needle", needle);
    if (wanted === 0) return offset;
    if (length < wanted) return -1;
    this.expose(offset + length);
    const found = native().calls.oc_find(this.#mapped.address(offset), length, needle, wanted);
    this.verify(offset, length, found < 0 ? 0 : 1);
    return found < 0 ? -1 : offset + found;
  }

  /** @internal Address of byte `offset`, for classes of this folder that call C; it never leaves them. */
  addressOf(offset: number): number {
    return this.#mapped.address(offset);
  }

  /**
   * Detaches every view and gives the memory back. May be called twice; leases still held end with it.
   *
   * @throws {TruncatedError | MappedIoError} after everything is released, when bytes that were handed out had been
   *   lost and no call has told so yet.
   * @throws {ReadOnlyError} likewise, when somebody wrote to a view of a mapping that is for reading.
   */
  close(): void {
    if (this.#closed) return;
    const loss = this.#mapped.untold() ?? (this.#mapped.strayed ? new ReadOnlyError(this.path, true) : undefined);
    this.#closed = true;
    forgetLeak(this);
    this.#mapped.release();
    this.#copyPiece = undefined;
    if (this.#ownsFile) this.#file?.close();
    if (loss !== undefined) throw loss;
  }

  /** The same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
