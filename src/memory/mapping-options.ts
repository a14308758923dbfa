import type { DataFileHandle } from "./data-file.ts";

/**
 * What may be done through a mapping: `read`; `write`, seen by everybody who has the file; `private`, copied on the
 * first write of each page and seen by nobody else.
 */
export type Access = "read" | "write" | "private";

/** How a file is mapped. */
export interface MapOptions {
  /** Default "read". */
  access?: Access;
  /** First byte of the file to map, any integer. Default 0. */
  offset?: number;
  /** Bytes to map. Default: to the end of the file. With access "write" the file grows to hold them. */
  length?: number;
  /**
   * With access "write": give the range blocks on disk first, so that a full disk is an error here and not later.
   * Default true; false keeps the holes of a sparse file.
   */
  allocate?: boolean;
}

/** How a shared memory object is opened or created. */
export interface ObjectOptions {
  /** Create it: it must not exist yet. Default false. */
  create?: boolean;
  /** Bytes, when creating. */
  length?: number;
  /** Default "write" when creating, else "read". */
  access?: Access;
  /** Permission bits when creating. Default 0o600. */
  mode?: number;
}

/** A mapping as it travels to another thread of this process: a plain object. */
export interface MappingHandle {
  /** Tells it from other handles. */
  readonly kind: "outcore.mapping";
  /** The file behind it. */
  readonly file: DataFileHandle;
  /** What may be done through it. */
  readonly access: Access;
  /** Offset of the first byte in the file. */
  readonly offset: number;
  /** Bytes mapped. */
  readonly length: number;
}

/** What a mapping is made from. */
export interface Shape {
  readonly access: Access;
  readonly offset: number;
  readonly length: number;
  readonly quiet?: boolean;
  /** Growth makes a hole instead of taking room first. */
  readonly sparse?: boolean;
}

/** All kinds of access. */
export const accesses: readonly Access[] = ["read", "write", "private"];
