/** A value that stays where it is until `release`. */
export class ChestLease<V> implements Disposable {
  /** The value; a typed array in the mapped file where the chest could give one. */
  readonly value: V;
  #release: (() => void) | undefined;

  constructor(value: V, release: () => void) {
    this.value = value;
    this.#release = release;
  }

  /** True after `release`. */
  get released(): boolean {
    return this.#release === undefined;
  }

  /** Ends the lease. May be called twice. */
  release(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
