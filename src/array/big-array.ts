import { InvalidArgumentError } from "../errors.ts";
import { LONGEST_VIEW, type Piece } from "../memory/buffer-set.ts";
import { constructorOf, type DType, type DTypes, itemSize, type Scalar } from "./dtype.ts";
import { NdView, type Values } from "./nd-view.ts";
import { checkShape, extent, type Index, isContiguous, type Layout, sizeOf, slice, stridesOf } from "./slicing.ts";
import { aliases, flatValues, isScalar, scalarOf, type Value } from "./values.ts";

/** What a big array stands on. */
export interface Backing {
  readonly name: string;
  readonly dtype: DType;
  readonly order: "C" | "F";
  shape(): readonly number[];
  piece(offset: number, length: number): Piece;
  /** Brings what `piece` is to show to this machine. */
  fetch(offset: number, length: number): Promise<void>;
  /** Called before anything is written; throws when nothing may be. */
  checkWritable(): void;
  /** New bytes are zeros. */
  resize(shape: readonly number[]): void;
  /**
   * Writes what it can of bytes [offset, offset + length) without a detour through memory: `block` gives the bytes from
   * a place in the range on, as many as it likes. What it has written; the rest is for the caller.
   */
  bulk(offset: number, length: number, block: (at: number) => Uint8Array): { from: number; to: number };
  /** Called after bulk writes of so many bytes. */
  wrote(bytes: number): void;
  reference(): { readonly store: string; readonly name: string };
}

/** Names a part of an array for another process or Worker: plain data. */
export interface ArrayReference {
  /** Tells it from other plain data. */
  readonly kind: "outcore.array";
  /** Folder of the store. */
  readonly store: string;
  /** The array. */
  readonly name: string;
  /** What of it. */
  readonly index: readonly Index[];
}

/** One value, or a flat list of them. */
type Flat = ArrayLike<unknown> | number | bigint;

const BLOCK_BYTES = 2 ** 23;
const PUT_BYTES = 2 ** 20;

