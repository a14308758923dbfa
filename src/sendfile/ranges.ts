import { InvalidArgumentError, OutOfRangeError } from "../errors.ts";
import { checkInteger } from "../memory/check.ts";

/** Bytes of a file as HTTP counts them: `end` is the last byte that belongs to it; without it, to the file's end. */
export interface ByteRange {
  /** The first byte. */
  readonly start: number;
  /** The last byte; default: the file's last. */
  readonly end?: number | undefined;
  /** Sent right before this range. */
  readonly header?: Uint8Array | undefined;
  /** Sent right after it. */
  readonly trailer?: Uint8Array | undefined;
}

/** The last bytes of a file. */
export interface LastBytes {
  /** How many. */
  readonly last: number;
  /** Bytes right before it. */
  readonly header?: Uint8Array | undefined;
  /** Bytes right after it. */
  readonly trailer?: Uint8Array | undefined;
}

/** Something to send: bytes, or a part of the file. */
export type Piece = Uint8Array | { readonly offset: number; readonly length: number };

/** @throws {OutOfRangeError} when the range begins at or beyond the file's end. */
function locate(range: ByteRange | LastBytes, size: number): { offset: number; length: number } {
  if ("last" in range) {
    checkInteger("last", range.last);
    const length = Math.min(range.last, size);
    return { offset: size - length, length };
  }
  const { start, end } = range;
  checkInteger("start", start);
  if (end !== undefined) {
    checkInteger("end", end);
    if (end < start) throw new InvalidArgumentError(`a range ends at ${end}, before its start ${start}`);
  }
  if (start >= size) throw new OutOfRangeError(start, (end ?? start) - start + 1, size);
  return { offset: start, length: Math.min(end ?? size - 1, size - 1) - start + 1 };
}

/** What is sent for ranges of a file of `size` bytes; all of it when there are none. Ends beyond the file are cut. */
export function piecesOf(ranges: readonly (ByteRange | LastBytes)[] | undefined, size: number): Piece[] {
  if (ranges === undefined) return size > 0 ? [{ offset: 0, length: size }] : [];
  const pieces: Piece[] = [];
  for (const range of ranges) {
    if (range.header) pieces.push(range.header);
    const part = locate(range, size);
    if (part.length > 0) pieces.push(part);
    if (range.trailer) pieces.push(range.trailer);
  }
  return pieces;
}

/** Bytes that pieces add up to. */
export function lengthOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

/** What is left of pieces when their first `sent` bytes are gone. */
export function withoutFirst(pieces: readonly Piece[], sent: number): Piece[] {
  const left: Piece[] = [];
  let gone = sent;
  for (const piece of pieces) {
    const cut = Math.min(gone, piece.length);
    gone -= cut;
    if (cut === piece.length) continue;
    if (cut === 0) left.push(piece);
    else if (piece instanceof Uint8Array) left.push(piece.subarray(cut));
    else left.push({ offset: piece.offset + cut, length: piece.length - cut });
  }
  return left;
}
