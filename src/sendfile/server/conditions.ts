/** Headers of a request, by lower-case name. */
export type RequestHeader = (name: string) => string | undefined;

function tagsOf(header: string): string[] {
  return header.match(/(?:W\/)?"[^"]*"|\*/g) ?? [];
}

const isStrongMatch = (header: string, tag: string): boolean =>
  tagsOf(header).some((each) => each === "*" || (each === tag && !tag.startsWith("W/")));

const isWeakMatch = (header: string, tag: string): boolean =>
  tagsOf(header).some((each) => each === "*" || each.replace(/^W\//, "") === tag.replace(/^W\//, ""));

/** Seconds of an HTTP date, or undefined. */
function dateOf(header: string | undefined): number | undefined {
  if (header === undefined || !/^[A-Z][a-z]{2}/.test(header)) return undefined;
  const time = Date.parse(header);
  return Number.isNaN(time) ? undefined : Math.floor(time / 1000);
}

/** The status that a request's preconditions lead to: 412, 304, or 200 to go on. `modified` is in whole seconds. */
export function checkConditions(header: RequestHeader, tag: string, modified: number): 200 | 304 | 412 {
  const ifMatch = header("if-match");
  const ifUnmodified = dateOf(header("if-unmodified-since"));
  if (ifMatch !== undefined) {
    if (!isStrongMatch(ifMatch, tag)) return 412;
  } else if (ifUnmodified !== undefined && modified > ifUnmodified) return 412;
  const ifNoneMatch = header("if-none-match");
  const ifModified = dateOf(header("if-modified-since"));
  if (ifNoneMatch !== undefined) return isWeakMatch(ifNoneMatch, tag) ? 304 : 200;
  return ifModified !== undefined && modified <= ifModified ? 304 : 200;
}

/** Whether a Range header counts: If-Range names the very file that there is, or is absent. */
export function rangeCounts(header: RequestHeader, tag: string, modified: number): boolean {
  const ifRange = header("if-range");
  if (ifRange === undefined) return true;
  if (ifRange.includes('"')) return ifRange.trim() === tag && !tag.startsWith("W/");
  return dateOf(ifRange) === modified;
}
