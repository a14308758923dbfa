import { InvalidArgumentError, NoReaderSlotError, PermissionError, RingFormatError } from "../errors.ts";
import type { Mapping } from "../memory/mapping.ts";
import type { Segment } from "../memory/segment.ts";
import type { PendingWait } from "../memory/waiter.ts";
import { monotonic, processId, Words } from "../memory/words.ts";
import { type Delivery, RingClient, type RingHeader } from "./client.ts";
import { type ControlMessage, ControlRing } from "./control.ts";
import type { StreamArray } from "./element.ts";
import { EventCount } from "./eventcount.ts";
import { Frame, type FramePart, viewStream } from "./frame.ts";
import { randomId } from "./identity.ts";
import { OWNER_LOCK } from "./lifetime.ts";
import {
  ABSENT,
  F,
  FLAG_CHECKSUM,
  H,
  lockOfReader,
  MAGIC,
  type NativeShape,
  type NativeStream,
  R,
  READER_BYTES,
  readDirectory,
  readShape,
  S,
  slotHead,
} from "./native-layout.ts";
import { frameChecksum, readReaders } from "./native-server.ts";
import { checkSchema, type Schema, type StreamSpec } from "./schema.ts";
import type { ReaderInfo } from "./server.ts";

export interface NativeClientOptions {
  readonly schema: Schema | undefined;
  readonly delivery: Delivery;
  /** Frames before the join that a queue or reliable reader wants. */
  readonly history: number;
  /** Take no reader slot: nothing is written, no messages can be sent. */
  readonly observe: boolean;
  readonly keepAlive: boolean;
  /** @internal For the test that shows what the checks are for. */
  readonly unchecked?: boolean;
}

const WORD = 2 ** 32;
const TRIES = 64;
const deliveries: Record<Delivery, number> = { latest: 0, queue: 1, reliable: 2 };

/** A slot as a reader keeps it: its views are made once. */
interface Slot {
  readonly base: number;
  readonly words: Int32Array;
  readonly counts: Uint32Array;
  readonly times: Float64Array;
  readonly views: (StreamArray | undefined)[];
}

/** What an open native ring is for reader and inspector alike. */
export class NativeView {
  readonly name: string;
  readonly segment: Segment;
  readonly all: Mapping;
  readonly words: Words;
  readonly shape: NativeShape;
  readonly session: bigint;
  streams: NativeStream[] = [];
  readonly streamsByName: Map<string, NativeStream> = new Map();
  #generation = -1;
  #slots: (Slot | undefined)[] = [];

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

  slotOf(frame: number): Slot {
    const index = (frame - 1) % this.shape.slots;
    const known = this.#slots[index];
    if (known !== undefined) return known;
    const base = this.shape.slotsAt + index * this.shape.slotStride;
    const slot: Slot = {
      base,
      words: this.all.view("i32", base, F.counts / 4),
      counts: this.all.view("u32", base + F.counts, this.shape.mostStreams * 2),
      times: this.all.view("f64", base, F.counts / 8),
      views: [],
    };
    this.#slots[index] = slot;
    return slot;
  }

  viewOf(slot: Slot, stream: NativeStream, start: number, count: number): StreamArray {
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
    if (this.words.load64(slot.base + F.state) !== mark && !unchecked) return "overwritten";
    if (!right) return "checksum";
    return new NativeFrame<Sch>(this, owner, slot, frame, found, time, stampHigh * WORD + stamp);
  }

  ownerState(): "alive" | "closed" | "owner-dead" {
    if (this.words.load32(H.closed) !== 0) return "closed";
    return this.segment.held(OWNER_LOCK) ? "alive" : "owner-dead";
  }

