import { CodecError, InvalidArgumentError, LimitError } from "../errors.ts";
import type { Core } from "./core.ts";
import { describeKey } from "./keys.ts";
import type { Entry } from "./policy.ts";

const SLICE = 4;

/** Brings what memory has to the disk, and keeps the disk within its limit. */
export class Committer {
  #core: Core;
  /** The keys that there are, for making room on the disk. */
  #keys: () => Iterable<unknown>;
  isCommitting = false;

  constructor(core: Core, keys: () => Iterable<unknown>) {
    this.#core = core;
    this.#keys = keys;
  }

  /** A commit as the user's durability wants it. */
  flush(): void {
    this.commit(this.#core.settings.durability !== "none", true);
  }

  /** Stages every dirty value and commits; `detect`: those too that were changed in place. */
  commit(sync: boolean, detect: boolean): void {
    if (this.isCommitting) throw new InvalidArgumentError("a chest cannot be flushed while it encodes a value");
    this.isCommitting = true;
    try {
      this.#commit(sync, detect);
    } finally {
      this.isCommitting = false;
    }
  }

  #commit(sync: boolean, detect: boolean): void {
    const core = this.#core;
    let failed = detect ? this.#detect() : undefined;
    const { memory } = core;
    const list = memory.listed;
    const kept: Entry[] = [];
    let at = 0;
    try {
      for (; at < list.length; at++) {
        const entry = list[at]!;
        if (!entry.dirty) {
          entry.listed = false;
          continue;
        }
        try {
          core.write(entry);
          entry.listed = false;
        } catch (error) {
          if (!isOfValue(error)) throw error;
          entry.stuck = true;
          failed ??= error instanceof CodecError ? ofKey(entry.key, error) : error;
          kept.push(entry);
        }
      }
    } finally {
      for (; at < list.length; at++) kept.push(list[at]!);
      memory.listed = kept;
    }
    const unstored = kept.filter(({ dirty, position }) => dirty && position === 0).length;
    core.tier.commit(core.size - unstored, sync);
    core.counters.commits++;
    if (core.settings.diskLimit !== Number.MAX_SAFE_INTEGER) this.#keepDiskLimit();
    if (failed !== undefined) throw failed;
  }

  /** Marks what was changed in place. Returns the first failure to encode. */
  #detect(): unknown {
    const core = this.#core;
    let failed: unknown;
    for (const entry of core.memory.policy) {
      if (entry.dirty || typeof entry.value !== "object" || entry.value === null) continue;
      try {
        if (core.isChanged(entry)) core.memory.markDirty(entry);
      } catch (error) {
        if (!(error instanceof CodecError)) throw error;
        failed ??= error;
      }
    }
    return failed;
  }

  #keepDiskLimit(): void {
    const core = this.#core;
    const { diskLimit, whenFull } = core.settings;
    const over = (): boolean => core.tier.usage().disk > diskLimit;
    if (core.inBatch || !over()) return;
    core.inBatch = true;
    try {
      this.#compactAll();
      if (whenFull === "evict") {
        /* A damaged head may tell of keys that there are not. */
        for (let before = Number.POSITIVE_INFINITY; core.size > 0 && core.size < before && over(); ) {
          before = core.size;
          let count = Math.ceil(before / 8);
          for (const key of this.#keys()) {
            core.remove(key as never);
            if (--count <= 0) break;
          }
          core.tier.commit(core.size, false);
          this.#compactAll();
        }
      } else if (over()) throw new LimitError("disk", `${core.path} takes more than ${diskLimit} bytes`);
    } finally {
      core.inBatch = false;
    }
  }

  #compactAll(): void {
    const { tier } = this.#core;
    for (let step = 0; step < 1e6; step++)
      if (tier.compactStep(1000, true, () => tier.commit(this.#core.size, false))) return;
  }

  /** One short step when it is worth it. */
  compactALittle(): void {
    const { tier } = this.#core;
    if (tier.isWasteful) tier.compactStep(SLICE, false, () => this.commit(false, false));
  }

  /** One short step; true when nothing is left to do. */
  compactStep(): boolean {
    const sync = this.#core.settings.durability !== "none";
    return this.#core.tier.compactStep(SLICE, true, () => this.commit(sync, false));
  }
}

/** Whether an error is one value's or key's own, and others can be stored. */
export function isOfValue(error: unknown): error is Error {
  return error instanceof CodecError || error instanceof InvalidArgumentError;
}

function ofKey(key: unknown, error: CodecError): CodecError {
  return new CodecError(`the value of ${describeKey(key)} cannot be stored: ${error.message}`, error);
}
