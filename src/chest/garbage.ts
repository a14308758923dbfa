import { builtin } from "../builtins.ts";
import { collector } from "../memory/collection.ts";

/** So many bytes may pile up in any case. */
const LEAST: number = 32 * 2 ** 20;
/** Otherwise this part of the heap: where much is alive, a collection costs much. */
const PART = 3;

/**
 * Bun counts mapped memory as its heap's, and collects no earlier than as much garbage has piled up as its heap is
 * large: with a large chest mapped, hundreds of MiB. There this asks for a collection beside the program whenever much
 * may have become garbage. The other runtimes need no help.
 */
export class Garbage {
  #made = 0;
  #limit: number = LEAST;
  readonly #collect: (() => void) | undefined = collector("soon");

  constructor() {
    if (this.#collect === undefined) this.#limit = Number.POSITIVE_INFINITY;
  }

  /** So many bytes may be garbage soon. */
  add(bytes: number): void {
    this.#made += bytes;
    if (this.#made >= this.#limit) this.#look();
  }

  #look(): void {
    const { heapTotal } = builtin("process").memoryUsage();
    this.#limit = Math.max(LEAST, heapTotal / PART);
    if (this.#made < this.#limit) return;
    this.#made = 0;
    this.#collect?.();
  }
}
