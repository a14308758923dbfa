import { DataFile } from "../memory/data-file.ts";
import type { Block } from "./bulk-writes.ts";

/** So much memory is kept for the next transaction. */
const MOST: number = 2 ** 22;
/** Milliseconds without use after which it is given back. */
const IDLE = 1000;

/**
 * Memory for what bulk calls write behind the end of an array: a file without a name or disk, laid over the view. Its
 * pages are used again by the next transaction, which saves the system from finding and clearing others: that takes
 * longer than to write them.
 */
export class ScratchFile {
  #file: DataFile | undefined;
  #end = 0;
  #used = false;
  #idle: ReturnType<typeof setTimeout> | undefined;

  /** Writes so many bytes, whole pages; where they are, or undefined when there is no room. */
  write(length: number, block: Block): { file: DataFile; offset: number } | undefined {
    const offset = this.#end;
    if (offset + length > MOST) return undefined;
    this.#file ??= DataFile.inMemory("outcore scratch");
    const file = this.#file;
    if (file === undefined) return undefined;
    this.#used = true;
    for (let at = 0; at < length; ) {
      const bytes = block(at);
      const part = bytes.subarray(0, length - at);
      if (part.length === 0) return undefined;
      try {
        file.write(offset + at, part);
      } catch {
        /* The memory is not there; the caller has other ways. */
        return undefined;
      }
      at += part.length;
    }
    this.#end = offset + length;
    return { file, offset };
  }

  /** The transaction is over, and no view shows any of it. */
  drop(): void {
    this.#end = 0;
    if (this.#used) this.#idle ??= this.#arm();
  }

  #arm(): ReturnType<typeof setTimeout> {
    this.#used = false;
    const timer = setTimeout(() => {
      this.#idle = undefined;
      if (this.#used || this.#end > 0) this.#idle = this.#arm();
      else this.close();
    }, IDLE);
    (timer as { unref?: () => void }).unref?.();
    return timer;
  }

  close(): void {
    clearTimeout(this.#idle);
    this.#idle = undefined;
    this.#file?.close();
    this.#file = undefined;
    this.#end = 0;
    this.#used = false;
  }
}
