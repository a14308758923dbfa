import { type ResponseBody, runtimeBody } from "../../ffi/file-body.ts";
import type { DataFile } from "./data-file.ts";
import { reopeningPath } from "./reopening.ts";

export type { ResponseBody } from "../../ffi/file-body.ts";

/** A response body that the runtime's own server sends best; undefined where it has none for this range. */
export function bodyOfFile(file: DataFile, path: string, start: number, end: number): ResponseBody | undefined {
  return runtimeBody({
    path,
    start,
    end,
    whole: start === 0 && end === file.size(),
    isSame(device, inode) {
      const low = inode % 2 ** 32;
      return device === file.identity.device && `${(inode - low) / 2 ** 32}:${low}` === file.identity.inode;
    },
    reopeningPath: () => reopeningPath(file),
  });
}
