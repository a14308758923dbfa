import { builtin } from "../src/builtins.ts";

/** V8's own collection, which a flag makes callable; undefined where that is not allowed. */
export function findCollector(): (() => void) | undefined {
  try {
    builtin("v8").setFlagsFromString("--expose-gc");
    const gc: unknown = builtin("vm").runInNewContext("gc");
    return typeof gc === "function" ? () => gc() : undefined;
  } catch {
    return undefined;
  }
}
