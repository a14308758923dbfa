import { InvalidArgumentError } from "../errors.ts";
import type { ArrayInfo } from "./catalogue.ts";
import { type DType, itemSize } from "./dtype.ts";
import { checkShape } from "./slicing.ts";
import type { ArrayOptions } from "./store-options.ts";

/** @throws {InvalidArgumentError} unless it is text. */
export function checkName(name: unknown, what: string): void {
  if (typeof name !== "string" || name === "") throw new InvalidArgumentError(`${what} needs a name`);
}

/**
 * A copy of attributes as JSON keeps them.
 * @throws {InvalidArgumentError} when it is no object, or holds what JSON cannot.
 */
export function asJson(attributes: unknown): Readonly<Record<string, unknown>> {
  if (typeof attributes !== "object" || attributes === null || Array.isArray(attributes))
    throw new InvalidArgumentError("attributes are an object");
  try {
    return JSON.parse(JSON.stringify(attributes)) as Record<string, unknown>;
  } catch (error) {
    throw new InvalidArgumentError(`attributes are kept as JSON: ${(error as Error).message}`);
  }
}

/** A shape as a list. */
function lengths(shape: unknown): number[] {
  if (typeof shape === "number") return [shape];
  if (!Array.isArray(shape)) throw new InvalidArgumentError(`a shape is a number or a list of them, not ${shape}`);
  return [...shape];
}

/**
 * What a catalogue says of an array that is described so.
 * @throws {InvalidArgumentError} when it is described wrongly. {RangeError} when it is too large.
 */
export function described<D extends DType>(
  options: ArrayOptions<D>,
): Pick<ArrayInfo, "shape" | "order"> & { dtype: D; attributes: Pick<ArrayInfo, "attributes"> } {
  if (typeof options !== "object" || options === null) throw new InvalidArgumentError("an array needs dtype and shape");
  const { dtype, order = "C", record, attributes } = options;
  const size = itemSize(dtype);
  if (order !== "C" && order !== "F") throw new InvalidArgumentError(`order is "C" or "F", not ${String(order)}`);
  const shape = lengths(options.shape);
  if (record !== undefined) {
    if (dtype !== "u8" || order !== "C" || record === 0)
      throw new InvalidArgumentError('records are rows of one byte or more: dtype "u8", order "C"');
    shape.push(record);
  }
  checkShape(shape, size);
  return { dtype, shape, order, attributes: attributes === undefined ? {} : { attributes: asJson(attributes) } };
}
