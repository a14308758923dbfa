import { CUSTOM, ENCODING } from "./codec/codec.ts";
import type { Core } from "./core.ts";
import type { Key } from "./keys.ts";
import type { NewValue } from "./tier.ts";

/**
 * Sets a key to its value in another chest, as it is encoded there; between logs large values go over inside the kernel,
 * which shares their blocks where the file system can.
 */
export function copyValue<K extends Key, V>(from: Core<K, V>, to: Core<K, V>, key: K): void {
  const { tier, memory } = to;
  const isResident = from.memory.get(key) !== undefined;
  const source = isResident ? 0 : from.locate(key);
  /* A reader may have been told of its removal just now. */
  if (!isResident && source === 0) return;
  const value = source !== 0 && tier.transfer !== undefined ? undefined : encodedValue(from, key);
  const resident = memory.get(key);
  const before = to.locate(key);
  /* What is over is set anew, as `set` does. */
  const isPast = isOver(resident?.expires ?? (before === 0 || tier.isFoundDamaged ? 0 : tier.foundExpires));
  const isCounted = resident !== undefined || before !== 0;
  /* What is damaged does not say its number: it gets a new one. */
  const isNew = isPast || (resident === undefined && (before === 0 || tier.isFoundDamaged === true));
  const sequence = isNew ? tier.nextSequence : (resident?.sequence ?? tier.foundSequence);
  if (value !== undefined || tier.transfer!(to.key, from.tier, source, sequence, before) === undefined) {
    const other = value ?? encodedValue(from, key);
    if ((other.format & ENCODING) === CUSTOM && !from.coder.hasCodecOf(to.coder)) {
      const { expires, tags } = from.about(key) ?? { expires: 0, tags: [] };
      to.place(key, from.get(key, false) as V, expires, tags);
      to.spiller.makeRoom(true);
      return;
    }
    other.sequence = sequence;
    tier.put(to.key, other, before);
  }
  if (isNew) tier.nextSequence++;
  if (!isCounted) to.size++;
  if (resident !== undefined) memory.release(resident);
  to.changed(key);
  to.spiller.limitStaged();
}

function isOver(expires: number): boolean {
  return expires !== 0 && expires <= Date.now();
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
