/** Looks from time to time whether anybody has committed. */
export class CommitWatch {
  readonly #newest: () => number;
  readonly #timers = new Set<ReturnType<typeof setInterval>>();

  /** @param newest number of the newest transaction of anybody. */
  constructor(newest: () => number) {
    this.#newest = newest;
  }

  /** Calls back with each new one that it sees, every `interval` milliseconds; returns what ends it. */
  start(listener: (txid: number) => void, interval: number): () => void {
    let known = this.#newest();
    const timer = setInterval(() => {
      const now = this.#newest();
      if (now === known) return;
      known = now;
      listener(now);
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
