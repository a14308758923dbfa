import { builtin } from "../builtins.ts";
import { InvalidArgumentError, UnsupportedFileError } from "../errors.ts";
import type { Piece } from "../memory/buffer-set.ts";
import { type FileSource, pathOf } from "../memory/data-file.ts";
import { Mapping } from "../memory/mapping.ts";
import type { Access, MappingHandle } from "../memory/mapping-options.ts";
import { type Backing, BigArray } from "./big-array.ts";
import { type DType, itemSize } from "./dtype.ts";
import { checkShape, type Index, sizeOf, slice, stridesOf } from "./slicing.ts";

/** What a plain array is. */
export interface PlainOptions<D extends DType> {
  /** Type of the elements. */
  dtype: D;
  /** Elements per axis, or of the only one. */
  shape: number | readonly number[];
  /** Default "C". */
  order?: "C" | "F";
}

/** Names a part of an array over a file for another process or Worker: plain data. */
export interface FileReference {
  /** Tells it from other plain data. */
  readonly kind: "outcore.file-array";
  /** The file, by path and identity, where in it the elements lie, and what may be done with them. */
  readonly file: MappingHandle;
  /** Type of the elements. */
  readonly dtype: DType;
  /** Elements per axis. */
  readonly shape: readonly number[];
  /** How they lie. */
  readonly order: "C" | "F";
  /** What of it. */
  readonly index: readonly Index[];
}

/** An array over a mapping, without transactions. */
export interface PlainArray<D extends DType> extends Disposable {
  /** The array itself. */
  readonly array: BigArray<D>;
  /**
   * Plain data from which `openReference` opens the same part of the file in another process or Worker, with the same
   * access. Where the file was given as a descriptor, only in this process and while this array is open.
   * @throws {InvalidArgumentError} for an array in memory, which nobody else can open.
   */
  reference(...index: Index[]): FileReference;
  /** Detaches every view. */
  close(): void;
}

class MappedBacking implements Backing {
  readonly name: string;
  readonly dtype: DType;
  readonly order: "C" | "F";
  readonly mapping: Mapping;
  #shape: readonly number[];

  constructor(mapping: Mapping, options: PlainOptions<DType>) {
    this.mapping = mapping;
    this.name = mapping.path;
    this.dtype = options.dtype;
    this.order = options.order ?? "C";
    this.#shape = typeof options.shape === "number" ? [options.shape] : [...options.shape];
  }

  shape(): readonly number[] {
    return this.#shape;
  }

  piece(offset: number, length: number): Piece {
    this.mapping.expose(offset + length);
    return this.mapping.piece(offset, length);
  }

  fetch(): Promise<void> {
    return Promise.resolve();
  }

  resize(): void {
    throw new InvalidArgumentError(`${this.name} cannot be resized; only arrays of a store can`);
  }

  bulk(offset: number): { from: number; to: number } {
    return { from: offset, to: offset };
  }

  checkWritable(): void {}

  wrote(): void {}

  reference(): { store: string; name: string } {
    throw new InvalidArgumentError(`${this.name} is in no store: call reference() of what fileArray has returned`);
  }
}

/** `path`: of the file, absolute. */
function plain<D extends DType>(mapping: Mapping, options: PlainOptions<D>, path?: string): PlainArray<D> {
  const close = (): void => mapping.close();
  const array = new BigArray(new MappedBacking(mapping, options), options.dtype);
  const reference = (...index: Index[]): FileReference => {
    const { dtype, shape, order } = array;
    slice({ shape, strides: stridesOf(shape, order), offset: 0 }, index);
    const handle = mapping.handle();
    const file = { ...handle, file: path === undefined ? handle.file : { ...handle.file, path } };
    return { kind: "outcore.file-array", file, dtype, shape, order, index };
  };
  return { array, reference, close, [Symbol.dispose]: close };
}

function bytesOf({ dtype, shape }: PlainOptions<DType>): number {
  const lengths = typeof shape === "number" ? [shape] : shape;
  checkShape(lengths, itemSize(dtype));
  return sizeOf(lengths) * itemSize(dtype);
}

/** An array of zeros in memory. */
export function memoryArray<D extends DType>(options: PlainOptions<D>): PlainArray<D> {
  return plain(Mapping.anonymous(bytesOf(options), { shared: false }), options);
}

/**
 * An array over the elements of an existing file, from byte `offset` on. Access "write" changes the file, "private"
 * nothing but memory.
 * @throws {OutOfRangeError} when the file is shorter.
 */
export function fileArray<D extends DType>(
  source: FileSource,
  options: PlainOptions<D> & { offset?: number; access?: Access },
): PlainArray<D> {
  const { offset = 0, access = "read" } = options;
  const size = itemSize(options.dtype);
  if (offset % size !== 0)
    throw new UnsupportedFileError(
      String(source),
      `not aligned at ${offset}`,
      `${options.dtype} needs multiples of ${size}`,
    );
  const path = pathOf(source);
  const absolute = path === undefined ? undefined : builtin("path").resolve(path);
  return plain(Mapping.open(source, { access, offset, length: bytesOf(options) }), options, absolute);
}

/**
 * The array over a file that a reference names a part of.
 * @throws {StaleHandleError} when another file has its place. {NotFoundError} when there is none.
 */
export function reopenFile({ file, dtype, shape, order }: FileReference): PlainArray<DType> {
  const options = { dtype, shape, order };
  if (!Array.isArray(shape) || (order !== "C" && order !== "F") || bytesOf(options) !== file?.length)
    throw new InvalidArgumentError("not a reference to an array over a file");
  return plain(Mapping.reopen(file), options, file.file.path);
}
