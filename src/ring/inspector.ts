import { InvalidArgumentError, OutcoreError, RingFormatError } from "../errors.ts";
import { listObjects, Segment, sharedMemoryRoom } from "../memory/segment.ts";
import type { RingHeader } from "./client.ts";
import type { ControlMessage } from "./control.ts";
import type { Frame } from "./frame.ts";
import { kindOf, ownerDead, removeDead } from "./lifetime.ts";
import { READER_BYTES as NATIVE_READER, S } from "./native-layout.ts";
import { NativeView } from "./native-view.ts";
import type { Schema, StreamSpec } from "./schema.ts";
import type { ReaderInfo } from "./server.ts";
import { ShmxView } from "./shmx-view.ts";

/** A part of the segment. */
export interface RingRegion {
  /** Its name. */
  readonly name: string;
  /** Where it begins. */
  readonly offset: number;
  /** Its size in bytes. */
  readonly bytes: number;
}

/** What is in a slot now. */
export interface SlotInfo {
  /** Place of the slot. */
  readonly slot: number;
  /** The frame, when one could be read. */
  readonly frame: Frame<Schema> | undefined;
  /** "frame", or why none could be read. */
  readonly state: "frame" | "none" | "overwritten" | "checksum" | "session";
}

/** Header, streams and readers of a ring. */
export interface RingReport extends RingHeader {
  /** Its name. */
  readonly name: string;
  /** Whether its owner lives; a ring of SHMX always counts as alive. */
  readonly ownerState: "alive" | "closed" | "owner-dead" | "session";
  /** Its streams. */
  readonly streams: readonly StreamSpec[];
  /** Its readers now. */
  readonly connected: readonly ReaderInfo[];
}

/** Looks at a ring without being a reader: maps it read-only and writes nothing. */
export class RingInspector implements Disposable {
  /** Its name. */
  readonly name: string;
  #segment: Segment;
  #native: NativeView | undefined;
  #shmx: ShmxView | undefined;

