import { InvalidArgumentError, RingFormatError } from "../errors.ts";
import { Segment } from "../memory/segment.ts";
import type { Delivery, RingClient } from "./client.ts";
import { kindOf } from "./lifetime.ts";
import { NativeClient, type NativeClientOptions } from "./native-client.ts";
import { NativeServer } from "./native-server.ts";
import { frameCapacity, type Schema } from "./schema.ts";
import type { RingServer } from "./server.ts";
import { ShmxClient } from "./shmx-client.ts";
import { ShmxServer } from "./shmx-server.ts";

/** What a new ring is like. */
export interface CreateRingOptions<S extends Schema> {
  /** Streams of the ring. */
  readonly schema: S;
  /** "native" (default) between peers of outcore; "shmx" for programs that use SHMX. */
  readonly wire?: "native" | "shmx";
  /** Frames that it holds. Default 4 (native), 3 (shmx). */
  readonly slots?: number;
  /** Readers at once. Default 16. */
  readonly readerSlots?: number;
  /** Bytes of messages per reader. Default 4096; 0 for none. */
  readonly controlBytes?: number;
  /** Bytes of streams in a frame. Default: what the schema needs; on wire "shmx" at least 65536. */
  readonly frameBytes?: number;
  /** Bytes of the schema, on wire "shmx". Default 4096; 0 for just what is needed. */
  readonly staticBytes?: number;
  /** Streams that the schema can grow to, on wire "native". Default 8, or as many as it has. */
  readonly mostStreams?: number;
  /** Permission bits of the shared memory object. Default 0o600. */
  readonly mode?: number;
  /** Give each frame a crc32c that readers check, on wire "native". Default false. */
  readonly checksum?: boolean;
  /** Give each frame the time of its publication, on wire "native". Default false. */
  readonly stamp?: boolean;
  /** Whether waits keep the process alive. Default false. */
  readonly keepAlive?: boolean;
}

/** SHMX refuses a slash inside and puts one in front; both forms name one ring. */
function plainName(name: string): string {
  if (typeof name !== "string") throw new InvalidArgumentError("a ring's name is text");
  return name.startsWith("/") ? name.slice(1) : name;
}

/**
 * Creates a ring and becomes its owner and writer. Nobody sees it before it is whole; its name goes with `close`.
 *
 * @throws {NameInUseError} when the name is taken by a living owner, by a ring of SHMX or by something else. What a dead
 *   outcore owner left is replaced.
 * @throws {InvalidArgumentError | SchemaError} for sizes that are impossible.
 * @throws {DiskFullError} when shared memory is full.
 */
export function createRing<const S extends Schema>(name: string, options: CreateRingOptions<S>): RingServer<S> {
  const { schema, wire = "native", readerSlots = 16, controlBytes = 4096, mode = 0o600, keepAlive = false } = options;
  const plain = plainName(name);
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o777)
    throw new InvalidArgumentError(`mode must be permission bits from 0 to 0o777, not ${String(mode)}`);
  if (wire === "native") {
    const { slots = 4, frameBytes, mostStreams, checksum = false, stamp = false } = options;
    return new NativeServer<S>(plain, {
      schema,
      slots,
      readerSlots,
      controlBytes,
      frameBytes,
      mostStreams,
      mode,
      checksum,
      stamp,
      keepAlive,
    });
  }
  if (wire !== "shmx") throw new InvalidArgumentError(`no wire "${String(wire)}"`);
  const { slots = 3, staticBytes = 4096 } = options;
  const frameBytes = options.frameBytes ?? Math.max(65536, frameCapacity(schema, "shmx"));
  return new ShmxServer<S>(plain, {
    schema,
    slots,
    readerSlots,
    staticBytes,
    frameBytes,
    controlBytes,
    mode,
    keepAlive,
  });
}

/** How a ring is read. */
export interface OpenRingOptions<S extends Schema> {
  /** What the reader expects; it gives the types of frames and is compared with the ring. Default: whatever is there. */
  readonly schema?: S;
  /**
   * `latest` (default): the newest frame, those between are skipped; `queue`: each in turn, those that were overwritten
   * are counted in `drops`; `reliable`: each in turn, and the writer waits for this reader.
   */
  readonly delivery?: Delivery;
  /** Frames before now that a queue or reliable reader also wants, at most slots - 1. Default 0. */
  readonly history?: number;
  /** Take no reader slot and write nothing: cannot send messages, and is polled where it would be woken. */
  readonly observe?: boolean;
  /** Whether waits keep the process alive. Default false. */
  readonly keepAlive?: boolean;
}

const deliveries: readonly Delivery[] = ["latest", "queue", "reliable"];

/** @internal */
export function openWith<S extends Schema>(name: string, options: NativeClientOptions): RingClient<S> {
  const plain = plainName(name);
  const segment = options.observe ? Segment.open(plain, false) : Segment.openBest(plain);
  try {
    const kind = kindOf(segment);
    if (kind === "native") return new NativeClient<S>(plain, segment, options);
    if (kind === "other") throw new RingFormatError(plain, "it has no ring's magic number");
    return new ShmxClient<S>(plain, segment, options);
  } catch (error) {
    segment.close();
    throw error;
  }
}

/**
 * Opens a ring as a reader; its wire is found out.
 *
 * @throws {NotFoundError} when there is none.
 * @throws {RingFormatError | RingVersionError} when the segment is no ring, is damaged, or is of another version.
 * @throws {SchemaError} when the ring's streams are not those expected.
 * @throws {NoReaderSlotError} when all reader slots are taken.
 * @throws {PermissionError} when it may not be read, or written by a reliable reader.
 */
export function openRing<const S extends Schema = Schema>(
  name: string,
  options: OpenRingOptions<S> = {},
): RingClient<S> {
  const { delivery = "latest", history = 0, observe = false, keepAlive = false } = options;
  if (!deliveries.includes(delivery)) throw new InvalidArgumentError(`no delivery "${String(delivery)}"`);
  if (!Number.isInteger(history) || history < 0) throw new InvalidArgumentError("history is a number of frames");
  return openWith<S>(name, { schema: options.schema, delivery, history, observe, keepAlive });
}
