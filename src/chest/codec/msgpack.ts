import { CodecError } from "../../errors.ts";
import { ByteWriter } from "../bytes.ts";

/*
 * MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md): nil, booleans, integers of up to 64 bits, floats,
 * text, bytes, arrays, maps and timestamps. Maps become objects when all their keys are text, else Maps.
 */

const DEEPEST = 500;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function fail(detail: string): never {
  throw new CodecError(`MessagePack: ${detail}`);
}

function writeHead(out: ByteWriter, length: number, tags: readonly [number | undefined, number, number]): void {
  const [tag8, tag16, tag32] = tags;
  if (tag8 !== undefined && length < 2 ** 8) {
    out.u8(tag8);
    out.u8(length);
  } else if (length < 2 ** 16) {
    out.u8(tag16);
    out.u8(length >>> 8);
    out.u8(length & 255);
  } else {
    out.u8(tag32);
    big32(out, length);
  }
}

function big32(out: ByteWriter, value: number): void {
  for (let shift = 24; shift >= 0; shift -= 8) out.u8((value >>> shift) & 255);
}

function big64(out: ByteWriter, value: bigint): void {
  big32(out, Number((value >> 32n) & 0xffffffffn));
  big32(out, Number(value & 0xffffffffn));
}

function writeNumber(out: ByteWriter, value: number): void {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value);
    out.u8(0xcb);
    out.raw(new Uint8Array(view.buffer));
  } else if (value >= 0) {
    if (value < 128) out.u8(value);
    else if (value < 2 ** 32) writeHead(out, value, [0xcc, 0xcd, 0xce]);
    else {
      out.u8(0xcf);
      big64(out, BigInt(value));
    }
  } else if (value >= -32) {
    out.u8(value & 255);
  } else if (value >= -(2 ** 31)) {
    out.u8(0xd2);
    big32(out, value);
  } else {
    out.u8(0xd3);
    big64(out, BigInt.asUintN(64, BigInt(value)));
  }
}

function writeText(out: ByteWriter, text: string): void {
  if (!text.isWellFormed()) fail("text with lone surrogates cannot be stored");
  const part = new ByteWriter(text.length + 16);
  part.utf8(text);
  if (part.length < 32) out.u8(0xa0 | part.length);
  else writeHead(out, part.length, [0xd9, 0xda, 0xdb]);
  out.raw(part.bytes.subarray(0, part.length));
}

function writeCount(out: ByteWriter, count: number, fixed: number, tag16: number): void {
  if (count < 16) out.u8(fixed | count);
  else writeHead(out, count, [undefined, tag16, tag16 + 1]);
}

function writeObject(out: ByteWriter, value: object, depth: number): void {
  if (depth > DEEPEST) fail(`nested more than ${DEEPEST} deep`);
  if (Array.isArray(value)) {
    writeCount(out, value.length, 0x90, 0xdc);
    for (const each of value) write(out, each, depth);
  } else if (value instanceof Uint8Array) {
    writeHead(out, value.length, [0xc4, 0xc5, 0xc6]);
    out.raw(value);
  } else if (value instanceof Date) {
    const time = value.getTime();
    if (Number.isNaN(time)) fail("an invalid date cannot be stored");
    const seconds = Math.floor(time / 1000);
    out.u8(0xc7);
    out.u8(12);
    out.u8(0xff);
    big32(out, (time - seconds * 1000) * 1e6);
    big64(out, BigInt.asUintN(64, BigInt(seconds)));
  } else if (value instanceof Map) {
    writeCount(out, value.size, 0x80, 0xde);
    for (const [key, each] of value) {
      write(out, key, depth);
      write(out, each, depth);
    }
  } else if (Object.prototype.toString.call(value) === "[object Object]") {
    const entries = Object.entries(value);
    writeCount(out, entries.length, 0x80, 0xde);
    for (const [key, each] of entries) {
      writeText(out, key);
      write(out, each, depth);
    }
  } else fail(`${Object.prototype.toString.call(value)} cannot be stored`);
}

function write(out: ByteWriter, value: unknown, depth: number): void {
  if (value === null || value === undefined) out.u8(0xc0);
  else if (typeof value === "boolean") out.u8(value ? 0xc3 : 0xc2);
  else if (typeof value === "number") writeNumber(out, value);
  else if (typeof value === "string") writeText(out, value);
  else if (typeof value === "bigint") {
    if (BigInt.asIntN(64, value) === value) out.u8(0xd3);
    else if (BigInt.asUintN(64, value) === value) out.u8(0xcf);
    else fail("an integer has at most 64 bits");
    big64(out, BigInt.asUintN(64, value));
  } else if (typeof value === "object") writeObject(out, value, depth + 1);
  else fail(`a ${typeof value} cannot be stored`);
}

