import { builtin } from "../../builtins.ts";
import { listSegments, OFFSETS, Segment, segmentName } from "./segment.ts";

/** The segments of one log: opened when first used, and removed no earlier than nobody needs them. */
export class Segments {
  readonly folder: string;
  /** Files were made or removed since the folder was last synced. */
  dirtyFolder = false;
  #writable: boolean;
  #open: Map<number, Segment> = new Map();
  #last: Segment | undefined;
  #pins = 0;
  #retired: Segment[] = [];

  constructor(folder: string, writable: boolean) {
    this.folder = folder;
    this.#writable = writable;
  }

  at(id: number): Segment {
    if (this.#last?.id === id) return this.#last;
    let segment = this.#open.get(id);
    if (segment === undefined) {
      segment = Segment.open(this.folder, id, this.#writable);
      this.#open.set(id, segment);
    }
    this.#last = segment;
    return segment;
  }

  of(position: number): Segment {
    return this.at(Math.floor(position / OFFSETS));
  }

  pathOf(position: number): string {
    return builtin("path").join(this.folder, segmentName(Math.floor(position / OFFSETS)));
  }

  add(segment: Segment): void {
    this.#open.set(segment.id, segment);
    this.dirtyFolder = true;
  }

  /** Those that are open. */
  opened(): IterableIterator<Segment> {
    return this.#open.values();
  }

  /** The ids that there are on the disk now, in order. */
  ids(): number[] {
    return listSegments(this.folder);
  }

  /** All of them in order, as they are on the disk now, but those that were retired. */
  all(): Segment[] {
    const retired = new Set(this.#retired.map(({ id }) => id));
    return this.ids()
      .filter((id) => !retired.has(id))
      .map((id) => this.at(id));
  }

  /** Closes a segment and removes its file. */
  remove(id: number): void {
    this.#open.get(id)?.close();
    this.#open.delete(id);
    if (this.#last?.id === id) this.#last = undefined;
    builtin("fs").rmSync(builtin("path").join(this.folder, segmentName(id)), { force: true });
    this.dirtyFolder = true;
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
    this.#pins--;
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
    const fd = builtin("fs").openSync(this.folder, "r");
    try {
      builtin("fs").fsyncSync(fd);
    } finally {
      builtin("fs").closeSync(fd);
    }
    this.dirtyFolder = false;
  }

  trim(): void {
    for (const segment of this.#open.values()) segment.trim();
  }

  close(): void {
    for (const segment of this.#open.values()) segment.close();
    this.#open.clear();
    this.#last = undefined;
    this.#retired = [];
  }
}
