import { InvalidArgumentError } from "../errors.ts";
import { asciiText, ByteWriter, VarintReader } from "./bytes.ts";

/**
 * What a chest takes as a key. Two keys are one when they are of the same type and equal: 1, "1", 1n, true, [1, 2] and
 * ["1", 2] are six keys; 0 and -0 are one, and so is every NaN. Dates, bytes and tuples are compared by content.
 */
export type Key = string | number | bigint | boolean | null | undefined | Date | Uint8Array | readonly Key[];

const UNDEFINED = 0;
const NULL = 1;
const FALSE = 2;
const TRUE = 3;
const INTEGER = 4;
const NEGATIVE = 5;
const FLOAT = 6;
const BIGINT = 7;
const NEGATIVE_BIGINT = 8;
const TEXT = 9;
const TEXT16 = 10;
const DATE = 11;
const BYTES = 12;
const TUPLE = 13;

/** Bytes of a key: half a segment. */
const LONGEST_KEY = 2 ** 27 - 2 ** 16;
/** Text of so many bytes is looked at here. */
const SHORT = 256;
/** Tuples within tuples. */
const DEEPEST = 64;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function encodeBigint(out: ByteWriter, key: bigint): void {
  out.u8(key < 0n ? NEGATIVE_BIGINT : BIGINT);
  const hex = (key < 0n ? -key : key).toString(16);
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  for (let i = even.length - 2; i >= 0; i -= 2) out.u8(Number.parseInt(even.slice(i, i + 2), 16));
}

function encodeText(out: ByteWriter, key: string): void {
  const tag = out.length;
  out.u8(TEXT);
  if (out.ascii(key)) return;
  if (key.isWellFormed()) {
    out.utf8(key);
    return;
  }
  out.bytes[tag] = TEXT16;
  for (let i = 0; i < key.length; i++) {
    const unit = key.charCodeAt(i);
    out.u8(unit & 255);
    out.u8(unit >> 8);
  }
}

function encodeNumber(out: ByteWriter, key: number): void {
  if (Number.isSafeInteger(key)) {
    out.u8(key < 0 ? NEGATIVE : INTEGER);
    out.varint(Math.abs(key));
    return;
  }
  out.u8(FLOAT);
  out.f64(Number.isNaN(key) ? Number.NaN : key);
}

function encodeObject(out: ByteWriter, key: object, depth: number): void {
  if (key instanceof Date) {
    out.u8(DATE);
    out.f64(key.getTime());
  } else if (key instanceof Uint8Array) {
    out.u8(BYTES);
    out.raw(key);
  } else if (Array.isArray(key)) {
    if (depth >= DEEPEST) throw new InvalidArgumentError(`a key has at most ${DEEPEST} tuples within one another`);
    encodeTuple(out, key as readonly Key[], depth);
  } else {
    throw new InvalidArgumentError(`${Object.prototype.toString.call(key)} cannot be a key of a chest`);
  }
}

function encodeTuple(out: ByteWriter, key: readonly Key[], depth: number): void {
  out.u8(TUPLE);
  out.varint(key.length);
  const part = new ByteWriter(64);
  for (const element of key) {
    part.length = 0;
    encode(part, element, depth + 1);
    out.varint(part.length);
    out.raw(part.bytes.subarray(0, part.length));
  }
}

function encode(out: ByteWriter, key: unknown, depth: number): void {
  switch (typeof key) {
    case "string":
      encodeText(out, key);
      return;
    case "number":
      encodeNumber(out, key);
      return;
    case "bigint":
      encodeBigint(out, key);
      return;
    case "boolean":
      out.u8(key ? TRUE : FALSE);
      return;
    case "undefined":
      out.u8(UNDEFINED);
      return;
    case "object":
      if (key === null) out.u8(NULL);
      else encodeObject(out, key, depth);
      return;
    default:
      throw new InvalidArgumentError(`a ${typeof key} cannot be a key of a chest`);
  }
}

const mix = (value: number): number => {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
};

