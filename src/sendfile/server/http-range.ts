/** A range of bytes, both ends included. */
export interface Interval {
  readonly start: number;
  readonly end: number;
}

/** Most ranges that one request may ask for; more than that is not answered in parts. */
const MOST_RANGES = 32;

/** Ranges closer than this are sent as one: a part's own headers are longer. */
const GAP = 128;

const NUMBER = /^\d{1,15}$/;

function parseOne(text: string, size: number): Interval | "bad" | "outside" {
  const dash = text.indexOf("-");
  const first = text.slice(0, dash).trim();
  const last = text.slice(dash + 1).trim();
  if (dash < 0) return "bad";
  if (first === "") {
    if (!NUMBER.test(last)) return "bad";
    const length = Math.min(Number(last), size);
    return length === 0 ? "outside" : { start: size - length, end: size - 1 };
  }
  if (!NUMBER.test(first) || (last !== "" && !NUMBER.test(last))) return "bad";
  const start = Number(first);
  const end = last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== "" && Number(last) < start) return "bad";
  return start >= size ? "outside" : { start, end };
}

/** Sorts ranges and joins those that overlap or nearly touch. */
function merge(ranges: readonly Interval[]): Interval[] {
  const merged: Interval[] = [];
  for (const range of [...ranges].sort((a, b) => a.start - b.start)) {
    const before = merged.at(-1);
    if (before !== undefined && range.start <= before.end + GAP)
      merged[merged.length - 1] = { start: before.start, end: Math.max(before.end, range.end) };
    else merged.push(range);
  }
  return merged;
}

/**
 * What a Range header asks for: ranges, merged and in order; "all" when it is to be ignored (not bytes, malformed, too
 * many); "none" when nothing of it lies within the file.
 */
export function parseRanges(header: string, size: number): readonly Interval[] | "all" | "none" {
  const match = /^bytes\s*=\s*(.*)$/i.exec(header.trim());
  if (match === null) return "all";
  const parts = (match[1] ?? "").split(",", MOST_RANGES + 1).map((part) => part.trim());
  if (parts.length > MOST_RANGES) return "all";
  const wanted = parts.filter((part) => part !== "").map((part) => parseOne(part, size));
  if (wanted.length === 0 || wanted.includes("bad")) return "all";
  const inside = wanted.filter((range) => typeof range === "object");
  return inside.length === 0 ? "none" : merge(inside);
}
