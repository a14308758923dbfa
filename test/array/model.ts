/** What one transaction did, as the model of snapshot isolation sees it. */
export interface Deed {
  /** Pages that were written, by array. */
  readonly pages: ReadonlyMap<string, ReadonlySet<number>>;
  /** Pages that became zeros when the array shrank. */
  readonly zeros: ReadonlyMap<string, ReadonlySet<number>>;
  /** Pages whose tail was zeroed when the array shrank: zeros on zeros may count as no change. */
  readonly tails: ReadonlyMap<string, ReadonlySet<number>>;
  /** Arrays whose shape was changed, and their lengths since. */
  readonly shaped: ReadonlyMap<string, number>;
  readonly created: ReadonlySet<string>;
  readonly dropped: ReadonlySet<string>;
  readonly snapshots: boolean;
}

/** Every array by name. */
export type Arrays = Map<string, Float64Array>;

export const PAGE = 512; // elements of f64 in 4 KiB

type Pages = ReadonlyMap<string, ReadonlySet<number>>;

function meet(a: Pages, b: Pages): boolean {
  for (const [name, pages] of a) {
    const others = b.get(name);
    if (others !== undefined) for (const page of pages) if (others.has(page)) return true;
  }
  return false;
}

function share(a: Iterable<string>, b: { has(name: string): boolean }): boolean {
  for (const name of a) if (b.has(name)) return true;
  return false;
}

function touched(deed: Deed): Set<string> {
  return new Set([...deed.pages.keys(), ...deed.zeros.keys(), ...deed.tails.keys(), ...deed.shaped.keys()]);
}

/** Whether one wrote to the page where the other's array ends now, or behind it. */
function behind(writer: Deed, shrinker: Deed, before: Arrays): boolean {
  for (const [name, length] of shrinker.shaped)
    if (length < (before.get(name)?.length ?? 0))
      for (const page of writer.pages.get(name) ?? []) if ((page + 1) * PAGE > length) return true;
  return false;
}

/**
 * Whether a transaction must fail, may, or must not, because of another that was committed since its snapshot, which is
 * `before`.
 */
export function verdict(mine: Deed, theirs: Deed, before: Arrays): "conflict" | "either" | "none" {
  if (meet(mine.pages, theirs.pages) || behind(mine, theirs, before) || behind(theirs, mine, before)) return "conflict";
  if (share(mine.shaped.keys(), theirs.shaped) || (mine.snapshots && theirs.snapshots)) return "conflict";
  if (share(mine.created, theirs.created)) return "conflict";
  if (share(theirs.dropped, touched(mine)) || share(mine.dropped, touched(theirs))) return "conflict";
  /* Two new arrays have the same number; zeros on zeros change nothing. */
  if (mine.created.size > 0 && theirs.created.size > 0) return "either";
  for (const one of [mine.zeros, mine.tails, mine.pages])
    for (const other of [theirs.zeros, theirs.tails, theirs.pages]) if (meet(one, other)) return "either";
  return "none";
}

export function copyOf(arrays: Arrays): Arrays {
  return new Map([...arrays].map(([name, values]) => [name, values.slice()]));
}

/** Another length; what is new is zeros. */
export function resized(values: Float64Array, length: number): Float64Array {
  const next = new Float64Array(length);
  next.set(values.subarray(0, length));
  return next;
}

/** The newest state with a transaction's work laid over it. `others` were committed since its snapshot. */
export function merged(newest: Arrays, work: Arrays, deed: Deed, others: readonly Deed[]): Arrays {
  const next = copyOf(newest);
  for (const name of deed.dropped) next.delete(name);
  for (const name of deed.created) next.set(name, (work.get(name) as Float64Array).slice());
  for (const [name, length] of deed.shaped) {
    const values = next.get(name);
    if (values !== undefined) next.set(name, resized(values, length));
  }
  for (const pages of [deed.zeros, deed.tails, deed.pages])
    for (const [name, set] of pages) {
      /* A tail that was zeros already is no change; then another's page stays. */
      if (pages === deed.tails && others.some((other) => meet(new Map([[name, set]]), other.pages))) continue;
      const [values, mine] = [next.get(name), work.get(name)];
      if (values === undefined || mine === undefined) continue;
      for (const page of set) {
        const part = mine.subarray(page * PAGE, (page + 1) * PAGE);
        if (page * PAGE < values.length) values.set(part.subarray(0, values.length - page * PAGE), page * PAGE);
      }
    }
  return next;
}
