/** Looks from time to time whether anybody has committed. */
export class CommitWatch {
  readonly #newest: () => number;
  readonly #shown: () => number;
  readonly #timers = new Set<ReturnType<typeof setInterval>>();

  /** @param newest number of the newest transaction of anybody. @param shown of that which views show. */
  constructor(newest: () => number, shown: () => number) {
    this.#newest = newest;
    this.#shown = shown;
  }

  /** Calls back with each new one that it sees and views do not show, every `interval` milliseconds; returns what ends it. */
  start(listener: (txid: number) => void, interval: number): () => void {
    /* What somebody has committed since the views were brought up to date is told of too. */
    let known = this.#shown();
    const timer = setInterval(() => {
      const now = this.#newest();
      if (now === known) return;
      known = now;
      if (now !== this.#shown()) listener(now);
    }, interval);
    this.#timers.add(timer);
    return () => {
      clearInterval(timer);
      this.#timers.delete(timer);
    };
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers.clear();
  }
}
