import { CodecError } from "../../errors.ts";
import { asciiText, ByteWriter, VarintReader } from "../bytes.ts";
import { type ElementKind, elementKinds, kindOf } from "./elements.ts";

/*
 * One encoding of what `structuredClone` clones, the same in every runtime. The tags are part of the format
 * (docs/chest-format.md).
 */
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
const REGEXP = 12;
const ARRAY = 13;
const OBJECT = 14;
const MAP = 15;
const SET = 16;
const BUFFER = 17;
const VIEW = 18;
const DATA_VIEW = 19;
const ERROR = 20;
const BOXED = 21;
const REFERENCE = 22;
const HOLE = 23;

/** Text of so many bytes is looked at before it is decoded. */
const SHORT = 256;
/** Values within values, both ways. */
const DEEPEST = 1000;

const errorTypes: Record<string, ErrorConstructor> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Encoder {
  out: ByteWriter = new ByteWriter(1024);
  #seen: Map<object, number> | undefined;

  encode(value: unknown): void {
    this.#seen = undefined;
    this.out.reset();
    try {
      this.#value(value, 0);
    } finally {
      this.#seen = undefined;
    }
  }

  #value(value: unknown, depth: number): void {
    const { out } = this;
    switch (typeof value) {
      case "number":
        if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
          out.u8(value < 0 ? NEGATIVE : INTEGER);
          out.varint(Math.abs(value));
        } else {
          out.u8(FLOAT);
          out.f64(value);
        }
        return;
      case "string":
        this.#text(value);
        return;
      case "boolean":
        out.u8(value ? TRUE : FALSE);
        return;
      case "undefined":
        out.u8(UNDEFINED);
        return;
      case "bigint":
        this.#bigint(value);
        return;
      case "object":
        if (value === null) out.u8(NULL);
        else this.#reference(value, depth);
        return;
      default:
        throw new CodecError(`a ${typeof value} cannot be stored`);
    }
  }

  #text(text: string): void {
    const { out } = this;
    const { length } = text;
    /* Short ASCII: the length is known before the bytes. */
    if (length < 128) {
      out.ensure(length + 2);
      const { bytes } = out;
      const start = out.length + 2;
      let i = 0;
      for (; i < length; i++) {
        const unit = text.charCodeAt(i);
        if (unit > 127) break;
        bytes[start + i] = unit;
      }
      if (i === length) {
        bytes[out.length] = TEXT;
        bytes[out.length + 1] = length;
        out.length = start + length;
        return;
      }
    }
    if (text.isWellFormed()) {
      const part = new ByteWriter(length + 16);
      part.utf8(text);
      out.u8(TEXT);
      out.varint(part.length);
      out.raw(part.bytes.subarray(0, part.length));
      return;
    }
    out.u8(TEXT16);
    out.varint(length);
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      out.u8(unit & 255);
      out.u8(unit >> 8);
    }
  }

  #bigint(value: bigint): void {
    const { out } = this;
    const hex = (value < 0n ? -value : value).toString(16);
    const even = hex.length % 2 === 0 ? hex : `0${hex}`;
    out.u8(value < 0n ? NEGATIVE_BIGINT : BIGINT);
    out.varint(even.length / 2);
    for (let i = even.length - 2; i >= 0; i -= 2) out.u8(Number.parseInt(even.slice(i, i + 2), 16));
  }

  #reference(value: object, depth: number): void {
    if (depth >= DEEPEST) throw new CodecError(`the value is nested more than ${DEEPEST} deep`);
    this.#seen ??= new Map();
    const before = this.#seen.get(value);
    if (before !== undefined) {
      this.out.u8(REFERENCE);
      this.out.varint(before);
      return;
    }
    this.#seen.set(value, this.#seen.size);
    this.#object(value, depth + 1);
  }

  #object(value: object, depth: number): void {
    const { out } = this;
    if (Array.isArray(value)) {
      this.#array(value, depth);
      return;
    }
    if (ArrayBuffer.isView(value)) {
      this.#view(value);
      return;
    }
    if (value instanceof Map) {
      this.#map(value, depth);
    } else if (value instanceof Set) {
      this.#set(value, depth);
    } else if (value instanceof Date) {
      out.u8(DATE);
      out.f64(value.getTime());
    } else if (value instanceof RegExp) {
      out.u8(REGEXP);
      this.#text(value.source);
      this.#text(value.flags);
    } else if (value instanceof ArrayBuffer) {
      out.u8(BUFFER);
      out.varint(value.byteLength);
      out.raw(new Uint8Array(value));
    } else if (value instanceof Error) {
      this.#error(value, depth);
    } else if (
      value instanceof Number ||
      value instanceof String ||
      value instanceof Boolean ||
      value instanceof BigInt
    ) {
      out.u8(BOXED);
      this.#value(value.valueOf(), depth);
    } else {
      this.#plain(value, depth);
    }
  }

  #array(value: readonly unknown[], depth: number): void {
    const { out } = this;
    const { length } = value;
    out.u8(ARRAY);
    out.varint(length);
    for (let i = 0; i < length; i++) {
      if (i in value) this.#value(value[i], depth);
      else out.u8(HOLE);
    }
  }

  #map(value: Map<unknown, unknown>, depth: number): void {
    const { size } = value;
    let count = 0;
    this.out.u8(MAP);
    this.out.varint(size);
    for (const [key, each] of value) {
      count++;
      this.#value(key, depth);
      this.#value(each, depth);
    }
    if (count !== size) fail("a Map was changed by a getter of its own contents");
  }

  #set(value: Set<unknown>, depth: number): void {
    const { size } = value;
    let count = 0;
    this.out.u8(SET);
    this.out.varint(size);
    for (const each of value) {
      count++;
      this.#value(each, depth);
    }
    if (count !== size) fail("a Set was changed by a getter of its own contents");
  }

  #view(value: ArrayBufferView): void {
    const { out } = this;
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    if (value instanceof DataView) {
      out.u8(DATA_VIEW);
    } else {
      out.u8(VIEW);
      out.u8(kindOf(value)?.id ?? fail("a typed array of an unknown type cannot be stored"));
    }
    out.varint(bytes.length);
    out.raw(bytes);
  }

  #error(value: Error, depth: number): void {
    const { out } = this;
    out.u8(ERROR);
    this.#text(value.name in errorTypes ? value.name : "Error");
    this.#text(String(value.message));
    this.#value(typeof value.stack === "string" ? value.stack : undefined, depth);
    this.#value("cause" in value ? value.cause : undefined, depth);
  }

  #plain(value: object, depth: number): void {
    const kind = Object.prototype.toString.call(value);
    if (kind !== "[object Object]" && !(Symbol.toStringTag in value)) throw new CodecError(`${kind} cannot be stored`);
    if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef)
      throw new CodecError(`${kind} cannot be stored`);
    const { out } = this;
    const keys = Object.keys(value);
    /* A URL, a SharedArrayBuffer, a generator: what it holds is nowhere to be seen, and would be lost. */
    if (keys.length === 0 && kind !== "[object Object]") throw new CodecError(`${kind} cannot be stored`);
    out.u8(OBJECT);
    out.varint(keys.length);
    for (const key of keys) {
      this.#text(key);
      this.#value((value as Record<string, unknown>)[key], depth);
    }
  }
}

