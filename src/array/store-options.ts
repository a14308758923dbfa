import type { DType } from "./dtype.ts";
import type { Durability } from "./engine.ts";
import type { PageLogOptions } from "./page-log-options.ts";

/** How a store is opened. */
export interface StoreOptions extends PageLogOptions {
  /**
   * A named snapshot: the store is opened for reading, as it was when `keepSnapshot` pinned it, and stays so whatever is
   * committed, also when the name is dropped meanwhile.
   */
  at?: string;
  /** "full": a commit waits for the disk, once. "none": the next durable commit makes it durable. Default "full". */
  durability?: Durability;
  /** Bytes of address space kept free for an array to grow into. Default: its size again, at least 64 GiB. */
  reserve?: number;
  /** Bytes changed in a transaction, above which pages are spilled to the disk. Default 1 GiB. */
  spillBytes?: number;
  /**
   * Milliseconds between looks whether a running transaction has changed more than that, 0 for none; bulk calls look for
   * themselves. What an asynchronous call writes to a changed page in the moment of a spill may be lost: 0 is for who
   * reads files into views that way, over pages already changed. Default 1000, where the system has PAGEMAP_SCAN; else 0.
   */
  spillInterval?: number;
}

/** What a new array is. */
export interface ArrayOptions<D extends DType> {
  /** Type of its elements. */
  dtype: D;
  /** Elements per axis, or of the only one. */
  shape: number | readonly number[];
  /** Default "C". */
  order?: "C" | "F";
  /** Records of so many bytes: the array gets one more axis of that length; with dtype "u8". */
  record?: number;
  /** Kept with the array, as JSON. */
  attributes?: Readonly<Record<string, unknown>>;
}
