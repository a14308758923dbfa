import { InvalidArgumentError, NoReaderSlotError, RingFormatError, TruncatedError } from "../errors.ts";
import type { Mapping } from "../memory/mapping.ts";
import type { Segment } from "../memory/segment.ts";
import type { PendingWait } from "../memory/waiter.ts";
import { monotonic, processId, Words } from "../memory/words.ts";
import { RingClient, type RingHeader } from "./client.ts";
import { type ControlMessage, ControlRing } from "./control.ts";
import type { StreamArray } from "./element.ts";
import { EventCount } from "./eventcount.ts";
import { Frame, type FramePart, viewStream } from "./frame.ts";
import { randomId } from "./identity.ts";
import { OWNER_LOCK, SHMX_MARK } from "./lifetime.ts";
import type { NativeClientOptions } from "./native-client.ts";
import { lockOfReader } from "./native-layout.ts";
import { checkSchema, roundUp, type Schema, type StreamSpec } from "./schema.ts";
import type { ReaderInfo } from "./server.ts";
import { decodeDirectory, F, H, R, READER_BYTES, readShmxShape, type ShmxShape, SLOT_HEAD } from "./shmx-layout.ts";

const TRIES = 64;
/** Sleep between looks at a server that wakes nobody, in ms. */
const POLL = 1;

