/** What is being made: who asks for the same while it is gets that one. */
export class Memo<V> {
  readonly #pending: Map<unknown, Promise<V>> = new Map();

  /** What `make` resolves to, or the one that is being made under this name. */
  async make(name: unknown, make: () => Promise<V>): Promise<V> {
    const pending = this.#pending.get(name);
    if (pending !== undefined) return pending;
    const made = make();
    this.#pending.set(name, made);
    try {
      return await made;
    } finally {
      this.#pending.delete(name);
    }
  }
}
