import { builtin } from "../builtins.ts";
import { LimitError, LockedError, UnsupportedFileError } from "../errors.ts";
import { DataFile } from "../memory/data-file.ts";
import { endWithThread, lockRange } from "../memory/lock.ts";
import { Mapping } from "../memory/mapping.ts";
import { mutations } from "./mutations.ts";

const COMMIT = 0;
const GATE = 1;
const OPEN = 2;
const LIVENESS = 64;
const RESERVED: number = 2 ** 20;
const SLOTS = 1024;
const HEADER_WORDS = 64;
const SLOT_WORDS = 8;
const HEAD = 1;
const APPLIED = 2;
const DURABLE = 3;
const SEQUENCE = 4;
const SLOTS_USED = 5;
const DOUBT = 6;
const HEALED = 7;
/** The complement of `durable`, written after it: whether what is left of a file can be believed. */
const CHECK = 8;
const SHM_BYTES = (HEADER_WORDS + SLOTS * SLOT_WORDS) * 8;

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Tries until it works; blocks the thread, so only for locks that are held for microseconds. */
function insist(attempt: () => boolean, path: string, timeout: number): void {
  for (let i = 0; i < 100; i++) if (attempt()) return;
  const end = performance.now() + timeout;
  while (!attempt()) {
    if (performance.now() > end) throw new LockedError(path);
    Atomics.wait(sleeper, 0, 0, 1);
  }
}

/** The first words of a file `shm`; zeros where there is none, or not a whole one. */
function read(path: string): BigInt64Array<ArrayBuffer> {
  const words = new BigInt64Array(HEADER_WORDS);
  const file = DataFile.create(path);
  try {
    if (file.size() >= SHM_BYTES) file.readInto(0, new Uint8Array(words.buffer));
  } finally {
    file.close();
  }
  return words;
}

/** The files `shm` and `lock` of a store: what the processes that have it open tell one another. */
export class SharedState {
  readonly alone: boolean;
  /** For the one who is alone: what its predecessors knew to be on the disk; zeros when nobody knows. */
  readonly before: { readonly durable: number; readonly sequence: number };
  readonly #lock: DataFile;
  readonly #shm: Mapping;
  readonly #words: BigInt64Array;
  readonly #timeout: number;
  #slot = -1;
  #doubt = 0n;
  #reserved = new Set<number>();

  private constructor(
    lock: DataFile,
    shm: Mapping,
    alone: boolean,
    timeout: number,
    before: { durable: number; sequence: number },
  ) {
    this.before = before;
    this.#lock = lock;
    this.#shm = shm;
    this.#words = shm.view("i64", 0, SHM_BYTES / 8);
    this.alone = alone;
    this.#timeout = timeout;
  }

