import { ControlFullError, FrameTooLargeError, InvalidArgumentError, SchemaError, WouldBlockError } from "../errors.ts";
import type { Mapping } from "../memory/mapping.ts";
import type { Segment } from "../memory/segment.ts";
import type { PendingWait } from "../memory/waiter.ts";
import { monotonic, pageSize, processId, Words } from "../memory/words.ts";
import type { RingHeader } from "./client.ts";
import { type ControlMessage, ControlRing } from "./control.ts";
import type { StreamArray } from "./element.ts";
import { EventCount } from "./eventcount.ts";
import { viewStream } from "./frame.ts";
import { randomId } from "./identity.ts";
import { createOwned } from "./lifetime.ts";
import { frameChecksum } from "./native-checksum.ts";
import {
  ABSENT,
  endOf,
  entryBytes,
  F,
  FLAG_CHECKSUM,
  H,
  lockOfReader,
  MAGIC,
  type NativeShape,
  type NativeStream,
  nativeShape,
  place,
  R,
  READER_BYTES,
  S,
  slotHead,
  writeEntry,
  writeShape,
} from "./native-layout.ts";
import { NativeLoan, type WriterSlot } from "./native-loan.ts";
import { readReaders } from "./native-readers.ts";
import { forget, remember } from "./open-servers.ts";
import { type Schema, type StreamSpec, specsOf } from "./schema.ts";
import { type BeginOptions, type Loan, type ReaderInfo, RingServer } from "./server.ts";
import { StreamTable } from "./stream-table.ts";

const WORD = 2 ** 32;

export interface NativeServerOptions<S extends Schema> {
  readonly schema: S;
  readonly slots: number;
  readonly readerSlots: number;
  readonly controlBytes: number;
  /** Bytes of payload per slot; at least what the schema needs. */
  readonly frameBytes: number | undefined;
  /** Streams that the schema can grow to. */
  readonly mostStreams: number | undefined;
  readonly mode: number;
  readonly checksum: boolean;
  readonly stamp: boolean;
  readonly keepAlive: boolean;
}

/** Writer and owner of a ring of wire "native". */
export class NativeServer<Sch extends Schema> extends RingServer<Sch> {
  #segment: Segment;
  #all: Mapping;
  #words: Words;
  #shared: Words;
  #shape: NativeShape;
  #session: bigint;
  #streams: StreamTable<NativeStream>;
  #slots: (WriterSlot | undefined)[] = [];
  #published = 0;
  /** Highest frame that no reliable reader forbids, as of the last look at the readers. */
  #limit = 0;
  #attached = -1;
  #toReaders: EventCount;
  #toWriter: EventCount;
  #requests: ControlRing[] = [];
  #replies: ControlRing[] = [];
  #checksum: boolean;
  #stamp: boolean;
  #loaned = false;

