import type { Words } from "../memory/words.ts";
import { ABSENT, F, type NativeShape, type NativeStream, slotHead } from "./native-layout.ts";

const WORD = 2 ** 32;

/** crc32c over the counts and the used bytes of every stream. */
export function frameChecksum(
  words: Words,
  shape: NativeShape,
  streams: readonly NativeStream[],
  base: number,
  counts: Uint32Array,
): number {
  let crc = words.crc32c(base + F.counts, streams.length * 8, 0);
  const payload = base + slotHead(shape.mostStreams);
  for (const { index, offset, bytesPerElement, capacity } of streams) {
    const low = counts[index * 2] ?? ABSENT;
    const high = counts[index * 2 + 1] ?? ABSENT;
    if (high === ABSENT) continue;
    const count = Math.min(high * WORD + low, capacity);
    crc = words.crc32c(payload + offset, count * bytesPerElement, crc);
  }
  return crc;
}
