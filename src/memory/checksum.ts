import { native } from "../../ffi/load.ts";

/** crc32c of part of a buffer, continued from `seed`. The caller has checked that the part lies within. */
export function checksum(bytes: Uint8Array, start: number, length: number, seed = 0): number {
  return native().calls.oc_crc32c(bytes, start, length, seed);
}

/** Bytes from which on `checksum` costs less than one in JavaScript. */
export function checksumFrom(): number {
  return native().checksumFrom;
}
