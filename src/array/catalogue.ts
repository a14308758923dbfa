import type { MetaChange, PageRun } from "./format.ts";

/** An array as the catalogue describes it: plain JSON. */
export interface ArrayInfo {
  readonly id: number;
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly order: "C" | "F";
  /** Pages from here on were never written. */
  readonly highWater: number;
  /** Whatever the user keeps with it. */
  readonly attributes?: Readonly<Record<string, unknown>>;
}

/** Everything that a store knows besides pages, at one moment. */
export interface Catalogue {
  readonly nextId: number;
  readonly arrays: readonly ArrayInfo[];
  /** Transactions that named snapshots stand at. */
  readonly snapshots: Readonly<Record<string, number>>;
}

export const emptyCatalogue: Catalogue = { nextId: 1, arrays: [], snapshots: {} };

/** Whether one of the runs, mostly of few arrays, lies above the high water. */
function raises({ arrays }: Catalogue, runs: readonly PageRun[]): boolean {
  let id = -1;
  let highWater = 0;
  for (const { array, page, count, kind } of runs) {
    if (array !== id) {
      id = array;
      highWater = arrays.find((info) => info.id === array)?.highWater ?? Number.POSITIVE_INFINITY;
    }
    if (kind !== "zero" && page + count > highWater) return true;
  }
  return false;
}

/** The catalogue after a commit; the same one when nothing of it changes. */
export function advance(catalogue: Catalogue, runs: readonly PageRun[], meta: MetaChange): Catalogue {
  const { arrays: changed = [], dropped = [], snapshots = catalogue.snapshots } = meta;
  if (meta.snapshots === undefined && changed.length === 0 && dropped.length === 0 && !raises(catalogue, runs))
    return catalogue;
  const byId = new Map(catalogue.arrays.map((info) => [info.id, info]));
  for (const info of changed)
    byId.set(info.id, { ...info, highWater: Math.max(info.highWater, byId.get(info.id)?.highWater ?? 0) });
  for (const { array, page, count, kind } of runs) {
    const info = byId.get(array);
    if (info !== undefined && kind !== "zero" && page + count > info.highWater)
      byId.set(array, { ...info, highWater: page + count });
  }
  for (const id of dropped) byId.delete(id);
  const nextId = Math.max(catalogue.nextId, ...[...byId.keys()].map((id) => id + 1));
  return { nextId, arrays: [...byId.values()], snapshots };
}
