import { native } from "../../ffi/load.ts";

/** Offset of the first occurrence of `needle` in `bytes`, -1 when there is none. Runs at memory speed. */
export function findBytes(bytes: Uint8Array, needle: Uint8Array): number {
  if (needle.length === 0) return 0;
  if (bytes.length < needle.length) return -1;
  const found = native().calls.oc_find_in(bytes, 0, bytes.length, needle, needle.length);
  return found < 0 ? -1 : found;
}
