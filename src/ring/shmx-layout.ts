import { InvalidArgumentError, RingFormatError, RingVersionError } from "../errors.ts";
import { type ElementType, elementOf, elementOfCode } from "./element.ts";
import { SHMX_MARK } from "./lifetime.ts";
import { roundUp, type StreamSpec } from "./schema.ts";

/* The SHMX wire format 2.0; see docs/ring-shmx-format.md. */
export const MAGIC = 0x48494e415f53484dn;
export const HEADER_BYTES = 128;
export const READER_BYTES = 64;
export const SLOT_HEAD = 64;
/** SHMX has no limit of its own; a sparse object could claim so many that looking at each would take for ever. */
const MOST_SLOTS = 65536;
const MOST_READERS = 65536;

export const H = {
  magic: 0,
  major: 8,
  minor: 12,
  endianness: 16,
  /** Padding for SHMX; outcore's mark. */
  mark: 20,
  session: 24,
  generation: 32,
  hash: 40,
  directory: 48,
  directoryBytes: 52,
  directoryUsed: 56,
  slots: 60,
  slotStride: 64,
  slotsAt: 68,
  frameBytes: 72,
  readers: 76,
  readerStride: 80,
  readersAt: 84,
  controlAt: 88,
  controlBytes: 92,
  controlStride: 96,
  /** Padding for SHMX; process of an outcore owner. */
  process: 100,
  frameSequence: 104,
  written: 112,
  connected: 116,
  reserved: 120,
  /** Padding for SHMX; 1 when an outcore owner has closed the ring. */
  closed: 124,
} as const;

/** Fields of a reader slot; from `mark` on SHMX leaves it unused. */
export const R = {
  id: 0,
  heartbeat: 8,
  seen: 16,
  used: 24,
  mark: 28,
  process: 32,
  toReaders: 44,
  toWriter: 48,
  /** The id again, there before the slot is taken: with the mark it tells outcore's reader from one of SHMX. */
  own: 56,
} as const;
export const F = { session: 0, frame: 8, time: 16, bytes: 24, tlvs: 28, checksum: 32 } as const;

export interface ShmxShape {
  readonly directory: number;
  readonly directoryBytes: number;
  readonly slots: number;
  readonly slotStride: number;
  readonly slotsAt: number;
  readonly frameBytes: number;
  readonly readers: number;
  readonly readersAt: number;
  readonly controlAt: number;
  readonly controlBytes: number;
  readonly controlStride: number;
  readonly total: number;
  readonly mark: number;
}

export interface ShmxRequest {
  readonly slots: number;
  readonly readers: number;
  readonly staticBytes: number;
  readonly frameBytes: number;
  readonly controlBytes: number;
}

/**
 * Where everything lies for a new ring.
 * @throws {InvalidArgumentError} for numbers that SHMX would accept and then write out of bounds.
 */
