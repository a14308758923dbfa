import mime from "mime";
import Negotiator from "negotiator";
import { builtin } from "../../builtins.ts";
import type { DataFile } from "../../memory/data-file.ts";
import type { Folder } from "../../memory/folder.ts";
import type { Piece } from "../ranges.ts";
import { checkConditions, type RequestHeader, rangeCounts } from "./conditions.ts";
import { type Interval, parseRanges } from "./http-range.ts";
import { type IndexEntry, indexPage } from "./index-page.ts";
import { parsePath, pathOfNames } from "./request-path.ts";

/** Options of a file handler. */
export interface FileHandlerOptions {
  /** Names of the file that stands for its folder. Default `["index.html"]`. */
  readonly index?: readonly string[] | undefined;
  /** Whether folders without such a file are listed. Default false. */
  readonly listing?: boolean | undefined;
  /** Whether names that begin with a dot are served. Default false. */
  readonly hidden?: boolean | undefined;
  /** Whether `name.br`, `name.zst` and `name.gz` are sent in place of `name` to who takes them. Default false. */
  readonly precompressed?: boolean | undefined;
  /** The Cache-Control header. Default "no-cache": kept, but asked for again. */
  readonly cacheControl?: string | undefined;
  /** Milliseconds after which a client that takes nothing is dropped. Default 30 000. */
  readonly timeout?: number | undefined;
}

/** A request as all runtimes tell it. */
export interface FileRequest {
  readonly method: string;
  /** Path and query, as they were sent. */
  readonly target: string;
  readonly header: RequestHeader;
}

/** What is to be answered. The file, when there is one, belongs to who asked. */
export interface FileAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly pieces: readonly Piece[];
  /** What the pieces that are no bytes are parts of. */
  readonly file?: DataFile | undefined;
  /** Path of that file. */
  readonly path?: string | undefined;
}

const encodings = [
  ["br", ".br"],
  ["zstd", ".zst"],
  ["gzip", ".gz"],
] as const;

const encoder = new TextEncoder();

function textAnswer(
  status: number,
  body: string,
  headers: Record<string, string> = {},
  type = "text/plain",
): FileAnswer {
  const bytes = encoder.encode(body);
  return {
    status,
    headers: {
      "Content-Type": `${type}; charset=utf-8`,
      "Content-Length": String(bytes.length),
      "X-Content-Type-Options": "nosniff",
      ...headers,
    },
    pieces: [bytes],
  };
}

const notFound = (): FileAnswer => textAnswer(404, "Not Found\n");

function typeOf(name: string): string {
  const type = mime.getType(name) ?? "application/octet-stream";
  return /^text\/|^application\/(json|javascript|xml)$|\+(json|xml)$/.test(type) ? `${type}; charset=utf-8` : type;
}

/** The file itself or, where the client takes one, its compressed form. */
function choose(
  root: Folder,
  path: string,
  request: FileRequest,
  options: FileHandlerOptions,
): { file: DataFile; encoding: string | undefined; path: string } | undefined {
  const accepted = options.precompressed === true ? request.header("accept-encoding") : undefined;
  if (accepted !== undefined) {
    const known: string[] = encodings.map(([name]) => name);
    const wanted = new Negotiator({ headers: { "accept-encoding": accepted } }).encodings([...known, "identity"]);
    for (const encoding of wanted) {
      if (encoding === "identity") break;
      const suffix = encodings.find(([name]) => name === encoding)?.[1] ?? "";
      const file = root.open(path + suffix);
      if (file !== undefined) return { file, encoding, path: path + suffix };
    }
  }
  const file = root.open(path);
  return file && { file, encoding: undefined, path };
}

/** Pieces and headers of a 206. */
function partial(
  ranges: readonly Interval[],
  size: number,
  type: string,
): { pieces: Piece[]; headers: Record<string, string> } {
  const [first] = ranges;
  const where = ({ start, end }: Interval): string => `bytes ${start}-${end}/${size}`;
  const piece = ({ start, end }: Interval): Piece => ({ offset: start, length: end - start + 1 });
  if (ranges.length === 1 && first !== undefined)
    return { pieces: [piece(first)], headers: { "Content-Type": type, "Content-Range": where(first) } };
  const boundary = `outcore-${crypto.randomUUID()}`;
  const pieces = ranges.flatMap((range, index) => {
    const head = `${index > 0 ? "\r\n" : ""}--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: ${where(range)}\r\n\r\n`;
    return [encoder.encode(head), piece(range)];
  });
  pieces.push(encoder.encode(`\r\n--${boundary}--\r\n`));
  return { pieces, headers: { "Content-Type": `multipart/byteranges; boundary=${boundary}` } };
}

