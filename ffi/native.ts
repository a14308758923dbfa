import type { Calls } from "./symbols.ts";

/** Which foreign function interface carries the calls. */
export type BackendName = "bun-ffi" | "deno-ffi" | "koffi" | "node-ffi";

/** A descriptor whose bytes the event loop delivers. It holds the process alive only after `ref`. */
export interface Watch {
  ref(): void;
  unref(): void;
  close(): void;
}

/** Beside the program, at once, or at once with all free memory given back to the system. */
export type Collection = "soon" | "now" | "giving back";

/** The C library as one runtime sees it. Four backends make this shape; nothing above `ffi/` knows which. */
export interface Native {
  readonly backend: BackendName;
  /** Name and version of the runtime, such as "bun 1.4.5". */
  readonly runtime: string;
  /** Where the library was loaded from. */
  readonly libraryPath: string;
  /** The C functions; each returns a value `>= 0` or `-errno`. */
  readonly calls: Calls;
  /** Longest ArrayBuffer that `buffer` can make, in bytes. */
  readonly longestBuffer: number;
  /** True when a call with a buffer argument costs less than making a typed-array view. */
  readonly cheapBufferCalls: boolean;
  /** Bytes from which on a checksum costs less as a call than in JavaScript. */
  readonly checksumFrom: number;
  /**
   * Which collections of garbage are worth asking for: `both` where mapped memory puts off those of small objects too,
   * `now` where large arrays alone pile up while a program does not return to its event loop.
   */
  readonly collects: "both" | "now" | "never";
  /** What collects garbage; undefined where that is not allowed. */
  findCollector(): ((how: Collection) => void) | undefined;
  /**
   * True where compiled `Atomics.load` writes to memory (JavaScriptCore adds 0), which a read-only mapping does not
   * survive.
   */
  readonly atomicLoadsWrite: boolean;
  /**
   * An ArrayBuffer over `length` bytes of memory at `address`, without a copy. The memory is not owned: nothing is
   * freed when the buffer is collected.
   */
  buffer(address: number, length: number): ArrayBuffer;
  /**
   * Delivers what arrives at a connected stream socket, which is closed with the watch. Does not keep the process alive
   * at first.
   */
  watch(fd: number, onData: (bytes: Uint8Array) => void): Watch;
  /** Whether the runtime's own permissions allow the path, for calls that do not go through the runtime. */
  permits(access: "read" | "write", path: string): boolean;
}
