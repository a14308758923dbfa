import { bodyOfFile, type ResponseBody } from "../../memory/file-body.ts";
import { Folder } from "../../memory/folder.ts";
import { sendOpened } from "../send-file.ts";
import type { ResponseLike } from "../target.ts";
import { answerRequest, type FileAnswer, type FileHandlerOptions } from "./answer.ts";

/** What is used of node:http's request. */
export interface NodeRequest {
  /** The method. */
  readonly method?: string | undefined;
  /** Path and query. */
  readonly url?: string | undefined;
  /** Headers by lower-case name. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** What is used of node:http's response. */
export interface NodeResponse extends ResponseLike {
  /** Sets status and headers. */
  writeHead(status: number, headers: Record<string, string>): unknown;
  /** Ends the response, with a body perhaps. */
  end(body?: Uint8Array): unknown;
}

/** Serves the files of one folder. */
export interface FileHandler {
  /** For `http.createServer(handler.node)`. Settles when the response is complete; never rejects. */
  readonly node: (request: NodeRequest, response: NodeResponse) => Promise<void>;
  /** For `Bun.serve({ fetch: handler.fetch })` and `Deno.serve(handler.fetch)`. */
  readonly fetch: (request: Request) => Response;
  /** Lets go of the folder. */
  close(): void;
}

/** Bodies up to here are read and leave in one piece with their headers. */
export const IN_MEMORY: number = 64 * 1024;

/** Bun sends larger files by sendfile, smaller ones by reading them. */
const RUNTIME_BODY = 1024 * 1024;

const CHUNK = 256 * 1024;
const DEFAULT_TIMEOUT = 30_000;

/** All pieces in memory. */
function gather({ pieces, file }: FileAnswer, length: number): Uint8Array {
  const [only] = pieces;
  if (pieces.length === 1 && only instanceof Uint8Array) return only;
  const body = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    if (piece instanceof Uint8Array) body.set(piece, at);
    else file?.readPart(piece.offset, body, at, piece.length);
    at += piece.length;
  }
  return body;
}

/** Pieces as a stream that reads as it is read, and closes the file at its end. */
function streamOf({ pieces, file }: FileAnswer): ReadableStream<Uint8Array> {
  const rest = [...pieces];
  let done = 0;
  return new ReadableStream(
    {
      pull(controller) {
        const [piece] = rest;
        if (piece === undefined) {
          file?.close();
          controller.close();
          return;
        }
        if (piece instanceof Uint8Array) {
          controller.enqueue(piece);
          rest.shift();
          return;
        }
        const part = new Uint8Array(Math.min(CHUNK, piece.length - done));
        try {
          file?.readInto(piece.offset + done, part);
        } catch (error) {
          file?.close();
          throw error;
        }
        done += part.length;
        if (done === piece.length) {
          rest.shift();
          done = 0;
        }
        controller.enqueue(part);
      },
      cancel: () => file?.close(),
    },
    { highWaterMark: 0 },
  );
}

function bodyOf(answer: FileAnswer, length: number): ResponseBody | null {
  const { pieces, file, path } = answer;
  if (file === undefined || length <= IN_MEMORY) {
    try {
      return length === 0 ? null : (gather(answer, length) as ResponseBody);
    } finally {
      file?.close();
    }
  }
  const [piece] = pieces;
  if (pieces.length === 1 && piece !== undefined && !(piece instanceof Uint8Array) && length > RUNTIME_BODY) {
    const body = bodyOfFile(file, path ?? "", piece.offset, piece.offset + piece.length);
    if (body !== undefined) {
      file.close();
      return body;
    }
  }
  return streamOf(answer);
}

const lengthOf = ({ pieces }: FileAnswer): number => pieces.reduce((sum, piece) => sum + piece.length, 0);

/** A header that came more than once is none that could be acted upon. */
function headerOf(headers: NodeRequest["headers"], name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : value?.join(", ");
}

/**
 * Serves the files beneath `folder`: conditional requests, single and multiple ranges, types by extension, precompressed
 * files, and no way out of the folder, whatever the path or a symbolic link says. Bytes go to node:http by `sendFile`;
 * Bun.serve and Deno.serve get the body that they send best.
 *
 * @throws {NotFoundError} when there is no such folder.
 * @throws {UnsupportedFileError} when it is no folder.
 */
export function createFileHandler(folder: string, options: FileHandlerOptions = {}): FileHandler {
  const root = new Folder(folder);
  const timeout = options.timeout ?? DEFAULT_TIMEOUT;

  async function node(request: NodeRequest, response: NodeResponse): Promise<void> {
    let answer: FileAnswer | undefined;
    try {
      const { method = "GET", url = "/", headers } = request;
      const header = (name: string): string | undefined => headerOf(headers, name);
      answer = answerRequest(root, { method, target: url, header }, options);
      const length = lengthOf(answer);
      response.writeHead(answer.status, answer.headers);
      if (method === "HEAD" || length === 0) response.end();
      else if (answer.file === undefined || length <= IN_MEMORY) response.end(gather(answer, length));
      else {
        await sendOpened(response, answer.file, answer.pieces, { timeout });
        response.end();
      }
    } catch {
      /* The peer has gone, or the file has shrunk: nothing can be said on this connection any more. */
      response.destroy();
    } finally {
      answer?.file?.close();
    }
  }

  function fetch(request: Request): Response {
    const { method, url, headers } = request;
    const target = url.slice(url.indexOf("/", url.indexOf("//") + 2));
    const header = (name: string): string | undefined => headers.get(name) ?? undefined;
    const answer = answerRequest(root, { method, target, header }, options);
    if (method === "HEAD") {
      answer.file?.close();
      return new Response(null, { status: answer.status, headers: answer.headers });
    }
    const body = bodyOf(answer, lengthOf(answer));
    /* Bun would tell the name under which it opened the file. */
    if (body instanceof Blob) answer.headers["Content-Disposition"] ??= "inline";
    return new Response(body, { status: answer.status, headers: answer.headers });
  }

  return { node, fetch, close: () => root.close() };
}
