import { InvalidArgumentError, NoReaderSlotError, TruncatedError } from "../errors.ts";
import type { Segment } from "../memory/segment.ts";
import { monotonic, processId, Words } from "../memory/words.ts";
import { RingClient } from "./client.ts";
import { type ControlMessage, ControlRing } from "./control.ts";
import { EventCount } from "./eventcount.ts";
import type { Frame } from "./frame.ts";
import { randomId } from "./identity.ts";
import { SHMX_MARK } from "./lifetime.ts";
import type { NativeClientOptions } from "./native-client.ts";
import { lockOfReader } from "./native-layout.ts";
import { checkSchema, type Schema } from "./schema.ts";
import { H, R, READER_BYTES } from "./shmx-layout.ts";
import { ShmxView } from "./shmx-view.ts";
import { Sleeper } from "./sleeper.ts";

const TRIES = 64;

/** A reader of wire "shmx", for servers of SHMX and of outcore. */
export class ShmxClient<Sch extends Schema> extends RingClient<Sch> {
  #view: ShmxView;
  #shared: Words | undefined;
  #shift = 0;
  #slot = -1;
  #id = 0n;
  #lastWritten = 0;
  #toWriter: EventCount | undefined;
  #control: ControlRing | undefined;
  #unchecked: boolean;
  protected override readonly sleeper: Sleeper;

  constructor(name: string, segment: Segment, options: NativeClientOptions) {
    if (options.delivery !== "latest") throw new InvalidArgumentError('wire "shmx" has delivery "latest" only');
    const view = new ShmxView(name, segment);
    super(view, "latest", options.keepAlive);
    this.#view = view;
    this.#unchecked = options.unchecked ?? false;
    if (options.schema !== undefined) checkSchema(options.schema, this.#view.streams);
    if (!options.observe && segment.writable && this.#view.shape.readers > 0) this.#attach();
    const wakes = this.#shared !== undefined && this.#view.shape.mark === SHMX_MARK;
    const count = wakes ? new EventCount(this.#shared as Words, R.toReaders) : undefined;
    this.sleeper = new Sleeper(count, this.#view.words, H.written);
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

  get reader(): bigint {
    return this.#id;
  }

  #read(again: boolean): Frame<Sch> | undefined {
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

  protected override get seen(): number {
    return this.#lastWritten;
  }

  protected takeNext(): Frame<Sch> | undefined {
    return this.#read(false);
  }

  protected takeNewest(): Frame<Sch> | undefined {
    return this.#read(true);
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
