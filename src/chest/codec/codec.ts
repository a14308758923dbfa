import { builtin } from "../../builtins.ts";
import { CodecError, InvalidArgumentError } from "../../errors.ts";
import { ByteWriter, VarintReader } from "../bytes.ts";
import { elementKinds, kindOf } from "./elements.ts";
import { decodeMsgpack, encodeMsgpack } from "./msgpack.ts";
import { decodeStructured, encodeStructured } from "./structured.ts";

/** Turns values into bytes and back. `decode` must throw on bytes that `encode` cannot have made. */
export interface Codec<V> {
  /** The value as bytes; throws when it cannot be stored. */
  encode(value: V): Uint8Array;
  /** The value of bytes. */
  decode(bytes: Uint8Array): V;
}

/**
 * `structured`: whatever structuredClone clones. `json`, `msgpack`: those. `bytes`: Uint8Array only. All of them store a
 * typed array that is the value itself as its bare elements, but json, which has no such thing.
 */
export type CodecName = "structured" | "bytes" | "json" | "msgpack";

/** How values are made smaller; values under 64 bytes, and those that do not get smaller, are stored as they are. */
export type Compression = "none" | "gzip" | "zstd";

/* Numbers of the encodings in a record's format byte; see docs/chest-format.md. */
export const STRUCTURED = 0;
/** and the number of the element type */
export const TYPED = 1;
export const JSON_TEXT = 24;
export const MSGPACK = 25;
export const CUSTOM = 31;
const GZIP = 1 << 6;
const ZSTD = 2 << 6;
/** The bits of a format byte that say which. */
export const ENCODING = 31;

const SMALLEST_COMPRESSED = 64;
const codecNames: readonly string[] = ["structured", "bytes", "json", "msgpack"];
const compressions: readonly string[] = ["none", "gzip", "zstd"];
const varint = new VarintReader();
const textDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const textEncoder = new TextEncoder();

/** Encodes and decodes the values of one chest. An encoded value is in `bytes`, from 0 to `length`, until the next. */
export class ValueCoder {
  bytes: Uint8Array = new Uint8Array(0);
  length = 0;
  format = 0;
  #codec: CodecName | Codec<unknown>;
  #compression: Compression;
  #largest: number;
  #compressed: ByteWriter = new ByteWriter();

  constructor(codec: CodecName | Codec<unknown>, compression: Compression, largest: number) {
    const { encode, decode } = codec as Partial<Codec<unknown>>;
    const isOwn = typeof encode === "function" && typeof decode === "function";
    if (typeof codec === "string" ? !codecNames.includes(codec) : !isOwn)
      throw new InvalidArgumentError(
        `codec must be one of ${codecNames.join(", ")} or have encode and decode, not ${String(codec)}`,
      );
    if (!compressions.includes(compression))
      throw new InvalidArgumentError(
        `compression must be one of ${compressions.join(", ")}, not ${String(compression)}`,
      );
    this.#codec = codec;
    this.#compression = compression;
    this.#largest = largest;
  }

  /** Whether values of the user's own codec mean the same to both. */
  hasCodecOf(other: ValueCoder): boolean {
    return this.#codec === other.#codec;
  }

  /** @throws {CodecError} when the value cannot be encoded. */
  encode(value: unknown): void {
    try {
      this.#encode(value);
    } catch (error) {
      /* A getter that throws, a buffer that is detached, text too long for the engine. */
      throw error instanceof CodecError ? error : new CodecError(`the value cannot be encoded: ${error}`, error);
    }
    if (this.length > this.#largest) throw new CodecError(`a value of ${this.length} bytes is over the limit`);
    if (this.#compression !== "none" && this.length >= SMALLEST_COMPRESSED) this.#compress();
  }

  #encode(value: unknown): void {
    const codec = this.#codec;
    if (typeof codec !== "string") {
      this.#custom(codec, value);
      return;
    }
    if (typeof value === "object" && value !== null && codec !== "json" && ArrayBuffer.isView(value)) {
      const kind = kindOf(value);
      if (kind !== undefined) {
        const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
        /* Another thread must not change it between its checksum and its writing. */
        this.#take(bytes.buffer instanceof ArrayBuffer ? bytes : new Uint8Array(bytes), TYPED + kind.id);
        return;
      }
    }
    switch (codec) {
      case "structured": {
        const writer = encodeStructured(value);
        this.bytes = writer.bytes;
        this.length = writer.length;
        this.format = STRUCTURED;
        return;
      }
      case "json":
        this.#take(encodeJson(value), JSON_TEXT);
        return;
      case "msgpack":
        this.#take(encodeMsgpack(value), MSGPACK);
        return;
      default:
        throw new CodecError(`codec "bytes" stores typed arrays only, not ${typeof value}`);
    }
  }

  #take(bytes: Uint8Array, format: number): void {
    this.bytes = bytes;
    this.length = bytes.length;
    this.format = format;
  }

