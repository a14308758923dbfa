import { builtin } from "../../builtins.ts";
import { InvalidArgumentError } from "../../errors.ts";
import type { Key } from "../keys.ts";

/** Longer names are cut, and end in "~" and the SHA-256 of the whole. */
const LONGEST = 180;
const KEPT = 100;

const encoder = new TextEncoder();

/** Everything but lower-case letters, digits, "_" and "-" as %xx: two keys stay two where case does not count. */
function escapeText(text: string): string {
  let escaped = "";
  for (const character of text) {
    if (/^[a-z0-9_-]$/.test(character)) escaped += character;
    else if (!character.isWellFormed()) escaped += `%u${character.charCodeAt(0).toString(16)}`;
    else for (const byte of encoder.encode(character)) escaped += `%${byte.toString(16).padStart(2, "0")}`;
  }
  return escaped;
}

function flatName(key: Key): string {
  if (typeof key === "string") return `s-${escapeText(key)}`;
  if (typeof key === "number") return `n-${escapeText(String(key))}`;
  if (typeof key === "bigint") return `i-${key}`;
  if (key instanceof Date) return `d-${key.getTime()}`;
  if (key instanceof Uint8Array) return `x-${[...key].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  if (Array.isArray(key)) return `t-(${key.map((each) => flatName(each as Key)).join(",")})`;
  return `c-${String(key)}`;
}

/** The name of the file for a key of any length: different for different keys, and told by the key alone. */
export function nameOfKey(key: Key): string {
  const name = flatName(key);
  if (name.length <= LONGEST) return name;
  return `${name.slice(0, KEPT)}~${builtin("crypto").createHash("sha256").update(name).digest("hex")}`;
}

/** @throws {InvalidArgumentError} unless the name is a relative path that stays below its folder. */
export function checkName(name: unknown): string {
  const bad = (why: string): never => {
    throw new InvalidArgumentError(`${JSON.stringify(name)} cannot name a value's file: ${why}`);
  };
  if (typeof name !== "string" || name === "") return bad("it must be text");
  if (/[\0\\]/.test(name) || /^[a-zA-Z]:/.test(name)) return bad("it has a NUL, a backslash or a drive");
  if (name.startsWith("/") || name.endsWith("/")) return bad("it must be relative, and name a file");
  const parts = name.split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..")) return bad("it leads elsewhere");
  if (parts.some((part) => encoder.encode(part).length > 240)) return bad("a part is longer than 240 bytes");
  if (parts[0]!.startsWith("chest.")) return bad('"chest." is for the chest itself');
  return name;
}
