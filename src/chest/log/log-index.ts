import { LimitError } from "../../errors.ts";
import { removeTemporary } from "../temporary.ts";
import type { MappedMemory } from "./mapped.ts";
import type { Identity } from "./segment.ts";
import type { IsMatch, Table } from "./table.ts";

export const FIRST_PAGES = 4;
/** That part of what may be mapped may be taken to remember which keys are not there. */
const SPARE: number = 1 / 4;

/** The table that holds now, replaced by a larger one when it is full. */
export class LogIndex {
  table: Table;
  #folder: string;
  #identity: Identity;
  #mapped: MappedMemory;
  #onGrown: (table: Table, before: Table) => void;
  /** A reader's own, where the chest has none to be trusted. */
  #isPrivate: boolean;

  /** `onGrown` is told of the new table before the old one goes. */
  constructor(
    table: Table,
    folder: string,
    identity: Identity,
    mapped: MappedMemory,
    onGrown: (table: Table, before: Table) => void,
    isPrivate = false,
  ) {
    this.table = table;
    this.#folder = folder;
    this.#identity = identity;
    this.#mapped = mapped;
    this.#onGrown = onGrown;
    this.#isPrivate = isPrivate;
  }

  get isPrivate(): boolean {
    return this.#isPrivate;
  }

  find(h1: number, tag: number, isMatch: IsMatch): number {
    const { table } = this;
    if (table.bytes > this.#mapped.allowed) {
      const found = table.findUnmapped(h1, tag, isMatch, this.#mapped.allowed * SPARE);
      if (found !== undefined) return found;
    }
    const more = table.touch(h1);
    if (more !== 0) this.#mapped.touch(more);
    return table.find(h1, tag, isMatch);
  }

  /** Makes room for so many more keys. */
  reserve(keys: number): void {
    if (!this.table.hasRoom(keys)) this.#grow(this.table.count + keys);
  }

  put(h1: number, tag: number, position: number, before: number): void {
    const more = this.table.touch(h1);
    if (more !== 0) this.#mapped.touch(more);
    if (this.table.put(h1, tag, position, before)) return;
    this.#grow(this.table.count + 1);
    if (!this.table.put(h1, tag, position, before))
      throw new LimitError("index", `the index of ${this.#folder} is full`);
  }

  remove(h1: number, tag: number, before: number): void {
    this.table.remove(h1, tag, before);
  }

  #grow(keys: number): void {
    const before = this.table;
    /* Both are gone through, which takes memory of its own. */
    if (before.bytes > this.#mapped.allowed / 4) this.#mapped.trim();
    this.table = before.grow(this.#folder, this.#identity, keys);
    this.#onGrown(this.table, before);
    before.discard();
  }

  close(): void {
    this.table.close();
    if (this.#isPrivate) removeTemporary(this.#folder);
  }
}