  #custom(codec: Codec<unknown>, value: unknown): void {
    const bytes = codec.encode(value);
    if (!(bytes instanceof Uint8Array)) throw new CodecError("encode did not return a Uint8Array");
    this.#take(bytes.buffer instanceof ArrayBuffer ? bytes : new Uint8Array(bytes), CUSTOM);
  }

  #compress(): void {
    const { bytes, length } = this;
    const plain = bytes.subarray(0, length);
    const packed =
      this.#compression === "gzip"
        ? builtin("zlib").gzipSync(plain, { level: 6 })
        : builtin("zlib").zstdCompressSync(plain);
    if (packed.length + 8 >= length) return;
    const out = this.#compressed;
    out.reset();
    out.varint(length);
    out.raw(packed);
    this.format |= this.#compression === "gzip" ? GZIP : ZSTD;
    this.bytes = out.bytes;
    this.length = out.length;
  }

  /**
   * The value of stored bytes, which shares no memory with them unless they are `owned`, nobody else's.
   * @throws {CodecError} when they are not what an encoder makes, whatever they are.
   */
  decode(format: number, bytes: Uint8Array, start: number, end: number, owned = false): unknown {
    if (format < 32) return this.#decode(format, bytes, start, end, owned);
    const length = varint.read(bytes, start, end);
    if (varint.at < 0 || length > this.#largest) throw new CodecError("a compressed value states no possible length");
    const packed = bytes.subarray(varint.at, end);
    const limit = { maxOutputLength: Math.max(length, 1) };
    let plain: Uint8Array;
    try {
      if ((format & ~ENCODING) === GZIP) plain = builtin("zlib").gunzipSync(packed, limit);
      else if ((format & ~ENCODING) === ZSTD) plain = builtin("zlib").zstdDecompressSync(packed, limit);
      else throw new CodecError(`compression ${format >> 6} is unknown`);
    } catch (error) {
      throw error instanceof CodecError ? error : new CodecError("a value cannot be decompressed", error);
    }
    if (plain.length !== length) throw new CodecError("a compressed value has not the length it states");
    return this.#decode(format & ENCODING, plain, 0, length, false);
  }

  #decode(format: number, bytes: Uint8Array, start: number, end: number, owned: boolean): unknown {
    if (format === STRUCTURED) return decodeStructured(bytes, start, end);
    if (format === JSON_TEXT) return decodeJson(bytes.subarray(start, end));
    if (format === MSGPACK) return decodeMsgpack(bytes.subarray(start, end));
    if (format === CUSTOM) return this.#decodeCustom(bytes.slice(start, end));
    const kind = elementKinds[format - TYPED];
    if (kind === undefined) throw new CodecError(`encoding ${format} is unknown`);
    if ((end - start) % kind.size !== 0) throw new CodecError(`a ${kind.name} is cut within an element`);
    let copy = bytes;
    if (!owned) {
      /* Not slice: that of a Buffer is no copy. */
      copy = new Uint8Array(end - start);
      copy.set(bytes.subarray(start, end));
    }
    return kind.id === 0 ? copy : kind.over(copy.buffer, copy.byteOffset, copy.length / kind.size);
  }

  #decodeCustom(bytes: Uint8Array): unknown {
    const codec = this.#codec;
    if (typeof codec === "string") throw new CodecError("the value was written by a codec of the user's own");
    try {
      return codec.decode(bytes);
    } catch (error) {
      throw error instanceof CodecError ? error : new CodecError("the user's codec cannot decode the value", error);
    }
  }
}

/** The element type that a format byte stands for; undefined when the value is no bare typed array. */
export function elementsOf(format: number): (typeof elementKinds)[number] {
  return format >= TYPED && format < JSON_TEXT ? elementKinds[format - TYPED] : undefined;
}

function encodeJson(value: unknown): Uint8Array {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new CodecError("the value has no JSON", error);
  }
  if (text === undefined) throw new CodecError(`${typeof value} has no JSON`);
  return textEncoder.encode(text);
}

function decodeJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(textDecoder.decode(bytes));
  } catch (error) {
    throw new CodecError("the value is not JSON", error);
  }
}
