import { InvalidArgumentError } from "../errors.ts";
import { DataFile, type FileSource } from "../memory/data-file.ts";
import { findOpenFile } from "../memory/endpoint.ts";

/** Node's `FileHandle`, and whatever else carries a descriptor. */
export interface DescriptorHolder {
  /** The descriptor. */
  readonly fd: number;
}

/** What `Bun.file(path)` makes. */
export interface NamedBlob {
  /** The path. */
  readonly name?: string | undefined;
  /** Bytes of it. */
  readonly size: number;
  /** A part of it. */
  slice(start?: number, end?: number): unknown;
}

/** What `Deno.open` makes. */
export interface StatedFile {
  /** Device and inode. */
  statSync(): { readonly dev: number; readonly ino: number | null };
}

/** A file to send: a path, a `file:` URL, a descriptor, a `FileHandle`, a `Deno.FsFile` or a `Bun.file`. */
export type SendSource = FileSource | DescriptorHolder | NamedBlob | StatedFile;

/**
 * Opens what is to be sent; whoever calls closes the result. The position of a file that the caller opened stays.
 * @throws {UnsupportedFileError} when it is no regular file.
 */
export function openSource(source: SendSource): DataFile {
  if (typeof source === "string" || typeof source === "number" || source instanceof URL)
    return DataFile.open(source, false);
  if (typeof source === "object" && source !== null) {
    if ("fd" in source && typeof source.fd === "number") return DataFile.open(source.fd, false);
    if ("statSync" in source && typeof source.statSync === "function") {
      const { dev, ino } = source.statSync();
      const file = ino === null ? undefined : findOpenFile(dev, BigInt(ino));
      if (file !== undefined) return file;
    } else if ("slice" in source && typeof source.name === "string") {
      const file = DataFile.open(source.name, false);
      if (file.size() === source.size) return file;
      file.close();
      throw new InvalidArgumentError("a slice of a Bun.file does not tell where it starts: give the file and a range");
    }
  }
  throw new InvalidArgumentError("the source is no path, descriptor, FileHandle, Deno.FsFile or Bun.file");
}
