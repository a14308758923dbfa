import type { Core, SetOptions } from "./core.ts";
import type { Key } from "./keys.ts";

/** Changes that `batch` collects. */
export interface Batch<K, V> {
  /** Sets a key when the batch is applied. */
  set(key: K, value: V, options?: SetOptions): this;
  /** Removes a key when the batch is applied. */
  delete(key: K): this;
}

/** Collects changes and makes all of them with no commit in between; none when one of them cannot be. */
export function applyBatch<K extends Key, V>(core: Core<K, V>, fill: (batch: Batch<K, V>) => void): void {
  const steps: (() => void)[] = [];
  const batch: Batch<K, V> = {
    set: (key, value, options) => {
      core.check(key, value, options);
      core.coder.encode(value);
      core.key.set(key);
      steps.push(() => core.put(key, value, options));
      return batch;
    },
    delete: (key) => {
      core.key.set(key);
      steps.push(() => core.remove(key));
      return batch;
    },
  };
  fill(batch);
  core.inBatch = true;
  try {
    for (const step of steps) step();
  } finally {
    core.inBatch = false;
  }
  core.afterChange();
}
