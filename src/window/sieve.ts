import { Order } from "./order.ts";
import type { EvictionPolicy } from "./policy.ts";

/**
 * SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024): a first-in-first-out queue and
 * a hand that moves from its old end to its new one, clears the mark of every window used since the hand last passed
 * and stops at the first without one. A hit sets a mark and moves nothing.
 */
export class SievePolicy implements EvictionPolicy {
  /** Name of the policy. */
  readonly name: string = "sieve";
  #order = new Order();
  #used: Uint8Array = new Uint8Array(64);
  #hand = -1;

  /** A window became resident. */
  insert(id: number): void {
    if (id >= this.#used.length) {
      const grown = new Uint8Array(Math.max(id + 1, this.#used.length * 2));
      grown.set(this.#used);
      this.#used = grown;
    }
    this.#used[id] = 0;
    this.#order.pushFront(id);
  }

  /** A resident window was used. */
  hit(id: number): void {
    this.#used[id] = 1;
  }

  /** A window is no longer resident. */
  remove(id: number): void {
    if (id === this.#hand) this.#hand = this.#order.towardsHead(id);
    this.#order.remove(id);
  }

  /** The window to evict next, -1 when none is left. */
  victim(pinned: (id: number) => boolean): number {
    /* Two rounds clear every mark; a third would meet only pinned windows. */
    for (let left = 2 * this.#order.size + 1; left > 0; left--) {
      const id = this.#hand >= 0 ? this.#hand : this.#order.tail;
      if (id < 0) return -1;
      if (this.#used[id] === 0 && !pinned(id)) {
        this.#hand = id;
        return id;
      }
      this.#used[id] = 0;
      this.#hand = this.#order.towardsHead(id);
    }
    return -1;
  }

  /** The victim was spared. */
  spare(id: number): void {
    if (id === this.#hand) this.#hand = this.#order.towardsHead(id);
  }
}
