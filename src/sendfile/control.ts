import { InvalidArgumentError, PeerClosedError } from "../errors.ts";
import type { Job, JobEnd } from "../memory/job.ts";

/** What a transfer tells `onProgress`. */
export interface TransferProgress {
  /** Bytes sent so far, header and trailer included. */
  readonly sent: number;
  /** Bytes to send in all. */
  readonly total: number;
}

/** What steers any transfer. */
export interface TransferOptions {
  /** Ends the transfer; it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without a byte taken after which the peer counts as gone. Default: none. */
  readonly timeout?: number | undefined;
  /** Called now and then, at least once every 8 MiB, and at the end. What it throws ends the transfer. */
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined;
  /** Most bytes per second. Default: no limit. */
  readonly rate?: number | undefined;
}

const PROGRESS_STEP = 8 * 1024 * 1024;
const SMALLEST_STEP = 4096;
const STEPS_PER_SECOND = 10;

/** @throws {InvalidArgumentError} unless it is more than 0 or left out. */
export const checkPositive = (name: string, value: number | undefined): void => {
  if (value !== undefined && !(value > 0))
    throw new InvalidArgumentError(`${name} must be more than 0, not ${String(value)}`);
};

/** Abort, idle timeout, progress and rate of one transfer. `close` must be called at its end. */
export class Control {
  sent = 0;
  /** Whether bytes went out, or may have. */
  begun = false;
  /** What ends the transfer before its time; waiting rejects with it. */
  #stopped: { reason: unknown } | undefined;
  #onStop: (() => void) | undefined;
  #lastActivity = performance.now();
  #lastSeen = 0;
  #job: Job | undefined;
  #started = performance.now();
  #total = 0;
  readonly #options: TransferOptions;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  readonly #abort = (): void => this.stop(this.#options.signal?.reason);

  /** @throws {InvalidArgumentError} when an option is none. */
  constructor(options: TransferOptions) {
    checkPositive("timeout", options.timeout);
    checkPositive("rate", options.rate);
    this.#options = options;
    const { signal, timeout } = options;
    if (signal?.aborted) this.#stopped = { reason: signal.reason };
    signal?.addEventListener("abort", this.#abort);
    if (timeout !== undefined) this.#timer = setInterval(() => this.#checkIdle(timeout), Math.max(5, timeout / 4));
  }

  /** The transfer's bytes can go, `total` in all; `sent` of them are gone. */
  start(total: number, sent = 0): void {
    this.check();
    this.#total = total;
    this.sent = sent;
    this.begun = sent > 0;
    this.#started = performance.now();
  }

  /** Whether something ended the transfer before its time. */
  get stopped(): boolean {
    return this.#stopped !== undefined;
  }

  /** Whether a peer that takes nothing ends the transfer. */
  get idles(): boolean {
    return this.#timer !== undefined;
  }

  /** Throws when the transfer was stopped. */
  check(): void {
    if (this.#stopped !== undefined) throw this.#stopped.reason;
  }

  /** Makes what is waited for, and every later check, throw `reason`. */
  stop(reason: unknown): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = { reason };
    this.#onStop?.();
  }

  /** Most bytes that the next step may move. */
  step(left: number): number {
    const { rate, onProgress } = this.#options;
    let step = left;
    if (onProgress !== undefined) step = Math.min(step, PROGRESS_STEP);
    if (rate !== undefined) step = Math.min(step, Math.max(SMALLEST_STEP, Math.floor(rate / STEPS_PER_SECOND)));
    return step;
  }

  /** Counts bytes that were sent, and reports them. */
  add(bytes: number): void {
    this.sent += bytes;
    this.#lastActivity = performance.now();
    if (bytes === 0) return;
    this.begun = true;
    this.#options.onProgress?.({ sent: this.sent, total: this.#total });
  }

  /** Waits until what was sent is within the rate. */
  async pace(): Promise<void> {
    const { rate } = this.#options;
    if (rate === undefined || this.sent >= this.#total) return;
    const early = (this.sent / rate) * 1000 - (performance.now() - this.#started);
    if (early < 1) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await this.wait(new Promise<void>((resolve) => (timer = setTimeout(resolve, early))), false);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The promise's result, or a rejection as soon as the transfer is stopped. Waiting for a peer counts as idle. */
  async wait<T>(promise: Promise<T>, idles = true): Promise<T> {
    this.check();
    this.#lastActivity = idles ? performance.now() : Number.POSITIVE_INFINITY;
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#onStop = () => reject(this.#stopped?.reason);
        promise.then(resolve, reject);
      });
    } finally {
      this.#onStop = undefined;
      this.#lastActivity = performance.now();
    }
  }

  /** Waits for a job of the pump, and stops it when the transfer is stopped. */
  async run(job: Job): Promise<JobEnd> {
    this.#job = job;
    this.#lastSeen = 0;
    let ended = false;
    try {
      const end = await this.wait(job.done);
      ended = true;
      return end;
    } finally {
      this.#job = undefined;
      if (!ended && job.stop()) this.begun = true;
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#options.signal?.removeEventListener("abort", this.#abort);
  }

  #checkIdle(timeout: number): void {
    const now = performance.now();
    const moved = this.#job?.moved() ?? 0;
    if (moved > this.#lastSeen) {
      this.#lastSeen = moved;
      this.#lastActivity = now;
    }
    if (now - this.#lastActivity >= timeout) this.stop(new PeerClosedError("ETIMEDOUT"));
  }
}
