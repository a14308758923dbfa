import { elementsOf } from "./codec/codec.ts";
import type { Core } from "./core.ts";
import type { Key } from "./keys.ts";

/** A value that stays where it is until `release`. */
export class ChestLease<V> implements Disposable {
  /** The value; a typed array in the mapped file where the chest could give one. */
  readonly value: V;
  #release: (() => void) | undefined;

  constructor(value: V, release: () => void) {
    this.value = value;
    this.#release = release;
  }

  /** True after `release`. */
  get released(): boolean {
    return this.#release === undefined;
  }

  /** Ends the lease. May be called twice. */
  release(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** A lease of a key's value: the very one in memory, or where it lies in the mapped file. Undefined when there is no such key. */
export function lease<K extends Key, V>(core: Core<K, V>, key: K): ChestLease<V> | undefined {
  const entry = core.find(key);
  if (entry !== undefined) {
    core.counters.hits++;
    core.memory.policy.touch(entry);
    entry.pins++;
    return new ChestLease(entry.value as V, () => {
      entry.pins--;
      if (!core.closed) core.spiller.makeRoom(false);
    });
  }
  const found = core.steadily(() => {
    const position = core.locateLive(key);
    return position === 0 ? null : core.tier.lease(position);
  });
  if (found === null) return undefined;
  const kind = found && elementsOf(found.format);
  if (found === undefined || kind === undefined) {
    found?.lease.release();
    const value = core.get(key, true) as V;
    /* A reader may have been told of its removal just now. */
    if (value === undefined && core.readOnly && !core.has(key)) return undefined;
    return new ChestLease(value, () => {});
  }
  core.counters.misses++;
  const { bytes } = found.lease;
  core.counters.bytesRead += bytes.length;
  const value = kind.over(bytes.buffer, bytes.byteOffset, bytes.length / kind.size) as V;
  return new ChestLease(value, () => found.lease.release());
}
