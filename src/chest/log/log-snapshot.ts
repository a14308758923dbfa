import type { KeyBytes } from "../keys.ts";
import type { StoredValue } from "../tier.ts";
import type { IsMatch, Table } from "./table.ts";

interface Source {
  read(position: number): StoredValue;
  keyAt(position: number, key: KeyBytes): boolean;
  look(key: KeyBytes): void;
  readonly isMatch: IsMatch;
  settle(found: number): number;
}

/** The index as it was at one moment, over segments that stay while it is open. */
export class LogSnapshot {
  readonly count: number;
  #source: Source;
  #table: Table;
  #onClose: () => void;

  constructor(source: Source, table: Table, onClose: () => void) {
    this.count = table.count;
    this.#source = source;
    this.#table = table;
    this.#onClose = onClose;
  }

  find(key: KeyBytes): number {
    this.#source.look(key);
    return this.#source.settle(this.#table.find(key.h1, key.tag, this.#source.isMatch));
  }

  read(position: number): StoredValue {
    return this.#source.read(position);
  }

  keyAt(position: number, key: KeyBytes): void {
    this.#source.keyAt(position, key);
  }

  positions(): IterableIterator<number> {
    const all: number[] = [];
    this.#table.forEachSlot((_h1, _tag, position) => all.push(position));
    return all[Symbol.iterator]();
  }

  close(): void {
    this.#table.discard();
    this.#onClose();
  }
}