class Reader {
  #bytes: Uint8Array;
  #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  all(): unknown {
    const value = this.#value(0);
    if (this.#at !== this.#bytes.length) fail("the value ends before its bytes do");
    return value;
  }

  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) fail("cut short");
    this.#at += count;
    return at;
  }

  #unsigned(size: 1 | 2 | 4): number {
    const at = this.#take(size);
    if (size === 1) return this.#view.getUint8(at);
    return size === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #text(length: number): string {
    const at = this.#take(length);
    try {
      return decoder.decode(this.#bytes.subarray(at, at + length));
    } catch (error) {
      throw new CodecError("MessagePack: text that is not UTF-8", error);
    }
  }

  #binary(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.slice(at, at + length);
  }

  #array(count: number, depth: number): unknown[] {
    if (count > this.#bytes.length - this.#at) fail("an array longer than its bytes");
    const array: unknown[] = [];
    for (let i = 0; i < count; i++) array.push(this.#value(depth));
    return array;
  }

  #map(count: number, depth: number): object {
    if (count * 2 > this.#bytes.length - this.#at) fail("a map longer than its bytes");
    const map = new Map<unknown, unknown>();
    let allText = true;
    for (let i = 0; i < count; i++) {
      const key = this.#value(depth);
      if (typeof key !== "string") allText = false;
      map.set(key, this.#value(depth));
    }
    /* fromEntries defines its properties, so a key of __proto__ is a property like any other. */
    return allText ? Object.fromEntries(map as Map<string, unknown>) : map;
  }

  #integer(signed: boolean): number | bigint {
    const at = this.#take(8);
    const value = signed ? this.#view.getBigInt64(at) : this.#view.getBigUint64(at);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  #extension(length: number): unknown {
    const type = this.#unsigned(1);
    const at = this.#take(length);
    if (type !== 0xff) return fail(`extension ${type} is unknown`);
    if (length === 4) return new Date(this.#view.getUint32(at) * 1000);
    if (length === 8) {
      const high = this.#view.getUint32(at);
      const seconds = (high & 3) * 2 ** 32 + this.#view.getUint32(at + 4);
      return new Date(seconds * 1000 + (high >>> 2) / 1e6);
    }
    if (length !== 12) return fail("a timestamp of a length that does not exist");
    return new Date(Number(this.#view.getBigInt64(at + 4)) * 1000 + this.#view.getUint32(at) / 1e6);
  }

  #value(depth: number): unknown {
    if (depth > DEEPEST) fail(`nested more than ${DEEPEST} deep`);
    const tag = this.#unsigned(1);
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.#map(tag & 15, depth + 1);
    if (tag < 0xa0) return this.#array(tag & 15, depth + 1);
    if (tag < 0xc0) return this.#text(tag & 31);
    if (tag >= 0xe0) return tag - 256;
    return this.#tagged(tag, depth);
  }

  #tagged(tag: number, depth: number): unknown {
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
      case 0xc3:
        return tag === 0xc3;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#binary(this.#unsigned((1 << (tag - 0xc4)) as 1 | 2 | 4));
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(this.#unsigned((1 << (tag - 0xc7)) as 1 | 2 | 4));
      case 0xca:
        return this.#view.getFloat32(this.#take(4));
      case 0xcb:
        return this.#view.getFloat64(this.#take(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#unsigned((1 << (tag - 0xcc)) as 1 | 2 | 4);
      case 0xcf:
        return this.#integer(false);
      case 0xd0:
        return this.#view.getInt8(this.#take(1));
      case 0xd1:
        return this.#view.getInt16(this.#take(2));
      case 0xd2:
        return this.#view.getInt32(this.#take(4));
      case 0xd3:
        return this.#integer(true);
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(1 << (tag - 0xd4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#unsigned((1 << (tag - 0xd9)) as 1 | 2 | 4));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#unsigned(tag === 0xdc ? 2 : 4), depth + 1);
      case 0xde:
      case 0xdf:
        return this.#map(this.#unsigned(tag === 0xde ? 2 : 4), depth + 1);
      default:
        return fail(`tag ${tag} is never used`);
    }
  }
}

/** @throws {CodecError} for what MessagePack has no type for. `undefined` becomes null. */
export function encodeMsgpack(value: unknown): Uint8Array {
  const out = new ByteWriter(256);
  write(out, value, 0);
  return out.bytes.subarray(0, out.length);
}

/** @throws {CodecError} when the bytes are not one MessagePack value. */
export function decodeMsgpack(bytes: Uint8Array): unknown {
  return new Reader(bytes).all();
}
