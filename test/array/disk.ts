import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { type DiskObserver, type DiskStep, diskError, observeDisk } from "../../src/memory/store-file.ts";
import { tempFolder } from "../support/temp.ts";

/** A step of a recording; "mark" is a word of the test's own. */
export interface Step {
  readonly kind: DiskStep["kind"] | "mark";
  readonly name: string;
  readonly offset: number;
  readonly length: number;
  readonly bytes: Uint8Array;
}

/** Files by name, as a disk holds them. */
export type Disk = Map<string, Uint8Array>;

const none = new Uint8Array(0);

/** Observes what is done in one folder: stores that other tests left behind may still be at work in theirs. */
export function observeFolder(folder: string, observer: DiskObserver): void {
  observeDisk((step) => ((step.path + path.sep).startsWith(folder + path.sep) ? observer(step) : undefined));
}

/** Records what engines write until `stop`. */
export class Recorder {
  readonly steps: Step[] = [];
  /** After so many more writes and syncs one fails, once, for want of room; -1 for none. */
  failAt = -1;

  start(folder: string): void {
    observeFolder(folder, ({ kind, path: file, offset, length, bytes }) => {
      if (this.failAt >= 0 && (kind === "write" || kind === "sync") && this.failAt-- === 0)
        throw diskError("ENOSPC", kind, file);
      this.steps.push({ kind, name: path.basename(file), offset, length, bytes: kind === "write" ? bytes() : none });
      return undefined;
    });
  }

  mark(name: string): void {
    this.steps.push({ kind: "mark", name, offset: 0, length: 0, bytes: none });
  }

  stop(): void {
    observeDisk(undefined);
  }
}

/** A generator of numbers below a limit, the same for the same seed; what it gives may seed others. */
export function randomFrom(seed: number): (limit: number) => number {
  let state = seed | 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

function resized(bytes: Uint8Array, size: number): Uint8Array {
  const next = new Uint8Array(size);
  next.set(bytes.subarray(0, Math.min(size, bytes.length)));
  return next;
}

const SECTOR = 512;

/** Does a step; with `random` a write may lose any of its sectors. */
function apply(disk: Disk, step: Step, random?: (limit: number) => number): void {
  const before = disk.get(step.name);
  if (step.kind === "remove") disk.delete(step.name);
  else if (step.kind === "create") disk.set(step.name, before ?? none);
  else if (before === undefined) return;
  else if (step.kind === "truncate") disk.set(step.name, resized(before, step.offset));
  else if (step.kind === "punch") {
    const next = before.slice();
    next.fill(0, step.offset, step.offset + step.length);
    disk.set(step.name, next);
  } else if (step.kind === "write") {
    const end = step.offset + step.bytes.length;
    const next = end > before.length ? resized(before, end) : before.slice();
    for (let at = 0; at < step.bytes.length; at += SECTOR)
      if (random === undefined || random(3) > 0)
        next.set(step.bytes.subarray(at, Math.min(at + SECTOR, step.bytes.length)), step.offset + at);
    disk.set(step.name, next);
  }
}

/**
 * What the disk may hold after a power loss before step `cut`: what was synced, and of the rest nothing, everything, or
 * any part in any order of sectors.
 */
export function lose(start: Disk, steps: readonly Step[], cut: number, random: (limit: number) => number): Disk {
  const disk: Disk = new Map(start);
  const way = random(3);
  const synced = new Map<string, number>();
  let names = -1;
  for (let i = 0; i < cut; i++) {
    const { kind, name } = steps[i] as Step;
    if (kind === "sync") synced.set(name, i);
    if (kind === "sync-folder") names = i;
  }
  for (let i = 0; i < cut; i++) {
    const step = steps[i] as Step;
    if (step.kind === "mark" || step.kind === "sync" || step.kind === "sync-folder") continue;
    const isName = step.kind === "create" || step.kind === "remove";
    const durable = isName ? i < names : i < (synced.get(step.name) ?? -1);
    if (durable || way === 0) apply(disk, step);
    else if (way === 2 && random(2) === 0) apply(disk, step, isName ? undefined : random);
  }
  return disk;
}

/** A folder in memory where there is one: what these tests lose is no real power. */
export function fastFolder(): string {
  const shared = "/dev/shm";
  return tempFolder(existsSync(shared) ? shared : undefined);
}

/** Writes a disk into a folder that is emptied first. */
export function lay(disk: Disk, folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of disk) writeFileSync(path.join(folder, name), bytes);
}
