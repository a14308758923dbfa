import { InvalidArgumentError } from "../errors.ts";
import { LruPolicy } from "./lru.ts";
import { SievePolicy } from "./sieve.ts";

/**
 * Chooses which resident window gives way. Windows are known by small integers, which are used again after `remove`.
 * Every function must take constant time (amortized over calls).
 */
export interface EvictionPolicy {
  /** Name of the policy. */
  readonly name: string;
  /** A window became resident. */
  insert(id: number): void;
  /** A resident window was used. */
  hit(id: number): void;
  /** A window is no longer resident. */
  remove(id: number): void;
  /**
   * The window to evict next, which stays until `remove`; -1 when none is left. A window for which `pinned` is true
   * must not be returned, and counts as used.
   */
  victim(pinned: (id: number) => boolean): number;
  /** The victim was spared: something in it is worth more than the newcomer. */
  spare(id: number): void;
}

/** How a manager gets its policy: by name, or from a function that makes one. */
export type PolicyChoice = "sieve" | "lru" | (() => EvictionPolicy);

/** @throws {InvalidArgumentError} when there is no policy of that name. */
export function makePolicy(choice: PolicyChoice): EvictionPolicy {
  if (typeof choice === "function") return choice();
  if (choice === "sieve") return new SievePolicy();
  if (choice === "lru") return new LruPolicy();
  throw new InvalidArgumentError(`policy must be "sieve", "lru" or a function, not ${String(choice)}`);
}
