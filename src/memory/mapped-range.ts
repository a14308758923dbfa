import { native } from "../../ffi/load.ts";
import { LimitError } from "../errors.ts";
import { ADVISE_DONTNEED } from "./advice.ts";
import { BufferSet } from "./buffer-set.ts";
import { check } from "./check.ts";
import { Guard } from "./guard.ts";
import type { LeakedRange } from "./leaks.ts";

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_ANONYMOUS = 4;

const SHARED_MAPS = 0;
const SHARED_BURIED = 1;
const SHARED_BYTES = 256;
const LIMIT_MAPS = 3;

let shared: Int32Array | undefined;
let mostMaps = 0;

function counters(): Int32Array {
  if (shared === undefined) {
    const { calls, buffer } = native();
    shared = new Int32Array(buffer(calls.oc_shared(), SHARED_BYTES));
    const maps = calls.oc_limit(LIMIT_MAPS);
    mostMaps = maps > 0 ? Math.floor(maps / 4) : 16384;
  }
  return shared;
}

/** Mappings that the process holds through this library, and buried address space in MiB; of all threads. */
export function processCounts(): { maps: number; mostMaps: number; buriedMiB: number } {
  const words = counters();
  return {
    maps: Atomics.load(words, SHARED_MAPS),
    mostMaps,
    buriedMiB: Atomics.load(words, SHARED_BURIED),
  };
}

/** What to map. */
export interface RangeSource {
  readonly length: number;
  readonly protection: number;
  readonly flags: number;
  readonly fd: number;
  readonly offset: number;
  /** For messages. */
  readonly path: string;
}

/** One guarded address range and the buffers over it: what is mapped once and given back once. */
export class MappedRange {
  readonly address: number;
  readonly length: number;
  readonly guard: Guard;
  readonly buffers: BufferSet;

  /**
   * @param owner is kept alive by every buffer over the range.
   * @throws {LimitError} when address space, memory, or a quarter of the system's mappings is used up.
   */
  constructor(owner: object, source: RangeSource) {
    const words = counters();
    if (Atomics.load(words, SHARED_MAPS) >= mostMaps)
      throw new LimitError("maps", `this process holds ${mostMaps} mappings, a quarter of what the system allows`);
    const { calls } = native();
    const { length, protection, flags, fd, offset } = source;
    this.address = check(calls.oc_map(0, length, protection, flags, fd, offset), "map", source.path);
    this.length = length;
    try {
      this.guard = new Guard(this.address, length, protection);
    } catch (error) {
      calls.oc_unmap(this.address, length);
      throw error;
    }
    this.buffers = new BufferSet(owner, this.address, length);
  }

  /** As the leak registry remembers it. */
  leaked(): LeakedRange {
    return { address: this.address, length: this.length, guard: this.guard.slot };
  }

  /**
   * Takes back what was written to a range that is mapped for reading: it shows the file's bytes again. Returns whether
   * there was anything.
   */
  takeBackStrays(): boolean {
    if (!this.guard.strayed) return false;
    const { calls } = native();
    this.guard.forgetStrays(PROT_READ);
    calls.oc_protect(this.address, this.length, PROT_READ);
    calls.oc_advise(this.address, this.length, ADVISE_DONTNEED);
    return true;
  }

  /**
   * Detaches all views, then gives the range back, or buries it when a view may have been moved elsewhere. The guard
   * must not watch an address that the system may give to somebody else, nor miss one that can still be reached.
   */
  release(): void {
    const { calls } = native();
    const { address, length } = this;
    if (this.buffers.unused) {
      this.guard.remove();
      calls.oc_unmap(address, length);
    } else if (this.buffers.detach()) {
      calls.oc_retire(address, length);
      this.guard.remove();
    } else if (calls.oc_bury(address, length) >= 0) this.guard.remove();
  }
}
