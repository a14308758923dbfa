import { ClosedError, PeerGoneError, TimedOutError } from "../errors.ts";
import type { ControlMessage } from "./control.ts";
import type { Frame } from "./frame.ts";
import { PendingWaits } from "./pending-waits.ts";
import type { Schema, StreamSpec } from "./schema.ts";
import type { Sleeper } from "./sleeper.ts";

/**
 * Why there is no frame: nothing was published yet; the newest was seen already; the writer overwrote each before it
 * was verified; its checksum is wrong; the ring was made anew under its name; its owner died; its owner closed it.
 */
export type Absence = "none" | "seen" | "overwritten" | "checksum" | "session" | "owner-dead" | "closed";

/** Which frames a reader gets; see `openRing`. */
export type Delivery = "latest" | "queue" | "reliable";

/** How long and how an asynchronous wait lasts. */
export interface WaitOptions {
  /** Milliseconds. Default: for ever. */
  timeout?: number;
  /** Ends the wait with the signal's reason. */
  signal?: AbortSignal;
  /** Whether the wait keeps the process alive. Default: that of the client. */
  keepAlive?: boolean;
}

/** How long a blocking wait lasts. */
export interface SyncWaitOptions {
  /** Milliseconds. Default: for ever. */
  timeout?: number;
  /** Microseconds to spin before sleeping. Default 50; Infinity never sleeps. */
  spin?: number;
}

/** What a ring's header says. */
export interface RingHeader {
  /** Format of the segment. */
  readonly wire: "native" | "shmx";
  /** Random number of this ring: another one under the same name has another. */
  readonly session: bigint;
  /** Frames that it holds. */
  readonly slots: number;
  /** Bytes of streams that a frame can hold. */
  readonly frameBytes: number;
  /** Readers at once. */
  readonly readerSlots: number;
  /** Bytes of each ring of messages. */
  readonly controlBytes: number;
  /** Bytes of the whole segment. */
  readonly bytes: number;
  /** Frames published so far. */
  readonly published: number;
  /** Readers now. */
  readonly readers: number;
  /** Process that made it, 0 when it does not say. */
  readonly owner: number;
  /** Times that the schema changed. */
  readonly generation: number;
}

/** How long a sleeper sleeps before it looks whether the owner lives, in ms. */
const SLICE = 250;

/** What reader and inspector see of a ring of either wire. */
export interface RingView {
  /** Name of the ring. */
  readonly name: string;
  /** What it lies in. */
  readonly segment: { readonly closed: boolean };
  /** Its streams, as of the last `refresh`. */
  readonly streams: readonly StreamSpec[];
  /** Reads the streams when they have changed; true when they had. */
  refresh(): boolean;
  /** What its header says. */
  header(): RingHeader;
  /**
   * Takes back what somebody wrote to the views, so that they show the writer's memory again.
   * @throws {ReadOnlyError} when there was something.
   */
  checkStrays(): void;
}

/** A reader of a ring. Made by `openRing`. */
export abstract class RingClient<S extends Schema = Schema> implements Disposable {
  /** Name of the ring, without a slash. */
  readonly name: string;
  /** Which frames it gets. */
  readonly delivery: Delivery;
  /** Why the last `take` gave nothing. */
  absence: Absence = "none";
  /** Frames that were overwritten before this reader took them. */
  drops = 0;
  /** Frames taken. */
  taken = 0;
  #view: RingView;
  #keepAlive: boolean;
  #waits = new PendingWaits();

  /** @internal Use `openRing`. */
  constructor(view: RingView, delivery: Delivery, keepAlive: boolean) {
    this.name = view.name;
    this.delivery = delivery;
    this.#view = view;
    this.#keepAlive = keepAlive;
  }

  /** Whether this reader has left. */
  get closed(): boolean {
    return this.#view.segment.closed;
  }

  /** The ring's streams. */
  streams(): readonly StreamSpec[] {
    return this.#view.streams;
  }

  /** Reads the schema again when it has grown; true when it had. */
  refresh(): boolean {
    this.requireOpen();
    return this.#view.refresh();
  }

  /** What the header says now. */
  header(): RingHeader {
    this.requireOpen();
    return this.#view.header();
  }

  /**
   * The next frame that this reader has not seen, verified, or undefined: then `absence` tells why. Never waits.
   * @throws {RingFormatError | TruncatedError} when the segment is damaged.
   * @throws {ReadOnlyError} when somebody wrote to a view of a frame; the write has been taken back.
   */
  take(): Frame<S> | undefined {
    this.requireOpen();
    this.#view.checkStrays();
    return this.takeNext();
  }

  /** The newest frame, seen or not, verified, or undefined: then `absence` tells why. Throws as `take`. */
  latest(): Frame<S> | undefined {
    this.requireOpen();
    this.#view.checkStrays();
    return this.takeNewest();
  }

  /** This reader's number, 0n when it only observes. */
  abstract get reader(): bigint;
  /** Sends the server a message. @throws {ControlFullError} when its ring is full. */
  abstract send(type: number, body?: Uint8Array): void;
  /** Tells the server that this reader lives. Frames and messages do it too. */
  abstract heartbeat(): void;
  /** @internal */
  protected abstract takeNext(): Frame<S> | undefined;
  /** @internal */
  protected abstract takeNewest(): Frame<S> | undefined;
  /** @internal Sends a request; returns its number. */
  protected abstract sendRequest(type: number, body: Uint8Array): number;
  /** An answer that has come, taken out. */
  protected abstract answer(request: number): ControlMessage | undefined;
  /** @internal How it waits. */
  protected abstract get sleeper(): Sleeper;
  /** @internal What the word that publications change was for the last frame taken. */
  protected abstract get seen(): number;
  /** Looks whether the owner has closed the ring or is dead, and sets `absence`. */
  protected abstract ended(): boolean;
  /** @internal Gives everything back. */
  protected abstract detach(): void;