function answerFile(
  root: Folder,
  names: readonly string[],
  request: FileRequest,
  options: FileHandlerOptions,
): FileAnswer | undefined {
  const path = names.join("/");
  const chosen = choose(root, path, request, options);
  if (chosen === undefined) return undefined;
  const { file, encoding } = chosen;
  const { size, modified, inode } = file.status();
  const seconds = Math.floor(modified);
  const stamp = Math.round(modified * 1e6).toString(36);
  const tag = `"${size.toString(36)}-${stamp}-${inode.replace(":", "-")}${encoding ? `-${encoding}` : ""}"`;
  const type = typeOf(path);
  const headers: Record<string, string> = {
    "Accept-Ranges": "bytes",
    "Cache-Control": options.cacheControl ?? "no-cache",
    ETag: tag,
    "Last-Modified": new Date(seconds * 1000).toUTCString(),
    "X-Content-Type-Options": "nosniff",
  };
  if (options.precompressed === true) headers.Vary = "Accept-Encoding";
  const condition = checkConditions(request.header, tag, seconds);
  const wanted = request.header("range");
  const ranges =
    condition === 200 && wanted !== undefined && request.method === "GET" && rangeCounts(request.header, tag, seconds)
      ? parseRanges(wanted, size)
      : "all";
  if (condition !== 200 || ranges === "none") file.close();
  if (condition === 304) return { status: 304, headers, pieces: [] };
  if (condition === 412) return textAnswer(412, "Precondition Failed\n");
  if (ranges === "none") return textAnswer(416, "Range Not Satisfiable\n", { "Content-Range": `bytes */${size}` });
  if (encoding !== undefined) headers["Content-Encoding"] = encoding;
  const whole: { pieces: Piece[]; headers: Record<string, string> } = {
    pieces: size > 0 ? [{ offset: 0, length: size }] : [],
    headers: { "Content-Type": type },
  };
  const body = ranges === "all" ? whole : partial(ranges, size, type);
  const length = body.pieces.reduce((sum, piece) => sum + piece.length, 0);
  return {
    status: ranges === "all" ? 200 : 206,
    headers: { ...headers, ...body.headers, "Content-Length": String(length) },
    pieces: body.pieces,
    file,
    path: `${root.path}/${chosen.path}`,
  };
}

function list(root: Folder, names: readonly string[], hidden: boolean): IndexEntry[] {
  const folder = builtin("path").join(root.path, ...names);
  return builtin("fs")
    .readdirSync(folder, { withFileTypes: true })
    .filter((entry) => hidden || !entry.name.startsWith("."))
    .map((entry) => ({ name: entry.name, folder: entry.isDirectory() }));
}

function answerFolder(
  root: Folder,
  names: readonly string[],
  request: FileRequest,
  options: FileHandlerOptions,
): FileAnswer {
  for (const index of options.index ?? ["index.html"]) {
    const answer = answerFile(root, [...names, index], request, options);
    if (answer !== undefined) return answer;
  }
  if (options.listing !== true || !root.hasFolder(names.join("/"))) return notFound();
  return textAnswer(200, indexPage(names, list(root, names, options.hidden === true)), {}, "text/html");
}

/** What the folder `root` answers to a request. Never throws for what a client sent. */
export function answerRequest(root: Folder, request: FileRequest, options: FileHandlerOptions): FileAnswer {
  if (request.method !== "GET" && request.method !== "HEAD")
    return textAnswer(405, "Method Not Allowed\n", { Allow: "GET, HEAD" });
  const path = parsePath(request.target, options.hidden === true);
  if (path === undefined) return notFound();
  if (path.folder || path.names.length === 0) return answerFolder(root, path.names, request, options);
  const answer = answerFile(root, path.names, request, options);
  if (answer !== undefined) return answer;
  if (!root.hasFolder(path.names.join("/"))) return notFound();
  return textAnswer(301, "Moved Permanently\n", { Location: pathOfNames(path.names, true) });
}
