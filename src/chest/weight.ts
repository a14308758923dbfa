/** What an object costs beside its contents, roughly, in the engines. */
const OBJECT = 48;
const SLOT = 16;
/** Parts within parts: no codec stores more. */
const DEEPEST = 1000;

/**
 * Bytes of memory that a value takes, nested parts included: exact for typed arrays, near for text (a byte or two a
 * character), and an estimate for objects. O(parts).
 */
export function weigh(value: unknown): number {
  switch (typeof value) {
    case "string":
      return 24 + value.length;
    case "number":
    case "boolean":
    case "undefined":
      return 8;
    case "bigint":
      return 24;
    case "object":
      return value === null ? 8 : weighObject(value, undefined, 0);
    default:
      return SLOT;
  }
}

function weighObject(value: object, seen: Set<object> | undefined, depth: number): number {
  if (ArrayBuffer.isView(value)) return OBJECT * 2 + value.byteLength;
  if (value instanceof ArrayBuffer) return OBJECT * 2 + value.byteLength;
  const visited = seen ?? new Set<object>();
  if (visited.has(value) || depth > DEEPEST) return 0;
  visited.add(value);
  const part = (each: unknown): number =>
    SLOT + (typeof each === "object" && each !== null ? weighObject(each, visited, depth + 1) : weigh(each));
  let weight = OBJECT;
  if (Array.isArray(value)) {
    for (const each of value) weight += part(each);
  } else if (value instanceof Map) {
    for (const [key, each] of value) weight += part(key) + part(each);
  } else if (value instanceof Set) {
    for (const each of value) weight += part(each);
  } else if (value instanceof Error) {
    weight += weigh(value.stack) + weigh(value.message);
  } else {
    for (const key of Object.keys(value)) {
      const { value: each } = Object.getOwnPropertyDescriptor(value, key)!;
      weight += SLOT + key.length + part(each);
    }
  }
  return weight;
}
