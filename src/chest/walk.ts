import type { Core } from "./core.ts";
import { decodeKey, type Key } from "./keys.ts";
import type { Entry } from "./policy.ts";

/** Sequence numbers that are looked at in one go. */
const WINDOW = 2 ** 18;

interface Found {
  readonly sequence: number;
  readonly position: number;
  readonly entry: Entry | undefined;
}

/**
 * Visits keys by sequence number, a window of them at a time: the memory it takes does not depend on the size. Changes
 * under way are seen as a Map's iterator sees them.
 */
export function* walk<K extends Key, V>(core: Core<K, V>, withExpired: boolean): IterableIterator<K> {
  core.live();
  const { tier } = core;
  let from = 0;
  while (from < tier.nextSequence) {
    const { generation } = tier;
    const end = Math.min(from + WINDOW, tier.nextSequence);
    const found = gather(core, from, from + WINDOW);
    let at = 0;
    for (; at < found.length; at++) {
      core.live();
      if (tier.generation !== generation) break;
      const each = found[at]!;
      from = each.sequence + 1;
      const key = current(core, each, withExpired);
      if (key !== undefined) yield key.key;
    }
    /* Keys that came meanwhile have higher numbers: they are the next window's. */
    if (at === found.length) from = end;
  }
}

function gather<K extends Key, V>({ tier, memory, readOnly }: Core<K, V>, from: number, to: number): Found[] {
  const found: Found[] = [];
  if (readOnly) tier.refresh();
  tier.scan(from, to, (sequence, position) => found.push({ sequence, position, entry: undefined }));
  /* Those that are stored nowhere yet. */
  for (const entry of memory.listed)
    if (entry.dirty && entry.sequence >= from && entry.sequence < to)
      found.push({ sequence: entry.sequence, position: 0, entry });
  found.sort((a, b) => a.sequence - b.sequence || a.position - b.position);
  return found.filter(({ sequence }, i) => i === 0 || found[i - 1]!.sequence !== sequence);
}

/** The key that was found under a sequence number, when it still has it. */
function current<K extends Key, V>(core: Core<K, V>, found: Found, withExpired: boolean): { key: K } | undefined {
  const { sequence, position, entry } = found;
  const { tier, key: bytes, memory } = core;
  let key: K;
  if (entry === undefined) {
    tier.keyAt(position, bytes);
    key = decodeKey(bytes.bytes, 0, bytes.length) as K;
  } else key = entry.key as K;
  const now = memory.get(key);
  const isOver = (expires: number): boolean => expires !== 0 && expires <= Date.now() && !withExpired;
  if (now !== undefined) return now.sequence === sequence && !isOver(now.expires) ? { key } : undefined;
  if (core.locate(key) === 0 || tier.foundSequence !== sequence) return undefined;
  return isOver(tier.foundExpires) ? undefined : { key };
}

/** The value of a key that was visited, unless it is gone meanwhile. */
export function valueAt<K extends Key, V>(core: Core<K, V>, key: K): { value: V } | undefined {
  const entry = core.find(key);
  if (entry !== undefined) return { value: entry.value as V };
  if (core.locate(key) === 0) return undefined;
  return { value: core.get(key, true) as V };
}
