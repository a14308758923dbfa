import { builtin } from "../../builtins.ts";
import { pageSize } from "../../memory/words.ts";

/** Limits below this go by what was touched: what else the process maps would drown in it. */
const LEAST_LOOKED: number = 16 * 2 ** 20;
/** That part of the limit is touched between two looks. */
const PART = 16;
const FIRST_LOOK: number = 2 * 2 ** 20;
const STATUS = "/proc/self/statm";

/** Bytes of files that this process has in memory through mappings; undefined where the system does not tell. */
function residentFiles(): number | undefined {
  try {
    return Number(builtin("fs").readFileSync(STATUS, "latin1").split(" ", 3)[2]) * pageSize();
  } catch {
    return undefined;
  }
}

/**
 * Counts the mapped memory that was touched, and gives all of it back when it is more than allowed. A touch may bring
 * much more with it, because systems map as much of a file at once as they have read at once: so now and then it looks at
 * what there is.
 */
export class MappedMemory {
  touched = 0;
  /** What was allowed when last asked. */
  allowed: number;
  #limit: () => number;
  #trim: () => void;
  #lookAt: number = FIRST_LOOK;
  /** What was resident when nothing was touched, of everybody's. */
  #base: number | undefined = residentFiles();

  /** `limit` is asked for what is allowed now. */
  constructor(limit: () => number, trim: () => void) {
    this.#limit = limit;
    this.allowed = limit();
    this.#trim = trim;
  }

  touch(bytes: number): void {
    this.touched += bytes;
    if (this.touched > this.#lookAt) this.#look();
  }

  #look(): void {
    const limit = this.#limit();
    this.allowed = limit;
    const looks = limit >= LEAST_LOOKED && this.#base !== undefined;
    /* When others have given memory back it says too little. */
    if (looks) this.touched = Math.max(this.touched, (residentFiles() ?? 0) - this.#base!);
    if (this.touched > limit) this.trim();
    else this.#lookAt = looks ? Math.min(limit, this.touched + limit / PART) : limit;
  }

  trim(): void {
    this.#trim();
    this.touched = 0;
    this.#lookAt = FIRST_LOOK;
    if (this.#base !== undefined) this.#base = residentFiles();
  }
}
