import type { FoundFile } from "./files.ts";

/** What a chapter works on. */
export interface TourContext {
  readonly folder: string;
  /** Regular files below the folder, largest first. */
  readonly files: readonly FoundFile[];
  /** Bytes of all files together. */
  readonly total: number;
  /** Bytes that the chapter may hold in memory. */
  readonly budget: number;
  /** Text to search for. */
  readonly pattern: string;
}

/** One capability of outcore, shown on real files. */
export interface Chapter {
  readonly name: string;
  readonly title: string;
  /** Resolves to false when an answer differed from the plain way's. */
  run(context: TourContext): Promise<boolean>;
}

/** Resident memory while something runs: sampled by the work itself, which never yields to a timer. */
export class MemoryPeak {
  readonly before: number = globalThis.process.memoryUsage.rss();
  #peak: number = this.before;

  sample(): void {
    this.#peak = Math.max(this.#peak, globalThis.process.memoryUsage.rss());
  }

  /** Bytes above where it began. */
  get growth(): number {
    return this.#peak - this.before;
  }
}
