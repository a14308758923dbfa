import { RingFormatError } from "../errors.ts";
import type { Mapping } from "../memory/mapping.ts";
import type { Segment } from "../memory/segment.ts";
import { Words } from "../memory/words.ts";
import type { RingHeader, RingView } from "./client.ts";
import type { StreamArray } from "./element.ts";
import { viewStream } from "./frame.ts";
import { OWNER_LOCK } from "./lifetime.ts";
import { frameChecksum } from "./native-checksum.ts";
import type { NativeClient } from "./native-client.ts";
import { NativeFrame } from "./native-frame.ts";
import {
  ABSENT,
  F,
  FLAG_CHECKSUM,
  H,
  MAGIC,
  type NativeShape,
  type NativeStream,
  readDirectory,
  readShape,
  slotHead,
} from "./native-layout.ts";
import { readReaders } from "./native-readers.ts";
import type { Schema } from "./schema.ts";
import type { ReaderInfo } from "./server.ts";

const WORD = 2 ** 32;

/** A slot as a reader keeps it: its views are made once. */
export interface NativeSlot {
  readonly base: number;
  readonly words: Int32Array;
  readonly counts: Uint32Array;
  readonly times: Float64Array;
  readonly views: (StreamArray | undefined)[];
}

/** What an open native ring is for reader and inspector alike. */
export class NativeView implements RingView {
  readonly name: string;
  readonly segment: Segment;
  readonly all: Mapping;
  readonly words: Words;
  readonly shape: NativeShape;
  readonly session: bigint;
  streams: NativeStream[] = [];
  readonly streamsByName: Map<string, NativeStream> = new Map();
  #generation = -1;
  #slots: (NativeSlot | undefined)[] = [];

  constructor(name: string, segment: Segment) {
    this.name = name;
    this.segment = segment;
    const size = segment.size();
    if (size < 512) throw new RingFormatError(name, `it has ${size} bytes`);
    const header = new Uint8Array(512);
    const probe = segment.map("read", 0, 512);
    probe.read(0, header);
    const view = new DataView(header.buffer);
    if (view.getBigUint64(H.magic, true) !== MAGIC) throw new RingFormatError(name, "its magic number is wrong");
    this.shape = readShape(name, view, size);
    this.session = view.getBigUint64(H.session, true);
    this.all = segment.map("read", 0, this.shape.total);
    this.words = new Words(this.all);
    this.refresh();
  }

  /** Reads the directory when it has changed. */
  refresh(): boolean {
    const { directory, directoryBytes } = this.shape;
    for (let attempt = 0; attempt < 1000; attempt++) {
      const before = this.words.load32(H.generation);
      if (before === this.#generation) return false;
      const used = this.words.load32(H.directoryUsed);
      const count = this.words.load32(H.streams);
      if (used > directoryBytes) throw new RingFormatError(this.name, "its directory is longer than its place");
      const copy = new Uint8Array(used);
      this.words.copyOut(directory, copy);
      this.words.fence();
      if (this.words.load32(H.generation) !== before || before % 2 === 0) continue;
      this.streams = readDirectory(this.name, copy, count, this.shape);
      this.streamsByName.clear();
      for (const stream of this.streams) this.streamsByName.set(stream.name, stream);
      this.#generation = before;
      return true;
    }
    throw new RingFormatError(this.name, "its directory never stops changing");
  }

  get generation(): number {
    return this.#generation;
  }

  published(): number {
    return this.words.load64(H.published);
  }

  slotOf(frame: number): NativeSlot {
    const index = (frame - 1) % this.shape.slots;
    const known = this.#slots[index];
    if (known !== undefined) return known;
    const base = this.shape.slotsAt + index * this.shape.slotStride;
    const slot: NativeSlot = {
      base,
      words: this.all.view("i32", base, F.counts / 4),
      counts: this.all.view("u32", base + F.counts, this.shape.mostStreams * 2),
      times: this.all.view("f64", base, F.counts / 8),
      views: [],
    };
    this.#slots[index] = slot;
    return slot;
  }

  viewOf(slot: NativeSlot, stream: NativeStream, start: number, count: number): StreamArray {
    const whole = start === 0 && count === stream.capacity;
    const known = slot.views[stream.index];
    if (whole && known !== undefined) return known;
    const at = slot.base + slotHead(this.shape.mostStreams) + stream.offset + start * stream.bytesPerElement;
    const made = viewStream(this.all, stream, at, count);
    if (whole) slot.views[stream.index] = made;
    return made;
  }

  /** The frame, verified, or why not. */
  read<Sch extends Schema>(
    frame: number,
    owner: NativeClient<Sch> | undefined,
    unchecked = false,
  ): NativeFrame<Sch> | "overwritten" | "checksum" {
    this.all.checkStrays();
    const slot = this.slotOf(frame);
    const mark = 2 * frame;
    if (this.words.load32(slot.base + F.state) !== mark % WORD && !unchecked) return "overwritten";
    const { counts, words, times } = slot;
    const found: number[] = [];
    for (const { index, capacity } of this.streams) {
      const high = counts[index * 2 + 1] as number;
      const count = high === ABSENT ? -1 : high * WORD + (counts[index * 2] as number);
      if (count > capacity) return "overwritten";
      found.push(count);
    }
    const time = times[F.time / 8] as number;
    const stamp = (words[F.stamp / 4] as number) >>> 0;
    const stampHigh = (words[F.stamp / 4 + 1] as number) >>> 0;
    const checked = ((words[F.flags / 4] as number) & FLAG_CHECKSUM) !== 0;
    const right =
      !checked ||
      (words[F.checksum / 4] as number) >>> 0 ===
        frameChecksum(this.words, this.shape, this.streams, slot.base, counts);
    if (!this.words.is64(slot.base + F.state, mark) && !unchecked) return "overwritten";
    if (!right) return "checksum";
    return new NativeFrame<Sch>(this, owner, slot, frame, found, time, stampHigh * WORD + stamp);
  }

  checkStrays(): void {
    this.all.checkStrays();
  }

  ownerState(): "alive" | "closed" | "owner-dead" {
    if (this.words.load32(H.closed) !== 0) return "closed";
    return this.segment.held(OWNER_LOCK) ? "alive" : "owner-dead";
  }

  header(readers: number = this.readers().length): RingHeader {
    return {
      wire: "native",
      session: this.session,
      slots: this.shape.slots,
      frameBytes: this.shape.payloadBytes,
      readerSlots: this.shape.readers,
      controlBytes: this.shape.requestBytes,
      bytes: this.shape.total,
      published: this.published(),
      readers,
      owner: this.words.load32(H.ownerProcess),
      generation: this.#generation,
    };
  }

  readers(): ReaderInfo[] {
    const shared = new Words(this.segment.map("read", this.shape.shared, this.shape.sharedBytes));
    const out = readReaders(shared, this.shape);
    shared.mapping.close();
    return out;
  }
}
