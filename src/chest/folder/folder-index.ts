import { builtin } from "../../builtins.ts";
import { FormatError, OutcoreError } from "../../errors.ts";
import { typed } from "../../memory/check.ts";
import { isCount } from "../bytes.ts";
import { decodeKey } from "../keys.ts";
import { readWhole } from "./files.ts";
import { checkName } from "./names.ts";

export const INDEX_NAME = "chest.folder.json";
const VERSION = 1;
/** A new value's file until its commit has given it its name. */
const STAGED = /^chest\.staged-([1-9][0-9]{0,14})$/;

/** What the index says of one value. */
export interface Indexed {
  /** The key's bytes, one character each. */
  readonly key: string;
  readonly name: string;
  readonly sequence: number;
  readonly format: number;
  readonly expires: number;
  readonly tags: readonly string[];
  /** Where the value is, unless it has its name already. */
  readonly staged: string | undefined;
}

export interface FolderIndex {
  readonly next: number;
  readonly values: readonly Indexed[];
}

export const stagedName = (number: number): string => `chest.staged-${number}`;

/** The number in the name of a staged file, 0 when it is no such name. */
export const stagedNumber = (name: string): number => Number(STAGED.exec(name)?.[1] ?? 0);

/** @throws {FormatError} when the file is not what a chest writes. */
export function readIndex(file: string): FolderIndex {
  const bad = (detail: string): never => {
    throw new FormatError(file, `${detail}; nothing was changed`);
  };
  let index: { version?: unknown; next?: unknown; values?: unknown } | null | undefined;
  const bytes = readWhole(file);
  try {
    index = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return bad("it is not the JSON that a chest writes");
  }
  if (index?.version !== VERSION) return bad(`format version ${index?.version} is not ${VERSION}`);
  if (!isCount(index.next) || !Array.isArray(index.values)) return bad("it lacks what a chest writes");
  const keys = new Set<string>();
  const names = new Set<string>();
  const numbers = new Set<number>();
  const values = index.values.map((value: unknown, i): Indexed => {
    const one = parseValue(value) ?? bad(`value ${i} is none`);
    if (keys.has(one.key) || names.has(one.name) || numbers.has(one.sequence)) return bad(`value ${i} is there twice`);
    keys.add(one.key);
    names.add(one.name);
    numbers.add(one.sequence);
    return one;
  });
  return { next: index.next, values };
}

function parseValue(value: unknown): Indexed | undefined {
  if (!Array.isArray(value)) return undefined;
  const [key, name, sequence, format, expires, tags, staged] = value as unknown[];
  const isTags = Array.isArray(tags) && tags.every((tag) => typeof tag === "string");
  if (typeof key !== "string" || !isTags || !isCount(sequence) || !isCount(format) || format > 255) return undefined;
  /* null is what JSON has for "never", as Infinity. */
  const over = expires === null ? Number.POSITIVE_INFINITY : expires;
  if (typeof over !== "number" || !(over >= 0)) return undefined;
  if (staged !== undefined && (typeof staged !== "string" || stagedNumber(staged) === 0)) return undefined;
  try {
    const bytes = Uint8Array.from(atob(key), (character) => character.charCodeAt(0));
    decodeKey(bytes, 0, bytes.length);
    return { key: atob(key), name: checkName(name), sequence, format, expires: over, tags: tags as string[], staged };
  } catch (error) {
    if (error instanceof OutcoreError || error instanceof DOMException) return undefined;
    throw error;
  }
}

export function indexText(next: number, values: Iterable<Indexed>): string {
  const lines: unknown[] = [];
  for (const { key, name, sequence, format, expires, tags, staged } of values)
    lines.push([btoa(key), name, sequence, format, expires, tags, ...(staged === undefined ? [] : [staged])]);
  return JSON.stringify({ version: VERSION, next, values: lines });
}

/** Changes whenever the index is replaced; empty when there is none. */
export function readStamp(file: string): string {
  const status = typed("stat", file, () => builtin("fs").statSync(file, { bigint: true, throwIfNoEntry: false }));
  return status === undefined ? "" : `${status.mtimeNs} ${status.ino} ${status.size}`;
}
