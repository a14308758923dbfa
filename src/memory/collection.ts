import { native } from "../../ffi/load.ts";
import type { Collection } from "../../ffi/native.ts";

let known: ((how: Collection) => void) | undefined | null = null;

/**
 * Has the runtime collect garbage: `now`, `giving back` what is free to the system too, or `soon` beside the program where
 * it can. Undefined where the runtime does so in time by itself, or has no such collection.
 */
export function collector(how: Collection): (() => void) | undefined {
  const { collects } = native();
  if (collects === "never" || (how !== "now" && collects === "now")) return undefined;
  if (known === null) known = native().findCollector();
  const collect = known;
  return collect === undefined ? undefined : () => collect(how);
}
