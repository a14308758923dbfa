import { OutOfRangeError } from "../errors.ts";
import { checkInteger } from "../memory/check.ts";
import type { WindowCursor } from "./cursor.ts";

/**
 * The bytes of a file from an offset on, used like a string: `length`, `at` with negative indexes, `slice` with the
 * rules of `Array.prototype.slice`. Offsets are relative to where the buffer begins. Slices are copies, also within one
 * window.
 */
export class WindowBuffer implements Disposable {
  #cursor: WindowCursor;
  #offset = 0;
  #length = 0;

  /** @throws {OutOfRangeError} when `offset` lies beyond the end of the file. */
  constructor(cursor: WindowCursor, offset = 0, size?: number) {
    this.#cursor = cursor;
    checkInteger("offset", offset);
    if (!this.beginAccess(offset, size) && offset > cursor.fileSize)
      throw new OutOfRangeError(offset, size ?? 0, cursor.fileSize);
  }

  /** Bytes that can be accessed; 0 when access has ended. */
  get length(): number {
    return this.#length;
  }

  /** Offset in the file of byte 0. */
  get offset(): number {
    return this.#offset;
  }

  /** The cursor that it reads through. */
  get cursor(): WindowCursor {
    return this.#cursor;
  }

  /**
   * Looks at the file's present size and begins access at `offset` of the file, to its end or for `size` bytes at most. False when nothing is there, and
   * access has then ended. May be called again at any time.
   */
  beginAccess(offset = 0, size: number = Number.MAX_SAFE_INTEGER): boolean {
    checkInteger("offset", offset);
    checkInteger("size", size);
    this.#length = 0;
    const fileSize = this.#cursor.refresh();
    if (offset >= fileSize || size === 0) {
      this.#cursor.unuse();
      return false;
    }
    this.#cursor.use(offset, 1);
    this.#offset = offset;
    this.#length = Math.min(size, fileSize - offset);
    return true;
  }

  /** Ends access: the length is 0 until `beginAccess`. */
  endAccess(): void {
    this.#length = 0;
    this.#cursor.unuse();
  }

  /** Byte at `index`, from the end when it is negative; undefined when there is none. */
  at(index: number): number | undefined {
    const place = index < 0 ? this.#length + index : index;
    if (!(place >= 0 && place < this.#length) || !Number.isInteger(place)) return undefined;
    const offset = this.#offset + place;
    if (!this.#cursor.includes(offset)) this.#cursor.use(offset);
    return this.#cursor.bytes()[offset - this.#cursor.begin];
  }

  /** A copy of bytes [start, end); negative indexes count from the end, and a range that is empty or reversed is empty. */
  slice(start = 0, end: number = this.#length): Uint8Array {
    const from = clamp(start, this.#length);
    const to = Math.max(from, clamp(end, this.#length));
    const bytes = new Uint8Array(to - from);
    let done = 0;
    while (done < bytes.length) {
      const offset = this.#offset + from + done;
      if (!this.#cursor.includes(offset)) this.#cursor.use(offset);
      const within = offset - this.#cursor.begin;
      const part = this.#cursor.bytes().subarray(within, within + bytes.length - done);
      bytes.set(part, done);
      done += part.length;
    }
    return bytes;
  }

  /** Ends access and closes the cursor. May be called twice. */
  close(): void {
    this.#length = 0;
    this.#cursor.close();
  }

  /** The same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function clamp(index: number, length: number): number {
  const whole = Math.trunc(index) || 0;
  return whole < 0 ? Math.max(0, length + whole) : Math.min(whole, length);
}
