import { ClosedError } from "../errors.ts";
import type { ValueCoder } from "./codec/codec.ts";
import { decodeKey, type Key, KeyBytes } from "./keys.ts";
import type { LogSnapshot } from "./log/log-snapshot.ts";
import type { LogStore } from "./log/store.ts";

/** A chest as it was at one moment; to be closed, because what it sees cannot be compacted away meanwhile. */
export class ChestSnapshot<K extends Key, V> implements Disposable {
  /** Keys that there were. */
  readonly size: number;
  #view: LogSnapshot | undefined;
  #coder: ValueCoder;
  #key: KeyBytes;

  constructor(store: LogStore, coder: ValueCoder) {
    this.#view = store.snapshot();
    this.#coder = coder;
    this.#key = new KeyBytes(store.identity.seed);
    this.size = this.#view.count;
  }

  #live(): LogSnapshot {
    if (this.#view === undefined) throw new ClosedError("the snapshot");
    return this.#view;
  }

  /** The value that a key had, undefined when there was none. */
  get(key: K): V | undefined {
    const view = this.#live();
    const position = view.find(this.#key.set(key));
    return position === 0 ? undefined : this.#valueAt(view, position);
  }

  /** Whether there was such a key. */
  has(key: K): boolean {
    return this.#live().find(this.#key.set(key)) !== 0;
  }

  #valueAt(view: LogSnapshot, position: number): V {
    const { format, bytes, start, end } = view.read(position);
    return this.#coder.decode(format, bytes, start, end) as V;
  }

  /** In no particular order. */
  *entries(): IterableIterator<[K, V]> {
    for (const position of this.#live().positions()) {
      const view = this.#live();
      /* First the value: that looks whether the record is whole, and so its key. */
      const value = this.#valueAt(view, position);
      view.keyAt(position, this.#key);
      yield [decodeKey(this.#key.bytes, 0, this.#key.length) as K, value];
    }
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries();
  }

  /** Lets go of what it sees. May be called twice. */
  close(): void {
    this.#view?.close();
    this.#view = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
