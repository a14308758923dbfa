import { NotFoundError } from "../errors.ts";
import type { BigArray } from "./big-array.ts";
import type { ArrayInfo } from "./catalogue.ts";
import type { Changes } from "./changes.ts";
import type { ArrayEngine } from "./engine.ts";

/** The arrays that a connection sees: those of its snapshot, as its transaction has changed them; and which are in use. */
export class OpenArrays {
  readonly #engine: ArrayEngine;
  readonly #changes: Changes;
  readonly #used = new Map<number, BigArray>();

  constructor(engine: ArrayEngine, changes: Changes) {
    this.#engine = engine;
    this.#changes = changes;
  }

  /** An array as the snapshot has it. */
  atSnapshot(id: number): ArrayInfo | undefined {
    return this.#engine.catalogue.arrays.find((info) => info.id === id);
  }

  /** An array as the transaction has it; undefined when it was dropped. */
  find(id: number): ArrayInfo | undefined {
    return this.#changes.dropped.has(id) ? undefined : (this.#changes.infos.get(id) ?? this.atSnapshot(id));
  }

  /** All of them, as the transaction has them. */
  all(): ArrayInfo[] {
    const byId = new Map(this.#engine.catalogue.arrays.map((info) => [info.id, info]));
    for (const [id, info] of this.#changes.infos) byId.set(id, info);
    for (const id of this.#changes.dropped) byId.delete(id);
    return [...byId.values()];
  }

  /** @throws {NotFoundError} when there is none of that name. */
  named(name: string): ArrayInfo {
    const info = this.all().find((each) => each.name === name);
    if (info === undefined) throw new NotFoundError(`array "${name}" in ${this.#engine.folder}`);
    return info;
  }

  /** A number for a new array. */
  newId(): number {
    const own = [...this.#changes.infos.keys()].map((each) => each + 1);
    return this.#engine.reserve(Math.max(this.#engine.catalogue.nextId, ...own));
  }

  /** Numbers of those in use: only they can have changed pages. */
  get used(): number[] {
    return [...this.#used.keys()];
  }

  /** The one object of an array in this connection. */
  use(id: number, make: () => BigArray): BigArray {
    const array = this.#used.get(id) ?? make();
    this.#used.set(id, array);
    return array;
  }

  /** An array that is no more: its memory goes, and views of it have length 0. */
  forget(id: number): void {
    this.#engine.forget(id);
    this.#used.delete(id);
  }
}
