import { DiskFullError, NotFoundError } from "../errors.ts";
import { pageSize } from "../memory/page.ts";
import type { StoreFile } from "../memory/store-file.ts";
import type { Applier } from "./applier.ts";
import type { History } from "./history.ts";
import type { LayeredView } from "./layered-view.ts";
import type { LogRecord } from "./log.ts";
import { pagesBeside, placedRuns } from "./placed-runs.ts";
import type { SharedState } from "./shared-state.ts";

/** Pages of a commit that its own views still show out of private memory. */
interface Kept {
  readonly view: LayeredView;
  /** (start, length) in bytes. */
  readonly runs: Float64Array;
  /** Where they lie in the log. */
  readonly segment: StoreFile;
  readonly offset: number;
}

/**
 * Keeps those pages of the runs that do not hold what the file has from `offset` on, run after run: they were written to
 * since they were logged, and that is the next transaction's. What it returns puts them over what was laid meanwhile.
 */
export function keepWritten(view: LayeredView, runs: Float64Array, file: StoreFile, offset: number): () => void {
  const size = pageSize();
  const same = view.view.same(runs, runs.length / 2, file.file, offset);
  const own = pagesBeside(runs, same, size).map((at) => ({ at, bytes: view.view.bytes(at, size).slice() }));
  return () => {
    for (const { at, bytes } of own) view.view.bytes(at, size).set(bytes);
  };
}

/**
 * What a commit leaves for later: that the views of this connection show its pages out of files, and give the memory
 * back. It is done between transactions, and at the latest when the next one begins. What was written to a page after
 * the commit stays: it belongs to the next transaction.
 */
export class Settler {
  readonly #history: History;
  readonly #applier: Applier;
  readonly #shared: SharedState;
  #kept: Kept[] = [];
  #last = 0;

  constructor(history: History, applier: Applier, shared: SharedState) {
    this.#history = history;
    this.#applier = applier;
    this.#shared = shared;
  }

  /** Whether there is something to do. */
  get due(): boolean {
    return this.#kept.length > 0;
  }

  /** Images of one array in the newest record stay in the memory of its view for now. */
  keep(view: LayeredView, runs: Float64Array, record: LogRecord, body: number): void {
    const { log } = this.#history;
    const segment = log.segment(record.segment);
    if (segment === undefined) throw new NotFoundError(log.path(record.segment));
    const offset = record.offset + record.headBytes + body * log.pageSize;
    this.#kept.push({ view, runs, segment, offset });
    this.#last = record.txid;
  }

  /** Gives the pages back. `locked`: the commit lock is held, so that the home files may be written to. */
  settle(locked: boolean): void {
    if (!this.due) return;
    if (locked && this.#shared.applied < this.#last)
      try {
        this.#applier.apply(this.#applier.limit());
      } catch (error) {
        if (!(error instanceof DiskFullError)) throw error;
      }
    const home = this.#shared.applied >= this.#last;
    for (const kept of this.#kept.splice(0)) if (!kept.view.view.closed) this.#show(kept, home);
  }

  #show({ view, runs, segment, offset }: Kept, home: boolean): void {
    if (home && view.plain) {
      view.view.release(runs, runs.length / 2, segment.file, offset);
      return;
    }
    /* Under a page that was written to since, an abort must find what was committed. */
    const bringBack = keepWritten(view, runs, segment, offset);
    const triples = placedRuns(runs, runs.length / 2, { data: runs, count: runs.length / 2 }, offset);
    view.layRuns(Float64Array.from(triples), triples.length / 3, segment.file);
    bringBack();
  }
}
