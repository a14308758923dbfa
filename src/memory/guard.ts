import { native } from "../../ffi/load.ts";
import { LimitError } from "../errors.ts";
import { check } from "./check.ts";

const SLOTS = 65536;
const SLOT_BYTES = 64;
const LOW = 16 / 8;
const FAULTS = 24 / 4;
const PROTECTION = 32 / 4;
const STRAYS = 40 / 4;

/** The guard's table as this thread sees it: plain loads tell whether a range lost pages, without a call. */
interface GuardTable {
  readonly doubles: Float64Array;
  readonly words: Uint32Array;
}

let table: GuardTable | undefined;

function open(): GuardTable {
  const { calls, buffer } = native();
  check(calls.oc_guard_install(), "install", "the SIGBUS guard");
  const memory = buffer(calls.oc_guard_table(), SLOTS * SLOT_BYTES);
  return { doubles: new Float64Array(memory), words: new Uint32Array(memory) };
}

/**
 * One address range under the guard of c/guard.c: a page of it that is lost (its file was truncated, its device failed)
 * becomes zeros and is counted instead of ending the process; so is a write to a range mapped for reading, which the
 * process then sees alone.
 */
export class Guard {
  readonly slot: number;
  #words: Uint32Array;
  #doubles: Float64Array;
  #faults: number;
  #strays: number;
  #told = 0;

  /** @throws {LimitError} when 65 536 ranges are guarded already. */
  constructor(address: number, length: number, protection: number) {
    table ??= open();
    this.slot = native().calls.oc_guard_add(address, length, protection);
    if (this.slot < 0) throw new LimitError("maps", `${SLOTS} mappings are guarded already`);
    this.#words = table.words;
    this.#doubles = table.doubles;
    this.#faults = (this.slot * SLOT_BYTES) / 4 + FAULTS;
    this.#strays = (this.slot * SLOT_BYTES) / 4 + STRAYS;
  }

  /** How often a page was lost since the range was mapped. */
  get faults(): number {
    return this.#words[this.#faults] ?? 0;
  }

  /** Offset in the range of the lowest page that was lost, Infinity when none was. */
  get low(): number {
    return this.faults === 0 ? Number.POSITIVE_INFINITY : (this.#doubles[(this.slot * SLOT_BYTES) / 8 + LOW] ?? 0);
  }

  /** Whether somebody wrote to the range, which is mapped for reading, since `forgetStrays`. */
  get strayed(): boolean {
    return this.#words[this.#strays] !== this.#told;
  }

  /** The range is about to be read-only again. */
  forgetStrays(protection: number): void {
    this.#told = this.#words[this.#strays] ?? 0;
    Atomics.store(this.#words, (this.slot * SLOT_BYTES) / 4 + PROTECTION, protection);
  }

  remove(): void {
    native().calls.oc_guard_remove(this.slot, 0);
  }
}
