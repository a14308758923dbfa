import { ClosedError } from "../../errors.ts";
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
  #isClosed = false;

  constructor(source: Source, table: Table, onClose: () => void) {
    this.count = table.count;
    this.#source = source;
    this.#table = table;
    this.#onClose = onClose;
  }

  #live(): void {
    if (this.#isClosed) throw new ClosedError("the snapshot");
  }

  find(key: KeyBytes): number {
    this.#live();
    this.#source.look(key);
    return this.#source.settle(this.#table.find(key.h1, key.tag, this.#source.isMatch));
  }

  read(position: number): StoredValue {
    this.#live();
    return this.#source.read(position);
  }

  keyAt(position: number, key: KeyBytes): void {
    this.#live();
    this.#source.keyAt(position, key);
  }

  positions(): IterableIterator<number> {
    this.#live();
    const all: number[] = [];
    this.#table.forEachSlot((_h1, _tag, position) => all.push(position));
    return all[Symbol.iterator]();
  }

  /** May be called twice. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#table.discard();
    this.#onClose();
  }
}
