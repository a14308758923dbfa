import { native } from "../../ffi/load.ts";
import type { Watch } from "../../ffi/native.ts";
import { check, errnoName } from "./check.ts";
import { waitByTimer } from "./timed-wait.ts";

/** A wait that has begun. */
export interface PendingWait {
  /** Settles once the word changed, the time is over (true for both), or `cancel` was called (false). */
  readonly done: Promise<boolean>;
  /** Ends the wait; afterwards the word is not looked at any more. */
  cancel(): void;
}

const TOKEN_BYTES = 8;

/** This thread's end of the process's waiter: a socket on which the numbers of finished waits arrive. */
class Channel {
  #number: number;
  #watch: Watch;
  #settle = new Map<number, { resolve: (woken: boolean) => void; held: boolean }>();
  #held = 0;
  #next = 1;
  #part: Uint8Array = new Uint8Array(0);

  constructor(out: Int32Array) {
    this.#number = out[1] ?? 0;
    this.#watch = native().watch(out[0] ?? -1, (bytes) => this.#arrived(bytes));
  }

  #arrived(chunk: Uint8Array): void {
    let bytes = chunk;
    if (this.#part.length > 0) {
      bytes = new Uint8Array(this.#part.length + chunk.length);
      bytes.set(this.#part);
      bytes.set(chunk, this.#part.length);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    for (; at + TOKEN_BYTES <= bytes.length; at += TOKEN_BYTES) this.#end(view.getFloat64(at, true), true);
    this.#part = bytes.slice(at);
  }

  #end(token: number, woken: boolean): void {
    const wait = this.#settle.get(token);
    if (wait === undefined) return;
    this.#settle.delete(token);
    if (wait.held && --this.#held === 0) this.#watch.unref();
    wait.resolve(woken);
  }

  wait(address: number, expected: number, timeout: number, keepAlive: boolean, polled: boolean): PendingWait {
    const token = this.#next++;
    const { calls } = native();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#settle.set(token, { resolve, held: keepAlive });
    if (keepAlive && this.#held++ === 0) this.#watch.ref();
    const ns = timeout === Number.POSITIVE_INFINITY ? 1e19 : Math.max(0, timeout * 1e6);
    const result = calls.oc_waiter_add(this.#number, address, expected >>> 0, token, polled ? -ns : ns);
    if (result < 0) {
      this.#end(token, false);
      check(result, "wait for", "a word");
    }
    return {
      done: promise,
      cancel: () => {
        if (!this.#settle.has(token)) return;
        calls.oc_waiter_cancel(this.#number, token);
        this.#end(token, false);
      },
    };
  }
}

/** undefined: not asked for yet; null: this system has none. */
let channel: Channel | null | undefined;

function openChannel(): Channel | null {
  const out = new Int32Array(2);
  const result = native().calls.oc_waiter_open(out, 0);
  if (result < 0 && errnoName(-result) === "ENOSYS") return null;
  check(result, "open", "the waiter");
  return new Channel(out);
}

/**
 * Waits on the process's one waiter thread until the 32-bit word at `address` is not `expected`, at most `timeout` ms.
 * The event loop stays free; the process is kept alive only with `keepAlive`. With `polled` the thread looks every
 * millisecond, for a word whose writer wakes nobody.
 */
export function waitForWord(
  address: number,
  expected: number,
  timeout: number,
  keepAlive: boolean,
  polled = false,
): PendingWait {
  if (channel === undefined) channel = openChannel();
  if (channel === null) return waitByTimer(address, expected, timeout, keepAlive);
  return channel.wait(address, expected, timeout, keepAlive, polled);
}
