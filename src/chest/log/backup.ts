import { builtin } from "../../builtins.ts";
import { NameInUseError } from "../../errors.ts";
import { DataFile } from "../../memory/data-file.ts";
import { cloneFile, copyRange } from "../../memory/file-copy.ts";
import type { CommittedPart } from "./open-log.ts";
import { type Segment, segmentName } from "./segment.ts";

/** Bytes that are copied before the event loop runs. */
const SLICE = 8 * 2 ** 20;
const PIECE = 2 ** 20;

/** Copies what belongs to the last commit, segment by segment; cloned by the file system where it can. */
export async function backup(folder: string, parts: () => readonly CommittedPart[]): Promise<void> {
  const { mkdirSync, readdirSync, promises } = builtin("fs");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (readdirSync(folder).length > 0) throw new NameInUseError(folder);
  for (const { segment, length } of parts()) {
    const target = builtin("path").join(folder, segmentName(segment.id));
    await copyStart(segment, target, length);
    await promises.truncate(target, length);
    const handle = await promises.open(target, "r+");
    await handle.sync();
    await handle.close();
  }
}

/**
 * Copies the first `length` bytes. Not by Node's `copyFile`: that copies as much as the file had at first, and never ends
 * when the writer, who goes on meanwhile, cuts off what it does not need.
 */
async function copyStart(segment: Segment, target: string, length: number): Promise<void> {
  const to = DataFile.create(target, { exclusive: true });
  try {
    if (cloneFile(segment.file, to)) return;
    for (let done = 0; done < length; ) {
      /* It is open: a writer elsewhere may have removed it. */
      done += copySome(segment.file, to, done, Math.min(SLICE, length - done));
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    to.close();
  }
}

/** Inside the kernel where that can be. Returns how many bytes were copied, at least one. */
function copySome(from: DataFile, to: DataFile, offset: number, length: number): number {
  const moved = copyRange(from, offset, to, offset, length);
  if (moved > 0) return moved;
  const piece = new Uint8Array(Math.min(PIECE, length));
  from.readInto(offset, piece);
  to.write(offset, piece);
  return piece.length;
}
