import { native } from "../../ffi/load.ts";
import type { Calls } from "../../ffi/symbols.ts";
import { builtin } from "../builtins.ts";
import { ClosedError, OutOfRangeError } from "../errors.ts";
import type { Mapping } from "./mapping.ts";
import { type PendingWait, waitForWord } from "./waiter.ts";

/** Kernels of the SHMX checksum, by number as in c/outcore.h. */
export const hashKernels = { best: 0, serial: 1, sliced: 2, avx2: 3, avx512: 4, neon: 5 } as const;
export type HashKernel = keyof typeof hashKernels;

const LONGEST = 2 ** 30;

/**
 * Words of a mapping that other processes read and write at the same time, by their offset. 32-bit words are `i32`, for
 * `Atomics`; 64-bit words are numbers, exact below 2^53. Every access is checked; no address is given away.
 */
export class Words {
  readonly mapping: Mapping;
  /** The first 2^30 bytes as 32-bit words, for `Atomics` only: plain access may be merged or hoisted. */
  readonly i32: Int32Array;
  #base: number;
  #length: number;
  #calls: Calls;
  #plain: boolean;
  #ordered: boolean;

  constructor(mapping: Mapping) {
    this.#plain = !native().atomicLoadsWrite;
    this.#ordered = this.#plain && builtin("process").arch === "x64";
    this.mapping = mapping;
    this.#base = mapping.addressOf(0);
    this.#length = mapping.length;
    this.#calls = native().calls;
    this.i32 = mapping.view("i32", 0, Math.floor(Math.min(mapping.length, LONGEST) / 4));
  }

  #at(offset: number, length: number): number {
    if (this.mapping.closed) throw new ClosedError(`the mapping of ${this.mapping.path}`);
    if (!(offset >= 0 && offset + length <= this.#length)) throw new OutOfRangeError(offset, length, this.#length);
    return this.#base + offset;
  }

  /** A 32-bit word, unsigned, also of a mapping that is read-only: there `Atomics.load` may crash the process. */
  load32(offset: number): number {
    if (this.#plain && offset < LONGEST) return Atomics.load(this.i32, offset >>> 2) >>> 0;
    return this.#calls.oc_load32(this.#at(offset, 4), 0);
  }

  /** What stands there after everything that was read before. */
  load64(offset: number): number {
    return this.#calls.oc_load64(this.#at(offset, 8), 0);
  }

  /**
   * Whether the 64-bit word is `value`, after everything that was read before. On x86-64 loads stay in their order, so
   * that two halves that match in turn were that value together if it is never the same again; elsewhere C fences.
   */
  is64(offset: number, value: number): boolean {
    if (!this.#ordered || offset > LONGEST - 8) return this.load64(offset) === value;
    const index = offset >>> 2;
    return (
      Atomics.load(this.i32, index) === (value | 0) &&
      Atomics.load(this.i32, index + 1) === (Math.floor(value / 2 ** 32) | 0)
    );
  }

  /**
   * As `store64`, for a word that nobody else writes. On x86-64 one 32-bit store where the upper half is right already:
   * there stores stay in their order, and a call of a foreign function costs more in Node.
   */
  advance64(offset: number, value: number): void {
    const index = offset >>> 2;
    const high = Math.floor(value / 2 ** 32) | 0;
    if (this.#ordered && offset <= LONGEST - 8 && Atomics.load(this.i32, index + 1) === high)
      Atomics.store(this.i32, index, value | 0);
    else this.store64(offset, value);
  }

  /** `advance64` of two words, in this order. */
  advance64Two(first: number, firstValue: number, second: number, secondValue: number): void {
    if (this.#ordered) {
      this.advance64(first, firstValue);
      this.advance64(second, secondValue);
    } else this.store64Two(first, firstValue, second, secondValue);
  }

  /** Nothing written or read before passes the store, nothing after it comes earlier. */
  store64(offset: number, value: number): void {
    this.#calls.oc_store64(this.#at(offset, 8), value);
  }

  /** Two stores in this order. */
  store64Two(first: number, firstValue: number, second: number, secondValue: number): void {
    this.#calls.oc_store64_two(this.#at(first, 8), firstValue, this.#at(second, 8), secondValue);
  }

  /** Adds and returns what was there before. */
  add64(offset: number, value: number): number {
    return this.#calls.oc_add64(this.#at(offset, 8), value);
  }

  /** Reads before it stay before those after it that are atomic. On x86-64 they do so by themselves. */
  orderReads(): void {
    if (!this.#ordered) this.#calls.oc_fence();
  }

  fence(): void {
    this.#calls.oc_fence();
  }

  /** The SHMX checksum of a range: both halves of its hash xored. */
  frameHash(offset: number, length: number): number {
    return this.#calls.oc_frame_hash(this.#at(offset, length), length, 0, 0);
  }

  /** The whole 64-bit hash, by a kernel; undefined when this processor lacks it. */
  frameHash64(offset: number, length: number, kernel: HashKernel = "best"): bigint | undefined {
    const address = this.#at(offset, length);
    const low = this.#calls.oc_frame_hash(address, length, 1, hashKernels[kernel]);
    if (low < 0) return undefined;
    const high = this.#calls.oc_frame_hash(address, length, 2, hashKernels[kernel]);
    return (BigInt(high) << 32n) | BigInt(low);
  }

  /** crc32c of a range, continued from `seed`. */
  crc32c(offset: number, length: number, seed: number): number {
    return this.#calls.oc_crc32c_at(this.#at(offset, length), length, seed);
  }

  /**
   * Blocks the thread until the 32-bit word is not `expected`: spins for `spin` ns, then sleeps, at most `timeout` ns
   * together. False when the time is over. `polled` for a word whose writer wakes nobody: it looks every millisecond.
   */
  waitSync(offset: number, expected: number, spin: number, timeout: number, polled = false): boolean {
    return this.#calls.oc_wait_word(this.#at(offset, 4), expected >>> 0, spin, polled ? -timeout : timeout) === 1;
  }

  /** Waits without blocking, at most `timeout` ms; `polled` as in `waitSync`. Cancel it before the mapping is closed. */
  wait(offset: number, expected: number, timeout: number, keepAlive: boolean, polled = false): PendingWait {
    return waitForWord(this.#at(offset, 4), expected, timeout, keepAlive, polled);
  }

  /** Wakes all who wait on the word, in every process. One system call. */
  wake(offset: number): void {
    this.#calls.oc_wake(this.#at(offset, 4), 0);
  }

  /** Copies a range into `target`. */
  copyOut(offset: number, target: Uint8Array): void {
    if (target.length > 0) this.#calls.oc_copy_out(target, 0, this.#at(offset, target.length), target.length);
  }

  /** Copies `source` into the mapping. */
  copyIn(offset: number, source: Uint8Array): void {
    if (source.length > 0) this.#calls.oc_copy_in(this.#at(offset, source.length), source, 0, source.length);
  }
}

/** Nanoseconds of the clock that all processes of the machine share. */
export function monotonic(): number {
  return native().calls.oc_monotonic();
}

/** Number of this process. */
export function processId(): number {
  return native().calls.oc_pid();
}

/** Bytes of a page of memory. */
export function pageSize(): number {
  return native().calls.oc_page_size();
}
