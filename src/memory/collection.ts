import { native } from "../../ffi/load.ts";

let known: ((now: boolean) => void) | undefined | null = null;

/**
 * Has the runtime collect garbage: at once, or `soon` beside the program where it can. Undefined where the runtime does
 * so in time by itself.
 */
export function collector(when: "now" | "soon"): (() => void) | undefined {
  const { collects } = native();
  if (collects === "never" || (when === "soon" && collects === "now")) return undefined;
  if (known === null) known = native().findCollector();
  const collect = known;
  return collect === undefined ? undefined : () => collect(when === "now");
}
