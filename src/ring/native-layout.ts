import { InvalidArgumentError, RingFormatError, RingVersionError } from "../errors.ts";
import { type ElementType, elementOf, elementOfCode } from "./element.ts";
import { roundUp, type StreamSpec } from "./schema.ts";

/* The terms and numbers of docs/ring-native-format.md. */
export const MAGIC = 0x474e4952_5243544fn; /* "OTCRRING" */
export const VERSION = 1;
export const ENDIANNESS = 0x01020304;
export const HEADER_BYTES = 512;

export const H = {
  magic: 0,
  version: 8,
  endianness: 12,
  session: 16,
  total: 24,
  page: 32,
  directory: 40,
  directoryBytes: 48,
  shared: 56,
  sharedBytes: 64,
  slotsAt: 72,
  slotStride: 80,
  payloadBytes: 88,
  slots: 96,
  readers: 100,
  mostStreams: 104,
  requestBytes: 108,
  replyBytes: 112,
  ownerProcess: 116,
  created: 120,
  published: 256,
  closed: 264,
  generation: 320,
  directoryUsed: 324,
  streams: 328,
} as const;

/** Offsets in the shared part. */
export const S = { toReaders: 0, toWriter: 64, attached: 128, readers: 256 } as const;
export const READER_BYTES = 128;
export const R = {
  state: 0,
  delivery: 4,
  id: 8,
  cursor: 16,
  drops: 24,
  heartbeat: 32,
  process: 40,
  taken: 48,
} as const;

export const F = { state: 0, frame: 8, time: 16, stamp: 24, checksum: 32, flags: 36, counts: 64 } as const;
export const FLAG_CHECKSUM = 1;
/** Count of a stream that is not in the frame. */
export const ABSENT = 0xffffffff;

/** Bytes beyond the end whose locks tell who lives. */
export const LOCK_OWNER: number = 2 ** 44;
export const lockOfReader = (index: number): number => LOCK_OWNER + 1 + index;

export const ENTRY_BYTES = 48;
const MOST_SLOTS = 65536;
const MOST_READERS = 4096;
const MOST_STREAMS = 4096;

export interface NativeShape {
  readonly page: number;
  readonly directory: number;
  readonly directoryBytes: number;
  readonly shared: number;
  readonly sharedBytes: number;
  readonly slotsAt: number;
  readonly slotStride: number;
  readonly payloadBytes: number;
  readonly slots: number;
  readonly readers: number;
  readonly mostStreams: number;
  readonly requestBytes: number;
  readonly replyBytes: number;
  readonly total: number;
}

export interface ShapeRequest {
  readonly page: number;
  readonly directoryBytes: number;
  readonly payloadBytes: number;
  readonly slots: number;
  readonly readers: number;
  readonly mostStreams: number;
  readonly controlBytes: number;
}

/** Bytes of a slot before its payload. */
export function slotHead(mostStreams: number): number {
  return roundUp(F.counts + mostStreams * 8, 64);
}

