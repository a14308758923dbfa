/** A doubly linked list of small integers in typed arrays: no allocation per element, every operation O(1). */
export class Order {
  #next: Int32Array = new Int32Array(64).fill(-1);
  #previous: Int32Array = new Int32Array(64).fill(-1);
  #head = -1;
  #tail = -1;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The element that was put in front last, -1 when empty. */
  get head(): number {
    return this.#head;
  }

  /** The element at the other end, -1 when empty. */
  get tail(): number {
    return this.#tail;
  }

  /** The neighbour of `id` towards the head, -1 at the head. */
  towardsHead(id: number): number {
    return this.#previous[id] ?? -1;
  }

  #reserve(id: number): void {
    if (id < this.#next.length) return;
    const length = Math.max(id + 1, this.#next.length * 2);
    for (const name of ["next", "previous"] as const) {
      const grown = new Int32Array(length).fill(-1);
      grown.set(name === "next" ? this.#next : this.#previous);
      if (name === "next") this.#next = grown;
      else this.#previous = grown;
    }
  }

  /** Puts an element that is not in the list in front. */
  pushFront(id: number): void {
    this.#reserve(id);
    this.#previous[id] = -1;
    this.#next[id] = this.#head;
    if (this.#head >= 0) this.#previous[this.#head] = id;
    else this.#tail = id;
    this.#head = id;
    this.#size++;
  }

  /** Takes out an element that is in the list. */
  remove(id: number): void {
    const next = this.#next[id] ?? -1;
    const previous = this.#previous[id] ?? -1;
    if (previous >= 0) this.#next[previous] = next;
    else this.#head = next;
    if (next >= 0) this.#previous[next] = previous;
    else this.#tail = previous;
    this.#size--;
  }

  /** Moves an element of the list to the front. */
  toFront(id: number): void {
    if (id === this.#head) return;
    this.remove(id);
    this.pushFront(id);
  }
}