  /** Sends a message without a body (SHMX: send_control_empty). */
  sendEmpty(type: number): void {
    this.send(type);
  }

  /**
   * What is still to be had when the owner is gone; `over` is set when there is nothing and nothing will come.
   * @throws {PeerGoneError} when the owner died.
   */
  #atEnd<T>(found: () => T | undefined): { readonly over: boolean; readonly last: T | undefined } {
    if (!this.ended()) return { over: false, last: undefined };
    /* It may have published between our last look and its end. */
    const last = found();
    if (last !== undefined) return { over: true, last };
    this.ended();
    if (this.absence === "owner-dead") throw new PeerGoneError(this.name, "its owner died without closing it");
    return { over: true, last };
  }

  /**
   * Waits for a frame, blocking the thread: spins briefly, then sleeps. Undefined when the time is over or the ring was
   * closed; `absence` tells which.
   *
   * @throws {PeerGoneError} when the owner died, within a second.
   */
  nextSync(options: SyncWaitOptions = {}): Frame<S> | undefined {
    const first = this.take();
    if (first !== undefined) return first;
    const { timeout = Number.POSITIVE_INFINITY, spin = 50 } = options;
    const deadline = timeout === Number.POSITIVE_INFINITY ? timeout : performance.now() + timeout;
    for (let spun = 0; spun < spin; spun += SLICE * 1000) {
      this.sleeper.spin(this.seen, Math.min(spin - spun, SLICE * 1000, timeout * 1000) * 1000);
      const frame = this.take();
      if (frame !== undefined) return frame;
      if (performance.now() >= deadline) return undefined;
      if (spin <= SLICE * 1000) continue;
      const { over, last } = this.#atEnd(() => this.take());
      if (over) return last;
    }
    for (let looked = false; ; looked = true) {
      const value = this.sleeper.prepare();
      const frame = this.take();
      if (frame !== undefined) return frame;
      const { over, last } = looked ? this.#atEnd(() => this.take()) : { over: false, last: undefined };
      if (over) return last;
      const left = deadline - performance.now();
      if (left <= 0) return undefined;
      this.heartbeat();
      this.sleeper.sleepSync(value, this.seen, Math.min(left, SLICE) * 1e6);
    }
  }

  /** Waits, with the event loop free, until `found` finds something. Undefined when the time or the ring is over. */
  async #until<T>(found: () => T | undefined, options: WaitOptions): Promise<T | undefined> {
    const { signal, timeout = Number.POSITIVE_INFINITY, keepAlive = this.#keepAlive } = options;
    signal?.throwIfAborted();
    this.requireOpen();
    const first = found();
    if (first !== undefined) return first;
    const deadline = performance.now() + timeout;
    for (;;) {
      const value = this.sleeper.prepare();
      const second = found();
      if (second !== undefined) return second;
      const { over, last } = this.#atEnd(found);
      const left = Math.min(deadline - performance.now(), SLICE);
      if (over || left <= 0) return last;
      this.heartbeat();
      const wait = this.sleeper.sleep(value, this.seen, left, keepAlive);
      const finish = this.#waits.begin(wait, signal);
      /* From here to the caller it is short: this is the way of a frame that wakes an idle reader. */
      await wait.done;
      finish();
      this.requireOpen();
      const woken = found();
      if (woken !== undefined) return woken;
    }
  }

  /**
   * Waits for a frame, with the event loop free. Undefined when the time is over or the ring was closed; `absence` tells
   * which. Rejects with the signal's reason when it is aborted.
   *
   * @throws {PeerGoneError} when the owner died, within a second.
   * @throws {ClosedError} when this client is closed meanwhile.
   */
  next(options: WaitOptions = {}): Promise<Frame<S> | undefined> {
    return this.#until(() => this.take(), options);
  }

  /**
   * All frames from now on, as the delivery says; ends when the owner closes the ring or this client is closed, throws
   * when the owner dies. An abort ends it with the signal's reason.
   */
  async *frames(options: WaitOptions = {}): AsyncGenerator<Frame<S>, void, void> {
    while (!this.closed) {
      let frame: Frame<S> | undefined;
      try {
        frame = await this.next(options);
      } catch (error) {
        if (error instanceof ClosedError) return;
        throw error;
      }
      if (frame === undefined) return;
      yield frame;
    }
  }

  /**
   * Sends a request and waits for the server's answer (wire "native").
   * @throws {TimedOutError} when there is none in time (default 5000 ms).
   * @throws {PeerGoneError} when the owner closed the ring or died.
   */
  async request(
    type: number,
    body: Uint8Array = new Uint8Array(0),
    options: WaitOptions = {},
  ): Promise<ControlMessage> {
    const number = this.sendRequest(type, body);
    const found = await this.#until(() => this.answer(number), { timeout: 5000, ...options });
    if (found !== undefined) return found;
    if (this.absence === "closed") throw new PeerGoneError(this.name, "its owner closed it");
    throw new TimedOutError(`the answer of ${this.name}`);
  }

  /** @internal Throws when it is closed. */
  protected requireOpen(): void {
    if (this.closed) throw new ClosedError(`the reader of ${this.name}`);
  }

  /** Leaves the ring. Views of its frames have length 0 from now on; waits end. May be called twice. */
  close(): void {
    if (this.closed) return;
    this.#waits.cancel();
    this.detach();
  }

  /** The same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
