import { CorruptError } from "../errors.ts";
import type { StoreFile } from "../memory/store-file.ts";
import { decodeSuperblock, encodeSuperblock, SUPERBLOCK_BYTES, type Superblock } from "./format.ts";

/**
 * The newest of the two superblocks that is whole.
 * @throws {CorruptError} when neither is.
 * @throws {StoreFormatError} when the newest was written by a later version.
 */
export function readSuperblock(head: StoreFile): Superblock {
  const found: Superblock[] = [];
  let error: CorruptError | undefined;
  for (const at of [0, SUPERBLOCK_BYTES]) {
    const size = head.size();
    const length = Math.max(0, Math.min(SUPERBLOCK_BYTES, size - at));
    const block = decodeSuperblock(head.read(at, length), head.path, at);
    if (block instanceof CorruptError) error ??= block;
    else found.push(block);
  }
  const newest = found.sort((a, b) => b.sequence - a.sequence)[0];
  if (newest === undefined) throw error ?? new CorruptError(head.path, 0, "no superblock");
  return newest;
}

/** Writes over the older of the two, and waits for it. */
export function writeSuperblock(head: StoreFile, block: Superblock): void {
  head.write((block.sequence % 2) * SUPERBLOCK_BYTES, encodeSuperblock(block));
  head.sync();
}
