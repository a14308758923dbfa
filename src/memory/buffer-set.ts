import { native } from "../../ffi/load.ts";

/** An ArrayBuffer over bytes [start, end) of an address range. */
export interface Piece {
  readonly buffer: ArrayBuffer;
  readonly start: number;
  readonly end: number;
}

/** Longest typed array handed out, in bytes: an index above 2^31 costs ten times as much. */
export const LONGEST_VIEW: number = 2 ** 30;

const GRAIN = 2 ** 16;

/** Buffers keep the owner of their memory alive, so that memory under a reachable view is never given back. */
const owners = new WeakMap<ArrayBuffer, object>();

/** Whether two buffers lie over the same memory of ours, be it in other places. */
export function sharesMemory(one: ArrayBufferLike, other: ArrayBufferLike): boolean {
  if (one === other) return true;
  const owner = owners.get(one as ArrayBuffer);
  return owner !== undefined && owner === owners.get(other as ArrayBuffer);
}

/**
 * The few large ArrayBuffers over one address range, on which all its views lie. The first request gets a small buffer,
 * because a large one costs V8 up to milliseconds; the next request outside it makes the large ones: one over the
 * whole range, or where the runtime's buffers end earlier, buffers that overlap by half, so that any view of up to
 * half a buffer lies within one.
 */
export class BufferSet {
  #address: number;
  #length: number;
  #owner: object;
  #pieces: Piece[] = [];
  #moved = false;

  constructor(owner: object, address: number, length: number) {
    this.#owner = owner;
    this.#address = address;
    this.#length = length;
  }

  #make(start: number, end: number): Piece {
    const buffer = native().buffer(this.#address + start, end - start);
    owners.set(buffer, this.#owner);
    const piece = { buffer, start, end };
    this.#pieces.push(piece);
    return piece;
  }

  /** No buffer was ever made: nobody can have a view. */
  get unused(): boolean {
    return this.#pieces.length === 0 && !this.#moved;
  }

  /** The buffer that holds [offset, offset + length), which the caller has checked. O(buffers), of which there are few. */
  at(offset: number, length: number): Piece {
    for (let i = this.#pieces.length - 1; i >= 0; i--) {
      const piece = this.#pieces[i] as Piece;
      if (offset < piece.start || offset + length > piece.end) continue;
      if (!piece.buffer.detached) return piece;
      /* The user moved it elsewhere: the memory stays as it is, and nobody may ever unmap it. */
      this.#moved = true;
      this.#pieces.splice(i, 1);
    }
    const longest = native().longestBuffer;
    if (this.#pieces.length === 0 && length <= GRAIN && this.#length > 4 * GRAIN) {
      const start = Math.floor(offset / GRAIN) * GRAIN;
      return this.#make(start, Math.min(this.#length, start + 2 * GRAIN));
    }
    if (this.#length <= longest) return this.#make(0, this.#length);
    const half = longest / 2;
    if (length <= half) {
      const start = Math.floor(offset / half) * half;
      return this.#make(start, Math.min(this.#length, start + longest));
    }
    return this.#make(offset, offset + length);
  }

  /** Whether a view of these bytes was made here. */
  holds(buffer: ArrayBufferLike): boolean {
    return this.#pieces.some((piece) => piece.buffer === buffer);
  }

  /**
   * Detaches every buffer: all views on them now have length 0. Returns false when a buffer had been moved elsewhere,
   * so that the memory may still be reached.
   */
  detach(): boolean {
    for (const { buffer } of this.#pieces) {
      if (buffer.detached) {
        this.#moved = true;
        continue;
      }
      buffer.transfer(0);
      if (!buffer.detached) this.#moved = true;
    }
    this.#pieces = [];
    return !this.#moved;
  }
}