  header(readers: number): RingHeader {
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

/** A frame of wire "native". */
export class NativeFrame<Sch extends Schema> extends Frame<Sch> {
  #view: NativeView;
  #owner: NativeClient<Sch> | undefined;
  #slot: Slot;
  #counts: number[];

  constructor(
    view: NativeView,
    owner: NativeClient<Sch> | undefined,
    slot: Slot,
    id: number,
    counts: number[],
    time: number,
    stamp: number,
  ) {
    super(id, time, stamp);
    this.#view = view;
    this.#owner = owner;
    this.#slot = slot;
    this.#counts = counts;
  }

  override get<K extends keyof Sch & string>(name: K): never {
    const stream = this.#view.streamsByName.get(name);
    const count = stream === undefined ? -1 : (this.#counts[stream.index] ?? -1);
    if (stream === undefined || count < 0) return super.get(name) as never;
    return this.#view.viewOf(this.#slot, stream, 0, count) as never;
  }

  override part(name: string): FramePart | undefined {
    const stream = this.#view.streamsByName.get(name);
    const count = stream === undefined ? -1 : (this.#counts[stream.index] ?? -1);
    if (stream === undefined || count < 0) return undefined;
    return { stream, count, view: (start, length) => this.#view.viewOf(this.#slot, stream, start, length) };
  }

  override names(): string[] {
    return this.#view.streams.filter(({ index }) => (this.#counts[index] ?? -1) >= 0).map(({ name }) => name);
  }

  override get bytes(): number {
    let sum = 0;
    for (const { index, bytesPerElement } of this.#view.streams)
      sum += Math.max(0, this.#counts[index] ?? 0) * bytesPerElement;
    return sum;
  }

  override get valid(): boolean {
    if (this.#view.segment.closed) return false;
    return this.#view.words.load64(this.#slot.base + F.state) === 2 * this.id;
  }

  override release(): void {
    this.#owner?.released(this.id);
  }
}

/** A reader of wire "native". */
export class NativeClient<Sch extends Schema> extends RingClient<Sch> {
  #view: NativeView;
  #shared: Words | undefined;
  #fields: Uint32Array | undefined;
  #slot = -1;
  #id = 0n;
  #cursor = 0;
  #released = 0;
  #toReaders: EventCount | undefined;
  #toWriter: EventCount | undefined;
  #requests: ControlRing | undefined;
  #replies: ControlRing | undefined;
  #answers = new Map<number, ControlMessage>();
  #nextRequest = 1;
  #unchecked: boolean;

  constructor(name: string, segment: Segment, options: NativeClientOptions) {
    super(name, options.delivery, options.keepAlive);
    this.#view = new NativeView(name, segment);
    this.#unchecked = options.unchecked ?? false;
    if (options.schema !== undefined) checkSchema(options.schema, this.#view.streams);
    if (!options.observe && segment.writable) this.#attach(options);
    else if (options.delivery === "reliable")
      throw new PermissionError(segment.path, new Error("a reliable reader must be able to write"));
    const published = this.#view.published();
    this.#cursor =
      options.delivery === "latest"
        ? 0
        : Math.max(0, published - Math.min(options.history, this.#view.shape.slots - 1));
    this.#released = this.#cursor;
    this.#writeCursor(this.#cursor);
  }

  #attach(options: NativeClientOptions): void {
    const { shape, segment } = this.#view;
    let index = 0;
    while (index < shape.readers && !segment.lock(lockOfReader(index))) index++;
    if (index === shape.readers) throw new NoReaderSlotError(this.name, shape.readers);
    this.#slot = index;
    const shared = new Words(segment.map("write", shape.shared, shape.sharedBytes));
    this.#shared = shared;
    this.#toReaders = new EventCount(shared, S.toReaders);
    this.#toWriter = new EventCount(shared, S.toWriter);
    const ring = S.readers + shape.readers * READER_BYTES + index * (shape.requestBytes + shape.replyBytes);
    this.#requests = new ControlRing(shared, ring, shape.requestBytes, true);
    this.#replies = new ControlRing(shared, ring + shape.requestBytes, shape.replyBytes, true);
    this.#replies.poll([], Number.POSITIVE_INFINITY, 0n);
    const at = S.readers + index * READER_BYTES;
    this.#fields = shared.mapping.view("u32", at, READER_BYTES / 4);
    this.#id = randomId();
    Atomics.store(shared.i32, at / 4, 1);
    shared.mapping.view("u64", at + R.id, 1)[0] = this.#id;
    Atomics.store(shared.i32, (at + R.delivery) / 4, deliveries[options.delivery]);
    Atomics.store(shared.i32, (at + R.process) / 4, processId());
    shared.store64(at + R.drops, 0);
    shared.store64(at + R.taken, 0);
    shared.store64(at + R.heartbeat, monotonic());
    /* From the moment it is active the writer respects the cursor: first one that forbids nothing it has not done. */
    shared.store64(at + R.cursor, this.#view.published());
    Atomics.store(shared.i32, at / 4, 2);
    Atomics.add(shared.i32, S.attached / 4, 1);
  }

  get closed(): boolean {
    return this.#view.segment.closed;
  }

  get reader(): bigint {
    return this.#id;
  }

  #writeCursor(value: number): void {
    const shared = this.#shared;
    if (shared === undefined || this.#fields === undefined) return;
    if (this.delivery === "reliable") {
      shared.store64(S.readers + this.#slot * READER_BYTES + R.cursor, value);
      this.#toWriter?.signal();
      return;
    }
    this.#fields[R.cursor / 4] = value % WORD;
    this.#fields[R.cursor / 4 + 1] = Math.floor(value / WORD);
  }

  #dropped(frames: number): void {
    this.drops += frames;
    if (this.#fields === undefined) return;
    this.#fields[R.drops / 4] = this.drops % WORD;
    this.#fields[R.drops / 4 + 1] = Math.floor(this.drops / WORD);
  }

  /** @internal */
  released(frame: number): void {
    if (this.closed || frame <= this.#released || frame > this.#cursor) return;
    this.#released = frame;
    if (this.delivery === "reliable") this.#writeCursor(frame);
  }

  #newest(): number {
    const low = this.#view.words.load32(H.published);
    const ahead = (low - this.#cursor) >>> 0;
    return ahead < 2 ** 30 ? this.#cursor + ahead : this.#view.published();
  }

  take(): Frame<Sch> | undefined {
    this.requireOpen();
    if (this.delivery === "reliable") this.released(this.#cursor);
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const newest = this.#newest();
      const cursor = this.#cursor;
      if (newest === cursor) {
        this.absence = newest === 0 ? "none" : "seen";
        return undefined;
      }
      let wanted = newest;
      if (this.delivery !== "latest") {
        wanted = cursor + 1;
        /* The slot of the oldest frame may be being overwritten. */
        const oldest = newest - this.#view.shape.slots + 2;
        if (wanted < oldest && this.delivery === "queue") wanted = oldest;
      }
      if (!Number.isSafeInteger(wanted) || wanted <= 0 || newest < cursor)
        throw new RingFormatError(this.name, "its frame counter went back");
      const frame = this.#view.read<Sch>(wanted, this, this.#unchecked);
      if (typeof frame !== "string") {
        if (wanted > cursor + 1 && (this.taken > 0 || this.delivery !== "latest")) this.#dropped(wanted - cursor - 1);
        this.#cursor = wanted;
        this.taken++;
        if (this.delivery !== "reliable") this.#writeCursor(wanted);
        return frame;
      }
      this.absence = frame;
      if (frame === "checksum" || (this.delivery === "reliable" && wanted < newest)) {
        this.#dropped(1);
        this.#cursor = wanted;
        this.#writeCursor(wanted);
        if (frame === "checksum") return undefined;
      }
    }
    this.#checkLoss();
    return undefined;
  }

  /** Frames that never verify may be because the segment was cut. */
  #checkLoss(): void {
    this.#view.all.verify(0, this.#view.shape.total, 0);
  }

  latest(): Frame<Sch> | undefined {
    this.requireOpen();
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const newest = this.#view.published();
      if (newest === 0) {
        this.absence = "none";
        return undefined;
      }
      if (!Number.isSafeInteger(newest)) throw new RingFormatError(this.name, "its frame counter is beyond 2^53");
      const frame = this.#view.read<Sch>(newest, undefined, this.#unchecked);
      if (typeof frame !== "string") return frame;
      this.absence = frame;
      if (frame === "checksum") return undefined;
    }
    this.#checkLoss();
    return undefined;
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
    return this.#view.header(this.#view.readers().length);
  }

  #requireSlot(): ControlRing {
    this.requireOpen();
    if (this.#requests === undefined) throw new InvalidArgumentError("an observer cannot send messages");
    return this.#requests;
  }

  send(type: number, body: Uint8Array = new Uint8Array(0)): void {
    this.#requireSlot().send(this.name, type, body, this.#id);
    this.#toWriter?.signal();
  }

  protected sendRequest(type: number, body: Uint8Array): number {
    const number = this.#nextRequest;
    this.#requireSlot().send(this.name, type, body, this.#id, number);
    this.#nextRequest = (number % 0xfffffffe) + 1;
    this.#toWriter?.signal();
    return number;
  }

  protected answer(request: number): ControlMessage | undefined {
    const out: ControlMessage[] = [];
    this.#replies?.poll(out, 64, 0n);
    for (const message of out) if (message.reader === this.#id) this.#answers.set(message.request, message);
    const found = this.#answers.get(request);
    this.#answers.delete(request);
    return found;
  }

  heartbeat(): void {
    this.requireOpen();
    this.#shared?.store64(S.readers + this.#slot * READER_BYTES + R.heartbeat, monotonic());
  }

  protected spin(ns: number): void {
    this.#view.words.waitSync(H.published, this.#cursor, ns, ns);
  }

  protected prepare(): number {
    return this.#toReaders?.prepare() ?? 0;
  }

  protected sleepSync(value: number, ns: number): void {
    this.heartbeat();
    if (this.#toReaders !== undefined) this.#toReaders.sleep(value, 0, ns);
    else this.#view.words.waitSync(H.published, this.#cursor, 0, Math.min(ns, 2e6));
  }

  protected sleep(value: number, ms: number, keepAlive: boolean): PendingWait {
    this.heartbeat();
    if (this.#toReaders !== undefined) return this.#toReaders.wait(value, ms, keepAlive);
    return this.#view.words.wait(H.published, this.#cursor, Math.min(ms, 2), keepAlive);
  }

  protected ended(): boolean {
    this.#checkLoss();
    const state = this.#view.ownerState();
    if (state === "alive") return false;
    this.absence = state;
    return true;
  }

  protected detach(): void {
    const shared = this.#shared;
    if (shared !== undefined) {
      Atomics.store(shared.i32, (S.readers + this.#slot * READER_BYTES) / 4, 0);
      Atomics.add(shared.i32, S.attached / 4, 1);
      this.#toWriter?.signal();
    }
    this.#view.segment.close();
  }
}
