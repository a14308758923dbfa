import { NotFoundError } from "../errors.ts";
import type { Core } from "./core.ts";
import { decodeKey, type Key } from "./keys.ts";
import type { Entry } from "./policy.ts";

/** Keys that are gathered in one go, and sequence numbers at first. */
const WINDOW = 2 ** 18;

interface Found {
  readonly sequence: number;
  readonly position: number;
  readonly entry: Entry | undefined;
}

interface Gathered {
  readonly found: Found[];
  /** All below this is there. */
  readonly to: number;
}

/**
 * Visits keys by sequence number, a window of them at a time: the memory it takes does not depend on the size. Where few
 * of the numbers are left, be it that a damaged chest says that there were any number of them, the window grows. Changes
 * under way are seen as a Map's iterator sees them.
 */
export function* walk<K extends Key, V>(core: Core<K, V>, withExpired: boolean): IterableIterator<K> {
  core.live();
  const { tier, readOnly } = core;
  let from = 0;
  let attempts = 0;
  let window = WINDOW;
  if (readOnly) tier.refresh();
  while (from < tier.nextSequence) {
    const { generation } = tier;
    const next = tier.nextSequence;
    const { found: all, to } = core.steadily(() => gather(core, from, from + window));
    /* A reader may have seen a commit meanwhile, whose new keys are the next window's: not all of them were met. */
    const found = tier.nextSequence > next ? all.filter(({ sequence }) => sequence < next) : all;
    let at = 0;
    for (; at < found.length; at++) {
      core.live();
      /* Segments were removed. A reader keeps those that it has looked into. */
      if (tier.generation !== generation && !readOnly) break;
      const each = found[at]!;
      const key = visited(core, each, withExpired, attempts);
      if (key === "moved") {
        attempts++;
        break;
      }
      attempts = 0;
      from = each.sequence + 1;
      if (key !== undefined) yield key.key;
    }
    /* Keys that came meanwhile have higher numbers: they are the next window's. */
    if (at < found.length) continue;
    from = Math.min(to, next);
    if (found.length < WINDOW / 4) window *= 2;
    else if (found.length >= WINDOW) window = Math.max(WINDOW, window / 2);
  }
}

/** What there is of sequence numbers [from, to), in order. When that is more than a window, the first of it: `to` is less then. */
function gather<K extends Key, V>({ tier, memory }: Core<K, V>, from: number, to: number): Gathered {
  let gathered: Gathered = { found: [], to };
  const add = (each: Found): void => {
    if (each.sequence >= gathered.to) return;
    gathered.found.push(each);
    if (gathered.found.length >= 2 * WINDOW) gathered = firstOf(inOrder(gathered.found), gathered.to);
  };
  tier.scan(from, to, (sequence, position) => add({ sequence, position, entry: undefined }));
  /* Those that are stored nowhere yet. */
  for (const entry of memory.listed)
    if (entry.dirty && entry.sequence >= from) add({ sequence: entry.sequence, position: 0, entry });
  return firstOf(inOrder(gathered.found), gathered.to);
}

function firstOf(found: Found[], to: number): Gathered {
  return found.length <= WINDOW ? { found, to } : { found: found.slice(0, WINDOW), to: found[WINDOW]!.sequence };
}

/** The newest place of each, where a reader met one before it was moved. */
function inOrder(found: Found[]): Found[] {
  const place = ({ entry, position }: Found): number => (entry === undefined ? position : Number.POSITIVE_INFINITY);
  found.sort((a, b) => a.sequence - b.sequence || (place(a) < place(b) ? 1 : -1));
  return found.filter(({ sequence }, i) => i === 0 || found[i - 1]!.sequence !== sequence);
}

/** What `current` says; "moved" when a reader has to look again for where things are. */
function visited<K extends Key, V>(
  core: Core<K, V>,
  found: Found,
  withExpired: boolean,
  attempts: number,
): { key: K } | "moved" | undefined {
  try {
    return current(core, found, withExpired);
  } catch (error) {
    if (!core.readOnly || attempts > 100 || !(error instanceof NotFoundError)) throw error;
    core.tier.refresh();
    return "moved";
  }
}

/** The key that was found under a sequence number, when it still has it. */
function current<K extends Key, V>(core: Core<K, V>, found: Found, withExpired: boolean): { key: K } | undefined {
  const { sequence, position, entry } = found;
  const { tier, key: bytes, memory } = core;
  let key: K;
  if (entry === undefined) {
    if (!tier.keyAt(position, bytes)) return undefined;
    key = decodeKey(bytes.bytes, 0, bytes.length) as K;
  } else {
    /* The user must not get hold of the chest's own key. */
    const own = entry.key as K;
    key = typeof own === "object" && own !== null ? (copyOf(core, own) as K) : own;
  }
  const now = core.readOnly ? core.find(key) : memory.get(key);
  const isOver = (expires: number): boolean => expires !== 0 && expires <= Date.now() && !withExpired;
  if (now !== undefined) return now.sequence === sequence && !isOver(now.expires) ? { key } : undefined;
  if (core.locate(key) === 0 || tier.foundSequence !== sequence) return undefined;
  return isOver(tier.foundExpires) ? undefined : { key };
}

function copyOf<K extends Key, V>({ key }: Core<K, V>, own: K): Key {
  key.set(own);
  return decodeKey(key.bytes, 0, key.length);
}

/** The value of a key that was visited, unless it is gone meanwhile. */
export function valueAt<K extends Key, V>(core: Core<K, V>, key: K): { value: V } | undefined {
  const entry = core.find(key);
  if (entry !== undefined) return { value: entry.value as V };
  if (core.locateLive(key) === 0) return undefined;
  const value = core.get(key, true) as V;
  /* A reader may have been told of its removal just now. */
  return value === undefined && core.readOnly && !core.has(key) ? undefined : { value };
}
