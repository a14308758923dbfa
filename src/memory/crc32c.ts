import { native } from "../../ffi/load.ts";

/** crc32c (Castagnoli) of bytes, continued from `seed`. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  return bytes.length === 0 ? seed : native().calls.oc_crc32c(bytes, 0, bytes.length, seed);
}
