import { ClosedError, SchemaError, WouldBlockError } from "../errors.ts";
import type { PendingWait } from "../memory/waiter.ts";
import type { RingHeader, WaitOptions } from "./client.ts";
import type { ControlMessage } from "./control.ts";
import { PendingWaits } from "./pending-waits.ts";
import type { FrameInput, Schema, StreamOf, StreamSpec } from "./schema.ts";

/** A reader as the server sees it. */
export interface ReaderInfo {
  /** Place among the reader slots. */
  readonly slot: number;
  /** Its number. */
  readonly reader: bigint;
  /** Process, 0 when it does not say. */
  readonly process: number;
  /** Which frames it gets. */
  readonly delivery: "latest" | "queue" | "reliable" | "unknown";
  /** Last frame that it took. */
  readonly seen: number;
  /** Frames that it missed. */
  readonly drops: number;
  /** When it last gave a sign of life, in ns of the monotonic clock. */
  readonly heartbeat: number;
}

/** A frame that is being written, in place. One at a time. */
export interface Loan<S extends Schema = Schema> {
  /**
   * Room for `count` elements of a stream (default: its capacity), to be filled; it then belongs to the frame. What
   * stands in it is not cleared.
   *
   * @throws {FrameTooLargeError} when there is no room for them.
   */
  get<K extends keyof S & string>(name: K, count?: number): StreamOf<S, K>;
  /** `length` elements from `start` on of a stream beyond 1 GiB, after `get` or `count` has given it its size. */
  slice<K extends keyof S & string>(name: K, start: number, length: number): StreamOf<S, K>;
  /** Sets the number of elements without making a view (wire "native"). */
  count(name: keyof S & string, count: number): void;
  /** Makes it the newest frame. Returns its number. */
  publish(time?: number): number;
  /** Gives it up. */
  discard(): void;
}

/** How `begin` treats reliable readers that are behind. */
export interface BeginOptions {
  /** Milliseconds to block the thread when a reliable reader has not released the slot. Default 0. */
  timeout?: number;
}

/** The writer of a ring, and its owner. Made by `createRing`. */
export abstract class RingServer<S extends Schema = Schema> implements Disposable {
  /** Name of the ring, without a slash. */
  readonly name: string;
  #keepAlive: boolean;
  #waits = new PendingWaits();

  /** @internal Use `createRing`. */
  constructor(name: string, keepAlive: boolean) {
    this.name = name;
    this.#keepAlive = keepAlive;
  }

  /** Whether it was closed. */
  abstract get closed(): boolean;
  /** Number of the last published frame. */
  abstract get published(): number;
  /**
   * The slot for the next frame, to be written in place (SHMX: begin_frame and append_stream).
   * @throws {WouldBlockError} when a reliable reader has not released it in time.
   */
  abstract begin(options?: BeginOptions): Loan<S>;
  /** Messages of readers that have come, at most `most` (default 256). */
  abstract poll(most?: number): ControlMessage[];
  /** Answers a request (wire "native"). False when the reader has left or does not read its answers. */
  abstract reply(to: ControlMessage, type: number, body?: Uint8Array): boolean;
  /** The readers now (SHMX: snapshot_readers). */
  abstract readers(): ReaderInfo[];
  /**
   * Removes readers whose process is dead, and on wire "shmx" those that gave no sign of life for `timeout` ms
   * (SHMX: reap_stale_readers). Returns how many. Dead outcore readers are also removed by themselves.
   */
  abstract reap(timeout?: number): number;
  /** Adds streams to the schema; readers see them after `refresh` (SHMX: write_static_append). */
  abstract addStreams(schema: Schema): void;
  /** The streams of the schema now. */
  abstract streams(): readonly StreamSpec[];
  /** What the header says now. */
  abstract header(): RingHeader;
  /** @internal Says that it will sleep until a reader does something. */
  protected abstract prepareRead(): number;
  /** @internal Sleeps with the event loop free. */
  protected abstract sleepRead(value: number, ms: number, keepAlive: boolean): PendingWait;
  /** @internal Gives everything back. */
  protected abstract detach(): void;

  /**
   * Copies values into the next slot and publishes it (SHMX: publish_frame). Returns the frame's number.
   * @throws {WouldBlockError} as `begin`.
   * @throws {SchemaError} for an unknown stream or a count that is no multiple of its components.
   */
  publish(values: FrameInput<S>, options: BeginOptions & { time?: number } = {}): number {
    return this.#finish(this.begin(options), values, options.time);
  }

  #finish(loan: Loan<S>, values: FrameInput<S>, time?: number): number {
    try {
      this.#fill(loan, values);
    } catch (error) {
      loan.discard();
      throw error;
    }
    return loan.publish(time);
  }

  /** @internal @throws {SchemaError} when there is none. */
  abstract streamNamed(name: string): StreamSpec;

  #fill(loan: Loan<S>, values: FrameInput<S>): void {
    for (const name in values) {
      const value = values[name] as ArrayLike<number> | undefined;
      if (value === undefined) continue;
      const { components } = this.streamNamed(name);
      if (value.length % components !== 0)
        throw new SchemaError(`stream "${name}" has elements of ${components} numbers; ${value.length} were given`);
      (loan.get(name, value.length / components) as unknown as Float64Array).set(value);
    }
  }

  async #sleep(value: number, ms: number, options: WaitOptions): Promise<void> {
    const wait = this.sleepRead(value, ms, options.keepAlive ?? this.#keepAlive);
    const finish = this.#waits.begin(wait, options.signal);
    await wait.done;
    finish();
    if (this.closed) throw new ClosedError(`the ring ${this.name}`);
  }

  /**
   * As `begin`, but waits for reliable readers with the event loop free, for ever unless there is a timeout.
   * @throws {WouldBlockError} when the time is over.
   */
  async beginAsync(options: WaitOptions = {}): Promise<Loan<S>> {
    const deadline = performance.now() + (options.timeout ?? Number.POSITIVE_INFINITY);
    options.signal?.throwIfAborted();
    for (;;) {
      const value = this.prepareRead();
      try {
        return this.begin();
      } catch (error) {
        if (!(error instanceof WouldBlockError)) throw error;
        const left = deadline - performance.now();
        if (left <= 0) throw error;
        await this.#sleep(value, Math.min(left, 100), options);
      }
    }
  }

  /** As `publish`, but waits for reliable readers with the event loop free. */
  async publishAsync(values: FrameInput<S>, options: WaitOptions & { time?: number } = {}): Promise<number> {
    return this.#finish(await this.beginAsync(options), values, options.time);
  }

  /** All messages of readers from now on; ends when the ring is closed. */
  async *messages(options: WaitOptions = {}): AsyncGenerator<ControlMessage, void, void> {
    options.signal?.throwIfAborted();
    while (!this.closed) {
      const value = this.prepareRead();
      const messages = this.poll();
      yield* messages;
      if (messages.length > 0) continue;
      try {
        await this.#sleep(value, 250, options);
      } catch (error) {
        if (error instanceof ClosedError) return;
        throw error;
      }
    }
  }

  /** @internal Throws when it is closed. */
  protected requireOpen(): void {
    if (this.closed) throw new ClosedError(`the ring ${this.name}`);
  }

  /** Tells the readers, removes the name and gives the memory back. May be called twice. */
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
