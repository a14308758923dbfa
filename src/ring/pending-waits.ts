import type { PendingWait } from "../memory/waiter.ts";

/** The waits of one reader or server that have not ended; all end when it is closed. */
export class PendingWaits {
  #all = new Set<PendingWait>();

  /** Remembers a wait that an abort cancels. Call what it returns once the wait is done: it throws the signal's reason. */
  begin(wait: PendingWait, signal: AbortSignal | undefined): () => void {
    this.#all.add(wait);
    if (signal === undefined) return () => void this.#all.delete(wait);
    const abort = () => wait.cancel();
    signal.addEventListener("abort", abort, { once: true });
    return () => {
      this.#all.delete(wait);
      signal.removeEventListener("abort", abort);
      signal.throwIfAborted();
    };
  }

  cancel(): void {
    for (const wait of this.#all) wait.cancel();
    this.#all.clear();
  }
}
