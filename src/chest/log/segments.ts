import { builtin } from "../../builtins.ts";
import { DamagedError, NotFoundError } from "../../errors.ts";
import { typed } from "../../memory/check.ts";
import { Pool } from "./pool.ts";
import { type Identity, listSegments, OFFSETS, Segment, segmentName } from "./segment.ts";

/** A reader looks for removed files no earlier than it knows of so many. */
const FIRST_PRUNING = 8;

/** What is said of a whole segment that should not be where it is. */
export const FOREIGN = "another segment, or one of another chest, is in its place";

interface SegmentsSettings {
  readonly writable: boolean;
  /** What is written must be on the disk some time. */
  readonly sync: boolean;
  /** Told of a sync that failed, after which nobody knows what the disk has. */
  readonly onSyncFailed: (error: unknown) => void;
  /** Told of a file in a segment's place that is another one. */
  readonly onForeign: (path: string) => void;
}

/** The segments of one log: opened when first used, and removed no earlier than nobody needs them. */
export class Segments {
  readonly folder: string;
  /** Files were made or removed since the folder was last synced. */
  dirtyFolder = false;
  #writable: boolean;
  #pool: Pool;
  #open: Map<number, Segment> = new Map();
  #last: Segment | undefined;
  /** Removed, but leased. */
  #leaving: Segment[] = [];
  #pins = 0;
  /** To be closed when nothing is pinned. */
  #left: Segment[] = [];
  /** A reader looks for removed files when it knows of so many. */
  #pruneAt = FIRST_PRUNING;
  #retired: Segment[] = [];

  #identity: Identity;
  #onForeign: (path: string) => void;

  constructor(folder: string, identity: Identity, settings: SegmentsSettings) {
    this.folder = folder;
    this.#identity = identity;
    this.#writable = settings.writable;
    this.#onForeign = settings.onForeign;
    this.#pool = new Pool(settings.sync, settings.onSyncFailed);
  }

  at(id: number): Segment {
    if (this.#last?.id === id) return this.#last;
    let segment = this.#open.get(id);
    if (segment === undefined) {
      segment = this.#find(id);
      if (!segment.isOf(this.#identity)) {
        segment.close();
        throw new DamagedError(segment.path, 0, FOREIGN);
      }
      this.#open.set(id, segment);
    }
    this.#last = segment;
    return segment;
  }

  #find(id: number): Segment {
    try {
      return Segment.open(this.folder, id, this.#writable, this.#pool);
    } catch (error) {
      /* A reader looks again: the writer has compacted it. Nobody takes one away from the writer. */
      if (!this.#writable || !(error instanceof NotFoundError)) throw error;
      throw new DamagedError(error.path, 0, "the file is missing");
    }
  }

  /** For a reader: closes those whose files the writer has removed, now and then. */
  prune(): void {
    if (this.#open.size < this.#pruneAt || this.#pins > 0) return;
    const there = new Set(this.ids());
    for (const { id } of [...this.#open.values()]) if (!there.has(id)) this.#leave(id);
    this.#pruneAt = Math.max(FIRST_PRUNING, this.#open.size * 2);
  }

  /**
   * For a reader, before it goes by another state: closes those behind the last commit it knew of. What had no commit in it
   * may have been given up, and another file have its name.
   */
  leaveAfter(committed: number): void {
    const last = Math.floor(committed / OFFSETS);
    for (const segment of [...this.#open.values()]) {
      if (segment.id <= last) continue;
      if (this.#pins === 0) {
        this.#leave(segment.id);
        continue;
      }
      /* Somebody is looking at its records. */
      this.#open.delete(segment.id);
      if (this.#last === segment) this.#last = undefined;
      this.#left.push(segment);
    }
  }

  of(position: number): Segment {
    return this.at(Math.floor(position / OFFSETS));
  }

  pathOf(position: number): string {
    return builtin("path").join(this.folder, segmentName(Math.floor(position / OFFSETS)));
  }

  create(id: number, capacity: number, identity: Identity): Segment {
    const segment = Segment.create(this.folder, id, capacity, identity, this.#pool);
    this.#open.set(segment.id, segment);
    this.dirtyFolder = true;
    return segment;
  }

  /** Those that are open. */
  opened(): IterableIterator<Segment> {
    return this.#open.values();
  }

  /** The ids that there are on the disk now, in order. */
  ids(): number[] {
    return listSegments(this.folder);
  }

  /** All of them in order, as they are on the disk now, but those that were retired and those that are none. */
  all(): Segment[] {
    const retired = new Set(this.#retired.map(({ id }) => id));
    const segments: Segment[] = [];
    for (const id of this.ids()) {
      if (retired.has(id)) continue;
      try {
        segments.push(this.at(id));
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error;
        this.#onForeign(error.path);
      }
    }
    return segments;
  }

  /** Opens all that there are, but those that are removed just now. */
  openAll(): void {
    for (const id of this.ids()) {
      try {
        this.at(id);
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error;
      }
    }
  }

  /** Closes a segment and removes its file. */
  remove(id: number): void {
    this.#leave(id);
    const file = builtin("path").join(this.folder, segmentName(id));
    typed("remove", file, () => builtin("fs").rmSync(file, { force: true }));
    this.dirtyFolder = true;
  }

  #leave(id: number): void {
    const segment = this.#open.get(id);
    this.#open.delete(id);
    if (this.#last?.id === id) this.#last = undefined;
    this.#leaving = this.#leaving.filter((each) => each.isLeased);
    if (segment?.retire() === false) this.#leaving.push(segment);
  }

  /** Nothing live is in it any more: it goes when nobody needs it. */
  retire(segment: Segment): void {
    this.#retired.push(segment);
  }

  /** Removes what is retired, unless it is pinned. True when something was removed. */
  sweep(): boolean {
    if (this.#pins > 0 || this.#retired.length === 0) return false;
    for (const { id } of this.#retired) this.remove(id);
    this.#retired = [];
    return true;
  }

  /** Keeps all segments there until `unpin`. */
  pin(): void {
    this.#pins++;
  }

  unpin(): void {
    if (--this.#pins > 0) return;
    for (const segment of this.#left.splice(0)) if (!segment.retire()) this.#leaving.push(segment);
  }

  /** For a reader: keeps open, as far as there are descriptors, what it opens from now on, until `letGo`. */
  hold(): void {
    this.#pool.hold();
  }

  letGo(): void {
    this.#pool.letGo();
  }

  unpinAll(): void {
    this.#pins = 0;
  }

  /** Waits until the disk has every segment, and the folder when it changed. */
  sync(): void {
    for (const segment of this.#open.values()) segment.sync();
    this.syncFolder();
  }

  syncFolder(): void {
    if (!this.dirtyFolder) return;
    typed("sync", this.folder, () => {
      const fd = builtin("fs").openSync(this.folder, "r");
      try {
        builtin("fs").fsyncSync(fd);
      } finally {
        builtin("fs").closeSync(fd);
      }
    });
    this.dirtyFolder = false;
  }

  trim(): void {
    for (const segment of this.#open.values()) segment.trim();
  }

  close(): void {
    for (const segment of [...this.#open.values(), ...this.#leaving, ...this.#left]) segment.close();
    this.#open.clear();
    this.#left = [];
    this.#leaving = [];
    this.#last = undefined;
    this.#retired = [];
  }
}