function fail(detail: string): never {
  throw new CodecError(detail);
}

const varint = new VarintReader();

const NOTHING = new Uint8Array(0);

class Decoder {
  #bytes: Uint8Array = NOTHING;
  #at = 0;
  #end = 0;
  #seen: object[] = [];

  decode(bytes: Uint8Array, start: number, end: number): unknown {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    try {
      const value = this.#value(0);
      if (this.#at !== end) fail("the value ends before its bytes do");
      return value;
    } finally {
      this.#bytes = NOTHING;
      if (this.#seen.length > 0) this.#seen = [];
    }
  }

  #byte(): number {
    if (this.#at >= this.#end) fail("the value is cut short");
    return this.#bytes[this.#at++]!;
  }

  #integer(): number {
    const value = varint.read(this.#bytes, this.#at, this.#end);
    if (varint.at < 0) fail("a length is cut short");
    this.#at = varint.at;
    return value;
  }

  /** A length of which each unit takes at least `least` bytes, so that no length can ask for more than is there. */
  #length(least: number): number {
    const length = this.#integer();
    if (length * least > this.#end - this.#at) fail(`a length of ${length} is beyond the end of the value`);
    return length;
  }

  #float(): number {
    if (this.#end - this.#at < 8) fail("a number is cut short");
    const value = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, 8).getFloat64(0, true);
    this.#at += 8;
    return value;
  }

  #value(depth: number): unknown {
    const tag = this.#byte();
    switch (tag) {
      case INTEGER:
        return this.#integer();
      case NEGATIVE:
        return -this.#integer();
      case TEXT:
        return this.#text();
      case UNDEFINED:
        return undefined;
      case NULL:
        return null;
      case FALSE:
        return false;
      case TRUE:
        return true;
      case FLOAT:
        return this.#float();
      case BIGINT:
        return this.#bigint();
      case NEGATIVE_BIGINT:
        return -this.#bigint();
      case TEXT16:
        return this.#text16();
      case REFERENCE: {
        const index = this.#integer();
        return this.#seen[index] ?? fail("a reference to a value that does not exist");
      }
      default:
        if (depth >= DEEPEST) fail(`the value is nested more than ${DEEPEST} deep`);
        return this.#object(tag, depth + 1);
    }
  }

  #text(): string {
    const length = this.#length(1);
    const start = this.#at;
    this.#at += length;
    if (length <= SHORT) {
      const text = asciiText(this.#bytes, start, this.#at);
      if (text !== undefined) return text;
    }
    try {
      return decoder.decode(this.#bytes.subarray(start, this.#at));
    } catch (error) {
      throw new CodecError("text that is not UTF-8", error);
    }
  }

  #text16(): string {
    const length = this.#length(2);
    let text = "";
    for (let i = 0; i < length; i++) text += String.fromCharCode(this.#byte() | (this.#byte() << 8));
    return text;
  }

  /** A string where only a string may stand. */
  #string(): string {
    const tag = this.#byte();
    return tag === TEXT ? this.#text() : tag === TEXT16 ? this.#text16() : fail("a name is not text");
  }