  constructor(name: string, options: NativeServerOptions<Sch>) {
    super(name, options.keepAlive);
    const specs = specsOf(options.schema);
    this.#streams = new StreamTable(place(specs, 0, 0));
    const needed = endOf(this.#streams.list);
    const payloadBytes = options.frameBytes ?? needed;
    if (payloadBytes < needed) throw new FrameTooLargeError("the schema", needed, payloadBytes);
    const mostStreams = options.mostStreams ?? Math.max(8, specs.length);
    if (mostStreams < specs.length) throw new InvalidArgumentError(`${specs.length} streams, ${mostStreams} at most`);
    const entries = specs.reduce((sum, spec) => sum + entryBytes(spec), 0);
    this.#shape = nativeShape({
      page: Math.max(4096, pageSize()),
      directoryBytes: Math.max(entries + (mostStreams - specs.length) * 192, 256),
      payloadBytes,
      slots: options.slots,
      readers: options.readerSlots,
      mostStreams,
      controlBytes: options.controlBytes,
    });
    this.#checksum = options.checksum;
    this.#stamp = options.stamp;
    this.#session = randomId();
    this.#segment = createOwned(name, this.#shape.total, options.mode, (segment) => this.#fillSegment(segment));
    this.#all = this.#segment.map("write", 0, this.#shape.total);
    this.#words = new Words(this.#all);
    this.#shared = new Words(this.#segment.map("write", this.#shape.shared, this.#shape.sharedBytes));
    this.#toReaders = new EventCount(this.#shared, S.toReaders);
    this.#toWriter = new EventCount(this.#shared, S.toWriter);
    const { readers, requestBytes, replyBytes } = this.#shape;
    for (let i = 0; i < readers; i++) {
      const at = S.readers + readers * READER_BYTES + i * (requestBytes + replyBytes);
      this.#requests.push(new ControlRing(this.#shared, at, requestBytes, true));
      this.#replies.push(new ControlRing(this.#shared, at + requestBytes, replyBytes, true));
    }
    remember(this);
  }

  #fillSegment(segment: Segment): void {
    const { directory, directoryBytes } = this.#shape;
    const mapping = segment.map("write", 0, this.#shape.shared);
    const bytes = mapping.bytes();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    writeShape(view, this.#shape);
    let used = 0;
    for (const stream of this.#streams.list) {
      if (used + entryBytes(stream) > directoryBytes)
        throw new FrameTooLargeError("the directory", used, directoryBytes);
      used += writeEntry(view, directory + used, stream);
    }
    view.setUint32(H.generation, 1, true);
    view.setUint32(H.directoryUsed, used, true);
    view.setUint32(H.streams, this.#streams.list.length, true);
    view.setBigUint64(H.session, this.#session, true);
    view.setUint32(H.ownerProcess, processId(), true);
    view.setBigUint64(H.created, BigInt(Math.floor(monotonic())), true);
    view.setBigUint64(H.magic, MAGIC, true);
    mapping.close();
  }

  get closed(): boolean {
    return this.#segment.closed;
  }

  get published(): number {
    return this.#published;
  }

  #slotOf(frame: number): WriterSlot {
    const index = (frame - 1) % this.#shape.slots;
    const known = this.#slots[index];
    if (known !== undefined) return known;
    const base = this.#shape.slotsAt + index * this.#shape.slotStride;
    const slot: WriterSlot = {
      base,
      counts: this.#all.view("u32", base + F.counts, this.#shape.mostStreams * 2),
      times: this.#all.view("f64", base, F.counts / 8),
      views: [],
    };
    this.#slots[index] = slot;
    return slot;
  }

  #reader(index: number, field: number): number {
    return S.readers + index * READER_BYTES + field;
  }

  /** Looks at all readers: how far may the writer go. */
  #look(): void {
    const { slots, readers } = this.#shape;
    this.#attached = Atomics.load(this.#shared.i32, S.attached / 4);
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < readers; i++) {
      const at = this.#reader(i, 0);
      if (Atomics.load(this.#shared.i32, at / 4) !== 2) continue;
      if (Atomics.load(this.#shared.i32, (at + R.delivery) / 4) !== 2) continue;
      /* A cursor beyond what was published would be a lie; it frees no more than a true one. */
      least = Math.min(least, this.#shared.load64(at + R.cursor), this.#published);
    }
    this.#limit = least + slots;
  }

  #mayBegin(frame: number): boolean {
    const attached = Atomics.load(this.#shared.i32, S.attached / 4);
    if (frame <= this.#limit && attached === this.#attached) return true;
    this.#look();
    return frame <= this.#limit;
  }

  begin(options?: BeginOptions): Loan<Sch> {
    this.requireOpen();
    if (this.#loaned) throw new InvalidArgumentError("a frame is being written already: publish or discard it first");
    const frame = this.#published + 1;
    if (!this.#mayBegin(frame)) this.#block(frame, options?.timeout ?? 0);
    const slot = this.#slotOf(frame);
    this.#words.advance64(slot.base + F.state, 2 * frame - 1);
    slot.counts.fill(ABSENT, 0, this.#streams.list.length * 2);
    this.#loaned = true;
    return new NativeLoan<Sch>(this, slot, frame);
  }

  #block(frame: number, timeout: number): void {
    const deadline = performance.now() + timeout;
    for (;;) {
      const value = this.#toWriter.prepare();
      if (this.#mayBegin(frame)) return;
      this.reap();
      if (this.#mayBegin(frame)) return;
      const left = deadline - performance.now();
      if (left <= 0) throw new WouldBlockError(this.name);
      this.#toWriter.sleep(value, 20_000, Math.min(left, 100) * 1e6);
    }
  }

  /** @internal */
  streamNamed(name: string): NativeStream {
    return this.#streams.named(name);
  }

  /** @internal */
  setCount(slot: WriterSlot, stream: NativeStream, count: number): void {
    if (!(count >= 0 && count <= stream.capacity) || !Number.isInteger(count)) {
      const { bytesPerElement, capacity } = stream;
      throw new FrameTooLargeError(`stream "${stream.name}"`, count * bytesPerElement, capacity * bytesPerElement);
    }
    slot.counts[stream.index * 2] = count % WORD;
    slot.counts[stream.index * 2 + 1] = Math.floor(count / WORD);
  }

  /** @internal */
  viewOf(slot: WriterSlot, stream: NativeStream, count: number): StreamArray {
    const known = slot.views[stream.index];
    if (known !== undefined && count === stream.capacity) return known;
    const at = slot.base + slotHead(this.#shape.mostStreams) + stream.offset;
    if (count !== stream.capacity) return viewStream(this.#all, stream, at, count);
    const made = viewStream(this.#all, stream, at, count);
    slot.views[stream.index] = made;
    return made;
  }

  /** @internal */
  partOf(slot: WriterSlot, stream: NativeStream, start: number, length: number): StreamArray {
    if (!(start >= 0 && length >= 0 && start + length <= stream.capacity))
      throw new InvalidArgumentError(`stream "${stream.name}" has room for ${stream.capacity} elements`);
    const at = slot.base + slotHead(this.#shape.mostStreams) + stream.offset + start * stream.bytesPerElement;
    return viewStream(this.#all, stream, at, length);
  }

  /** @internal */
  publishSlot(slot: WriterSlot, frame: number, time: number): void {
    this.requireOpen();
    const { base, times } = slot;
    times[F.time / 8] = time;
    const words = this.#words;
    if (this.#stamp) words.store64(base + F.stamp, monotonic());
    if (this.#checksum) {
      const bits = new Uint32Array(times.buffer, times.byteOffset, F.counts / 4);
      bits[F.checksum / 4] = frameChecksum(words, this.#shape, this.#streams.list, base, slot.counts);
      bits[F.flags / 4] = FLAG_CHECKSUM;
    }
    this.#published = frame;
    words.advance64Two(base + F.state, 2 * frame, H.published, frame);
    this.#loaned = false;
    this.#toReaders.signal();
  }

  /** @internal */
  discardSlot(): void {
    this.#loaned = false;
  }

  poll(most = 256): ControlMessage[] {
    this.requireOpen();
    const out: ControlMessage[] = [];
    for (const ring of this.#requests) if (out.length < most) ring.poll(out, most, 0n);
    return out;
  }

  reply(to: ControlMessage, type: number, body: Uint8Array = new Uint8Array(0)): boolean {
    this.requireOpen();
    const at = this.readers().find(({ reader }) => reader === to.reader);
    if (at === undefined) return false;
    try {
      (this.#replies[at.slot] as ControlRing).send(this.name, type, body, to.reader, to.request);
    } catch (error) {
      if (error instanceof ControlFullError) return false;
      throw error;
    }
    this.#toReaders.signal();
    return true;
  }

  readers(): ReaderInfo[] {
    this.requireOpen();
    return readReaders(this.#shared, this.#shape);
  }

  reap(): number {
    this.requireOpen();
    let reaped = 0;
    for (let i = 0; i < this.#shape.readers; i++) {
      const state = this.#reader(i, 0) / 4;
      if (Atomics.load(this.#shared.i32, state) === 0) continue;
      if (this.#segment.held(lockOfReader(i)) || !this.#segment.lock(lockOfReader(i))) continue;
      /* With its lock in our hands nobody else can become this reader. */
      Atomics.store(this.#shared.i32, state, 0);
      Atomics.add(this.#shared.i32, S.attached / 4, 1);
      this.#segment.unlock(lockOfReader(i));
      reaped++;
    }
    return reaped;
  }

  addStreams(schema: Schema): void {
    this.requireOpen();
    const { mostStreams, payloadBytes, directory, directoryBytes } = this.#shape;
    const before = this.#streams.list;
    const added = place(specsOf(schema, before.length + 1), endOf(before), before.length);
    const grown = this.#streams.and(added);
    const all = grown.list;
    if (all.length > mostStreams) throw new SchemaError(`the ring can hold ${mostStreams} streams`);
    if (endOf(all) > payloadBytes) throw new FrameTooLargeError("the schema", endOf(all), payloadBytes);
    const view = new DataView(this.#all.bytes(0, this.#shape.shared).slice().buffer);
    const start = view.getUint32(H.directoryUsed, true);
    let used = start;
    for (const stream of added) {
      if (used + entryBytes(stream) > directoryBytes)
        throw new FrameTooLargeError("the directory", used, directoryBytes);
      used += writeEntry(view, directory + used, stream);
    }
    /* Even while it changes; see the format page. */
    const generation = H.generation / 4;
    Atomics.add(this.#words.i32, generation, 1);
    this.#words.fence();
    this.#words.copyIn(directory + start, new Uint8Array(view.buffer, directory + start, used - start));
    Atomics.store(this.#words.i32, H.directoryUsed / 4, used);
    Atomics.store(this.#words.i32, H.streams / 4, all.length);
    Atomics.add(this.#words.i32, generation, 1);
    this.#streams = grown;
    this.#toReaders.signal();
  }

  streams(): readonly StreamSpec[] {
    return this.#streams.list;
  }

  header(): RingHeader {
    this.requireOpen();
    return {
      wire: "native",
      session: this.#session,
      slots: this.#shape.slots,
      frameBytes: this.#shape.payloadBytes,
      readerSlots: this.#shape.readers,
      controlBytes: this.#shape.requestBytes,
      bytes: this.#shape.total,
      published: this.#published,
      readers: this.readers().length,
      owner: processId(),
      generation: Atomics.load(this.#words.i32, H.generation / 4),
    };
  }

  protected prepareRead(): number {
    return this.#toWriter.prepare();
  }

  protected sleepRead(value: number, ms: number, keepAlive: boolean): PendingWait {
    return this.#toWriter.wait(value, ms, keepAlive);
  }

  protected detach(): void {
    forget(this);
    Atomics.store(this.#words.i32, H.closed / 4, 1);
    this.#toReaders.signal();
    this.#segment.unlink();
    this.#segment.close();
  }
}