  /**
   * Opens both. `alone` tells that nobody else has the store open: then `recover` is due, and others wait until
   * `settle`.
   */
  static open(folder: string, timeout: number): SharedState {
    const { join } = builtin("path");
    const lock = DataFile.create(join(folder, "lock"));
    try {
      endWithThread(lock);
      if (lock.status().fileSystem === "network")
        throw new UnsupportedFileError(folder, "on a network file system", "locks there are not to be relied on");
      let alone = false;
      let left = new BigInt64Array(HEADER_WORDS);
      insist(
        () => {
          alone = lockRange(lock, "exclusive", OPEN, 1);
          if (!alone && !lockRange(lock, "shared", OPEN, 1)) return false;
          left = read(join(folder, "shm"));
          if (alone || left[SLOTS_USED] !== 0n) return true;
          /* Between the two attempts somebody who recovered the store has died, or failed. */
          lockRange(lock, "none", OPEN, 1);
          return false;
        },
        lock.path,
        timeout,
      );
      const shm = Mapping.open(join(folder, "shm"), { access: "write", length: SHM_BYTES });
      const isWhole = left[DURABLE] === ~(left[CHECK] ?? 0n);
      const before = { durable: isWhole ? Number(left[DURABLE]) : 0, sequence: Number(left[SEQUENCE]) };
      const state = new SharedState(lock, shm, alone, timeout, before);
      if (alone) state.#empty();
      return state;
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  /** Of what is left only that stays which the next one is to know, should recovery fail. */
  #empty(): void {
    Atomics.store(this.#words, SLOTS_USED, 0n);
    for (let at = 0; at < this.#words.length; at++)
      if (at !== DURABLE && at !== SEQUENCE && at !== CHECK) Atomics.store(this.#words, at, 0n);
    this.durable = this.before.durable;
  }

  /** Recovery is over; others may come in, who see by the used slot that it is. */
  settle(): void {
    this.#takeSlot();
    if (this.alone) lockRange(this.#lock, "shared", OPEN, 1);
  }

  #takeSlot(): void {
    for (let slot = 0; slot < SLOTS; slot++)
      if (lockRange(this.#lock, "exclusive", LIVENESS + slot, 1)) {
        this.#slot = slot;
        this.release();
        for (;;) {
          const used = Atomics.load(this.#words, SLOTS_USED);
          if (used > slot || Atomics.compareExchange(this.#words, SLOTS_USED, used, BigInt(slot + 1)) === used) break;
        }
        return;
      }
    throw new LimitError("readers", `${this.#lock.path}: ${SLOTS} connections are open already`);
  }

  get head(): number {
    return Number(Atomics.load(this.#words, HEAD));
  }

  set head(txid: number) {
    Atomics.store(this.#words, HEAD, BigInt(txid));
  }

  get applied(): number {
    return Number(Atomics.load(this.#words, APPLIED));
  }

  set applied(txid: number) {
    Atomics.store(this.#words, APPLIED, BigInt(txid));
  }

  /** Newest transaction whose record, and all before it, are on the disk. */
  get durable(): number {
    return Number(Atomics.load(this.#words, DURABLE));
  }

  set durable(txid: number) {
    Atomics.store(this.#words, DURABLE, BigInt(txid));
    Atomics.store(this.#words, CHECK, ~BigInt(txid));
  }

  /** Sequence of the newest superblock that is known to be on the disk. */
  get sequence(): number {
    return Number(Atomics.load(this.#words, SEQUENCE));
  }

  set sequence(sequence: number) {
    Atomics.store(this.#words, SEQUENCE, BigInt(sequence));
  }

  /** The same; for the one who is alone, and has not said yet what he found, there is no limit. */
  get proven(): number {
    return this.alone && this.#slot < 0 ? Number.POSITIVE_INFINITY : this.sequence;
  }

  /** What the home files hold is about to be made durable. Whoever calls holds the commit lock. */
  proving(): void {
    Atomics.or(this.#words, DOUBT, 1n);
  }

  /** It is. */
  proved(): void {
    Atomics.and(this.#words, DOUBT, ~1n);
  }

  /** Pages of home files did not reach the disk, and memory need not hold them any longer. */
  doubt(): void {
    Atomics.add(this.#words, DOUBT, 2n);
  }

  /** Somebody did not end what `proving` began. Whoever calls holds the commit lock. */
  get unfinished(): boolean {
    return (Atomics.load(this.#words, DOUBT) & 1n) !== 0n;
  }

  /** Home files came into doubt since this connection was opened: its views may show what is not so. */
  get doubted(): boolean {
    return Atomics.load(this.#words, DOUBT) >> 1n !== this.#doubt && mutations.ignoreDoubt !== true;
  }

  /** For a new connection: whether home files were in doubt, and nobody has written them anew since. */
  get unhealed(): boolean {
    this.#doubt = Atomics.load(this.#words, DOUBT) >> 1n;
    return Atomics.load(this.#words, HEALED) !== this.#doubt;
  }

  /** They were written anew. Whoever calls holds the commit lock. */
  heal(): void {
    this.#doubt = Atomics.load(this.#words, DOUBT) >> 1n;
    Atomics.store(this.#words, HEALED, this.#doubt);
  }

  /** Makes the present head this connection's snapshot. */
  acquire(): { head: number; applied: number } {
    if (mutations.lateSlot !== undefined) return this.#acquireLate(mutations.lateSlot);
    insist(() => lockRange(this.#lock, "shared", GATE, 1), this.#lock.path, this.#timeout);
    const { head, applied } = this;
    this.#publish(head);
    lockRange(this.#lock, "none", GATE, 1);
    return { head, applied };
  }

  #acquireLate(between: () => void): { head: number; applied: number } {
    const { head, applied } = this;
    between();
    this.#publish(head);
    return { head, applied };
  }

  #publish(txid: number): void {
    const at = HEADER_WORDS + this.#slot * SLOT_WORDS;
    Atomics.store(this.#words, at + 1, BigInt(Math.floor(Date.now())));
    Atomics.store(this.#words, at + 2, 0n);
    Atomics.store(this.#words, at, BigInt(txid + 1));
  }

  /** Makes an older state this connection's snapshot, one that a name keeps. Whoever calls holds the commit lock. */
  stand(txid: number): void {
    this.#publish(txid);
  }

  /** This connection reads nothing that must stay. */
  release(): void {
    if (this.#slot >= 0) Atomics.store(this.#words, HEADER_WORDS + this.#slot * SLOT_WORDS, 0n);
  }

  /** Whether the snapshot was given up because it was too old. */
  get evicted(): boolean {
    return Atomics.load(this.#words, HEADER_WORDS + this.#slot * SLOT_WORDS + 2) !== 0n;
  }

  /**
   * The oldest snapshot that somebody else reads, Infinity when nobody does, 0 when somebody was stopped in the gate and
   * nobody can tell. Slots of the dead are reclaimed, and snapshots older than `maxAge` milliseconds given up, unless they
   * keep back no more than `pinned` does anyway.
   */
  oldestOther(maxAge: number, pinned: number): number {
    /* Whoever comes after this was read takes the present head, or a later one. */
    if (Atomics.load(this.#words, SLOTS_USED) <= 1n && this.#slot === 0) return Number.POSITIVE_INFINITY;
    try {
      insist(() => lockRange(this.#lock, "exclusive", GATE, 1), this.#lock.path, this.#timeout);
    } catch (error) {
      /* What was committed before this was asked stays committed: it goes home later. */
      if (error instanceof LockedError) return 0;
      throw error;
    }
    let oldest = Number.POSITIVE_INFINITY;
    const words = this.#words;
    const used = Number(Atomics.load(words, SLOTS_USED));
    for (let slot = 0; slot < used; slot++) {
      const at = HEADER_WORDS + slot * SLOT_WORDS;
      const value = words[at];
      if (slot === this.#slot || value === 0n || value === undefined) continue;
      if (lockRange(this.#lock, "exclusive", LIVENESS + slot, 1)) {
        Atomics.store(words, at, 0n);
        lockRange(this.#lock, "none", LIVENESS + slot, 1);
        continue;
      }
      if (Number(value) - 1 < pinned && Date.now() - Number(Atomics.load(words, at + 1)) > maxAge) {
        Atomics.store(words, at + 2, 1n);
        Atomics.store(words, at, 0n);
        continue;
      }
      oldest = Math.min(oldest, Number(value) - 1);
    }
    lockRange(this.#lock, "none", GATE, 1);
    return oldest;
  }

  /** Whether nobody else was here since this connection recovered the store. */
  get solitary(): boolean {
    return this.alone && this.#slot === 0 && Atomics.load(this.#words, SLOTS_USED) === 1n;
  }

  tryCommitLock(): boolean {
    return lockRange(this.#lock, "exclusive", COMMIT, 1);
  }

  /** Runs `work` with the commit lock; blocks the thread until it is there. */
  withCommitLock<T>(work: () => T): T {
    insist(() => this.tryCommitLock(), this.#lock.path, this.#timeout);
    try {
      return work();
    } finally {
      this.commitUnlock();
    }
  }

  commitUnlock(): void {
    lockRange(this.#lock, "none", COMMIT, 1);
  }

  /** Takes the number of an array that is to be made; false when another transaction has it. */
  reserve(array: number): boolean {
    if (this.#reserved.has(array) || !lockRange(this.#lock, "exclusive", RESERVED + array, 1)) return false;
    this.#reserved.add(array);
    return true;
  }

  unreserve(array: number): void {
    if (this.#reserved.delete(array)) lockRange(this.#lock, "none", RESERVED + array, 1);
  }

  /** Whether a transaction is making an array of this number. */
  isReserved(array: number): boolean {
    if (!this.reserve(array)) return true;
    this.unreserve(array);
    return false;
  }

  close(): void {
    this.release();
    this.#shm.close();
    this.#lock.close();
  }
}
