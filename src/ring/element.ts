import { InvalidArgumentError } from "../errors.ts";

/** What one number of a stream is. */
export type ElementType =
  | "bool"
  | "i8"
  | "u8"
  | "i16"
  | "u16"
  | "i32"
  | "u32"
  | "i64"
  | "u64"
  | "f16"
  | "bf16"
  | "f32"
  | "f64";

/** How the numbers of an element lie: one number, or several beside each other. */
export type StreamLayout = "scalar" | "vector";

interface Float16Constructor {
  new (buffer: ArrayBufferLike, offset: number, length: number): Uint16Array;
  readonly BYTES_PER_ELEMENT: number;
}

/** Float16Array where the runtime has one; the bits as Uint16Array elsewhere. */
const Half: Float16Constructor =
  (globalThis as unknown as { Float16Array?: Float16Constructor }).Float16Array ?? Uint16Array;

/** The typed array of each element type. f16 is a Float16Array where the runtime has it, bf16 always its bits. */
export interface ElementArrays {
  /** bool as Uint8Array. */
  bool: Uint8Array;
  /** i8 as Int8Array. */
  i8: Int8Array;
  /** u8 as Uint8Array. */
  u8: Uint8Array;
  /** i16 as Int16Array. */
  i16: Int16Array;
  /** u16 as Uint16Array. */
  u16: Uint16Array;
  /** i32 as Int32Array. */
  i32: Int32Array;
  /** u32 as Uint32Array. */
  u32: Uint32Array;
  /** i64 as BigInt64Array. */
  i64: BigInt64Array;
  /** u64 as BigUint64Array. */
  u64: BigUint64Array;
  /** f16 as Uint16Array. */
  f16: Uint16Array;
  /** bf16 as Uint16Array. */
  bf16: Uint16Array;
  /** f32 as Float32Array. */
  f32: Float32Array;
  /** f64 as Float64Array. */
  f64: Float64Array;
}

/** Any typed array that a stream can be. */
export type StreamArray = ElementArrays[ElementType];

interface ArrayType {
  new (buffer: ArrayBufferLike, offset: number, length: number): StreamArray;
  readonly BYTES_PER_ELEMENT: number;
}

interface Element {
  readonly code: number;
  /** SHMX's name. */
  readonly name: string;
  readonly bytes: number;
  readonly Array: ArrayType;
}

const table: Record<ElementType, Element> = {
  bool: { code: 1, name: "bool", bytes: 1, Array: Uint8Array },
  i8: { code: 2, name: "int8", bytes: 1, Array: Int8Array },
  u8: { code: 3, name: "uint8", bytes: 1, Array: Uint8Array },
  i16: { code: 4, name: "int16", bytes: 2, Array: Int16Array },
  u16: { code: 5, name: "uint16", bytes: 2, Array: Uint16Array },
  i32: { code: 6, name: "int32", bytes: 4, Array: Int32Array },
  u32: { code: 7, name: "uint32", bytes: 4, Array: Uint32Array },
  i64: { code: 8, name: "int64", bytes: 8, Array: BigInt64Array },
  u64: { code: 9, name: "uint64", bytes: 8, Array: BigUint64Array },
  f16: { code: 10, name: "float16", bytes: 2, Array: Half },
  bf16: { code: 11, name: "bfloat16", bytes: 2, Array: Uint16Array },
  f32: { code: 12, name: "float32", bytes: 4, Array: Float32Array },
  f64: { code: 13, name: "float64", bytes: 8, Array: Float64Array },
};

const byCode = new Map(Object.entries(table).map(([type, element]) => [element.code, type as ElementType]));

/** All element types, in the order of their codes. */
export const elementTypes: readonly ElementType[] = Object.keys(table) as ElementType[];

/** @throws {InvalidArgumentError} when there is no such type. */
export function elementOf(type: ElementType): Element {
  const element = table[type];
  if (element === undefined) throw new InvalidArgumentError(`no element type "${String(type)}"`);
  return element;
}

/** The type with this code, or undefined. */
export function elementOfCode(code: number): ElementType | undefined {
  return byCode.get(code);
}

/** SHMX's name of an element type, by type or code: "float32"; "unknown" when there is none. */
export function dtypeToString(type: ElementType | number): string {
  const key = typeof type === "number" ? elementOfCode(type) : type;
  return key === undefined ? "unknown" : (table[key]?.name ?? "unknown");
}

/** SHMX's name of a layout, by name or code. */
export function layoutToString(layout: StreamLayout | number): string {
  if (layout === 0 || layout === "scalar") return "scalar";
  return layout === 1 || layout === "vector" ? "vector" : "unknown";
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** bf16 bits as numbers: O(n). */
export function fromBf16(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = (bits[i] ?? 0) << 16;
  return new Float32Array(out.buffer);
}

/** Numbers as bf16 bits, rounded to nearest, ties to even: O(n). */
export function toBf16(values: ArrayLike<number>): Uint16Array {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    scratch[0] = values[i] ?? 0;
    const bits = scratchBits[0] ?? 0;
    const nan = (bits & 0x7fffffff) > 0x7f800000;
    out[i] = nan ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }
  return out;
}

/** f16 bits as numbers, for runtimes without Float16Array: O(n). */
export function fromF16(bits: Uint16Array): Float32Array {
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i] ?? 0;
    const exponent = (half >>> 10) & 31;
    const fraction = half & 1023;
    let value: number;
    if (exponent === 0) value = fraction * 2 ** -24;
    else if (exponent === 31) value = fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
    else value = (1 + fraction / 1024) * 2 ** (exponent - 15);
    out[i] = half & 0x8000 ? -value : value;
  }
  return out;
}
