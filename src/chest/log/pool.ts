import { LimitError } from "../../errors.ts";
import { systemLimit } from "../../memory/system.ts";

/** What a pool needs to know of what it keeps open. */
interface Sleeper {
  /** When it was used last, as `Pool.now` counts. */
  readonly used: number;
  /** Everything written to it is on the disk. */
  readonly synced: boolean;
  /** Nothing depends on its being open. */
  readonly isIdle: boolean;
  sync(): void;
  /** Closes it until it is used again. */
  rest(): void;
}

/** So many stay open: a log may have more segments than the process may have descriptors. */
const MOST_OPEN = 256;
/** That part of the process's descriptors may be in use where what rests may be gone when it is needed. */
const HELD_PART = 1 / 2;
/** Those used last stay open: somebody may be looking at their bytes. */
const KEPT_OPEN = 8;

/** Keeps only some of the segments open, those that were used last. */
export class Pool {
  /** Counts uses. */
  static now = 0;
  #awake: Set<Sleeper> = new Set();
  #holds = 0;
  #mostOpen = MOST_OPEN;
  /** What is written must be on the disk some time. */
  readonly syncs: boolean;
  #onSyncFailed: (error: unknown) => void;

  /** `sync`: what was written must be on the disk before it rests, because nobody will sync it later. */
  constructor(sync: boolean, onSyncFailed: (error: unknown) => void) {
    this.syncs = sync;
    this.#onSyncFailed = onSyncFailed;
  }

  /** To be called before one is opened. */
  makeRoom(): void {
    if (this.#awake.size >= this.#mostOpen) this.rest();
  }

  /** Until `letGo` more stay open: what another process removes can be read only as long as it is open. */
  hold(): void {
    if (this.#holds++ > 0) return;
    this.#mostOpen = Math.max(MOST_OPEN, (systemLimit("descriptors") ?? 0) * HELD_PART);
  }

  letGo(): void {
    if (--this.#holds === 0) this.#mostOpen = MOST_OPEN;
  }

  add(sleeper: Sleeper): void {
    this.#awake.add(sleeper);
  }

  delete(sleeper: Sleeper): void {
    this.#awake.delete(sleeper);
  }

  /** Opens something; when there is no descriptor left for it, others rest first. */
  withRoom<T>(open: () => T): T {
    try {
      return open();
    } catch (error) {
      if (!(error instanceof LimitError) || this.rest() === 0) throw error;
      return open();
    }
  }

  /** Closes half of those that nobody needs, those unused for longest; returns how many. */
  rest(): number {
    const idle = [...this.#awake].filter(({ isIdle }) => isIdle).sort((a, b) => b.used - a.used);
    const closing = idle.slice(KEPT_OPEN + Math.floor(Math.max(0, idle.length - KEPT_OPEN) / 2));
    for (const sleeper of closing) {
      if (this.syncs && !sleeper.synced) {
        try {
          sleeper.sync();
        } catch (error) {
          this.#onSyncFailed(error);
          throw error;
        }
      }
      sleeper.rest();
    }
    return closing.length;
  }
}