  #bigint(): bigint {
    const length = this.#length(1);
    let hex = "";
    for (let i = this.#at + length - 1; i >= this.#at; i--) hex += this.#bytes[i]!.toString(16).padStart(2, "0");
    this.#at += length;
    return hex === "" ? 0n : BigInt(`0x${hex}`);
  }

  #chunk(): Uint8Array<ArrayBuffer> {
    const length = this.#length(1);
    const chunk = new Uint8Array(length);
    chunk.set(this.#bytes.subarray(this.#at, this.#at + length));
    this.#at += length;
    return chunk;
  }

  #remember<T extends object>(value: T): T {
    this.#seen.push(value);
    return value;
  }

  #object(tag: number, depth: number): unknown {
    switch (tag) {
      case ARRAY:
        return this.#array(depth);
      case OBJECT:
        return this.#plain(depth);
      case MAP:
        return this.#map(depth);
      case SET:
        return this.#set(depth);
      case DATE:
        return this.#remember(new Date(this.#float()));
      case REGEXP:
        return this.#regexp();
      case BUFFER:
        return this.#remember(this.#chunk().buffer);
      case VIEW:
        return this.#view(elementKinds[this.#byte()] ?? fail("a typed array of an unknown type"));
      case DATA_VIEW:
        return this.#remember(new DataView(this.#chunk().buffer));
      case ERROR:
        return this.#error(depth);
      case BOXED: {
        const at = this.#seen.length;
        this.#seen.push({});
        const boxed = Object(this.#value(depth)) as object;
        this.#seen[at] = boxed;
        return boxed;
      }
      default:
        return fail(`an unknown tag ${tag}`);
    }
  }

  #array(depth: number): unknown[] {
    const length = this.#length(1);
    const array: unknown[] = this.#remember([]);
    for (let i = 0; i < length; i++) {
      if (this.#bytes[this.#at] === HOLE && this.#at < this.#end) {
        this.#at++;
        array.length = i + 1;
      } else {
        array[i] = this.#value(depth);
      }
    }
    return array;
  }

  #plain(depth: number): object {
    const count = this.#length(2);
    const object: Record<string, unknown> = this.#remember({});
    for (let i = 0; i < count; i++) {
      const key = this.#string();
      const value = this.#value(depth);
      /* Assigning would call the setter of Object.prototype. */
      if (key === "__proto__")
        Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
      else object[key] = value;
    }
    return object;
  }

  #map(depth: number): Map<unknown, unknown> {
    const count = this.#length(2);
    const map = this.#remember(new Map<unknown, unknown>());
    for (let i = 0; i < count; i++) {
      const key = this.#value(depth);
      map.set(key, this.#value(depth));
    }
    return map;
  }

  #set(depth: number): Set<unknown> {
    const count = this.#length(1);
    const set = this.#remember(new Set<unknown>());
    for (let i = 0; i < count; i++) set.add(this.#value(depth));
    return set;
  }

  #regexp(): RegExp {
    const source = this.#string();
    const flags = this.#string();
    try {
      return this.#remember(new RegExp(source, flags));
    } catch (error) {
      throw new CodecError("a regular expression that does not parse", error);
    }
  }

  #view(kind: ElementKind): object {
    const chunk = this.#chunk();
    if (chunk.length % kind.size !== 0) fail("a typed array is cut within an element");
    return this.#remember(kind.over(chunk.buffer, 0, chunk.length / kind.size));
  }

  #error(depth: number): Error {
    const name = this.#string();
    const Type = Object.hasOwn(errorTypes, name) ? errorTypes[name]! : Error;
    const at = this.#seen.length;
    const error = this.#remember(new Type(this.#string()));
    const stack = this.#value(depth);
    const cause = this.#value(depth);
    if (typeof stack === "string")
      Object.defineProperty(error, "stack", { value: stack, configurable: true, writable: true });
    if (cause !== undefined)
      Object.defineProperty(error, "cause", { value: cause, configurable: true, writable: true });
    this.#seen[at] = error;
    return error;
  }
}

const encoder = new Encoder();
let isEncoding = false;
const structuredDecoder = new Decoder();

/**
 * Encodes what `structuredClone` would clone; the bytes lie in the writer that is returned until the next call. A typed
 * array is stored as the elements it shows, not with the whole buffer under it.
 *
 * @throws {CodecError} for functions, symbols, promises, weak collections and anything nested over 1000 deep.
 */
export function encodeStructured(value: unknown): ByteWriter {
  /* A getter of the value may store something itself. */
  const mine = isEncoding ? new Encoder() : encoder;
  const before = isEncoding;
  isEncoding = true;
  try {
    mine.encode(value);
  } finally {
    isEncoding = before;
  }
  return mine.out;
}

/** @throws {CodecError} when the bytes are not those of a value, whatever they are. */
export function decodeStructured(bytes: Uint8Array, start: number, end: number): unknown {
  return structuredDecoder.decode(bytes, start, end);
}
