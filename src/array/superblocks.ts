import { CorruptError } from "../errors.ts";
import type { StoreFile } from "../memory/store-file.ts";
import { decodeSuperblock, encodeSuperblock, SUPERBLOCK_BYTES, type Superblock } from "./format.ts";

/**
 * The newest of the two superblocks that is whole, and whose sequence is at most `proven`: another may not be on the disk.
 * @throws {CorruptError} when neither is.
 * @throws {StoreFormatError} when the newest was written by a later version.
 */
export function readSuperblock(head: StoreFile, proven: number): Superblock {
  const found: Superblock[] = [];
  let error: CorruptError | undefined;
  for (const at of [0, SUPERBLOCK_BYTES]) {
    const size = head.size();
    const length = Math.max(0, Math.min(SUPERBLOCK_BYTES, size - at));
    const block = decodeSuperblock(head.read(at, length), head.path, at);
    if (block instanceof CorruptError) error ??= block;
    else found.push(block);
  }
  found.sort((a, b) => b.sequence - a.sequence);
  const newest = found.find(({ sequence }) => sequence <= proven) ?? found[0];
  if (newest === undefined) throw error ?? new CorruptError(head.path, 0, "no superblock");
  return newest;
}

/**
 * The newest that is proven, read while others write superblocks: with two of them one after the other both that are there
 * may be read in the middle of a write.
 * @throws what `readSuperblock` throws.
 */
export function readNewest(head: StoreFile, proven: () => number): Superblock {
  for (;;) {
    const sequence = proven();
    try {
      const found = readSuperblock(head, sequence);
      if (proven() === sequence) return found;
    } catch (error) {
      if (proven() === sequence) throw error;
    }
  }
}

/** Writes over the older of the two, and waits for it. */
export function writeSuperblock(head: StoreFile, block: Superblock): void {
  head.write((block.sequence % 2) * SUPERBLOCK_BYTES, encodeSuperblock(block));
  head.sync();
}