  /** Opens it. @throws what opening a ring throws. */
  constructor(name: string) {
    this.name = name.startsWith("/") ? name.slice(1) : name;
    this.#segment = Segment.open(this.name, false);
    try {
      const kind = kindOf(this.#segment);
      if (kind === "other") throw new RingFormatError(this.name, "it has no ring's magic number");
      if (kind === "native") this.#native = new NativeView(this.name, this.#segment);
      else this.#shmx = new ShmxView(this.name, this.#segment);
    } catch (error) {
      this.#segment.close();
      throw error;
    }
  }

  get #view(): NativeView | ShmxView {
    if (this.#segment.closed) throw new InvalidArgumentError("the inspector is closed");
    return (this.#native ?? this.#shmx) as NativeView | ShmxView;
  }

  /** Header, streams and readers, as they are now. */
  inspect(): RingReport {
    const view = this.#view;
    view.refresh();
    const connected = view.readers();
    const header = this.#native?.header(connected.length) ?? (this.#shmx as ShmxView).header();
    return { ...header, name: this.name, ownerState: view.ownerState(), streams: view.streams, connected };
  }

  /** Where the parts of the segment lie. */
  layout(): RingRegion[] {
    if (this.#shmx !== undefined) {
      const { shape } = this.#shmx;
      return [
        { name: "header", offset: 0, bytes: 128 },
        { name: "static directory", offset: shape.directory, bytes: shape.directoryBytes },
        { name: "reader slots", offset: shape.readersAt, bytes: shape.readers * 64 },
        { name: "control rings", offset: shape.controlAt, bytes: shape.readers * shape.controlStride },
        { name: "frame slots", offset: shape.slotsAt, bytes: shape.slots * shape.slotStride },
      ];
    }
    const { shape } = this.#view as NativeView;
    const rings = shape.shared + S.readers + shape.readers * NATIVE_READER;
    return [
      { name: "header", offset: 0, bytes: 512 },
      { name: "directory", offset: shape.directory, bytes: shape.directoryBytes },
      { name: "wake words", offset: shape.shared, bytes: S.readers },
      { name: "reader slots", offset: shape.shared + S.readers, bytes: shape.readers * NATIVE_READER },
      { name: "control rings", offset: rings, bytes: shape.readers * (shape.requestBytes + shape.replyBytes) },
      { name: "frame slots", offset: shape.slotsAt, bytes: shape.slots * shape.slotStride },
    ];
  }

  /** What stands in a slot, decoded and verified. */
  slot(index: number): SlotInfo {
    const view = this.#view;
    if (!Number.isInteger(index) || index < 0 || index >= view.shape.slots)
      throw new InvalidArgumentError(`there are ${view.shape.slots} slots`);
    let read: Frame<Schema> | Exclude<SlotInfo["state"], "frame">;
    if (this.#shmx !== undefined) read = this.#shmx.read<Schema>(index, undefined);
    else {
      const native = view as NativeView;
      const state = native.words.load64(native.shape.slotsAt + index * native.shape.slotStride);
      if (state === 0) read = "none";
      else if (state % 2 === 1 || !Number.isSafeInteger(state)) read = "overwritten";
      /* A frame stands where its number says; a state that says otherwise is damage. */ else if (
        (state / 2 - 1) % native.shape.slots !==
        index
      )
        read = "checksum";
      else read = native.read<Schema>(state / 2, undefined);
    }
    return typeof read === "string"
      ? { slot: index, frame: undefined, state: read }
      : { slot: index, frame: read, state: "frame" };
  }

  /** What stands in every slot. */
  slots(): SlotInfo[] {
    return Array.from({ length: this.#view.shape.slots }, (_, i) => this.slot(i));
  }

  /** Messages that wait in a reader's control ring, which stay there. */
  peekControl(reader: number): ControlMessage[] {
    const view = this.#view;
    if (!Number.isInteger(reader) || reader < 0 || reader >= view.shape.readers)
      throw new InvalidArgumentError(`there are ${view.shape.readers} reader slots`);
    const native = this.#native;
    let base: number;
    let bytes: number;
    if (native !== undefined) {
      const { shape } = native;
      bytes = shape.requestBytes;
      base =
        shape.shared + S.readers + shape.readers * NATIVE_READER + reader * (shape.requestBytes + shape.replyBytes);
    } else {
      const { shape } = this.#shmx as ShmxView;
      bytes = shape.controlStride === 0 ? 0 : shape.controlBytes;
      base = shape.controlAt + reader * shape.controlStride;
    }
    if (bytes === 0) return [];
    const copy = new Uint8Array(bytes);
    view.words.copyOut(base, copy);
    return peek(copy, native !== undefined, view.readers().find(({ slot }) => slot === reader)?.reader ?? 0n);
  }

  /** Gives the memory back. May be called twice. */
  close(): void {
    this.#segment.close();
  }

  /** The same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** The messages in a private copy of a control ring. */
function peek(copy: Uint8Array, long: boolean, reader: bigint): ControlMessage[] {
  const view = new DataView(copy.buffer);
  const room = copy.length - 16;
  const out: ControlMessage[] = [];
  if (room <= 0) return out;
  let read = view.getBigUint64(0, true);
  const write = view.getBigUint64(8, true);
  const headBytes = long ? 24 : 8;
  while (read < write && write - read <= BigInt(room)) {
    const position = Number(read % BigInt(room));
    const left = room - position;
    if (left < 8) {
      read += BigInt(left);
      continue;
    }
    const at = 16 + position;
    const type = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    const need = Math.ceil(((type === 0 ? 8 : headBytes) + length) / 16) * 16;
    if (type === 0) {
      read += BigInt(Math.min(need, left));
      continue;
    }
    if (need > left) break;
    out.push({
      reader: long ? view.getBigUint64(at + 8, true) : reader,
      type,
      body: copy.slice(at + headBytes, at + headBytes + length),
      request: long ? view.getUint32(at + 16, true) : 0,
    });
    read += BigInt(need);
  }
  return out;
}

/** Looks at a ring without joining it (SHMX: Inspector). */
export function inspectRing(name: string): RingInspector {
  return new RingInspector(name);
}

/** A ring that is visible here. */
export interface RingEntry {
  /** Its name. */
  readonly name: string;
  /** Format of the segment. */
  readonly wire: "native" | "shmx";
  /** Made by outcore; a ring that SHMX made has no owner that could be asked. */
  readonly foreign: boolean;
  /** Whether its owner lives. */
  readonly ownerState: "alive" | "closed" | "owner-dead" | "session" | "unknown";
  /** Its size in bytes. */
  readonly bytes: number;
  /** What an inspector says of it, when it could be read. */
  readonly report: RingReport | undefined;
  /** Why it could not be read. */
  readonly problem: string | undefined;
}

/** All rings in shared memory that may be read. O(objects). */
export function listRings(): RingEntry[] {
  const out: RingEntry[] = [];
  for (const name of listObjects()) {
    let segment: Segment | undefined;
    try {
      segment = Segment.open(name, false);
      const kind = kindOf(segment);
      const bytes = segment.size();
      segment.close();
      if (kind === "other") continue;
      const wire = kind === "native" ? "native" : "shmx";
      const entry = { name, wire, foreign: kind === "shmx-foreign", bytes } as const;
      try {
        const inspector = new RingInspector(name);
        const report = inspector.inspect();
        inspector.close();
        out.push({ ...entry, ownerState: report.ownerState, report, problem: undefined });
      } catch (error) {
        out.push({ ...entry, ownerState: "unknown", report: undefined, problem: (error as Error).message });
      }
    } catch (error) {
      segment?.close();
      if (!(error instanceof OutcoreError)) throw error;
    }
  }
  return out;
}

/**
 * Removes what dead outcore owners left, damaged or not, and returns the names. Rings of SHMX are never touched.
 * @param prefix only names that begin with it.
 */
export function collectRings(prefix = ""): string[] {
  const removed: string[] = [];
  for (const name of listObjects().filter((each) => each.startsWith(prefix))) {
    let dead = false;
    let segment: Segment | undefined;
    try {
      segment = Segment.open(name, false);
      dead = ownerDead(segment, kindOf(segment));
    } catch (error) {
      if (!(error instanceof OutcoreError)) throw error;
    } finally {
      segment?.close();
    }
    if (dead && removeDead(name)) removed.push(name);
  }
  return removed;
}

/** Room left in shared memory, in bytes. */
export function ringRoom(): { free: number; total: number } {
  return sharedMemoryRoom();
}
