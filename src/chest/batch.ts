import { LimitError } from "../errors.ts";
import type { Core, Prepared, SetOptions } from "./core.ts";
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
  foresee(core, steps);
  core.inBatch = true;
  try {
    for (const step of steps)
      if ("removed" in step) core.remove(step.removed);
      else core.place(step.key, step.value, step.expires, step.tags, step.weight);
  } finally {
    core.inBatch = false;
  }
  core.afterChange();
}

/** Does all that may fail: values are only set in memory, and keys are found and removals have room from here on. */
function foresee<K extends Key, V>(core: Core<K, V>, steps: readonly Step<K, V>[]): void {
  const { memory, tier } = core;
  if (memory.size + steps.length > MOST_ENTRIES)
    throw new LimitError("batch", `a batch and what is in memory are more than ${MOST_ENTRIES} keys`);
  let removals = 0;
  let bytes = 0;
  for (const step of steps) {
    const isRemoval = "removed" in step;
    const entry = memory.get(isRemoval ? step.removed : step.key);
    /* What has a time to live is removed before it is set again. */
    const mayRemove = isRemoval || step.expires !== 0 || (entry !== undefined && entry.expires !== 0);
    if (entry !== undefined && !mayRemove) continue;
    if (core.locate(isRemoval ? step.removed : step.key) === 0 || !mayRemove) continue;
    removals++;
    bytes += core.key.length;
  }
  if (removals > 0) tier.reserve?.(removals, bytes);
}
