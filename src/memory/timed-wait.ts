import { native } from "../../ffi/load.ts";
import type { PendingWait } from "./waiter.ts";

/** Milliseconds between two looks: at first, and at most. */
const SHORTEST = 1;
const LONGEST = 4;

/** `waitForWord` by timers of this thread, where the library has no waiter thread: later by up to 4 ms. */
export function waitByTimer(address: number, expected: number, timeout: number, keepAlive: boolean): PendingWait {
  const { calls } = native();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const deadline = performance.now() + timeout;
  let pause = SHORTEST;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = (): void => {
    const left = deadline - performance.now();
    if (calls.oc_load32(address, 0) !== expected >>> 0 || left <= 0) {
      timer = undefined;
      resolve(true);
      return;
    }
    timer = setTimeout(look, Math.min(pause, left));
    if (!keepAlive) timer.unref();
    pause = Math.min(pause * 2, LONGEST);
  };
  look();
  return {
    done: promise,
    cancel: () => {
      if (timer === undefined) return;
      clearTimeout(timer);
      timer = undefined;
      resolve(false);
    },
  };
}
