/** Transactions that follow one another. */
export class TxRange {
  #first = 0;
  #last = -1;

  /** Adds [first, last]. What it does not continue is forgotten. */
  add(first: number, last: number = first): void {
    if (first !== this.#last + 1) this.#first = first;
    this.#last = last;
  }

  /** Whether all of [first, last] are in it. */
  has(first: number, last: number): boolean {
    return this.#first <= first && last <= this.#last;
  }

  clear(): void {
    this.#first = 0;
    this.#last = -1;
  }
}