/** Where everything lies. */
export function nativeShape(request: ShapeRequest): NativeShape {
  const { page, slots, readers, mostStreams } = request;
  const limits: [string, number, number, number][] = [
    ["slots", slots, 2, MOST_SLOTS],
    ["readers", readers, 1, MOST_READERS],
    ["streams", mostStreams, 1, MOST_STREAMS],
    ["controlBytes", request.controlBytes, 0, 2 ** 30],
    ["frameBytes", request.payloadBytes, 0, 2 ** 46],
    ["directoryBytes", request.directoryBytes, 0, 2 ** 30],
  ];
  for (const [name, value, least, most] of limits)
    if (!Number.isSafeInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(`${name} must be an integer from ${least} to ${most}, not ${value}`);
  const ring = request.controlBytes === 0 ? 0 : roundUp(request.controlBytes, 64);
  const directoryBytes = roundUp(request.directoryBytes, 64);
  const shared = roundUp(HEADER_BYTES + directoryBytes, page);
  const sharedBytes = roundUp(S.readers + readers * (READER_BYTES + 2 * ring), page);
  const slotsAt = shared + sharedBytes;
  const payloadBytes = roundUp(request.payloadBytes, 64);
  const slotStride = slotHead(mostStreams) + payloadBytes;
  const total = slotsAt + slotStride * slots;
  if (!Number.isSafeInteger(total)) throw new InvalidArgumentError("the ring would be larger than 2^53 bytes");
  return {
    page,
    directory: HEADER_BYTES,
    directoryBytes,
    shared,
    sharedBytes,
    slotsAt,
    slotStride,
    payloadBytes,
    slots,
    readers,
    mostStreams,
    requestBytes: ring,
    replyBytes: ring,
    total,
  };
}

export function writeShape(view: DataView, shape: NativeShape): void {
  view.setUint32(H.version, VERSION, true);
  view.setUint32(H.endianness, ENDIANNESS, true);
  const wide = ["total", "page", "directory", "directoryBytes", "shared", "sharedBytes", "slotsAt"] as const;
  for (const key of wide) view.setBigUint64(H[key], BigInt(shape[key]), true);
  view.setBigUint64(H.slotStride, BigInt(shape.slotStride), true);
  view.setBigUint64(H.payloadBytes, BigInt(shape.payloadBytes), true);
  for (const key of ["slots", "readers", "mostStreams", "requestBytes", "replyBytes"] as const)
    view.setUint32(H[key], shape[key], true);
}

/**
 * Reads and checks a private copy of the header.
 * @throws {RingVersionError | RingFormatError}
 */
export function readShape(name: string, header: DataView, size: number): NativeShape {
  const fail = (reason: string): never => {
    throw new RingFormatError(name, reason);
  };
  const version = header.getUint32(H.version, true);
  if (version !== VERSION) throw new RingVersionError(name, `native ${version}`, `native ${VERSION}`);
  if (header.getUint32(H.endianness, true) !== ENDIANNESS) fail("it was written in another byte order");
  const wide = (at: number): number => {
    const value = header.getBigUint64(at, true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) fail("a size in its header is beyond 2^53");
    return Number(value);
  };
  const small = (at: number): number => header.getUint32(at, true);
  const shape: NativeShape = {
    page: wide(H.page),
    directory: wide(H.directory),
    directoryBytes: wide(H.directoryBytes),
    shared: wide(H.shared),
    sharedBytes: wide(H.sharedBytes),
    slotsAt: wide(H.slotsAt),
    slotStride: wide(H.slotStride),
    payloadBytes: wide(H.payloadBytes),
    slots: small(H.slots),
    readers: small(H.readers),
    mostStreams: small(H.mostStreams),
    requestBytes: small(H.requestBytes),
    replyBytes: small(H.replyBytes),
    total: wide(H.total),
  };
  const { slots, readers, mostStreams, page } = shape;
  if (slots < 2 || slots > MOST_SLOTS) fail(`${slots} slots`);
  if (readers < 1 || readers > MOST_READERS) fail(`${readers} reader slots`);
  if (mostStreams < 1 || mostStreams > MOST_STREAMS) fail(`${mostStreams} streams`);
  if (page < 4096 || page > 2 ** 20 || page % 4096 !== 0) fail(`pages of ${page} bytes`);
  if (shape.directory !== HEADER_BYTES || shape.shared % page !== 0 || shape.slotsAt % page !== 0)
    fail("its parts are not where they must be");
  if (shape.directory + shape.directoryBytes > shape.shared) fail("its directory reaches into the next part");
  if (shape.requestBytes % 64 !== 0 || shape.replyBytes % 64 !== 0) fail("its control rings are not aligned");
  const needed = S.readers + readers * (READER_BYTES + shape.requestBytes + shape.replyBytes);
  if (needed > shape.sharedBytes || shape.shared + shape.sharedBytes > shape.slotsAt)
    fail("its shared part is too small");
  if (shape.payloadBytes % 64 !== 0 || shape.slotStride !== slotHead(mostStreams) + shape.payloadBytes)
    fail("its slots have another size than their parts");
  if (shape.slotsAt + shape.slotStride * slots !== shape.total) fail("its parts do not add up to its size");
  if (shape.total > size) fail(`it should have ${shape.total} bytes and has ${size}`);
  return shape;
}

/** A stream with its place in the payload of a slot. */
export interface NativeStream extends StreamSpec {
  /** Place in the table of counts. */
  readonly index: number;
  readonly offset: number;
}

/** Gives streams their places in the payload, one behind the other from `start` on. */
export function place(specs: readonly StreamSpec[], start: number, firstIndex: number): NativeStream[] {
  let offset = start;
  return specs.map((spec, i) => {
    const stream = { ...spec, index: firstIndex + i, offset };
    offset += roundUp(spec.capacity * spec.bytesPerElement, 64);
    return stream;
  });
}

/** Bytes of payload that streams take. */
export function endOf(streams: readonly NativeStream[]): number {
  const last = streams[streams.length - 1];
  return last === undefined ? 0 : last.offset + roundUp(last.capacity * last.bytesPerElement, 64);
}

const encoder = new TextEncoder();

/** Bytes that the entry of a stream takes in the directory. */
export function entryBytes(spec: StreamSpec): number {
  return roundUp(ENTRY_BYTES + encoder.encode(spec.name).length + spec.extra.length, 8);
}

export function writeEntry(out: DataView, at: number, stream: NativeStream): number {
  const name = encoder.encode(stream.name);
  const bytes = entryBytes(stream);
  const words = [
    bytes,
    stream.id,
    elementOf(stream.type).code,
    stream.components,
    stream.layout === "vector" ? 1 : 0,
    stream.bytesPerElement,
    name.length,
    stream.extra.length,
  ];
  for (const [i, word] of words.entries()) out.setUint32(at + 4 * i, word, true);
  out.setBigUint64(at + 32, BigInt(stream.offset), true);
  out.setBigUint64(at + 40, BigInt(stream.capacity), true);
  const target = new Uint8Array(out.buffer, out.byteOffset + at + ENTRY_BYTES, name.length + stream.extra.length);
  target.set(name);
  target.set(stream.extra, name.length);
  return bytes;
}

/** Reads and checks a private copy of the directory. */
export function readDirectory(ring: string, copy: Uint8Array, count: number, shape: NativeShape): NativeStream[] {
  const fail = (reason: string): never => {
    throw new RingFormatError(ring, `stream ${streams.length}: ${reason}`);
  };
  const view = new DataView(copy.buffer, copy.byteOffset, copy.length);
  const streams: NativeStream[] = [];
  if (count > shape.mostStreams) fail(`${count} streams, ${shape.mostStreams} at most`);
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (at + ENTRY_BYTES > copy.length) fail("the directory ends early");
    const word = (i: number): number => view.getUint32(at + 4 * i, true);
    const bytes = word(0);
    const type = elementOfCode(word(2)) as ElementType;
    if (type === undefined) fail(`element type ${word(2)}`);
    const components = word(3);
    if (components < 1 || components > 65536) fail(`${components} components`);
    const bytesPerElement = word(5);
    if (bytesPerElement !== elementOf(type).bytes * components) fail(`${bytesPerElement} bytes per element`);
    const nameLength = word(6);
    const extraLength = word(7);
    if (bytes % 8 !== 0 || ENTRY_BYTES + nameLength + extraLength > bytes || at + bytes > copy.length)
      fail("its entry is too short");
    const offset = Number(view.getBigUint64(at + 32, true));
    const capacity = Number(view.getBigUint64(at + 40, true));
    const fits = offset % 64 === 0 && offset + capacity * bytesPerElement <= shape.payloadBytes;
    if (!fits) fail("it does not lie within the payload");
    const nameAt = at + ENTRY_BYTES;
    streams.push({
      name: new TextDecoder().decode(copy.subarray(nameAt, nameAt + nameLength)),
      id: word(1),
      type,
      components,
      layout: word(4) === 1 ? "vector" : "scalar",
      bytesPerElement,
      capacity,
      extra: copy.slice(nameAt + nameLength, nameAt + nameLength + extraLength),
      index,
      offset,
    });
    at += bytes;
  }
  return streams;
}
