import { native } from "../../ffi/load.ts";

/** Bytes of a page of memory on this machine. */
export function pageSize(): number {
  return native().calls.oc_page_size();
}
