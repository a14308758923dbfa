import { type DescriptorEvents, listenDescriptor } from "../../ffi/descriptor-events.ts";
import { native } from "../../ffi/load.ts";
import { check, errnoName } from "./check.ts";
import type { Job, JobEnd } from "./job.ts";
import { startTimedJob } from "./timer-pump.ts";

const TAKE = 64;

/**
 * This thread's line to the pump, the one C thread that waits for all descriptors and moves bytes in turns. Ended jobs
 * are announced by a byte on a socketpair: a callback into JavaScript could hit a thread that is gone.
 */
class Channel {
  readonly #number: number;
  readonly #events: DescriptorEvents;
  readonly #waiting = new Map<number, (end: JobEnd) => void>();
  readonly #ended = new Float64Array(TAKE * 3);

  private constructor(number: number, descriptor: number) {
    this.#number = number;
    this.#events = listenDescriptor(descriptor, () => this.#take());
    this.#events.unref();
  }

  /** Undefined where the library has no pump. */
  static open(): Channel | undefined {
    const ended = new Float64Array(1);
    const opened = native().calls.oc_channel_open(ended, 0);
    if (opened < 0 && errnoName(-opened) === "ENOSYS") return undefined;
    return new Channel(check(opened, "open", "a channel to the pump"), ended[0] ?? -1);
  }

  start(kind: number, out: number, input: number, offset: number, outOffset: number, count: number): Job {
    const { calls } = native();
    const started = calls.oc_job_add(this.#number, kind, out, input, offset, outOffset, count);
    const name = check(started, "start", "a transfer");
    if (this.#waiting.size === 0) this.#events.ref();
    const done = new Promise<JobEnd>((resolve) => this.#waiting.set(name, resolve));
    return {
      done,
      moved: () => Math.max(0, calls.oc_job_moved(name, 0)),
      stop: () => {
        if (!this.#waiting.has(name)) return false;
        this.#forget(name);
        return calls.oc_job_stop(name, 0) !== 0;
      },
    };
  }

  #forget(name: number): void {
    this.#waiting.delete(name);
    if (this.#waiting.size === 0) this.#events.unref();
  }

  #take(): void {
    const { calls } = native();
    for (;;) {
      const count = calls.oc_job_take(this.#number, this.#ended, TAKE);
      for (let i = 0; i < count; i++) {
        const [name = 0, moved = 0, status = 0] = this.#ended.subarray(i * 3, i * 3 + 3);
        const resolve = this.#waiting.get(name);
        if (resolve === undefined) continue;
        this.#forget(name);
        resolve({ moved, outcome: status === 0 ? "done" : status === 1 ? "end" : status });
      }
      if (count < TAKE) return;
    }
  }
}

let channel: Channel | "none" | undefined;

/** Starts a job on duplicates of the descriptors, -1 for none. */
export function startJob(
  kind: number,
  out: number,
  input: number,
  offset: number,
  outOffset: number,
  count: number,
): Job {
  channel ??= Channel.open() ?? "none";
  if (channel === "none") return startTimedJob(kind, out, input, offset, count);
  return channel.start(kind, out, input, offset, outOffset, count);
}

/** Jobs that have not ended in any thread of the process, and whether the pump's thread runs. */
export function pumpState(): { jobs: number; running: boolean } {
  const out = new Float64Array(2);
  native().calls.oc_pump_state(out, 0);
  return { jobs: out[0] ?? 0, running: out[1] === 1 };
}
