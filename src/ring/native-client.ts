import { InvalidArgumentError, NoReaderSlotError, PermissionError, RingFormatError } from "../errors.ts";
import type { Segment } from "../memory/segment.ts";
import { monotonic, processId, Words } from "../memory/words.ts";
import { type Delivery, RingClient } from "./client.ts";
import { type ControlMessage, ControlRing } from "./control.ts";
import { EventCount } from "./eventcount.ts";
import type { Frame } from "./frame.ts";
import { randomId } from "./identity.ts";
import { H, lockOfReader, R, READER_BYTES, S } from "./native-layout.ts";
import { NativeView } from "./native-view.ts";
import { checkSchema, type Schema } from "./schema.ts";
import { Sleeper } from "./sleeper.ts";

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

/** A reader of wire "native". */
export class NativeClient<Sch extends Schema> extends RingClient<Sch> {
  #view: NativeView;
  #shared: Words | undefined;
  #fields: Uint32Array | undefined;
  #slot = -1;
  #id = 0n;
  #cursor = 0;
  #released = 0;
  #toWriter: EventCount | undefined;
  #requests: ControlRing | undefined;
  #replies: ControlRing | undefined;
  #answers = new Map<number, ControlMessage>();
  #nextRequest = 1;
  #unchecked: boolean;
  protected override readonly sleeper: Sleeper;

  constructor(name: string, segment: Segment, options: NativeClientOptions) {
    const view = new NativeView(name, segment);
    super(view, options.delivery, options.keepAlive);
    this.#view = view;
    this.#unchecked = options.unchecked ?? false;
    if (options.schema !== undefined) checkSchema(options.schema, this.#view.streams);
    if (!options.observe && segment.writable) this.#attach(options);
    else if (options.delivery === "reliable")
      throw new PermissionError(segment.path, new Error("a reliable reader must be able to write"));
    const count = this.#shared && new EventCount(this.#shared, S.toReaders);
    this.sleeper = new Sleeper(count, this.#view.words, H.published);
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

  protected override get seen(): number {
    return this.#cursor;
  }

  protected takeNext(): Frame<Sch> | undefined {
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

  protected takeNewest(): Frame<Sch> | undefined {
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
