import { native } from "../../ffi/load.ts";
import { check, errnoName } from "./check.ts";
import { type Job, type JobEnd, JobKind } from "./job.ts";

/** How long a job waits before it looks again whether its descriptor is ready, in milliseconds. */
const PAUSE = 2;

/** What the pump does, by timers of this thread, where the library has no thread for it: slower, and with copies. */
export function startTimedJob(kind: number, out: number, input: number, offset: number, count: number): Job {
  const { calls } = native();
  const own = [out, input].map((fd) => (fd < 0 ? -1 : check(calls.oc_dup(fd, 0), "duplicate", "a descriptor")));
  const [target = -1, source = -1] = own;
  let moved = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  let settle: (end: JobEnd) => void = () => undefined;
  const done = new Promise<JobEnd>((resolve) => {
    settle = resolve;
  });

  function stop(): boolean {
    if (!ended) {
      ended = true;
      clearTimeout(timer);
      for (const fd of own) if (fd >= 0) calls.oc_close(fd, 0);
    }
    return moved > 0;
  }

  function finish(outcome: JobEnd["outcome"]): void {
    stop();
    settle({ moved, outcome });
  }

  /** Bytes moved, 0 at the end of the input, or a negative error number. */
  function turn(): number {
    if (kind === JobKind.splice) return calls.oc_splice(source, target, count - moved);
    if (kind === JobKind.copyRange) return calls.oc_copy_range(source, offset + moved, target, 0, count - moved);
    return calls.oc_send_copy(target, source, offset + moved, count - moved);
  }

  function step(): void {
    if (kind === JobKind.writable || kind === JobKind.readable) {
      const ready = calls.oc_poll(kind === JobKind.writable ? target : source, 0);
      if (ready < 0) finish(ready);
      else if ((ready & (kind === JobKind.writable ? 2 : 1)) !== 0 || (ready & 4) !== 0) finish("done");
      else timer = setTimeout(step, PAUSE);
      return;
    }
    const result = turn();
    if (result > 0) moved += result;
    if (result > 0 && moved >= count) finish("done");
    else if (result === 0) finish("end");
    else if (result < 0 && errnoName(-result) !== "EAGAIN") finish(result);
    else timer = setTimeout(step, result > 0 ? 0 : PAUSE);
  }

  timer = setTimeout(step, 0);
  return { done, moved: () => moved, stop };
}
