import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { type DiskObserver, type DiskStep, diskError, observeDisk } from "../../src/memory/store-file.ts";
import { tempFolder } from "../support/temp.ts";

/** A step of a recording; "mark" is a word of the test's own, "lost" a sync that failed. */
export interface Step {
  readonly kind: DiskStep["kind"] | "mark" | "lost";
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

const BREAKABLE: readonly string[] = ["write", "sync", "truncate", "punch", "create", "sync-folder"];

/** What is thrown in a process that is dead. */
export const DEAD: Error = new Error("this process is dead");

/** How a step is to fail: with an error of the disk, because its process ends there, or both at once. */
export type Fault = "ENOSPC" | "EIO" | "kill" | "death";

/**
 * Records what engines write until `stop`, and lets it fail as Linux does: after a failed sync no later one brings to the
 * disk what was written before, unless it is written again; and each open file is told of it once.
 */
export class Recorder {
  readonly steps: Step[] = [];
  /** What was hit by a fault. */
  readonly hit: string[] = [];
  #fault: Fault | undefined;
  #after = 0;
  #only: { kind: string; file: RegExp } | undefined;
  #dead = false;
  /** Failed syncs by file, and how many each open file knows of. */
  #errors = new Map<string, number>();
  #known = new WeakMap<object, number>();
  #errno = "EIO";

  start(folder: string): void {
    observeFolder(folder, (step) => this.#see(step));
  }

  /** After so many more steps towards the disk one fails; after a death all, until it is called again. */
  fail(fault: Fault | undefined, after = 0): void {
    this.#fault = fault;
    this.#only = undefined;
    this.#after = after;
    this.#dead = false;
  }

  /** The first step of that kind on such a file fails; after a death all that follow. */
  failOn(fault: Fault, kind: string, file: RegExp): void {
    this.fail(fault);
    this.#only = { kind, file };
  }

  #isNext(kind: string, name: string): boolean {
    if (this.#fault === undefined) return false;
    if (this.#only !== undefined) return this.#only.kind === kind && this.#only.file.test(name);
    return BREAKABLE.includes(kind) && this.#after-- === 0;
  }

  #see({ kind, path: file, offset, length, bytes, file: opened }: DiskStep): undefined {
    const name = path.basename(file);
    if (kind === "open") {
      if (opened !== undefined) this.#known.set(opened, this.#errors.get(file) ?? 0);
      return;
    }
    if (this.#dead) throw DEAD;
    if (this.#isNext(kind, name)) this.#break(kind, file, opened);
    const errors = this.#errors.get(file) ?? 0;
    if (kind === "sync" && opened !== undefined && this.#known.get(opened) !== errors) {
      this.#known.set(opened, errors);
      throw diskError(this.#errno, kind, file);
    }
    this.steps.push({ kind, name, offset, length, bytes: kind === "write" ? bytes() : none });
  }

  #break(kind: DiskStep["kind"], file: string, opened: object | undefined): never {
    const fault = this.#fault;
    this.#fault = undefined;
    this.#dead = fault === "death" || fault === "kill";
    const name = path.basename(file);
    this.hit.push(`${fault} ${kind} ${name}`);
    if (kind === "sync" && opened !== undefined && fault !== "kill") {
      const errors = (this.#errors.get(file) ?? 0) + 1;
      this.#errors.set(file, errors);
      this.#errno = fault === "ENOSPC" ? fault : "EIO";
      this.#known.set(opened, errors);
      this.steps.push({ kind: "lost", name, offset: 0, length: 0, bytes: none });
    }
    throw fault === "ENOSPC" || fault === "EIO" ? diskError(fault, kind, file) : DEAD;
  }

  get dead(): boolean {
    return this.#dead;
  }

  mark(name: string): void {
    this.steps.push({ kind: "mark", name, offset: 0, length: 0, bytes: none });
  }

  stop(): void {
    observeDisk(undefined);
  }
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

/** Which steps before `cut` are on the disk for sure. */
function durable(steps: readonly Step[], cut: number): boolean[] {
  const sure = new Array<boolean>(cut).fill(false);
  const waiting = new Map<string, number[]>();
  let names: number[] = [];
  for (let i = 0; i < cut; i++) {
    const { kind, name } = steps[i] as Step;
    if (kind === "sync-folder") {
      for (const at of names) sure[at] = true;
      names = [];
    } else if (kind === "create" || kind === "remove") names.push(i);
    else if (kind === "sync") {
      for (const at of waiting.get(name) ?? []) sure[at] = true;
      waiting.delete(name);
      /* What was written before, and is not on the disk, is forgotten. */
    } else if (kind === "lost") {
      const rest = (waiting.get(name) ?? []).filter((at) => steps[at]?.kind !== "write");
      waiting.set(name, rest);
    } else if (kind !== "mark") {
      const list = waiting.get(name) ?? [];
      list.push(i);
      waiting.set(name, list);
    }
  }
  return sure;
}

/**
 * What the disk may hold after a power loss before step `cut`: what was synced, and of the rest nothing, everything, or
 * any part in any order of sectors.
 */
export function lose(start: Disk, steps: readonly Step[], cut: number, random: (limit: number) => number): Disk {
  const disk: Disk = new Map(start);
  const way = random(3);
  const sure = durable(steps, cut);
  for (let i = 0; i < cut; i++) {
    const step = steps[i] as Step;
    if (["mark", "lost", "sync", "sync-folder"].includes(step.kind)) continue;
    const isName = step.kind === "create" || step.kind === "remove";
    if (sure[i] || way === 0) apply(disk, step);
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
