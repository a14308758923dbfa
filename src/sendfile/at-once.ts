import type { DataFile } from "../memory/data-file.ts";
import { type BegunBody, sendNow } from "../memory/send-now.ts";
import { placeOf } from "./place.ts";
import type { SendFileOptions } from "./send-file.ts";
import type { SendSource } from "./source.ts";
import type { SendTarget } from "./target.ts";
import { SMALL_BODY } from "./transfer.ts";

/** Bytes sent at once after which the event loop gets its turn, whatever the caller does. */
const MOST_WITHOUT_TURN = 4 * 1024 * 1024;
let sinceTurn = 0;

const isBytes = (value: unknown): boolean => value === undefined || value instanceof Uint8Array;

function descriptorOf(source: SendSource | DataFile): number | undefined {
  const number = typeof source === "object" && source !== null && "fd" in source ? source.fd : source;
  return typeof number === "number" && Number.isInteger(number) && number >= 0 ? number : undefined;
}

/**
 * Sends a small body of an open file in the calling thread, when nothing belongs before it and the connection takes all of
 * it now: no promise, timer or listener is made. Gives back the bytes sent; what was begun; or undefined, and then
 * nothing was sent: whatever is unusual, and every error, is left to the way that tells them apart.
 */
export function sendAtOnce(
  target: SendTarget,
  source: SendSource | DataFile,
  options: SendFileOptions,
): number | BegunBody | undefined {
  const { ranges, header, trailer, signal, timeout, onProgress, rate, fallback } = options;
  const file = descriptorOf(source);
  if (file === undefined || onProgress !== undefined || rate !== undefined || signal?.aborted) return undefined;
  if ((timeout !== undefined && !(timeout > 0)) || !isBytes(header) || !isBytes(trailer)) return undefined;
  let offset = 0;
  let count = Number.MAX_SAFE_INTEGER;
  if (ranges !== undefined) {
    const [range] = ranges;
    if (ranges.length !== 1 || range === undefined || "last" in range || range.header || range.trailer)
      return undefined;
    const { start, end = Number.MAX_SAFE_INTEGER - 1 } = range;
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start) return undefined;
    offset = start;
    count = end - start + 1;
  }
  const place = placeOf(target);
  if (place === undefined) return undefined;
  const readUpTo = fallback === false ? 0 : SMALL_BODY;
  return sendNow(place.descriptor, place.ends, file, offset, count, header, trailer, readUpTo);
}

/** The result of what was sent at once; later, when the event loop had no turn for long. */
export function answered<T>(result: T, bytes: number): Promise<T> {
  sinceTurn += bytes;
  if (sinceTurn < MOST_WITHOUT_TURN) return Promise.resolve(result);
  sinceTurn = 0;
  return new Promise((resolve) => setImmediate(resolve, result));
}
