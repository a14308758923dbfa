import { FrameTooLargeError, InvalidArgumentError } from "../errors.ts";
import type { Mapping } from "../memory/mapping.ts";
import type { Segment } from "../memory/segment.ts";
import type { PendingWait } from "../memory/waiter.ts";
import { monotonic, processId, Words } from "../memory/words.ts";
import type { RingHeader } from "./client.ts";
import { type ControlMessage, ControlRing } from "./control.ts";
import type { StreamArray } from "./element.ts";
import { EventCount } from "./eventcount.ts";
import { viewStream } from "./frame.ts";
import { randomId } from "./identity.ts";
import { createOwned, SHMX_MARK } from "./lifetime.ts";
import { lockOfReader } from "./native-layout.ts";
import { forget, remember } from "./open-servers.ts";
import { roundUp, type Schema, type StreamSpec, specsOf } from "./schema.ts";
import { type Loan, type ReaderInfo, RingServer } from "./server.ts";
import { encodeDirectory, F, H, MAGIC, R, READER_BYTES, type ShmxShape, SLOT_HEAD, shmxShape } from "./shmx-layout.ts";
import { ShmxLoan } from "./shmx-loan.ts";
import { readShmxReaders } from "./shmx-readers.ts";
import { StreamTable } from "./stream-table.ts";

/** Bytes of a slot whose stream heads are written through a view; those beyond are copied in. */
const LONGEST_VIEW = 2 ** 30;

/** A slot as the writer keeps it: its views are made once. */
export interface ShmxSlot {
  readonly base: number;
  readonly heads: Uint32Array;
  readonly times: Float64Array;
  /** Streams by name: where and how long in the last frame here, and the view. */
  readonly views: Map<string, { readonly at: number; readonly count: number; readonly view: StreamArray }>;
}

export interface ShmxServerOptions<S extends Schema> {
  readonly schema: S;
  readonly slots: number;
  readonly readerSlots: number;
  readonly staticBytes: number;
  readonly frameBytes: number;
  readonly controlBytes: number;
  readonly mode: number;
  readonly keepAlive: boolean;
}

/** Writer and owner of a ring of wire "shmx", for readers of SHMX and of outcore. */
export class ShmxServer<Sch extends Schema> extends RingServer<Sch> {
  #segment: Segment;
  #all: Mapping;
  #words: Words;
  #view: DataView;
  #shape: ShmxShape;
  #session: bigint;
  #sessionLow: number;
  #sessionHigh: number;
  #slots: (ShmxSlot | undefined)[] = [];
  #streams: StreamTable<StreamSpec>;
  #rings: ControlRing[] = [];
  /** Who was last seen in each slot: its messages may be read after it has left. */
  #lastIds: bigint[] = [];
  #toReaders: EventCount | undefined;
  #toWriter: EventCount | undefined;
  #published = 0;

  constructor(name: string, options: ShmxServerOptions<Sch>) {
    super(name, options.keepAlive);
    this.#streams = new StreamTable(specsOf(options.schema));
    const directory = encodeDirectory(this.#streams.list);
    const { slots, staticBytes, frameBytes, controlBytes } = options;
    this.#shape = shmxShape(
      { slots, readers: options.readerSlots, staticBytes, frameBytes, controlBytes },
      directory.length,
    );
    this.#session = randomId();
    this.#sessionLow = Number(this.#session & 0xffffffffn);
    this.#sessionHigh = Number(this.#session >> 32n);
    this.#segment = createOwned(name, this.#shape.total, options.mode, (segment) => this.#fill(segment, directory));
    this.#all = this.#segment.map("write", 0, this.#shape.total);
    this.#words = new Words(this.#all);
    const bytes = this.#all.bytes(0, Math.min(this.#shape.total, 2 ** 30));
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const { readers, readersAt, controlAt, controlStride } = this.#shape;
    if (controlStride > 0)
      for (let i = 0; i < readers; i++)
        this.#rings.push(new ControlRing(this.#words, controlAt + i * controlStride, controlBytes, false));
    if (readers > 0) {
      this.#toReaders = new EventCount(this.#words, readersAt + R.toReaders);
      this.#toWriter = new EventCount(this.#words, readersAt + R.toWriter);
    }
    remember(this);
  }

