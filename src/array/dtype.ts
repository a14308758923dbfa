import { InvalidArgumentError, UnsupportedRuntimeError } from "../errors.ts";

/** Element types and the typed arrays that show them. */
export interface DTypes {
  /** `Int8Array`. */
  i8: Int8Array<ArrayBuffer>;
  /** `Uint8Array`. */
  u8: Uint8Array<ArrayBuffer>;
  /** `Int16Array`. */
  i16: Int16Array<ArrayBuffer>;
  /** `Uint16Array`. */
  u16: Uint16Array<ArrayBuffer>;
  /** `Int32Array`. */
  i32: Int32Array<ArrayBuffer>;
  /** `Uint32Array`. */
  u32: Uint32Array<ArrayBuffer>;
  /** `BigInt64Array`. */
  i64: BigInt64Array<ArrayBuffer>;
  /** `BigUint64Array`. */
  u64: BigUint64Array<ArrayBuffer>;
  /** `Float16Array`, where the runtime has it. */
  f16: Float32Array<ArrayBuffer>;
  /** `Float32Array`. */
  f32: Float32Array<ArrayBuffer>;
  /** `Float64Array`. */
  f64: Float64Array<ArrayBuffer>;
  /** One byte, 0 or 1, in a `Uint8Array`. `set`, `fill`, `append` and `assign` take booleans too. */
  bool: Uint8Array<ArrayBuffer>;
}

/** Name of an element type. */
export type DType = keyof DTypes;

/** One element: a bigint for i64 and u64, else a number. */
export type Scalar<D extends DType> = D extends "i64" | "u64" ? bigint : number;

const sizes: Readonly<Record<DType, number>> = {
  i8: 1,
  u8: 1,
  i16: 2,
  u16: 2,
  i32: 4,
  u32: 4,
  i64: 8,
  u64: 8,
  f16: 2,
  f32: 4,
  f64: 8,
  bool: 1,
};

/** Makes a typed array over a buffer. */
export type TypedConstructor<D extends DType> = new (buffer: ArrayBuffer, offset: number, length: number) => DTypes[D];

/** The constructor for an element type. */
export function constructorOf<D extends DType>(dtype: D): TypedConstructor<D> {
  const { Float16Array } = globalThis as { Float16Array?: unknown };
  if (dtype === "f16" && Float16Array === undefined)
    throw new UnsupportedRuntimeError("a runtime without Float16Array", "Bun, Deno or Node >= 24 for f16");
  const all: Record<DType, unknown> = {
    i8: Int8Array,
    u8: Uint8Array,
    i16: Int16Array,
    u16: Uint16Array,
    i32: Int32Array,
    u32: Uint32Array,
    i64: BigInt64Array,
    u64: BigUint64Array,
    f16: Float16Array,
    f32: Float32Array,
    f64: Float64Array,
    bool: Uint8Array,
  };
  return all[dtype] as TypedConstructor<D>;
}

/**
 * Bytes of an element.
 * @throws {InvalidArgumentError} when there is no such type; arrays of objects are not possible.
 */
export function itemSize(dtype: DType): number {
  if (!Object.hasOwn(sizes, dtype))
    throw new InvalidArgumentError(`dtype must be one of ${Object.keys(sizes).join(", ")}, not ${String(dtype)}`);
  return sizes[dtype];
}
