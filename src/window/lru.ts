import { Order } from "./order.ts";
import type { EvictionPolicy } from "./policy.ts";

/** Evicts the window that was not used for longest. */
export class LruPolicy implements EvictionPolicy {
  /** Name of the policy. */
  readonly name: string = "lru";
  #order = new Order();

  /** A window became resident. */
  insert(id: number): void {
    this.#order.pushFront(id);
  }

  /** A resident window was used. */
  hit(id: number): void {
    this.#order.toFront(id);
  }

  /** A window is no longer resident. */
  remove(id: number): void {
    this.#order.remove(id);
  }

  /** The window to evict next, -1 when none is left. */
  victim(pinned: (id: number) => boolean): number {
    for (let left = this.#order.size; left > 0; left--) {
      const id = this.#order.tail;
      if (!pinned(id)) return id;
      this.#order.toFront(id);
    }
    return -1;
  }

  /** The victim was spared. */
  spare(_id: number): void {
    /* Its turn stays: the next newcomer is measured against it too. */
  }
}