  #fill(segment: Segment, directory: Uint8Array): void {
    const { slots, slotStride, slotsAt } = this.#shape;
    const mapping = segment.map("write", 0, this.#shape.total);
    const words = new Words(mapping);
    const head = new Uint8Array(128);
    const view = new DataView(head.buffer);
    const used = directory.length;
    const fields: [number, number][] = [
      [H.major, 2],
      [H.minor, 0],
      [H.endianness, 0x01020304],
      [H.mark, SHMX_MARK],
      [H.generation, used > 0 ? 1 : 0],
      [H.directory, this.#shape.directory],
      [H.directoryBytes, this.#shape.directoryBytes],
      [H.directoryUsed, used],
      [H.slots, slots],
      [H.slotStride, slotStride],
      [H.slotsAt, slotsAt],
      [H.frameBytes, this.#shape.frameBytes],
      [H.readers, this.#shape.readers],
      [H.readerStride, READER_BYTES],
      [H.readersAt, this.#shape.readersAt],
      [H.controlAt, this.#shape.controlAt],
      [H.controlBytes, this.#shape.controlBytes],
      [H.controlStride, this.#shape.controlStride],
      [H.process, processId()],
    ];
    for (const [at, value] of fields) view.setUint32(at, value, true);
    words.copyIn(this.#shape.directory, directory);
    view.setBigUint64(H.magic, MAGIC, true);
    view.setBigUint64(H.session, this.#session, true);
    if (used > 0) view.setBigUint64(H.hash, words.frameHash64(this.#shape.directory, used) ?? 0n, true);
    const session = head.slice(H.session, H.session + 8);
    for (let i = 0; i < slots; i++) words.copyIn(slotsAt + i * slotStride, session);
    words.copyIn(0, head);
    mapping.close();
  }

  get closed(): boolean {
    return this.#segment.closed;
  }

  get published(): number {
    return this.#published;
  }

  begin(): Loan<Sch> {
    this.requireOpen();
    const sequence = (Atomics.add(this.#words.i32, H.reserved / 4, 1) + 1) >>> 0;
    /* The wrap of the sequence burns 0, which says that nothing was published. */
    if (sequence === 0) return this.begin();
    return new ShmxLoan<Sch>(this, this.slotOf(sequence), sequence);
  }

  /** @internal */
  streamNamed(name: string): StreamSpec {
    return this.#streams.named(name);
  }

  /** @internal */
  slotOf(sequence: number): ShmxSlot {
    const index = (sequence - 1) % this.#shape.slots;
    const known = this.#slots[index];
    if (known !== undefined) return known;
    const { slotsAt, slotStride, frameBytes } = this.#shape;
    const base = slotsAt + index * slotStride;
    const heads = this.#all.view("u32", base, Math.floor(Math.min(SLOT_HEAD + frameBytes, LONGEST_VIEW) / 4));
    const slot = { base, heads, times: this.#all.view("f64", base, SLOT_HEAD / 8), views: new Map() };
    this.#slots[index] = slot;
    return slot;
  }

  /** @internal Writes the head of a stream at `used` of the slot; returns where its data begin and the frame then ends. */
  append(slot: ShmxSlot, used: number, stream: StreamSpec, count: number): { data: number; end: number } {
    const bytes = count * stream.bytesPerElement;
    if (!Number.isInteger(count) || count < 0) throw new InvalidArgumentError(`${count} elements`);
    const end = used + roundUp(24 + bytes, 16);
    if (end > this.#shape.frameBytes) throw new FrameTooLargeError("the frame", end, this.#shape.frameBytes);
    const { heads, base } = slot;
    const at = (SLOT_HEAD + used) / 4;
    if (at + 6 <= heads.length) {
      heads[at] = 0x2000;
      heads[at + 1] = 16 + bytes;
      heads[at + 2] = stream.id;
      heads[at + 3] = count;
      heads[at + 4] = bytes;
      heads[at + 5] = 0;
    } else {
      const head = new Uint32Array([0x2000, 16 + bytes, stream.id, count, bytes, 0]);
      this.#words.copyIn(base + SLOT_HEAD + used, new Uint8Array(head.buffer));
    }
    return { data: SLOT_HEAD + used + 24, end };
  }

  /** @internal A view of a stream's data, which begin at `at` of the slot; the last one of each stream is kept. */
  dataOf(slot: ShmxSlot, stream: StreamSpec, at: number, count: number): StreamArray {
    const known = slot.views.get(stream.name);
    if (known !== undefined && known.at === at && known.count === count) return known.view;
    const view = viewStream(this.#all, stream, slot.base + at, count);
    slot.views.set(stream.name, { at, count, view });
    return view;
  }

  /** @internal */
  partOf(slot: ShmxSlot, stream: StreamSpec, at: number, count: number): StreamArray {
    return viewStream(this.#all, stream, slot.base + at, count);
  }

  /** @internal */
  publishSlot(slot: ShmxSlot, sequence: number, bytes: number, tlvs: number, time: number): number {
    this.requireOpen();
    const words = this.#words;
    const frame = words.add64(H.frameSequence, 1) + 1;
    const { base, heads, times } = slot;
    times[F.time / 8] = time;
    heads[F.bytes / 4] = bytes;
    heads[F.tlvs / 4] = tlvs;
    heads[F.checksum / 4] = words.frameHash(base + SLOT_HEAD, bytes);
    heads[F.session / 4] = this.#sessionLow;
    heads[F.session / 4 + 1] = this.#sessionHigh;
    words.advance64(base + F.frame, frame);
    Atomics.store(words.i32, H.written / 4, sequence | 0);
    this.#published = frame;
    this.#toReaders?.signal();
    return frame;
  }

  poll(most = 256): ControlMessage[] {
    this.requireOpen();
    const ids = new Map(this.readers().map(({ slot, reader }) => [slot, reader]));
    const out: ControlMessage[] = [];
    for (const [i, ring] of this.#rings.entries()) {
      const now = ids.get(i);
      if (now !== undefined) this.#lastIds[i] = now;
      if (out.length < most) ring.poll(out, most, now ?? this.#lastIds[i] ?? 0n);
    }
    return out;
  }

  reply(): boolean {
    throw new InvalidArgumentError('wire "shmx" has no answers');
  }

  readers(): ReaderInfo[] {
    this.requireOpen();
    return readShmxReaders(this.#words, this.#shape, 0);
  }

  reap(timeout: number = Number.POSITIVE_INFINITY): number {
    let reaped = 0;
    const now = monotonic();
    for (const reader of this.readers()) {
      const at = this.#shape.readersAt + reader.slot * READER_BYTES;
      const ours = reader.process !== 0;
      const dead = ours && !this.#segment.held(lockOfReader(reader.slot));
      const stale = reader.heartbeat !== 0 && now - reader.heartbeat > timeout * 1e6;
      if (!dead && !(stale && !ours)) continue;
      for (const field of [R.id, R.heartbeat, R.seen]) this.#words.store64(at + field, 0);
      Atomics.store(this.#words.i32, (at + R.mark) / 4, 0);
      Atomics.store(this.#words.i32, (at + R.process) / 4, 0);
      if (Atomics.compareExchange(this.#words.i32, (at + R.used) / 4, 1, 0) === 1) reaped++;
    }
    /* Counted, not subtracted: a reader that was alive after all will subtract itself. */
    Atomics.store(this.#words.i32, H.connected / 4, this.readers().length);
    return reaped;
  }

  addStreams(schema: Schema): void {
    this.requireOpen();
    const added = specsOf(schema, this.#streams.list.length + 1);
    const grown = this.#streams.and(added);
    const bytes = encodeDirectory(added);
    const { directory, directoryBytes } = this.#shape;
    const used = this.#view.getUint32(H.directoryUsed, true);
    if (used + bytes.length > directoryBytes)
      throw new FrameTooLargeError("the directory", used + bytes.length, directoryBytes);
    this.#words.copyIn(directory + used, bytes);
    this.#words.fence();
    Atomics.store(this.#words.i32, H.directoryUsed / 4, used + bytes.length);
    this.#view.setBigUint64(H.hash, this.#words.frameHash64(directory, used + bytes.length) ?? 0n, true);
    Atomics.add(this.#words.i32, H.generation / 4, 1);
    this.#streams = grown;
    this.#toReaders?.signal();
  }

  streams(): readonly StreamSpec[] {
    return this.#streams.list;
  }

  header(): RingHeader {
    this.requireOpen();
    return {
      wire: "shmx",
      session: this.#session,
      slots: this.#shape.slots,
      frameBytes: this.#shape.frameBytes,
      readerSlots: this.#shape.readers,
      controlBytes: this.#shape.controlBytes,
      bytes: this.#shape.total,
      published: this.#words.load64(H.frameSequence),
      readers: this.readers().length,
      owner: processId(),
      generation: this.#view.getUint32(H.generation, true),
    };
  }

  protected prepareRead(): number {
    return this.#toWriter?.prepare() ?? 0;
  }

  protected sleepRead(value: number, ms: number, keepAlive: boolean): PendingWait {
    /* Readers of SHMX wake nobody. */
    const foreign = this.readers().some(({ process }) => process === 0) || this.#toWriter === undefined;
    const limit = Math.min(ms, foreign ? 1 : 20);
    if (this.#toWriter !== undefined) return this.#toWriter.wait(value, limit, keepAlive);
    return this.#words.wait(H.mark, SHMX_MARK, limit, keepAlive);
  }

  protected detach(): void {
    forget(this);
    Atomics.store(this.#words.i32, H.closed / 4, 1);
    this.#toReaders?.signal();
    this.#segment.unlink();
    this.#segment.close();
  }
}
