import { InvalidArgumentError, LimitError } from "../errors.ts";
import type { EvictionPolicy } from "./policy.ts";
import { Age } from "./window-table.ts";

/** A file whose windows can be resident. */
export interface WindowOwner {
  /** How often a window was used lately. */
  useCount(window: number): number;
  /** The window is no longer resident: give its memory back. */
  dropWindow(window: number): void;
  /** Gives the memory of the range being scanned back. */
  dropScan(): void;
  /** Gives back what views touched outside of resident windows. */
  sweep(): void;
}

export interface ResidencyLimits {
  /** Bytes of windows in memory at once. */
  readonly budget: number;
  readonly maxWindows: number;
  /** Throw rather than exceed the limits when everything is pinned. */
  readonly strict: boolean;
  readonly admission: "frequency" | "always";
}

/** Counters since the manager was made. */
export interface WindowCounters {
  /** Uses of a window that was resident. */
  hits: number;
  /** Uses of a window that was not, whether served by pread or by mapping it. */
  misses: number;
  /** Windows that gave way. */
  evictions: number;
  /** Windows that became resident. */
  admissions: number;
  /** Misses served by pread because what is resident is used more. */
  rejections: number;
  /** Sweeps of memory that views touched after their lease. */
  sweeps: number;
}

/** A newcomer must have been used this many times more than the victim, or exchanging them costs more than it saves. */
const MARGIN = 8;
/** Uses per resident window until all counts are halved. */
const PERIOD = 16;
/** Evictions between two sweeps, at least. */
const SWEEP_EVERY = 64;

/** Which windows of which files are in memory, under one budget. All operations take constant time. */
export class Residency {
  readonly limits: ResidencyLimits;
  readonly policy: EvictionPolicy;
  readonly age: Age;
  readonly counters: WindowCounters = { hits: 0, misses: 0, evictions: 0, admissions: 0, rejections: 0, sweeps: 0 };
  #owners: (WindowOwner | undefined)[] = [];
  #windows: number[] = [];
  #sizes: number[] = [];
  #pins: number[] = [];
  #free: number[] = [];
  #bytes = 0;
  #pinnedBytes = 0;
  #count = 0;
  #scanning = new Map<WindowOwner, number>();
  #exposed = new Set<WindowOwner>();
  #untilSweep = SWEEP_EVERY;
  readonly #isPinned = (id: number): boolean => (this.#pins[id] ?? 0) > 0;

  constructor(limits: ResidencyLimits, policy: EvictionPolicy, windowSize: number) {
    this.limits = limits;
    this.policy = policy;
    const capacity = Math.min(limits.maxWindows, Math.max(1, Math.floor(limits.budget / windowSize)));
    this.age = new Age(PERIOD * capacity);
  }

  /** Bytes of resident windows and of ranges being scanned. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that leases hold. */
  get pinnedBytes(): number {
    return this.#pinnedBytes;
  }

  /** Windows that are resident. */
  get count(): number {
    return this.#count;
  }

