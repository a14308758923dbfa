/** What a lease needs of whoever gave it. */
export interface Lessor {
  /** Ends the pin of [offset, offset + length); throws when bytes of it were lost while it was leased. */
  endLease(offset: number, length: number, lastByte: number, bytes: Uint8Array): void;
}

/**
 * A pinned view: until `release` the memory under `bytes` counts as used and is not trimmed. Releasing ends the pin and
 * the accounting; the view itself stays readable until its mapping is closed, and then has length 0.
 */
export class Lease implements Disposable {
  /** Bytes that were leased, without a copy. */
  readonly bytes: Uint8Array;
  /** Where they lie. */
  readonly offset: number;
  /** Bytes leased; stays when the buffer under `bytes` is detached. */
  readonly length: number;
  #lessor: Lessor | undefined;

  constructor(lessor: Lessor, offset: number, bytes: Uint8Array) {
    this.#lessor = lessor;
    this.offset = offset;
    this.bytes = bytes;
    this.length = bytes.length;
  }

  /** True after `release`. */
  get released(): boolean {
    return this.#lessor === undefined;
  }

  /**
   * Gives the lease back. May be called twice, and after the mapping was closed.
   * @throws {TruncatedError} when the file lost bytes of the range while it was leased.
   * @throws {MappedIoError} when a page of the range could not be read.
   */
  release(): void {
    const lessor = this.#lessor;
    if (lessor === undefined) return;
    this.#lessor = undefined;
    lessor.endLease(this.offset, this.length, this.bytes[this.length - 1] ?? 1, this.bytes);
  }

  /** The same as `release`. */
  [Symbol.dispose](): void {
    this.release();
  }
}
