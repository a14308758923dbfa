import type { PendingWait } from "../memory/waiter.ts";
import type { Words } from "../memory/words.ts";
import type { EventCount } from "./eventcount.ts";

/**
 * How a reader waits for the next frame: it watches the word that every publication changes, and sleeps on an event
 * count. Where there is none (it only observes, or the server is SHMX's and wakes nobody) the word is looked at every ms.
 */
export class Sleeper {
  #count: EventCount | undefined;
  #words: Words;
  #offset: number;

  /** @param offset of the word in `words`. */
  constructor(count: EventCount | undefined, words: Words, offset: number) {
    this.#count = count;
    this.#words = words;
    this.#offset = offset;
  }

  /** Spins while the word is `seen`. */
  spin(seen: number, ns: number): void {
    this.#words.waitSync(this.#offset, seen, ns, ns);
  }

  /** Says that it will sleep; returns the value that `sleep` needs. */
  prepare(): number {
    return this.#count?.prepare() ?? 0;
  }

  /** Sleeps with the thread blocked. */
  sleepSync(value: number, seen: number, ns: number): void {
    if (this.#count !== undefined) this.#count.sleep(value, 0, ns);
    else this.#words.waitSync(this.#offset, seen, 0, ns, true);
  }

  /** Sleeps with the event loop free. */
  sleep(value: number, seen: number, ms: number, keepAlive: boolean): PendingWait {
    if (this.#count !== undefined) return this.#count.wait(value, ms, keepAlive);
    return this.#words.wait(this.#offset, seen, ms, keepAlive, true);
  }
}
