/** What the timer asks of its store. */
interface SpillHost {
  /** What becomes of the transaction; undefined when there is none. */
  readonly transactionState: "active" | "committing" | "committed" | "aborted" | undefined;
  /** Bytes of changed pages in memory. */
  changedBytes(): number;
  /** Moves up to `most` bytes of them to the disk; how many it did. */
  spillSome(most: number): number;
}

/** What is spilled in one go: other work of the thread waits that long. */
const SLICE: number = 2 ** 26;

/** A store that was forgotten in a transaction is collected all the same. */
function later(timer: WeakRef<SpillTimer>, delay: number): ReturnType<typeof setTimeout> {
  return setTimeout(() => timer.deref()?.look(), delay);
}

/**
 * Looks from time to time whether a transaction has changed more than `limit` bytes, and spills half of it. It runs only
 * while there are transactions, and keeps no process alive.
 */
export class SpillTimer {
  readonly #host: SpillHost;
  readonly #interval: number;
  readonly #limit: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Down to half of the limit. */
  #spilling = false;

  constructor(host: SpillHost, interval: number, limit: number) {
    this.#host = host;
    this.#interval = interval;
    this.#limit = limit;
  }

  /** A transaction begins. */
  start(): void {
    if (this.#timer === undefined && this.#interval > 0) this.#arm(this.#interval);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(delay: number): void {
    this.#timer = later(new WeakRef(this), delay);
    (this.#timer as { unref?: () => void }).unref?.();
  }

  /** Its time has come. */
  look(): void {
    this.#timer = undefined;
    const state = this.#host.transactionState;
    if (state === undefined) this.#spilling = false;
    else {
      /* A commit has noted already what it is to write. */
      this.#spilling = state === "active" && this.#slice();
      this.#arm(this.#spilling ? 0 : this.#interval);
    }
  }

  /** Whether there is more to spill. */
  #slice(): boolean {
    try {
      if (this.#host.changedBytes() <= (this.#spilling ? this.#limit / 2 : this.#limit)) return false;
      return this.#host.spillSome(SLICE) > 0;
    } catch {
      /* The pages stay in memory; what is wrong with the disk is told by calls that somebody waits for. */
      return false;
    }
  }
}