/** One key as bytes, and its hash: reused for key after key. */
export class KeyBytes {
  readonly writer: ByteWriter = new ByteWriter(256);
  /** 32 bits: which page of the index, and part of what a slot remembers. */
  h1 = 0;
  /** 16 bits: where in the page, and the rest of what a slot remembers. */
  tag = 0;
  #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  get bytes(): Uint8Array {
    return this.writer.bytes;
  }

  get length(): number {
    return this.writer.length;
  }

  /** @throws {InvalidArgumentError} when it is not of a type that keys may have. */
  set(key: unknown): this {
    this.writer.length = 0;
    encode(this.writer, key, 0);
    if (this.writer.length > LONGEST_KEY) throw new InvalidArgumentError(`a key has at most ${LONGEST_KEY} bytes`);
    this.#hash();
    return this;
  }

  setBytes(source: Uint8Array, start: number, length: number): this {
    this.writer.length = 0;
    this.writer.ensure(length);
    const { bytes } = this.writer;
    for (let i = 0; i < length; i++) bytes[i] = source[start + i]!;
    this.writer.length = length;
    this.#hash();
    return this;
  }

  equals(source: Uint8Array, start: number, length: number): boolean {
    if (length !== this.writer.length) return false;
    const { bytes } = this.writer;
    for (let i = 0; i < length; i++) if (bytes[i] !== source[start + i]) return false;
    return true;
  }

  /** The bytes, one character each: a Map key for keys that a Map would compare by identity. */
  text(): string {
    const { bytes, length } = this.writer;
    let text = "";
    for (let i = 0; i < length; i++) text += String.fromCharCode(bytes[i]!);
    return text;
  }

  #hash(): void {
    const { bytes, length } = this.writer;
    let a = this.#seed | 0;
    let b = ~this.#seed;
    let i = 0;
    for (; i + 4 <= length; i += 4) {
      const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
      a = Math.imul((a ^ word) + (b << 7), 0x9e3779b1);
      a ^= a >>> 15;
      b = Math.imul(b + word, 0x85ebca77) ^ (b >>> 13) ^ a;
    }
    let word = length << 24;
    for (let shift = 0; i < length; i++, shift += 8) word ^= bytes[i]! << shift;
    a = mix(Math.imul((a ^ word) + (b << 7), 0x9e3779b1));
    b = mix(Math.imul(b + word, 0x85ebca77) ^ a ^ length);
    this.h1 = a >>> 0;
    this.tag = b & 0xffff;
  }
}

const varint = new VarintReader();

function fail(): never {
  throw new InvalidArgumentError("the bytes are not a key");
}

function decodeBigint(bytes: Uint8Array, start: number, end: number, negative: boolean): bigint {
  let hex = "";
  for (let i = end - 1; i >= start; i--) hex += bytes[i]!.toString(16).padStart(2, "0");
  const value = hex === "" ? fail() : BigInt(`0x${hex}`);
  return negative ? -value : value;
}

function decodeFloat(bytes: Uint8Array, start: number, end: number): number {
  if (end - start !== 8) return fail();
  return new DataView(bytes.buffer, bytes.byteOffset + start, 8).getFloat64(0, true);
}

function decodeInteger(bytes: Uint8Array, start: number, end: number): number {
  const value = varint.read(bytes, start, end);
  return varint.at === end ? value : fail();
}

function decodeText(bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= SHORT) {
    const text = asciiText(bytes, start, end);
    if (text !== undefined) return text;
  }
  try {
    return decoder.decode(bytes.subarray(start, end));
  } catch {
    return fail();
  }
}

function decodeText16(bytes: Uint8Array, start: number, end: number): string {
  if ((end - start) % 2 !== 0) return fail();
  let text = "";
  for (let i = start; i < end; i += 2) text += String.fromCharCode(bytes[i]! | (bytes[i + 1]! << 8));
  return text;
}

function decodeTuple(bytes: Uint8Array, start: number, end: number, depth: number): Key[] {
  if (depth >= DEEPEST) return fail();
  const count = varint.read(bytes, start, end);
  let at = varint.at;
  if (at < 0 || count > end - at) return fail();
  const tuple: Key[] = [];
  for (let i = 0; i < count; i++) {
    const length = varint.read(bytes, at, end);
    at = varint.at;
    if (at < 0 || length > end - at) return fail();
    tuple.push(decodeKey(bytes, at, at + length, depth + 1));
    at += length;
  }
  return at === end ? tuple : fail();
}

/** @throws {InvalidArgumentError} when the bytes are not those of a key. */
export function decodeKey(bytes: Uint8Array, start: number, end: number, depth = 0): Key {
  if (start >= end) return fail();
  const from = start + 1;
  switch (bytes[start]) {
    case UNDEFINED:
      return undefined;
    case NULL:
      return null;
    case FALSE:
      return false;
    case TRUE:
      return true;
    case INTEGER:
      return decodeInteger(bytes, from, end);
    case NEGATIVE:
      return -decodeInteger(bytes, from, end);
    case FLOAT:
      return decodeFloat(bytes, from, end);
    case BIGINT:
      return decodeBigint(bytes, from, end, false);
    case NEGATIVE_BIGINT:
      return decodeBigint(bytes, from, end, true);
    case TEXT:
      return decodeText(bytes, from, end);
    case TEXT16:
      return decodeText16(bytes, from, end);
    case DATE:
      return new Date(decodeFloat(bytes, from, end));
    case BYTES:
      return bytes.slice(from, end);
    case TUPLE:
      return decodeTuple(bytes, from, end, depth);
    default:
      return fail();
  }
}

/** A key for people to read, in messages. */
export function describeKey(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key);
  if (typeof key === "bigint") return `${key}n`;
  if (Array.isArray(key)) return `[${key.map(describeKey).join(", ")}]`;
  if (key instanceof Date) return Number.isNaN(key.getTime()) ? "an invalid Date" : key.toISOString();
  if (key instanceof Uint8Array) return `${key.length} bytes`;
  return String(key);
}
