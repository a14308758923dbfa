import { isOfValue } from "./committer.ts";
import type { Core } from "./core.ts";
import type { Entry } from "./policy.ts";

/** Most entries in memory: with more of them the collector takes long. */
const MOST_RESIDENT = 12_000_000;
/** Chests with less than this keep buffers and mapped pages outside the budget; others within. */
export const LARGE_BUDGET: number = 32 * 2 ** 20;
/** What was staged is committed, without waiting for the disk, when it exceeds this, or that part of a large budget. */
const MOST_STAGED: number = 64 * 2 ** 20;
const STAGED_PART: number = 1 / 4;
/** The same beside a small budget. */
const MOST_STAGED_BESIDE: number = 4 * 2 ** 20;
const SLICE = 4;

/** Takes values out of memory when they do not fit: at once, or in slices. */
export class Spiller {
  #core: Core;
  #spilling: Promise<void> | undefined;
  #error: unknown;
  readonly #mostStaged: number;

  constructor(core: Core) {
    this.#core = core;
    const { budget } = core.settings;
    this.#mostStaged = budget < LARGE_BUDGET ? MOST_STAGED_BESIDE : Math.min(MOST_STAGED, budget * STAGED_PART);
  }

  /** Bytes that values may take now: large budgets hold buffers and mapped pages too. */
  #limit(): number {
    const { settings, tier } = this.#core;
    const { budget } = settings;
    return budget < LARGE_BUDGET ? budget : Math.max(budget / 2, budget - tier.resident);
  }

  #isOver(): boolean {
    const { used, size } = this.#core.memory;
    return used > this.#limit() || size > MOST_RESIDENT;
  }

  /** Makes room after a change, now or soon. */
  afterChange(): void {
    this.limitStaged();
    if (!this.#isOver()) return;
    const { settings, memory } = this.#core;
    if (settings.spill === "async" && memory.used <= 2 * this.#limit()) this.#spilling ??= this.#spillLater();
    else this.makeRoom(true);
  }

  async #spillLater(): Promise<void> {
    const core = this.#core;
    try {
      do {
        await new Promise((resolve) => setImmediate(resolve));
        if (core.closed) return;
        /* What is pinned, or cannot be encoded, stays however often it is tried. */
      } while (this.spill(performance.now() + SLICE, true));
    } catch (error) {
      this.#error = error;
    } finally {
      this.#spilling = undefined;
    }
  }

  async settled(): Promise<void> {
    while (this.#spilling !== undefined) await this.#spilling;
    const error = this.#error;
    this.#error = undefined;
    if (error !== undefined) throw error;
  }

  /** Unless `strict`, a disk that is full is no error as long as what is stored already can leave. */
  makeRoom(strict: boolean): void {
    if (this.#isOver()) this.spill(Number.POSITIVE_INFINITY, strict);
  }

  /** Spills until `target` bytes are left, or until a time: true when it was over first. */
  spill(time: number, strict: boolean, target?: number): boolean {
    const core = this.#core;
    const { memory } = core;
    const goal = target ?? this.#limit() * (1 - core.settings.hysteresis);
    let skipDirty = false;
    const may = (entry: Entry): boolean => entry.pins === 0 && !entry.stuck && !(skipDirty && entry.dirty);
    let count = 0;
    while (memory.used > goal || memory.size > MOST_RESIDENT) {
      const entry = memory.policy.victim(may);
      if (entry === undefined) break;
      try {
        this.evict(entry);
      } catch (error) {
        if (isOfValue(error)) {
          entry.stuck = true;
          continue;
        }
        /* A `get` must not fail because others cannot leave: only what is stored already does. */
        if (strict || skipDirty) throw error;
        skipDirty = true;
      }
      if ((++count & 15) === 0 && performance.now() > time) return true;
    }
    /* Nor because there is no room for a commit: the next change tries. */
    if (strict) this.limitStaged();
    memory.evicted.limit(memory.used + core.tier.resident);
    return false;
  }

  /** Commits what was staged when it is much. */
  limitStaged(): void {
    const { tier, inBatch, committer } = this.#core;
    if (tier.staged > this.#mostStaged && !inBatch && !committer.isCommitting) committer.commit(false, false);
  }

  /** Takes one value out of memory, storing it when it is not stored as it is. */
  evict(entry: Entry): void {
    const core = this.#core;
    if ((entry.dirty || core.isChanged(entry)) && !core.readOnly) core.write(entry);
    core.memory.release(entry);
    core.counters.spills++;
    core.options.onSpill?.(entry.key as never);
  }
}