  #fits(bytes: number): boolean {
    return this.#bytes + bytes <= this.limits.budget && this.#count < this.limits.maxWindows;
  }

  /** The policy's choice, which must be one: a wrong answer would make room for ever. */
  #victim(): number {
    const victim = this.policy.victim(this.#isPinned);
    if (!(victim < 0) && (this.#owners[victim] === undefined || this.#isPinned(victim)))
      throw new InvalidArgumentError(`the policy chose ${victim}, which is no window that could be evicted`);
    return victim;
  }

  /** Ends scans of other files, then evicts windows, until `bytes` more fit; false when what is left is pinned. */
  #makeRoom(bytes: number, requester: WindowOwner): boolean {
    while (!this.#fits(bytes)) {
      let scanner: WindowOwner | undefined;
      for (const owner of this.#scanning.keys()) if (owner !== requester) scanner = owner;
      if (scanner !== undefined) {
        this.endScan(scanner);
        continue;
      }
      const victim = this.#victim();
      if (victim < 0) return false;
      this.evict(victim);
    }
    return true;
  }

  #insert(owner: WindowOwner, window: number, bytes: number): number {
    const id = this.#free.pop() ?? this.#owners.length;
    this.#owners[id] = owner;
    this.#windows[id] = window;
    this.#sizes[id] = bytes;
    this.#pins[id] = 0;
    this.#bytes += bytes;
    this.#count++;
    this.counters.admissions++;
    this.policy.insert(id);
    return id;
  }

  /** Makes a window resident if there is room for it. Returns its number, or -1. */
  settle(owner: WindowOwner, window: number, bytes: number): number {
    return this.#fits(bytes) ? this.#insert(owner, window, bytes) : -1;
  }

  /**
   * Makes a window resident if it is worth it: there is room, or it was used clearly more often than the window that
   * would give way. Returns its number, or -1.
   */
  admit(owner: WindowOwner, window: number, bytes: number, uses: number): number {
    const always = this.limits.admission === "always";
    if (!this.#fits(bytes)) {
      if (bytes > this.limits.budget) return -1;
      if (!always && uses <= MARGIN) {
        this.counters.rejections++;
        return -1;
      }
      const victim = this.#victim();
      const rival = victim < 0 ? undefined : this.#owners[victim];
      if (!always && rival !== undefined && uses <= rival.useCount(this.#windows[victim] ?? 0) + MARGIN) {
        this.policy.spare(victim);
        this.counters.rejections++;
        return -1;
      }
      if (!this.#makeRoom(bytes, owner)) return -1;
    }
    return this.#insert(owner, window, bytes);
  }

  /**
   * Makes a window resident for a lease, whatever it is worth.
   * @throws {LimitError} when everything else is pinned and the limits are strict.
   */
  require(owner: WindowOwner, window: number, bytes: number): number {
    if (!this.#makeRoom(bytes, owner) && this.limits.strict)
      throw new LimitError(
        this.#count >= this.limits.maxWindows ? "windows" : "budget",
        `leases hold ${this.#pinnedBytes} bytes; ${bytes} more would exceed the budget of ${this.limits.budget} bytes or ${this.limits.maxWindows} windows`,
      );
    return this.#insert(owner, window, bytes);
  }

  /** @throws {LimitError} when a lease of so many bytes could never be within strict limits. */
  checkLease(bytes: number): void {
    if (this.limits.strict && bytes > this.limits.budget)
      throw new LimitError("budget", `a lease of ${bytes} bytes exceeds the budget of ${this.limits.budget} bytes`);
  }

  /** Evicts a window unless it is pinned. */
  evictUnpinned(id: number): void {
    if (id >= 0 && !this.#isPinned(id)) this.evict(id);
  }

  hit(id: number): void {
    this.counters.hits++;
    this.policy.hit(id);
  }

  pin(id: number): void {
    const pins = this.#pins[id] ?? 0;
    if (pins === 0) this.#pinnedBytes += this.#sizes[id] ?? 0;
    this.#pins[id] = pins + 1;
  }

  unpin(id: number): void {
    const pins = (this.#pins[id] ?? 0) - 1;
    if (pins < 0) return;
    this.#pins[id] = pins;
    if (pins > 0) return;
    this.#pinnedBytes -= this.#sizes[id] ?? 0;
    /* A soft limit that leases exceeded holds again as soon as it can. */
    while (this.#bytes > this.limits.budget || this.#count > this.limits.maxWindows) {
      const victim = this.#victim();
      if (victim < 0) break;
      this.evict(victim);
    }
  }

  /** Ends the residency of a window and gives its memory back. */
  evict(id: number): void {
    const owner = this.#owners[id];
    if (owner === undefined) return;
    this.counters.evictions++;
    this.forget(id);
    owner.dropWindow(this.#windows[id] ?? 0);
    this.maybeSweep();
  }

  /** Ends the residency of a window whose memory is given back otherwise. */
  forget(id: number): void {
    if (this.#owners[id] === undefined) return;
    if ((this.#pins[id] ?? 0) > 0) this.#pinnedBytes -= this.#sizes[id] ?? 0;
    this.#pins[id] = 0;
    this.#owners[id] = undefined;
    this.#bytes -= this.#sizes[id] ?? 0;
    this.#count--;
    this.policy.remove(id);
    this.#free.push(id);
  }

  /** Accounts `bytes` for the range that a file is being scanned at; false when there is no room. */
  scan(owner: WindowOwner, bytes: number): boolean {
    const held = this.#scanning.get(owner) ?? 0;
    if (held === bytes) return true;
    this.#bytes -= held;
    if (!this.#makeRoom(bytes, owner)) {
      this.#scanning.delete(owner);
      owner.dropScan();
      return false;
    }
    this.#bytes += bytes;
    this.#scanning.set(owner, bytes);
    return true;
  }

  endScan(owner: WindowOwner): void {
    const held = this.#scanning.get(owner);
    if (held === undefined) return;
    this.#scanning.delete(owner);
    this.#bytes -= held;
    owner.dropScan();
  }

  /** Views of this file may be touched when nothing is leased: its memory is swept from time to time. */
  expose(owner: WindowOwner): void {
    this.#exposed.add(owner);
  }

  /** Counts towards the next sweep. Sweeps take time in proportion to the windows, so they are that far apart. */
  maybeSweep(): void {
    if (this.#exposed.size > 0 && --this.#untilSweep <= 0) this.sweep();
  }

  /** The windows of a file that are resident, in order. O(windows of all files). */
  windowsOf(owner: WindowOwner): number[] {
    const windows: number[] = [];
    for (let id = 0; id < this.#owners.length; id++)
      if (this.#owners[id] === owner) windows.push(this.#windows[id] ?? 0);
    return windows.sort((a, b) => a - b);
  }

  /** Gives back what views touched outside of resident windows. */
  sweep(): void {
    this.#untilSweep = Math.max(SWEEP_EVERY, this.#owners.length);
    this.counters.sweeps++;
    for (const owner of this.#exposed) owner.sweep();
  }

  /** Evicts every window that is not pinned; returns how many. */
  collect(): number {
    for (const owner of [...this.#scanning.keys()]) this.endScan(owner);
    let freed = 0;
    for (let id = 0; id < this.#owners.length; id++) {
      if (this.#owners[id] === undefined || this.#isPinned(id)) continue;
      this.evict(id);
      freed++;
    }
    this.sweep();
    return freed;
  }

  /** A file closes: it owns nothing here any more. */
  remove(owner: WindowOwner): void {
    this.#exposed.delete(owner);
    const held = this.#scanning.get(owner);
    if (held === undefined) return;
    this.#scanning.delete(owner);
    this.#bytes -= held;
  }
}
