/** A request's path, taken apart. */
export interface RequestPath {
  /** Decoded names, none of which is empty, hidden unless allowed, or names a parent. */
  readonly names: readonly string[];
  /** The path ended in a slash. */
  readonly folder: boolean;
}

/** Longest request path in characters. */
const LONGEST = 4096;

/** Characters that no file of ours has in its name as far as a request is concerned: separators and control codes. */
const FORBIDDEN = /[/\\\u0000-\u001f\u007f]/;

/**
 * The names in a request target such as "/a%20b/c?x=1"; undefined for whatever is not plainly a path beneath the root:
 * "..", ".", empty names ("//host" too), encoded separators, control characters, broken encodings, absolute URLs.
 */
export function parsePath(target: string, hidden: boolean): RequestPath | undefined {
  if (!target.startsWith("/") || target.length > LONGEST) return undefined;
  const end = target.search(/[?#]/);
  const parts = (end < 0 ? target : target.slice(0, end)).slice(1).split("/");
  const folder = parts.at(-1) === "";
  if (folder) parts.pop();
  const names: string[] = [];
  for (const part of parts) {
    let name: string;
    try {
      name = decodeURIComponent(part);
    } catch {
      return undefined;
    }
    if (name === "" || name === "." || name === ".." || FORBIDDEN.test(name)) return undefined;
    if (name.startsWith(".") && !hidden) return undefined;
    names.push(name);
  }
  return { names, folder };
}

/** The path of names as a URL has it. It never begins with two slashes, so it cannot name another host. */
export function pathOfNames(names: readonly string[], folder: boolean): string {
  const path = names.map((name) => `/${encodeURIComponent(name)}`).join("");
  return folder ? `${path}/` : path;
}
