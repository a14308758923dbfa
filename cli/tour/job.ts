import { bytes, duration, percent, progress, rate, table } from "../terminal.ts";
import { MemoryPeak } from "./chapter.ts";

/** Tells how far a way of doing a job has come: bytes done since the last call. */
export type Advance = (done: number) => void;

/** Work that is done through outcore and the plain way, to the same answer. */
export interface Job {
  readonly name: string;
  /** Bytes that it works through. */
  readonly bytes: number;
  readonly ours: (advance: Advance) => unknown;
  readonly plain: (advance: Advance) => unknown;
  /** Share of our uses that found their window resident, after `ours`. */
  readonly hitRate: () => number;
}

/** What one way took. */
export interface Taken {
  readonly answer: unknown;
  readonly milliseconds: number;
  /** Growth of resident memory at its peak, in bytes. */
  readonly memory: number;
}

/** Runs one way of a job, with a progress bar, and measures it. */
export function take(label: string, total: number, way: (advance: Advance) => unknown): Taken {
  const bar = progress(label, total);
  const peak = new MemoryPeak();
  const start = performance.now();
  const answer = way((done) => {
    peak.sample();
    bar.add(done);
  });
  const milliseconds = performance.now() - start;
  peak.sample();
  bar.stop();
  return { answer, milliseconds, memory: peak.growth };
}

/** True when both ways came to the same answer. */
export function agree(ours: Taken, plain: Taken): boolean {
  return JSON.stringify(ours.answer) === JSON.stringify(plain.answer);
}

/** Prints what jobs took, ours beside the plain way. */
export function printJobs(rows: readonly { job: Job; ours: Taken; plain: Taken }[]): void {
  table(
    ["job", "bytes", "ours", "plain", "our rate", "hits", "memory", "plain", "equal"],
    rows.map(({ job, ours, plain }) => [
      job.name,
      bytes(job.bytes),
      duration(ours.milliseconds),
      duration(plain.milliseconds),
      rate(job.bytes, ours.milliseconds),
      percent(job.hitRate()),
      `+${bytes(ours.memory)}`,
      `+${bytes(plain.memory)}`,
      agree(ours, plain) ? "yes" : "NO",
    ]),
  );
}