/** What an open SHMX segment is for reader and inspector alike. */
export class ShmxView {
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
    this.words.fence();
    return (this.word(H.reserved) - written) >>> 0 < this.shape.slots;
  }

  /** Reads a slot. `written` is its sequence, or undefined for whatever stands in it (inspector). */
  read<Sch extends Schema>(
    index: number,
    written: number | undefined,
    unchecked = false,
  ): ShmxFrame<Sch> | "none" | "overwritten" | "checksum" | "session" {
    const base = this.shape.slotsAt + index * this.shape.slotStride;
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
      if (this.words.load64(base + F.frame) !== id) return "overwritten";
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

/** The readers of an SHMX segment; `shift` is what lies before the words' first byte. */
export function readShmxReaders(words: Words, shape: ShmxShape, shift: number): ReaderInfo[] {
  const out: ReaderInfo[] = [];
  for (let i = 0; i < shape.readers; i++) {
    const at = shape.readersAt - shift + i * READER_BYTES;
    if (words.load32(at + R.used) === 0) continue;
    const low = BigInt(words.load32(at));
    const high = BigInt(words.load32(at + 4));
    const own = (BigInt(words.load32(at + R.own + 4)) << 32n) | BigInt(words.load32(at + R.own));
    const id = (high << 32n) | low;
    /* Marked before it is taken and until it is given back: a reader that dies between has no id in it. */
    const ours = words.load32(at + R.mark) === SHMX_MARK && (id === own || id === 0n);
    out.push({
      slot: i,
      reader: id,
      process: ours ? words.load32(at + R.process) : 0,
      delivery: "latest",
      seen: words.load64(at + R.seen),
      drops: 0,
      heartbeat: words.load64(at + R.heartbeat),
    });
  }
  return out;
}

interface ShmxPart {
  readonly stream: StreamSpec;
  readonly count: number;
  readonly offset: number;
}

/** A frame of wire "shmx". */
export class ShmxFrame<Sch extends Schema> extends Frame<Sch> {
  #view: ShmxView;
  #bytes: number;
  #base: number;
  #written: number | undefined;
  #parts: Map<string, ShmxPart>;

  constructor(
    view: ShmxView,
    id: number,
    time: number,
    bytes: number,
    base: number,
    written: number | undefined,
    parts: Map<string, ShmxPart>,
  ) {
    super(id, time, 0);
    this.#view = view;
    this.#bytes = bytes;
    this.#base = base;
    this.#written = written;
    this.#parts = parts;
  }

  override part(name: string): FramePart | undefined {
    const part = this.#parts.get(name);
    if (part === undefined) return undefined;
    const at = this.#base + part.offset;
    const { stream, count } = part;
    return {
      stream,
      count,
      view: (start, length): StreamArray =>
        viewStream(this.#view.all, stream, at + start * stream.bytesPerElement, length),
    };
  }

  override names(): string[] {
    return [...this.#parts.keys()];
  }

  override get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of the frame with the heads of its streams (SHMX: payload_bytes). */
  get payloadBytes(): number {
    return this.#bytes;
  }

  override get valid(): boolean {
    if (this.#view.segment.closed || !this.#view.sameSession()) return false;
    return this.#written === undefined || this.#view.untouched(this.#written);
  }
}

/** A reader of wire "shmx", for servers of SHMX and of outcore. */
export class ShmxClient<Sch extends Schema> extends RingClient<Sch> {
  #view: ShmxView;
  #shared: Words | undefined;
  #shift = 0;
  #slot = -1;
  #id = 0n;
  #lastWritten = 0;
  #toReaders: EventCount | undefined;
  #toWriter: EventCount | undefined;
  #control: ControlRing | undefined;
  #unchecked: boolean;

  constructor(name: string, segment: Segment, options: NativeClientOptions) {
    super(name, "latest", options.keepAlive);
    if (options.delivery !== "latest") throw new InvalidArgumentError('wire "shmx" has delivery "latest" only');
    this.#view = new ShmxView(name, segment);
    this.#unchecked = options.unchecked ?? false;
    if (options.schema !== undefined) checkSchema(options.schema, this.#view.streams);
    if (!options.observe && segment.writable && this.#view.shape.readers > 0) this.#attach();
  }

  #attach(): void {
    const { shape, segment } = this.#view;
    this.#shift = shape.readersAt;
    const shared = new Words(segment.map("write", shape.readersAt, shape.slotsAt - shape.readersAt));
    this.#shared = shared;
    const ours = shape.mark === SHMX_MARK;
    const rings = Array.from({ length: shape.readers }, (_, i) =>
      shape.controlStride === 0
        ? undefined
        : new ControlRing(shared, shape.controlAt - this.#shift + i * shape.controlStride, shape.controlBytes, false),
    );
    /* A slot whose ring is empty first: SHMX would give an old reader's messages our name. */
    const order = rings
      .map((_, i) => i)
      .sort((a, b) => Number(rings[a]?.pending !== 0) - Number(rings[b]?.pending !== 0));
    for (const index of order) {
      const at = index * READER_BYTES;
      if (Atomics.load(shared.i32, (at + R.used) / 4) !== 0) continue;
      if (!segment.lock(lockOfReader(index))) continue;
      this.#id = randomId();
      Atomics.store(shared.mapping.view("u64", at + R.own, 1), 0, this.#id);
      Atomics.store(shared.i32, (at + R.process) / 4, processId());
      Atomics.store(shared.i32, (at + R.mark) / 4, SHMX_MARK);
      if (Atomics.compareExchange(shared.i32, (at + R.used) / 4, 0, 1) !== 0) {
        Atomics.store(shared.i32, (at + R.mark) / 4, 0);
        segment.unlock(lockOfReader(index));
        continue;
      }
      this.#slot = index;
      Atomics.store(shared.mapping.view("u64", at, 1), 0, this.#id);
      shared.store64(at + R.heartbeat, monotonic());
      this.#countReaders(1);
      this.#control = rings[index];
      break;
    }
    if (this.#slot < 0) throw new NoReaderSlotError(this.name, shape.readers);
    if (!ours) return;
    this.#toReaders = new EventCount(shared, R.toReaders);
    this.#toWriter = new EventCount(shared, R.toWriter);
  }

  /** The count stands in the header, of which everything else is only read: its page alone is mapped for a moment. */
  #countReaders(change: 1 | -1): void {
    const mapping = this.#view.segment.map("write", 0, 128);
    const words = new Words(mapping).i32;
    for (;;) {
      const now = Atomics.load(words, H.connected / 4);
      const next = Math.max(0, now + change);
      if (Atomics.compareExchange(words, H.connected / 4, now, next) === now) break;
    }
    mapping.close();
  }

  get closed(): boolean {
    return this.#view.segment.closed;
  }

  get reader(): bigint {
    return this.#id;
  }

  #read(again: boolean): Frame<Sch> | undefined {
    this.requireOpen();
    for (let attempt = 0; attempt < TRIES; attempt++) {
      if (!this.#view.sameSession()) {
        this.absence = "session";
        return undefined;
      }
      const written = this.#view.word(H.written) >>> 0;
      if (written === 0 || (written === this.#lastWritten && !again)) {
        this.absence = written === 0 ? "none" : "seen";
        return undefined;
      }
      const frame = this.#view.read<Sch>((written - 1) % this.#view.shape.slots, written, this.#unchecked);
      if (typeof frame !== "string") {
        if (this.#lastWritten !== 0) this.drops += Math.max(0, ((written - this.#lastWritten) >>> 0) - 1);
        this.#lastWritten = written;
        this.taken++;
        this.#seen(frame.id);
        return frame;
      }
      this.absence = frame;
      if (frame !== "overwritten") return undefined;
    }
    return undefined;
  }

  #seen(frame: number): void {
    if (this.#shared === undefined) return;
    const at = this.#slot * READER_BYTES;
    this.#shared.store64Two(at + R.seen, frame, at + R.heartbeat, monotonic());
  }

  take(): Frame<Sch> | undefined {
    return this.#read(false);
  }

  latest(): Frame<Sch> | undefined {
    return this.#read(true);
  }

  streams(): readonly StreamSpec[] {
    return this.#view.streams;
  }

  refresh(): boolean {
    this.requireOpen();
    return this.#view.refresh();
  }

  header(): RingHeader {
    this.requireOpen();
    return this.#view.header();
  }

  send(type: number, body: Uint8Array = new Uint8Array(0)): void {
    this.requireOpen();
    if (this.#shared === undefined) throw new InvalidArgumentError("an observer cannot send messages");
    if (this.#control === undefined) throw new InvalidArgumentError(`${this.name} has no control rings`);
    this.heartbeat();
    this.#control.send(this.name, type, body);
    this.#toWriter?.signal();
  }

  protected sendRequest(): number {
    throw new InvalidArgumentError('wire "shmx" has no answers');
  }

  protected answer(): ControlMessage | undefined {
    return undefined;
  }

  heartbeat(): void {
    this.requireOpen();
    this.#shared?.store64(this.#slot * READER_BYTES + R.heartbeat, monotonic());
  }

  protected spin(ns: number): void {
    this.#view.words.waitSync(H.written, this.#lastWritten, ns, ns);
  }

  protected prepare(): number {
    return this.#toReaders?.prepare() ?? 0;
  }

  protected sleepSync(value: number, ns: number): void {
    this.heartbeat();
    if (this.#toReaders !== undefined) this.#toReaders.sleep(value, 0, ns);
    else this.#view.words.waitSync(H.written, this.#lastWritten, 0, Math.min(ns, POLL * 1e6));
  }

  protected sleep(value: number, ms: number, keepAlive: boolean): PendingWait {
    this.heartbeat();
    if (this.#toReaders !== undefined) return this.#toReaders.wait(value, ms, keepAlive);
    return this.#view.words.wait(H.written, this.#lastWritten, Math.min(ms, POLL), keepAlive);
  }

  protected ended(): boolean {
    const size = this.#view.segment.size();
    if (size < this.#view.shape.total) throw new TruncatedError(this.#view.segment.path, size, size);
    const state = this.#view.ownerState();
    if (state === "alive" || state === "session") return false;
    this.absence = state;
    return true;
  }

  protected detach(): void {
    try {
      this.#leave();
    } catch (error) {
      /* A segment that was cut has no slot to give back. */
      if (!(error instanceof TruncatedError)) throw error;
    } finally {
      this.#view.segment.close();
    }
  }

  #leave(): void {
    const shared = this.#shared;
    if (shared === undefined || this.#slot < 0) return;
    const at = this.#slot * READER_BYTES;
    const id = Atomics.load(shared.mapping.view("u64", at, 1), 0);
    /* Somebody may have reaped us and given the slot away. */
    if (id === this.#id) {
      Atomics.store(shared.mapping.view("u64", at, 1), 0, 0n);
      shared.store64Two(at + R.heartbeat, 0, at + R.seen, 0);
      Atomics.store(shared.i32, (at + R.used) / 4, 0);
      Atomics.store(shared.i32, (at + R.mark) / 4, 0);
      Atomics.store(shared.i32, (at + R.process) / 4, 0);
      this.#countReaders(-1);
    }
    this.#toWriter?.signal();
  }
}