export function shmxShape(request: ShmxRequest, directoryUsed: number): ShmxShape {
  const integer = (name: string, value: number, least: number, most = 0xffffffff): void => {
    if (!Number.isSafeInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(`${name} must be an integer from ${least} to ${most}, not ${String(value)}`);
  };
  const { slots, readers, frameBytes, controlBytes, staticBytes } = request;
  integer("slots", slots, 1, MOST_SLOTS);
  integer("readerSlots", readers, 0, MOST_READERS);
  integer("staticBytes", staticBytes, 0);
  integer("frameBytes", frameBytes, 1);
  integer("controlBytes", controlBytes, 0);
  if (controlBytes !== 0 && (controlBytes < 48 || controlBytes % 16 !== 0))
    throw new InvalidArgumentError(`controlBytes must be 0 or a multiple of 16 from 48 on, not ${controlBytes}`);
  if (staticBytes !== 0 && directoryUsed > staticBytes)
    throw new InvalidArgumentError(`the schema takes ${directoryUsed} bytes, staticBytes is ${staticBytes}`);
  const directoryBytes = roundUp(staticBytes === 0 ? directoryUsed : staticBytes, 64);
  const readersAt = roundUp(HEADER_BYTES + directoryBytes, 64);
  const controlAt = roundUp(readersAt + readers * READER_BYTES, 64);
  const controlStride = roundUp(controlBytes, 64);
  const slotsAt = roundUp(controlAt + readers * controlStride, 64);
  const slotStride = SLOT_HEAD + roundUp(frameBytes, 64);
  const total = slotsAt + slots * slotStride;
  if (total > 0xffffffff)
    throw new InvalidArgumentError(`the ring would have ${total} bytes; SHMX ends at 2^32 - 1: use wire "native"`);
  const directory = HEADER_BYTES;
  const mark = SHMX_MARK;
  return {
    directory,
    directoryBytes,
    slots,
    slotStride,
    slotsAt,
    frameBytes,
    readers,
    readersAt,
    controlAt,
    controlBytes,
    controlStride,
    total,
    mark,
  };
}

/**
 * Reads and checks a private copy of the header.
 * @throws {RingVersionError | RingFormatError}
 */
export function readShmxShape(name: string, header: DataView, size: number): ShmxShape {
  const fail = (reason: string): never => {
    throw new RingFormatError(name, reason);
  };
  const word = (at: number): number => header.getUint32(at, true);
  if (header.getBigUint64(H.magic, true) !== MAGIC) fail("its magic number is wrong");
  if (word(H.major) !== 2 || word(H.minor) !== 0)
    throw new RingVersionError(name, `SHMX ${word(H.major)}.${word(H.minor)}`, "SHMX 2.0");
  if (word(H.endianness) !== 0x01020304) fail("it was written in another byte order");
  const shape: ShmxShape = {
    directory: word(H.directory),
    directoryBytes: word(H.directoryBytes),
    slots: word(H.slots),
    slotStride: word(H.slotStride),
    slotsAt: word(H.slotsAt),
    frameBytes: word(H.frameBytes),
    readers: word(H.readers),
    readersAt: word(H.readersAt),
    controlAt: word(H.controlAt),
    controlBytes: word(H.controlBytes),
    controlStride: word(H.controlStride),
    total: word(H.slotsAt) + word(H.slots) * word(H.slotStride),
    mark: word(H.mark),
  };
  const { slots, slotStride, slotsAt, frameBytes, readers, readersAt, controlAt, controlBytes, controlStride } = shape;
  if (slots === 0 || slotStride === 0 || slotsAt === 0 || frameBytes === 0 || readersAt === 0) fail("a size is 0");
  if (slots > MOST_SLOTS) fail(`${slots} slots`);
  if (readers > MOST_READERS) fail(`${readers} reader slots`);
  if (word(H.readerStride) !== READER_BYTES) fail(`reader slots of ${word(H.readerStride)} bytes`);
  if (
    slotStride % 64 !== 0 ||
    slotsAt % 64 !== 0 ||
    readersAt % 64 !== 0 ||
    controlAt % 64 !== 0 ||
    controlStride % 64 !== 0
  )
    fail("its parts are not aligned");
  if (shape.directory < HEADER_BYTES || shape.directory % 16 !== 0) fail("its directory is not where it must be");
  if (shape.directory + shape.directoryBytes > readersAt) fail("its directory reaches into the next part");
  if (SLOT_HEAD + frameBytes > slotStride) fail("frames are larger than their slots");
  if (controlBytes > controlStride) fail("control rings are larger than their places");
  if (controlStride !== 0 && (controlBytes === 0 || controlAt === 0)) fail("its control rings have no size");
  if (readersAt + readers * READER_BYTES > slotsAt) fail("its reader slots reach into the frames");
  if (controlStride !== 0) {
    if (readersAt + readers * READER_BYTES > controlAt) fail("its reader slots reach into the control rings");
    if (controlAt + readers * controlStride > slotsAt) fail("its control rings reach into the frames");
  }
  if (shape.total > 0xffffffff || shape.total > size) fail(`it should have ${shape.total} bytes and has ${size}`);
  return shape;
}

const encoder = new TextEncoder();

/** The static directory of a schema, as SHMX writes it. */
export function encodeDirectory(specs: readonly StreamSpec[]): Uint8Array {
  const parts = specs.map((spec) => ({ spec, name: encoder.encode(spec.name) }));
  const lengthOf = ({ spec, name }: (typeof parts)[number]): number => 32 + name.length + spec.extra.length;
  const total = parts.reduce((sum, part) => sum + roundUp(8 + lengthOf(part), 16), 0);
  const out = new Uint8Array(total);
  const view = new DataView(out.buffer);
  let at = 0;
  for (const part of parts) {
    const { spec, name } = part;
    const words = [
      0x1000,
      lengthOf(part),
      spec.id,
      elementOf(spec.type).code,
      spec.components,
      spec.layout === "vector" ? 1 : 0,
      spec.bytesPerElement,
      0,
      name.length,
      spec.extra.length,
    ];
    for (const [i, word] of words.entries()) view.setUint32(at + 4 * i, word, true);
    out.set(name, at + 40);
    out.set(spec.extra, at + 40 + name.length);
    at += roundUp(8 + lengthOf(part), 16);
  }
  return out;
}

/** The streams of a private copy of the static directory; it ends where SHMX's own parser stops. */
export function decodeDirectory(copy: Uint8Array): StreamSpec[] {
  const view = new DataView(copy.buffer, copy.byteOffset, copy.length);
  const specs: StreamSpec[] = [];
  for (let at = 0; at + 8 <= copy.length; ) {
    const type = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    if (at + 8 + length > copy.length) break;
    if (type === 0x1000) {
      if (length < 32) break;
      const word = (i: number): number => view.getUint32(at + 8 + 4 * i, true);
      const nameLength = word(6);
      const extraLength = word(7);
      if (32 + nameLength + extraLength > length) break;
      const element = elementOfCode(word(1));
      const nameAt = at + 40;
      /* A stream whose numbers make no sense is left out: its bytes could not be viewed. */
      if (element !== undefined && word(2) > 0 && word(4) === elementOf(element).bytes * word(2))
        specs.push({
          name: new TextDecoder().decode(copy.subarray(nameAt, nameAt + nameLength)),
          id: word(0),
          type: element as ElementType,
          components: word(2),
          layout: word(3) === 1 ? "vector" : "scalar",
          bytesPerElement: word(4),
          capacity: 0,
          extra: copy.slice(nameAt + nameLength, nameAt + nameLength + extraLength),
        });
    }
    at += roundUp(8 + length, 16);
  }
  return specs;
}
