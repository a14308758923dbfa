/** What a job of the pump does; see `OC_JOB_*` in c/outcore.h. */
export const JobKind = { writable: 0, readable: 1, sendfile: 2, copy: 3, splice: 4, copyRange: 5 } as const;

/** How a job ended. */
export interface JobEnd {
  /** Bytes moved. */
  readonly moved: number;
  /** "done": all of them; "end": the input ended before; else a negative error number. */
  readonly outcome: "done" | "end" | number;
}

/** A job of the pump. While one runs the process stays alive. */
export interface Job {
  /** Never rejects; never settles after `stop`. */
  readonly done: Promise<JobEnd>;
  /** Bytes moved so far. */
  moved(): number;
  /** Ends it; what it moved stays moved. True when it moved any bytes, or may move some yet. */
  stop(): boolean;
}
