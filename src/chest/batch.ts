import { LimitError } from "../errors.ts";
import { type Core, type Found, NOTHING, type Prepared, type SetOptions } from "./core.ts";
import type { Key } from "./keys.ts";

/** So many entries may be in memory when a batch is applied. */
const MOST_ENTRIES: number = 2 ** 24;

/** Changes that `batch` collects. */
export interface Batch<K, V> {
  /** Sets a key when the batch is applied. */
  set(key: K, value: V, options?: SetOptions): this;
  /** Removes a key when the batch is applied. */
  delete(key: K): this;
}

type Step<K, V> = Prepared<K, V> | { readonly removed: K };

/** Collects changes and makes all of them with no commit in between; none when one of them cannot be. */
export function applyBatch<K extends Key, V>(core: Core<K, V>, fill: (batch: Batch<K, V>) => void): void {
  const steps: Step<K, V>[] = [];
  const batch: Batch<K, V> = {
    set: (key, value, options) => {
      steps.push(core.prepare(key, value, options));
      return batch;
    },
    delete: (key) => {
      core.key.set(key);
      steps.push({ removed: core.keep(key) });
      return batch;
    },
  };
  fill(batch);
  core.writable();
  const foreseen = foresee(core, steps);
  const removed = new Set<string>();
  core.inBatch = true;
  try {
    for (const [i, step] of steps.entries()) {
      const isRemoval = "removed" in step;
      const key = isRemoval ? step.removed : step.key;
      const name = isRemoval || removed.size > 0 ? core.key.set(key).text() : "";
      const found = removed.has(name) ? NOTHING : foreseen[i]!;
      if (isRemoval) {
        core.remove(key, found);
        removed.add(name);
      } else core.place(step.key, step.value, step.expires, step.tags, step.weight, found);
    }
  } finally {
    core.inBatch = false;
  }
  core.afterChange();
}

/** Does all that may fail: values are only set in memory, and removals have room and know their places from here on. */
function foresee<K extends Key, V>(core: Core<K, V>, steps: readonly Step<K, V>[]): Found[] {
  const { memory, tier } = core;
  if (memory.size + steps.length > MOST_ENTRIES)
    throw new LimitError("batch", `a batch and what is in memory are more than ${MOST_ENTRIES} keys`);
  let removals = 0;
  let bytes = 0;
  const all = steps.map((step) => {
    const isRemoval = "removed" in step;
    const key = isRemoval ? step.removed : step.key;
    const found = core.foresee(key);
    /* What has a time to live is removed before it is set again. */
    if (found.position !== 0 && (isRemoval || step.expires !== 0 || found.expires !== 0)) {
      removals++;
      bytes += core.key.set(key).length;
    }
    return found;
  });
  if (removals > 0) tier.reserve?.(removals, bytes);
  return all;
}
