import { builtin } from "../builtins.ts";

/** Most bytes of a varint: 53 bits in groups of seven. */
export const LONGEST_VARINT = 8;

/** Whether it is one of the numbers that f64 fields of the format hold: an integer from 0 on, below 2^53. */
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Bytes that hold anything, for who fills all of them at once: the engine need not. They have a buffer of their own. */
export function unfilled(length: number): Uint8Array {
  const { buffer } = builtin("buffer").Buffer.allocUnsafeSlow(length);
  return buffer.byteLength === length ? new Uint8Array(buffer) : new Uint8Array(length);
}

/** A growing buffer that encoders write into; little-endian. */
export class ByteWriter {
  bytes: Uint8Array<ArrayBuffer>;
  length = 0;
  #view: DataView;

  constructor(capacity = 256) {
    this.bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.bytes.buffer);
  }

  /** Makes room for `count` more bytes. */
  ensure(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  /** Starts anew, keeping the memory unless it has become large. */
  reset(): void {
    if (this.bytes.length > 4 * 2 ** 20) {
      this.bytes = new Uint8Array(256);
      this.#view = new DataView(this.bytes.buffer);
    }
    this.length = 0;
  }

  u8(value: number): void {
    if (this.length === this.bytes.length) this.ensure(1);
    this.bytes[this.length++] = value;
  }

  u32(value: number): void {
    this.ensure(4);
    this.#view.setUint32(this.length, value, true);
    this.length += 4;
  }

  f64(value: number): void {
    this.ensure(8);
    this.#view.setFloat64(this.length, value, true);
    this.length += 8;
  }

  /** An integer from 0 to 2^53 - 1, seven bits a byte, low bits first. */
  varint(value: number): void {
    this.ensure(LONGEST_VARINT);
    let rest = value;
    while (rest > 0x7fffffff) {
      this.bytes[this.length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    while (rest > 127) {
      this.bytes[this.length++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.bytes[this.length++] = rest;
  }

  raw(source: Uint8Array): void {
    this.ensure(source.length);
    this.bytes.set(source, this.length);
    this.length += source.length;
  }

  /** Text without its length, when it is ASCII; false, and nothing is written, when it is not. */
  ascii(text: string): boolean {
    const { length } = text;
    this.ensure(length);
    const start = this.length;
    const { bytes } = this;
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 127) return false;
      bytes[start + i] = unit;
    }
    this.length = start + length;
    return true;
  }

  /** Text as UTF-8 without its length. Lone surrogates must not occur. */
  utf8(text: string): void {
    if (!this.ascii(text)) this.#encode(text);
  }

  #encode(text: string): void {
    this.ensure(text.length * 3);
    this.length += encoder.encodeInto(text, this.bytes.subarray(this.length)).written;
  }
}

const encoder = new TextEncoder();

let latin1Slice: ((start: number, end: number) => string) | undefined;

/** Text of bytes that are all below 128; undefined when one is not. */
export function asciiText(bytes: Uint8Array, start: number, end: number): string | undefined {
  for (let i = start; i < end; i++) if (bytes[i]! > 127) return undefined;
  /* Faster in every runtime than building it from characters, and than a TextDecoder for short text. */
  latin1Slice ??= (builtin("buffer").Buffer.prototype as unknown as { latin1Slice: typeof latin1Slice }).latin1Slice!;
  return latin1Slice.call(bytes, start, end);
}

/** Reads a varint; `at` is where the next field begins, or -1 when it is longer than allowed or beyond `end`. */
export class VarintReader {
  at = 0;

  read(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    if (at < end) {
      const first = bytes[at]!;
      if (first < 128) {
        this.at = at + 1;
        return first;
      }
    }
    let value = 0;
    let scale = 1;
    for (let i = 0; i < LONGEST_VARINT && at < end; i++) {
      const byte = bytes[at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) {
        this.at = value <= Number.MAX_SAFE_INTEGER ? at : -1;
        return value;
      }
      scale *= 128;
    }
    this.at = -1;
    return 0;
  }
}

/** What a byte adds to a checksum when k more bytes follow it, at k * 256. */
const table = new Uint32Array(8 * 256);
for (let i = 0; i < 256; i++) {
  let value = i;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  table[i] = value;
}
for (let i = 256; i < table.length; i++) table[i] = (table[i - 256]! >>> 8) ^ table[table[i - 256]! & 255]!;

/** crc32c of a short range, eight bytes at a time; longer ones are for the library (see `checksum`). */
export function shortChecksum(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  let crc = ~seed;
  let i = start;
  for (; i + 8 <= end; i += 8)
    crc =
      table[1792 + ((crc ^ bytes[i]!) & 255)]! ^
      table[1536 + (((crc >>> 8) ^ bytes[i + 1]!) & 255)]! ^
      table[1280 + (((crc >>> 16) ^ bytes[i + 2]!) & 255)]! ^
      table[1024 + ((crc >>> 24) ^ bytes[i + 3]!)]! ^
      table[768 + bytes[i + 4]!]! ^
      table[512 + bytes[i + 5]!]! ^
      table[256 + bytes[i + 6]!]! ^
      table[bytes[i + 7]!]!;
  for (; i < end; i++) crc = table[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
