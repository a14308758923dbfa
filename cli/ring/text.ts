import { say } from "../terminal.ts";

/** One line of JSON; 64-bit numbers as text, bytes as numbers. */
export function json(value: unknown): void {
  say(
    JSON.stringify(value, (_key, each: unknown) =>
      typeof each === "bigint" ? String(each) : each instanceof Uint8Array ? [...each] : each,
    ),
  );
}

/** A name that somebody else chose: without what a terminal would obey, and no longer than its column. */
export function shown(text: string, width = 28): string {
  const clean = text.replace(/[\p{C}\u2028\u2029]/gu, "?");
  return clean.length <= width ? clean : `${clean.slice(0, width - 3)}...`;
}

/** A reader's number, as short as tells it from others. */
export function readerName(reader: bigint): string {
  return reader.toString(16).padStart(16, "0").slice(0, 8);
}
