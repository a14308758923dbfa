import { ClosedError, InvalidArgumentError } from "../errors.ts";
import type { DType, DTypes, Scalar } from "./dtype.ts";
import { extent, type Index, isContiguous, type Layout, sizeOf, slice } from "./slicing.ts";
import { aliases, flatValues, isScalar, scalarOf, type Value } from "./values.ts";

/** Numbers to write: one for every element, or nested or flat arrays of as many as there are. */
export type Values<D extends DType> = Value<D> | ArrayLike<unknown> | NdView<D>;

/**
 * A window into an array: `data`, `shape`, `strides` and `offset` (in elements) are what ndarray libraries take. It
 * shares the array's memory.
 */
export class NdView<D extends DType = DType> implements Layout {
  /** Type of the elements. */
  readonly dtype: D;
  /** Typed array that holds the elements, without a copy. */
  readonly data: DTypes[D];
  /** Elements per axis. */
  readonly shape: readonly number[];
  /** Elements from one to the next, per axis. */
  readonly strides: readonly number[];
  /** Of the first element in `data`. */
  readonly offset: number;

  constructor(dtype: D, data: DTypes[D], layout: Layout) {
    this.dtype = dtype;
    this.data = data;
    this.shape = layout.shape;
    this.strides = layout.strides;
    this.offset = layout.offset;
  }

  /** @throws {ClosedError} when the array is no more: its views have length 0. */
  #live(): void {
    if (this.data.length === 0 && this.size > 0) throw new ClosedError("the array of this view");
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** Whether the elements lie one after the other. */
  get contiguous(): boolean {
    return isContiguous(this);
  }

  /** The elements as one native typed array, sharing memory. @throws {InvalidArgumentError} unless contiguous. */
  get array(): DTypes[D] {
    if (!this.contiguous) throw new InvalidArgumentError("the elements do not lie one after the other; use toTyped()");
    const data = this.data as Float64Array<ArrayBuffer>;
    return data.subarray(this.offset, this.offset + this.size) as unknown as DTypes[D];
  }

  /** A part of it. */
  view(...index: Index[]): NdView<D> {
    return new NdView(this.dtype, this.data, slice(this, index));
  }

  #at(index: readonly number[]): number {
    this.#live();
    if (index.length !== this.shape.length)
      throw new InvalidArgumentError(`${index.length} indices for ${this.shape.length} dimensions`);
    return slice(this, index).offset;
  }

  /** One element. */
  get(...index: number[]): Scalar<D> {
    return this.data[this.#at(index)] as Scalar<D>;
  }

  /** Sets one element. */
  set(value: Value<D>, ...index: number[]): void {
    (this.data as unknown as unknown[])[this.#at(index)] = scalarOf(this.dtype, value);
  }

  /** Calls with the place in `data` of each element, in C order. */
  each(visit: (place: number, number: number) => void): void {
    if (extent(this) === undefined) return;
    this.#live();
    const rank = this.shape.length;
    const at = new Array<number>(rank).fill(0);
    let place = this.offset;
    const { size } = this;
    for (let i = 0; i < size; i++) {
      visit(place, i);
      for (let axis = rank - 1; axis >= 0; axis--) {
        const stride = this.strides[axis] ?? 0;
        at[axis] = (at[axis] ?? 0) + 1;
        place += stride;
        if ((at[axis] ?? 0) < (this.shape[axis] ?? 0)) break;
        place -= stride * (this.shape[axis] ?? 0);
        at[axis] = 0;
      }
    }
  }

  /** Sets every element to one value. */
  fill(value: Value<D>): this {
    const stored = scalarOf(this.dtype, value);
    this.#live();
    if (this.contiguous) (this.array as unknown as { fill(value: unknown): void }).fill(stored);
    else
      this.each((place) => {
        (this.data as unknown as unknown[])[place] = stored;
      });
    return this;
  }

  /**
   * Writes a value to all elements, or as many values as there are elements, in C order. Values that share memory with
   * the view are read as they were before.
   */
  assign(values: Values<D>): this {
    if (isScalar(values)) return this.fill(values as Value<D>);
    let flat = flatValues(this.dtype, values instanceof NdView ? values.toTyped() : values);
    if (flat.length !== this.size)
      throw new InvalidArgumentError(`${flat.length} values for ${this.size} elements of shape [${this.shape}]`);
    this.#live();
    if (aliases(flat, this.data)) flat = (flat as unknown as Float64Array).slice();
    if (this.contiguous) (this.array as unknown as { set(from: unknown): void }).set(flat);
    else
      this.each((place, i) => {
        (this.data as unknown as unknown[])[place] = flat[i];
      });
    return this;
  }

  /** A copy of the elements in C order. */
  toTyped(): DTypes[D] {
    const { data, size } = this;
    this.#live();
    if (this.contiguous) return (this.array as Float64Array<ArrayBuffer>).slice() as unknown as DTypes[D];
    const copy = new (data.constructor as new (length: number) => DTypes[D])(size);
    this.each((place, i) => {
      (copy as unknown as unknown[])[i] = (data as unknown as unknown[])[place];
    });
    return copy;
  }

  /** Nested arrays, as JSON shows them. */
  toNested(): unknown {
    this.#live();
    if (this.shape.length === 0) return this.data[this.offset];
    return Array.from({ length: this.shape[0] ?? 0 }, (_, i) => this.view(i).toNested());
  }
}
