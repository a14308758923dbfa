import { RingFormatError } from "../errors.ts";
import type { Mapping } from "../memory/mapping.ts";
import type { Segment } from "../memory/segment.ts";
import { Words } from "../memory/words.ts";
import type { RingHeader, RingView } from "./client.ts";
import { OWNER_LOCK, SHMX_MARK } from "./lifetime.ts";
import { roundUp, type Schema, type StreamSpec } from "./schema.ts";
import type { ReaderInfo } from "./server.ts";
import { ShmxFrame, type ShmxPart } from "./shmx-frame.ts";
import { decodeDirectory, F, H, readShmxShape, type ShmxShape, SLOT_HEAD } from "./shmx-layout.ts";
import { readShmxReaders } from "./shmx-readers.ts";

/** What an open SHMX segment is for reader and inspector alike. */
export class ShmxView implements RingView {
  readonly name: string;
  readonly segment: Segment;
  readonly all: Mapping;
  readonly words: Words;
  readonly shape: ShmxShape;
  readonly session: bigint;
  streams: StreamSpec[] = [];
  readonly streamsByName: Map<string, StreamSpec> = new Map();
  readonly streamsById: Map<number, StreamSpec> = new Map();
  generation = -1;
  readonly view: DataView;
  #sessionLow: number;
  #sessionHigh: number;
  #slotViews: (DataView | undefined)[] = [];

  constructor(name: string, segment: Segment) {
    this.name = name;
    this.segment = segment;
    const size = segment.size();
    if (size < 128) throw new RingFormatError(name, `it has ${size} bytes`);
    const header = new Uint8Array(128);
    const probe = segment.map("read", 0, 128);
    probe.read(0, header);
    this.view = new DataView(header.buffer);
    this.shape = readShmxShape(name, this.view, size);
    this.session = this.view.getBigUint64(H.session, true);
    this.#sessionLow = this.view.getUint32(H.session, true);
    this.#sessionHigh = this.view.getUint32(H.session + 4, true);
    this.all = segment.map("read", 0, this.shape.total);
    this.words = new Words(this.all);
    this.refresh();
  }

  /** Reads the static directory when it has changed. */
  refresh(): boolean {
    const { directory, directoryBytes } = this.shape;
    for (let attempt = 0; attempt < 1000; attempt++) {
      const before = this.word(H.generation);
      if (before === this.generation) return false;
      const used = this.word(H.directoryUsed) >>> 0;
      if (used > directoryBytes) throw new RingFormatError(this.name, "its directory is longer than its place");
      const copy = new Uint8Array(used);
      this.words.copyOut(directory, copy);
      this.words.fence();
      if (this.word(H.generation) !== before) continue;
      this.streams = decodeDirectory(copy);
      this.streamsByName.clear();
      this.streamsById.clear();
      for (const stream of this.streams) {
        this.streamsByName.set(stream.name, stream);
        this.streamsById.set(stream.id, stream);
      }
      this.generation = before;
      return true;
    }
    throw new RingFormatError(this.name, "its directory never stops changing");
  }

  word(offset: number): number {
    return this.words.load32(offset);
  }

  /** Whether the ring is still the one that was opened. */
  sameSession(): boolean {
    return this.word(H.session) === this.#sessionLow && this.word(H.session + 4) === this.#sessionHigh;
  }

  slotView(index: number): DataView {
    let view = this.#slotViews[index];
    if (view === undefined) {
      const bytes = this.all.bytes(
        this.shape.slotsAt + index * this.shape.slotStride,
        SLOT_HEAD + this.shape.frameBytes,
      );
      view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      this.#slotViews[index] = view;
    }
    return view;
  }

  /** Whether the writer has not begun to overwrite the slot of sequence `written`. */
  untouched(written: number): boolean {
    this.words.orderReads();
    return (this.word(H.reserved) - written) >>> 0 < this.shape.slots;
  }

