import { InvalidArgumentError } from "../errors.ts";
import { sharesMemory } from "../memory/buffer-set.ts";
import type { DType, Scalar } from "./dtype.ts";

/** A number to write: a bigint for i64 and u64; for bool also `true` and `false`. */
export type Value<D extends DType> = D extends "bool" ? number | boolean : Scalar<D>;

/** What can be copied from as it is. */
type Flat = ArrayLike<number> | ArrayLike<bigint>;

const isBig = (dtype: DType): boolean => dtype === "i64" || dtype === "u64";

function refuse(dtype: DType, value: unknown): never {
  const what = value === null ? "null" : typeof value;
  throw new InvalidArgumentError(`an array of ${dtype} takes ${isBig(dtype) ? "bigints" : "numbers"}, not: ${what}`);
}

/** Whether it is one value, and not a list of them. */
export function isScalar(value: unknown): value is number | bigint | boolean {
  return typeof value === "number" || typeof value === "bigint" || typeof value === "boolean";
}

/**
 * A value as an array of this type holds it.
 * @throws {InvalidArgumentError} when the type takes no such values.
 */
export function scalarOf(dtype: DType, value: unknown): number | bigint {
  if (dtype === "bool" && (typeof value === "boolean" || typeof value === "number")) return value ? 1 : 0;
  if (typeof value === (isBig(dtype) ? "bigint" : "number")) return value as number | bigint;
  return refuse(dtype, value);
}

/** Adds the values of a nested list to `into`. */
function flatten(dtype: DType, list: ArrayLike<unknown>, into: (number | bigint)[]): void {
  for (let i = 0; i < list.length; i++) {
    const value = list[i];
    if (typeof value === "object" && value !== null && isList(value)) flatten(dtype, value, into);
    else into.push(scalarOf(dtype, value));
  }
}

function isList(value: unknown): value is ArrayLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { length?: unknown }).length === "number";
}

/** Whether a typed array shares memory with another. */
export function aliases(values: ArrayLike<unknown>, other: ArrayBufferView): boolean {
  return ArrayBuffer.isView(values) && sharesMemory(values.buffer, other.buffer);
}

/**
 * Values as one flat list in C order; typed arrays as they are. `values` may be nested.
 * @throws {InvalidArgumentError} when it is no list, or one of them is nothing that the type takes.
 */
export function flatValues(dtype: DType, values: unknown): Flat {
  if (!isList(values)) return refuse(dtype, values);
  if (!ArrayBuffer.isView(values)) {
    const flat: (number | bigint)[] = [];
    flatten(dtype, values, flat);
    return flat as number[] | bigint[];
  }
  const typed = values as unknown as Uint8Array;
  const holdsBig = typed instanceof BigInt64Array || typed instanceof BigUint64Array;
  if (holdsBig !== isBig(dtype)) return refuse(dtype, holdsBig ? 0n : 0);
  if (dtype === "bool" && typed.some((value) => value !== 0 && value !== 1))
    return Uint8Array.from(typed, (value) => (value ? 1 : 0));
  return typed;
}
