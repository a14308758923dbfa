import type { Piece } from "../memory/buffer-set.ts";
import type { Backing } from "./big-array.ts";
import type { ArrayInfo } from "./catalogue.ts";
import type { DType } from "./dtype.ts";
import type { LayeredView } from "./layered-view.ts";

/** What an array asks of its store. */
interface StoreHost {
  readonly folder: string;
  info(id: number, name: string): ArrayInfo;
  memory(id: number): LayeredView;
  fetch(id: number, offset: number, length: number): Promise<void>;
  resize(id: number, name: string, shape: readonly number[]): void;
  checkWhole(id: number): void;
  wrote(bytes: number): void;
  checkWritable(): void;
  bulk(id: number, offset: number, length: number, block: (at: number) => Uint8Array): { from: number; to: number };
}

/** An array of a store, as `BigArray` sees it. */
export class StoreBacking implements Backing {
  readonly name: string;
  readonly dtype: DType;
  readonly order: "C" | "F";
  readonly id: number;
  readonly #store: StoreHost;

  constructor(store: StoreHost, info: ArrayInfo) {
    this.#store = store;
    this.id = info.id;
    this.name = info.name;
    this.dtype = info.dtype as DType;
    this.order = info.order;
  }

  shape(): readonly number[] {
    return this.#store.info(this.id, this.name).shape;
  }

  piece(offset: number, length: number): Piece {
    this.#store.info(this.id, this.name);
    this.#store.checkWhole(this.id);
    const memory = this.#store.memory(this.id);
    memory.exposed = Math.max(memory.exposed, offset + length);
    return memory.view.piece(offset, length);
  }

  fetch(offset: number, length: number): Promise<void> {
    this.#store.info(this.id, this.name);
    return this.#store.fetch(this.id, offset, length);
  }

  resize(shape: readonly number[]): void {
    this.#store.resize(this.id, this.name, shape);
  }

  bulk(offset: number, length: number, block: (at: number) => Uint8Array): { from: number; to: number } {
    return this.#store.bulk(this.id, offset, length, block);
  }

  checkWritable(): void {
    this.#store.checkWritable();
  }

  wrote(bytes: number): void {
    this.#store.wrote(bytes);
  }

  reference(): { store: string; name: string } {
    return { store: this.#store.folder, name: this.name };
  }
}
