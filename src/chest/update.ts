import type { Core } from "./core.ts";
import type { Key } from "./keys.ts";
import { MOST_STAGED } from "./spiller.ts";
import type { NewValue } from "./tier.ts";

/** Sets a key to its value in another chest, as it is encoded there. */
export function copyValue<K extends Key, V>(from: Core<K, V>, to: Core<K, V>, key: K): void {
  const value = encodedValue(from, key);
  const { tier, memory } = to;
  const resident = memory.get(key);
  const before = to.locate(key);
  if (resident === undefined && before === 0) to.size++;
  value.sequence = resident?.sequence ?? (before === 0 ? tier.nextSequence++ : tier.foundSequence);
  if (resident !== undefined) memory.release(resident);
  tier.put(to.key, value, before);
  if (tier.staged > MOST_STAGED) to.committer.commit(false, false);
}

function encodedValue<K extends Key, V>(from: Core<K, V>, key: K): NewValue {
  const { memory, coder, tier } = from;
  const entry = memory.get(key);
  if (entry !== undefined) {
    coder.encode(entry.value);
    const { format, bytes, length } = coder;
    return { format, bytes, length, sequence: 0, expires: entry.expires, tags: entry.tags };
  }
  const { format, bytes, start, end, expires, tags } = tier.read(from.locate(key));
  return { format, bytes: bytes.subarray(start, end), length: end - start, sequence: 0, expires, tags };
}
