import type { ArrayInfo } from "./catalogue.ts";
import type { MetaChange } from "./format.ts";

/** Pages [first, end). */
type PageRange = readonly [number, number];

/** What a savepoint keeps of it. */
export type SavedChanges = Pick<Changes, "infos" | "dropped" | "zeros" | "snapshots">;

/** What a transaction has changed besides the contents of pages. */
export class Changes {
  /** Arrays that are new or have another shape or other attributes. */
  infos: Map<number, ArrayInfo> = new Map();
  dropped: Set<number> = new Set();
  readonly created: Set<number> = new Set();
  /** Pages that became zeros when their array shrank. */
  zeros: Map<number, PageRange[]> = new Map();
  /** Named snapshots as they are to be. */
  snapshots: Readonly<Record<string, number>> | undefined;

  addZeros(array: number, first: number, end: number): void {
    this.zeros.set(array, [...(this.zeros.get(array) ?? []), [first, end]]);
  }

  /** As a commit writes it; undefined when it has nothing of it. */
  meta(): MetaChange | undefined {
    if (this.infos.size === 0 && this.dropped.size === 0 && this.snapshots === undefined) return undefined;
    return {
      ...(this.infos.size > 0 ? { arrays: [...this.infos.values()] } : {}),
      ...(this.dropped.size > 0 ? { dropped: [...this.dropped] } : {}),
      ...(this.snapshots !== undefined ? { snapshots: this.snapshots } : {}),
    };
  }

  clear(): void {
    for (const each of [this.infos, this.dropped, this.zeros, this.created]) if (each.size > 0) each.clear();
    this.snapshots = undefined;
  }

  /** A copy of what a savepoint brings back. */
  saved(): SavedChanges {
    const { snapshots } = this;
    const zeros = new Map([...this.zeros].map(([id, list]) => [id, [...list]]));
    return { infos: new Map(this.infos), dropped: new Set(this.dropped), zeros, snapshots };
  }

  /** Brings back what `saved` gave. */
  restore({ infos, dropped, zeros, snapshots }: SavedChanges): void {
    this.infos = new Map(infos);
    this.dropped = new Set(dropped);
    this.zeros = new Map([...zeros].map(([id, list]) => [id, [...list]]));
    this.snapshots = snapshots;
  }
}
