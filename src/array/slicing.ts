import { InvalidArgumentError } from "../errors.ts";

/**
 * One part of an index: an element's number (negative from the end), a range `[start, stop, step]` with any of the
 * three left out, ":" for all, "..." for as many ":" as fit, or null for a new axis of length 1.
 */
export type Index = number | readonly (number | null | undefined)[] | ":" | "..." | null;

/** Shape, and strides and offset in elements. */
export interface Layout {
  /** Elements per axis. */
  readonly shape: readonly number[];
  /** Elements from one to the next, per axis. */
  readonly strides: readonly number[];
  /** Number of the first element. */
  readonly offset: number;
}

/** Largest array, in bytes. */
export const MOST_BYTES: number = 2 ** 47;

/** @throws {RangeError} when it has more than 2^47 bytes; {InvalidArgumentError} when a length is no integer >= 0. */
export function checkShape(shape: readonly number[], size: number): void {
  let bytes = size;
  for (const length of shape) {
    if (!Number.isSafeInteger(length) || length < 0)
      throw new InvalidArgumentError(`a shape has integers from 0 on, not ${String(length)}`);
    bytes *= length;
  }
  if (shape.length === 0) throw new InvalidArgumentError("a shape has at least one length");
  if (shape.reduce((product, length) => product * Math.max(1, length), size) > MOST_BYTES)
    throw new RangeError(`an array of ${bytes} bytes is larger than 2^47`);
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

/** Strides of a whole array, in elements. */
export function stridesOf(shape: readonly number[], order: "C" | "F"): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = 0; i < shape.length; i++) {
    const axis = order === "C" ? shape.length - 1 - i : i;
    strides[axis] = stride;
    stride *= shape[axis] ?? 1;
  }
  return strides;
}

function clip(value: number | null | undefined, length: number, low: number, high: number, otherwise: number): number {
  if (value === null || value === undefined) return otherwise;
  if (!Number.isInteger(value)) throw new InvalidArgumentError(`an index is an integer, not ${String(value)}`);
  return Math.min(high, Math.max(low, value < 0 ? value + length : value));
}

/** Start, step and number of elements of a range, as Python counts. */
function resolveRange(range: readonly (number | null | undefined)[], length: number): [number, number, number] {
  const step = range[2] ?? 1;
  if (!Number.isInteger(step) || step === 0) throw new InvalidArgumentError(`a step is an integer but 0, not ${step}`);
  if (range.length > 3) throw new InvalidArgumentError("a range is [start, stop, step]");
  if (step > 0) {
    const start = clip(range[0], length, 0, length, 0);
    const stop = clip(range[1], length, 0, length, length);
    return [start, step, Math.max(0, Math.ceil((stop - start) / step))];
  }
  const start = clip(range[0], length, -1, length - 1, length - 1);
  const stop = clip(range[1], length, -1, length - 1, -1);
  return [start, step, Math.max(0, Math.ceil((stop - start) / step))];
}

/**
 * What an index selects of a layout.
 * @throws {RangeError} when an element's number is out of range; {InvalidArgumentError} for too many indices or step 0.
 */
export function slice(layout: Layout, index: readonly Index[]): Layout {
  const used = index.filter((part) => part !== null && part !== "...").length;
  const rank = layout.shape.length;
  if (used > rank) throw new InvalidArgumentError(`${used} indices for an array of ${rank} dimensions`);
  if (index.filter((part) => part === "...").length > 1) throw new InvalidArgumentError('only one "..." is possible');
  const parts: Index[] = [];
  const fill = new Array<Index>(rank - used).fill(":");
  for (const part of index) part === "..." ? parts.push(...fill) : parts.push(part);
  if (!index.includes("...")) parts.push(...fill);
  const shape: number[] = [];
  const strides: number[] = [];
  let { offset } = layout;
  let axis = 0;
  for (const part of parts) {
    if (part === null) {
      shape.push(1);
      strides.push(0);
      continue;
    }
    const length = layout.shape[axis] ?? 0;
    const stride = layout.strides[axis] ?? 0;
    axis++;
    if (typeof part === "number") {
      const at = part < 0 ? part + length : part;
      if (!Number.isInteger(at)) throw new InvalidArgumentError(`an index is an integer, not ${part}`);
      if (at < 0 || at >= length) throw new RangeError(`index ${part} is out of range for ${length}`);
      offset += at * stride;
    } else if (part === ":" || Array.isArray(part)) {
      const [start, step, count] = resolveRange(part === ":" ? [] : (part as number[]), length);
      if (count > 0) offset += start * stride;
      shape.push(count);
      strides.push(stride * step);
    } else {
      throw new InvalidArgumentError(`an index is a number, a range, ":", "..." or null, not ${String(part)}`);
    }
  }
  return { shape, strides, offset };
}

/** Lowest and highest element of a layout, or undefined when it has none. */
export function extent({ shape, strides, offset }: Layout): { low: number; high: number } | undefined {
  let low = offset;
  let high = offset;
  for (const [axis, length] of shape.entries()) {
    if (length === 0) return undefined;
    const reach = (strides[axis] ?? 0) * (length - 1);
    if (reach < 0) low += reach;
    else high += reach;
  }
  return { low, high };
}

/** Whether the elements lie one after the other in C order. */
export function isContiguous({ shape, strides }: Layout): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const length = shape[axis] ?? 0;
    if (length === 0) return true;
    if (length !== 1 && strides[axis] !== expected) return false;
    expected *= length;
  }
  return true;
}