  /** Reads a slot. `written` is its sequence, or undefined for whatever stands in it (inspector). */
  read<Sch extends Schema>(
    index: number,
    written: number | undefined,
    unchecked = false,
  ): ShmxFrame<Sch> | "none" | "overwritten" | "checksum" | "session" {
    const base = this.shape.slotsAt + index * this.shape.slotStride;
    this.all.checkStrays();
    const head = this.slotView(index);
    const id = this.words.load64(base + F.frame);
    const bytes = head.getUint32(F.bytes, true);
    const checksum = head.getUint32(F.checksum, true);
    const time = head.getFloat64(F.time, true);
    if (id === 0) return "none";
    if (bytes > this.shape.frameBytes || !Number.isSafeInteger(id)) return this.#doubt(written, "checksum");
    if (this.words.load32(base) !== this.#sessionLow || this.words.load32(base + 4) !== this.#sessionHigh)
      return this.#doubt(written, "session");
    const parts = unchecked ? new Map<string, ShmxPart>() : this.#parse(head, bytes);
    const right = unchecked || this.words.frameHash(base + SLOT_HEAD, bytes) === checksum;
    if (unchecked) for (const [name, part] of this.#parse(head, bytes)) parts.set(name, part);
    if (!unchecked) {
      if (written !== undefined && !this.untouched(written)) return "overwritten";
      if (!right) return this.#doubt(written, "checksum");
      if (!this.words.is64(base + F.frame, id)) return "overwritten";
    }
    return new ShmxFrame<Sch>(this, id, time, bytes, base + SLOT_HEAD, written, parts);
  }

  /** What is wrong may be so because it is being overwritten. */
  #doubt<T extends string>(written: number | undefined, otherwise: T): T | "overwritten" {
    return written !== undefined && !this.untouched(written) ? "overwritten" : otherwise;
  }

  /** Streams of a frame by name. Each number is read once; none leads out of the frame. */
  #parse(head: DataView, bytes: number): Map<string, ShmxPart> {
    const parts = new Map<string, ShmxPart>();
    for (let at = 0; at + 8 <= bytes; ) {
      const type = head.getUint32(SLOT_HEAD + at, true);
      const length = head.getUint32(SLOT_HEAD + at + 4, true);
      if (at + 8 + length > bytes) break;
      if (type === 0x2000) {
        if (length < 16) break;
        const id = head.getUint32(SLOT_HEAD + at + 8, true);
        const count = head.getUint32(SLOT_HEAD + at + 12, true);
        const size = head.getUint32(SLOT_HEAD + at + 16, true);
        if (at + 24 + size > bytes) break;
        const stream = this.streamsById.get(id);
        if (stream !== undefined && count * stream.bytesPerElement === size)
          parts.set(stream.name, { stream, count, offset: at + 24 });
      }
      at += roundUp(8 + length, 16);
    }
    return parts;
  }

  checkStrays(): void {
    this.all.checkStrays();
  }

  ownerState(): "alive" | "closed" | "owner-dead" | "session" {
    if (!this.sameSession()) return "session";
    if (this.shape.mark !== SHMX_MARK) return "alive";
    if (this.word(H.closed) !== 0) return "closed";
    return this.segment.held(OWNER_LOCK) ? "alive" : "owner-dead";
  }

  header(): RingHeader {
    return {
      wire: "shmx",
      session: this.session,
      slots: this.shape.slots,
      frameBytes: this.shape.frameBytes,
      readerSlots: this.shape.readers,
      controlBytes: this.shape.controlBytes,
      bytes: this.shape.total,
      published: this.words.load64(H.frameSequence),
      readers: this.word(H.connected) >>> 0,
      owner: this.shape.mark === SHMX_MARK ? this.word(H.process) >>> 0 : 0,
      generation: this.word(H.generation) >>> 0,
    };
  }

  readers(): ReaderInfo[] {
    return readShmxReaders(this.words, this.shape, 0);
  }
}
