import { InvalidArgumentError, UnsupportedFileError } from "../errors.ts";
import type { Piece } from "../memory/buffer-set.ts";
import type { FileSource } from "../memory/data-file.ts";
import { Mapping } from "../memory/mapping.ts";
import type { Access } from "../memory/mapping-options.ts";
import { type Backing, BigArray } from "./big-array.ts";
import { type DType, itemSize } from "./dtype.ts";
import { checkShape, sizeOf } from "./slicing.ts";

/** What a plain array is. */
export interface PlainOptions<D extends DType> {
  /** Type of the elements. */
  dtype: D;
  /** Elements per axis, or of the only one. */
  shape: number | readonly number[];
  /** Default "C". */
  order?: "C" | "F";
}

/** An array over a mapping, without transactions. */
export interface PlainArray<D extends DType> extends Disposable {
  /** The array itself. */
  readonly array: BigArray<D>;
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
    throw new InvalidArgumentError(
      `${this.name} has no name that another process could open; post the mapping's handle`,
    );
  }
}

function plain<D extends DType>(mapping: Mapping, options: PlainOptions<D>): PlainArray<D> {
  const close = (): void => mapping.close();
  const array = new BigArray(new MappedBacking(mapping, options), options.dtype);
  return { array, close, [Symbol.dispose]: close };
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
  return plain(Mapping.open(source, { access, offset, length: bytesOf(options) }), options);
}
