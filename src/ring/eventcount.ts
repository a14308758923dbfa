import type { PendingWait } from "../memory/waiter.ts";
import type { Words } from "../memory/words.ts";

/**
 * A word on which one side sleeps until the other has done something: bit 0 says that somebody sleeps, the rest counts
 * wake-ups. Sleeper: `prepare`, look whether there is something to do, else wait for the value that `prepare` gave.
 * Waker: do it, then `signal`. A sleeper that dies costs one needless system call.
 */
export class EventCount {
  #words: Words;
  #offset: number;
  #index: number;

  constructor(words: Words, offset: number) {
    this.#words = words;
    this.#offset = offset;
    this.#index = offset / 4;
  }

  /** Says that somebody will sleep; returns the value to sleep on. */
  prepare(): number {
    return Atomics.or(this.#words.i32, this.#index, 1) | 1;
  }

  /** Sleeps while the word is `value`. The caller spins first where it wants to. */
  sleep(value: number, spin: number, timeout: number): boolean {
    return this.#words.waitSync(this.#offset, value, spin, timeout);
  }

  /** The same without blocking; `timeout` in milliseconds. */
  wait(value: number, timeout: number, keepAlive: boolean): PendingWait {
    return this.#words.wait(this.#offset, value, timeout, keepAlive);
  }

  /** Wakes the sleepers. Without sleepers it is one load. */
  signal(): void {
    for (;;) {
      const seen = this.#words.load32(this.#offset);
      if ((seen & 1) === 0) return;
      /* Whoever changes it first wakes; a sleeper that sets the bit meanwhile sleeps on a value that is gone. */
      if (Atomics.compareExchange(this.#words.i32, this.#index, seen | 0, (seen + 1) | 0) === (seen | 0)) break;
    }
    this.#words.wake(this.#offset);
  }
}