/** The bytes of values that are of an array's own type already. */
function bytesOf(values: ArrayLike<unknown>, Type: unknown): Uint8Array | undefined {
  if (!ArrayBuffer.isView(values) || values.constructor !== Type) return undefined;
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function slicePart(values: ArrayLike<unknown>, start: number, end: number): ArrayLike<unknown> {
  if (start === 0 && end === values.length) return values;
  if (ArrayBuffer.isView(values)) return (values as unknown as Float64Array).subarray(start, end);
  return Array.prototype.slice.call(values, start, end);
}

/**
 * An array that may be larger than memory. Slices are native typed arrays over its memory: nothing is read until it is
 * touched, and what is written is the transaction's. Every slice of one array aliases every other.
 */
export class BigArray<D extends DType = DType> {
  readonly #backing: Backing;
  /** Type of its elements. */
  readonly dtype: D;
  /** Bytes of an element. */
  readonly itemSize: number;

  /** @internal */
  constructor(backing: Backing, dtype: D) {
    this.#backing = backing;
    this.dtype = dtype;
    this.itemSize = itemSize(dtype);
  }

  /** Its name in the store; for plain arrays the path. */
  get name(): string {
    return this.#backing.name;
  }

  /** Elements per axis. */
  get shape(): readonly number[] {
    return this.#backing.shape();
  }

  /** "C": the last axis is contiguous; "F": the first. */
  get order(): "C" | "F" {
    return this.#backing.order;
  }

  /** Bytes from one element to the next, per axis. */
  get strides(): readonly number[] {
    return stridesOf(this.shape, this.order).map((stride) => stride * this.itemSize);
  }

  /** Number of dimensions. */
  get rank(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** Bytes of all elements. */
  get nbytes(): number {
    return this.size * this.itemSize;
  }

  /** Elements of the major axis: the first for order "C", the last for "F". */
  get length(): number {
    const { shape } = this;
    return (this.order === "C" ? shape[0] : shape.at(-1)) ?? 0;
  }

  #layout(): Layout {
    const { shape } = this;
    return { shape, strides: stridesOf(shape, this.order), offset: 0 };
  }

  #checkLength(count: number): void {
    const bytes = count * this.itemSize;
    if (bytes > LONGEST_VIEW)
      throw new RangeError(`${bytes} bytes are more than the 1 GiB of a view; use segments(), or { long: true }`);
  }

  #checkRange(start: number, count: number): void {
    const { size } = this;
    if (!Number.isSafeInteger(start) || start < 0 || !Number.isSafeInteger(count))
      throw new InvalidArgumentError("start and count are integers from 0 on");
    if (count < 0 || start + count > size) throw new RangeError(`elements ${start} to ${start + count} of ${size}`);
  }

  /**
   * `count` elements from number `start` on, in the order in which they lie: one native typed array, without a copy.
   * @throws {RangeError} beyond the end, and over 1 GiB unless `long`, which goes up to what the runtime's buffers hold.
   */
  typed(start = 0, count: number = this.size - start, options: { long?: boolean } = {}): DTypes[D] {
    const bytes = count * this.itemSize;
    this.#checkRange(start, count);
    if (options.long !== true) this.#checkLength(count);
    const Type = constructorOf(this.dtype);
    if (count === 0) return new Type(new ArrayBuffer(0), 0, 0);
    const at = start * this.itemSize;
    const piece = this.#backing.piece(at, bytes);
    return new Type(piece.buffer, at - piece.start, count);
  }

  /** A range that is longer than a view may be, as typed arrays of at most 1 GiB. */
  segments(start = 0, count: number = this.size - start): DTypes[D][] {
    this.#checkRange(start, count);
    const most = LONGEST_VIEW / this.itemSize;
    const parts: DTypes[D][] = [];
    for (let at = start; at < start + count; at += most) parts.push(this.typed(at, Math.min(most, start + count - at)));
    return parts;
  }

  /**
   * A part of the array as a view, without a copy: numbers, ranges `[start, stop, step]`, ":", "..." and null.
   *
   * @throws {RangeError} when an element's number is out of range, or first and last element lie over 1 GiB apart.
   * @throws {InvalidArgumentError} for too many indices, a step of 0, and anything that is no index.
   */
  view(...index: Index[]): NdView<D> {
    const layout = slice(this.#layout(), index);
    const reach = extent(layout);
    if (reach === undefined) return new NdView(this.dtype, this.typed(0, 0), { ...layout, offset: 0 });
    const { low, high } = reach;
    return new NdView(this.dtype, this.typed(low, high - low + 1), { ...layout, offset: layout.offset - low });
  }

  /**
   * The same where the elements may have to come from another machine first. Reading and writing the view never waits.
   *
   * @throws what `view` throws, as a rejection.
   */
  async viewAsync(...index: Index[]): Promise<NdView<D>> {
    for (;;) {
      const reach = extent(slice(this.#layout(), index));
      if (reach === undefined) return this.view(...index);
      const { low, high } = reach;
      this.#checkLength(high - low + 1);
      await this.#backing.fetch(low * this.itemSize, (high - low + 1) * this.itemSize);
      /* The array may have another shape by now, and the index select other elements. */
      const now = extent(slice(this.#layout(), index));
      if (now?.low === low && now.high === high) return this.view(...index);
    }
  }

  #number(index: readonly number[]): number {
    const layout = slice(this.#layout(), index);
    if (layout.shape.length > 0) throw new InvalidArgumentError(`${index.length} indices for ${this.rank} dimensions`);
    return layout.offset;
  }

  /** One element. */
  get(...index: number[]): Scalar<D> {
    return this.typed(this.#number(index), 1)[0] as Scalar<D>;
  }

  /**
   * Writes one value, or as many as there are elements, to what the index selects: a list with a part for each axis, as
   * `view` takes them.
   */
  set(index: readonly Index[], values: Values<D>): void {
    this.#backing.checkWritable();
    const layout = slice(this.#layout(), index);
    if (layout.shape.length === 0) {
      (this.typed(layout.offset, 1) as unknown as unknown[])[0] = scalarOf(this.dtype, values);
      return;
    }
    const count = sizeOf(layout.shape);
    const one = isScalar(values) ? scalarOf(this.dtype, values) : undefined;
    const flat = one === undefined ? flatValues(this.dtype, values instanceof NdView ? values.toTyped() : values) : one;
    if (typeof flat === "object" && flat.length !== count)
      throw new InvalidArgumentError(`${flat.length} values for ${count} elements of shape [${layout.shape}]`);
    if (count === 0) return;
    if (isContiguous(layout)) this.#put(layout.offset, count, flat);
    else {
      const isOwn = typeof flat === "object" && aliases(flat, this.typed(layout.offset, 1));
      this.#scatter(layout, isOwn ? (flat as unknown as Float64Array).slice() : flat);
      this.#backing.wrote(count * this.itemSize);
    }
  }

  /** Writes to elements that do not lie one after the other, in parts that a view can hold. */
  #scatter(layout: Layout, values: Flat): void {
    const { low, high } = extent(layout) as { low: number; high: number };
    if ((high - low + 1) * this.itemSize <= LONGEST_VIEW) {
      const data = this.typed(low, high - low + 1);
      new NdView(this.dtype, data, { ...layout, offset: layout.offset - low }).assign(values as Values<D>);
      return;
    }
    const [length = 0, ...rest] = layout.shape;
    const [stride = 0, ...inner] = layout.strides;
    if (length === 1) {
      this.#scatter({ shape: rest, strides: inner, offset: layout.offset }, values);
      return;
    }
    const half = Math.floor(length / 2);
    const each = sizeOf(rest);
    for (const [from, to] of [
      [0, half],
      [half, length],
    ] as const)
      this.#scatter(
        { shape: [to - from, ...rest], strides: layout.strides, offset: layout.offset + from * stride },
        typeof values === "object" ? slicePart(values, from * each, to * each) : values,
      );
  }

  /** Writes one value, or a list of them, to `count` elements that lie one after the other. */
  #put(start: number, count: number, values: Flat): void {
    if (count === 0) return;
    const size = this.itemSize;
    if (typeof values === "object" && aliases(values, this.typed(start, 1))) {
      /* What is read may be what is written: by a typed array's own `set`, which knows about that. */
      const target = this.typed(start, count, { long: true });
      const own = values as unknown as Float64Array;
      (target as Float64Array<ArrayBuffer>).set(own.buffer === target.buffer ? own : own.slice());
      this.#backing.wrote(count * size);
      return;
    }
    const Type = constructorOf(this.dtype);
    const list = typeof values === "object" ? values : undefined;
    const whole = list === undefined ? undefined : bytesOf(list, Type);
    const room = whole === undefined ? new Uint8Array(Math.min(count * size, PUT_BYTES)) : undefined;
    const scratch = room === undefined ? undefined : new Type(room.buffer, 0, room.length / size);
    if (list === undefined) (scratch as unknown as { fill(value: unknown): void }).fill(values);
    const { from, to } = this.#backing.bulk(start * size, count * size, (at) => {
      if (whole !== undefined) return whole.subarray(at);
      const bytes = room as Uint8Array;
      const first = Math.floor(at / size);
      const part = Math.min(bytes.length / size, count - first);
      if (list !== undefined)
        (scratch as unknown as { set(from: unknown): void }).set(slicePart(list, first, first + part));
      /* A page ends within no element; only the first block may begin within one. */
      return bytes.subarray(at - first * size, part * size);
    });
    this.#through(start, Math.min(count, Math.floor((from - start * size) / size)), 0, values);
    const after = Math.ceil((to - start * size) / size);
    if (to > from) this.#through(start + after, count - after, after, values);
    else this.#through(start, count, 0, values);
  }

  /** The same through the array's memory; `skip` values have been written already. */
  #through(start: number, count: number, skip: number, values: Flat): void {
    const most = BLOCK_BYTES / this.itemSize;
    for (let at = 0; at < count; at += most) {
      const part = this.typed(start + at, Math.min(most, count - at));
      if (typeof values !== "object") (part as unknown as { fill(value: unknown): void }).fill(values);
      else (part as unknown as { set(from: unknown): void }).set(slicePart(values, skip + at, skip + at + part.length));
      this.#backing.wrote(part.byteLength);
    }
  }

  /** Sets all elements to one value. */
  fill(value: Value<D>): void {
    this.#backing.checkWritable();
    this.#put(0, this.size, scalarOf(this.dtype, value));
  }

  /** Whole array, piece by piece in the order in which it lies: `start` is the number of the first element. */
  *blocks(elements: number = BLOCK_BYTES / this.itemSize): Generator<{ start: number; data: DTypes[D] }> {
    if (!Number.isInteger(elements) || elements < 1) throw new InvalidArgumentError("blocks of at least one element");
    for (let start = 0; start < this.size; start += elements)
      yield { start, data: this.typed(start, Math.min(elements, this.size - start)) };
  }

  /** Sum of all elements; a bigint for i64 and u64. Reads everything once. */
  sum(): Scalar<D> {
    const big = this.dtype === "i64" || this.dtype === "u64";
    let total: bigint | number = big ? 0n : 0;
    for (const { data } of this.blocks()) {
      if (big) for (const value of data as unknown as BigInt64Array) total = (total as bigint) + value;
      else {
        const numbers = data as unknown as Float64Array;
        let part = 0;
        for (let i = 0; i < numbers.length; i++) part += numbers[i] as number;
        total = (total as number) + part;
      }
    }
    return total as Scalar<D>;
  }

  #extreme(better: (a: number, b: number) => boolean): Scalar<D> | undefined {
    let best: number | undefined;
    for (const { data } of this.blocks()) {
      const numbers = data as unknown as Float64Array;
      for (let i = 0; i < numbers.length; i++) {
        const value = numbers[i] as number;
        if (best === undefined || better(value, best)) best = value;
      }
    }
    return best as Scalar<D> | undefined;
  }

  /** Smallest element, undefined when there is none. NaN is passed over unless it comes first. */
  min(): Scalar<D> | undefined {
    return this.#extreme((a, b) => a < b);
  }

  /** Largest element, likewise. */
  max(): Scalar<D> | undefined {
    return this.#extreme((a, b) => a > b);
  }

  /** Arithmetic mean; NaN when there are no elements. */
  mean(): number {
    return Number(this.sum()) / this.size;
  }

  /**
   * Gives it another shape, O(1): elements keep their places in memory, new ones are zeros. Views stay valid, unless the
   * array outgrows the address space that was kept free for it (`reserve`): then it moves, and they have length 0.
   */
  resize(...shape: number[]): void {
    checkShape(shape, this.itemSize);
    if (shape.length !== this.rank)
      throw new InvalidArgumentError(`a shape of ${this.rank} lengths, not ${shape.length}`);
    this.#backing.resize(shape);
  }

  /**
   * Adds values along the major axis. Nothing changes when they do not fit: their number must be a multiple of what one
   * step of the axis holds.
   */
  append(values: ArrayLike<number> | ArrayLike<bigint> | readonly unknown[] | NdView<D>): void {
    this.#backing.checkWritable();
    const flat = flatValues(this.dtype, values instanceof NdView ? values.toTyped() : values);
    const { shape, order } = this;
    const axis = order === "C" ? 0 : shape.length - 1;
    const row = sizeOf(shape.filter((_, i) => i !== axis));
    const rows = flat.length / row;
    if (!Number.isInteger(rows))
      throw new InvalidArgumentError(`${flat.length} values are no multiple of the ${row} that one step holds`);
    const before = this.size;
    const count = flat.length;
    this.resize(...shape.map((length, i) => (i === axis ? length + rows : length)));
    try {
      if (flat.length !== count)
        throw new InvalidArgumentError("the values were a view of this array, which had to move");
      this.#put(before, count, flat);
    } catch (error) {
      this.resize(...shape);
      throw error;
    }
  }

  /** Plain data from which `openReference` opens the same part elsewhere; it shows what was committed. */
  reference(...index: Index[]): ArrayReference {
    slice(this.#layout(), index);
    return { kind: "outcore.array", ...this.#backing.reference(), index };
  }
}
