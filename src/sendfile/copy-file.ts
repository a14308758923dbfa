import { builtin } from "../builtins.ts";
import { InvalidArgumentError, TruncatedError } from "../errors.ts";
import { errnoName, errorFor } from "../memory/check.ts";
import { DataFile, pathOf } from "../memory/data-file.ts";
import { isRefusal, transferError } from "../memory/endpoint.ts";
import { cloneFile, copyRangeLater } from "../memory/file-copy.ts";
import { nextData } from "../memory/next-data.ts";
import { Control, type TransferOptions } from "./control.ts";
import { type ByteRange, type LastBytes, piecesOf } from "./ranges.ts";
import { openSource, type SendSource } from "./source.ts";

/** Options of `copyFile`. */
export interface CopyFileOptions extends TransferOptions {
  /** Which bytes of the source. Default: all. */
  readonly range?: ByteRange | LastBytes | undefined;
  /** Whether sharing blocks (reflink) is allowed: "auto" (default) or "never". */
  readonly reflink?: "auto" | "never" | undefined;
}

/** What `copyFile` did. */
export interface CopyFileResult {
  /** Bytes of the copy, holes included. */
  readonly bytes: number;
  /** How: by sharing blocks, inside the kernel, or through a buffer. */
  readonly method: "reflink" | "copy_file_range" | "copy";
}

const BUFFER = 256 * 1024;

/** Copies [offset, end) of the source to `to` of the target through a buffer. */
async function copyThrough(
  source: DataFile,
  offset: number,
  end: number,
  target: DataFile,
  to: number,
  control: Control,
): Promise<void> {
  const buffer = new Uint8Array(Math.min(BUFFER, end - offset));
  for (let at = offset; at < end; at += buffer.length) {
    control.check();
    const part = buffer.subarray(0, Math.min(buffer.length, end - at));
    source.readInto(at, part);
    target.write(to + at - offset, part);
    control.add(part.length);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

async function copyData(
  source: DataFile,
  offset: number,
  length: number,
  target: DataFile,
  control: Control,
): Promise<CopyFileResult["method"]> {
  let method: CopyFileResult["method"] = "copy_file_range";
  const end = offset + length;
  for (let at = offset; at < end; ) {
    const data = nextData(source, at, end);
    if (data === undefined) break;
    for (at = data.offset; at < data.end; ) {
      if (method === "copy") {
        await copyThrough(source, at, data.end, target, at - offset, control);
        break;
      }
      const step = control.step(data.end - at);
      const { moved, outcome } = await control.run(copyRangeLater(source, at, target, at - offset, step));
      control.add(moved);
      at += moved;
      if (outcome === "end" && moved === 0 && source.size() <= at)
        throw new TruncatedError(source.path, at, source.size());
      if (outcome === "end") method = "copy";
      if (typeof outcome === "number") {
        if (!isRefusal(-outcome) && errnoName(-outcome) !== "EXDEV") throw transferError(-outcome, "copy", target.path);
        method = "copy";
      }
    }
    at = data.end;
  }
  return method;
}

/**
 * Copies a file, or a range of it, to `to`, which is created or replaced: sharing blocks where the file system can,
 * else inside the kernel, else through a buffer. Holes stay holes.
 *
 * @throws {InvalidArgumentError} when source and target are one file.
 * @throws {DiskFullError} when there is no room; what was copied stays.
 * @throws {TruncatedError} when the source became shorter meanwhile.
 * @throws {OutOfRangeError} when the range begins beyond the source's end.
 */
export async function copyFile(
  source: SendSource,
  to: string | URL,
  options: CopyFileOptions = {},
): Promise<CopyFileResult> {
  const path = pathOf(to) ?? "";
  const from = openSource(source);
  let target: DataFile | undefined;
  let control: Control | undefined;
  try {
    const size = from.size();
    const [piece] = piecesOf(options.range === undefined ? undefined : [options.range], size);
    const { offset, length } = piece === undefined || piece instanceof Uint8Array ? { offset: 0, length: 0 } : piece;
    control = new Control(options);
    control.start(length);
    try {
      const fs = builtin("fs");
      fs.closeSync(fs.openSync(path, "a"));
    } catch (cause) {
      throw errorFor((cause as { code?: string }).code ?? "EIO", "create", path, cause);
    }
    target = DataFile.open(path, true);
    if (target.identity.device === from.identity.device && target.identity.inode === from.identity.inode)
      throw new InvalidArgumentError(`${path} is the source itself`);
    target.truncate(0);
    if (offset === 0 && length === size && options.reflink !== "never" && cloneFile(from, target))
      return { bytes: length, method: "reflink" };
    target.truncate(length);
    return { bytes: length, method: await copyData(from, offset, length, target, control) };
  } finally {
    control?.close();
    target?.close();
    from.close();
  }
}
