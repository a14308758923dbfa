import { InvalidArgumentError } from "../errors.ts";
import { checkInteger, checkRange } from "../memory/check.ts";
import { findBytes } from "../memory/find.ts";

/** What can be read in order. */
export interface Scannable {
  readonly size: number;
  /** Bytes without a copy, valid until the next call. */
  scan(offset: number, length: number): Uint8Array;
  refresh(): number;
}

/** How a file is cut into chunks. */
export interface ChunkOptions {
  /** Bytes of each chunk but the last. Default 256 KiB. */
  size?: number;
  /** First byte. Default 0. */
  from?: number;
  /** End. Default: the end of the file at the time of the call. */
  to?: number;
  /** Ends the iteration with the signal's reason. */
  signal?: AbortSignal;
}

/** How lines are read. */
export interface LineOptions {
  /** Offset of the first line. Default 0. */
  from?: number;
  /** Bytes that a line may have. Default 64 MiB. */
  longest?: number;
  /** Ends the iteration with the signal's reason. */
  signal?: AbortSignal;
}

const CHUNK = 2 ** 18;
const LF = 10;
const CR = 13;

/** The range that options name, checked against the present size. */
export function scanRange(source: Scannable, from = 0, to?: number): { from: number; to: number } {
  const size = source.refresh();
  checkInteger("from", from);
  if (to !== undefined) checkInteger("to", to);
  const end = to ?? Math.max(from, size);
  checkRange(from, Math.max(0, end - from), size);
  return { from, to: end };
}

export function* chunks(source: Scannable, options: ChunkOptions): Generator<Uint8Array, undefined, undefined> {
  const { size = CHUNK, signal } = options;
  checkInteger("size", size);
  if (size === 0) throw new InvalidArgumentError("a chunk must have bytes");
  const { from, to } = scanRange(source, options.from, options.to);
  for (let at = from; at < to; at += size) {
    signal?.throwIfAborted();
    yield source.scan(at, Math.min(size, to - at));
  }
}

function join(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Splits the text of many lines: one call of the decoder per chunk instead of one per line. */
function* split(text: string, signal: AbortSignal | undefined): Generator<string, undefined, undefined> {
  for (const line of text.split("\n")) {
    signal?.throwIfAborted();
    yield line.charCodeAt(line.length - 1) === CR ? line.slice(0, -1) : line;
  }
}

export function* lines(source: Scannable, options: LineOptions): Generator<string, undefined, undefined> {
  const { longest = 2 ** 26, signal } = options;
  checkInteger("longest", longest);
  /* A byte order mark is one at the start of the file only. */
  const rests = new TextDecoder("utf-8", { ignoreBOM: true });
  let decoder = (options.from ?? 0) === 0 ? new TextDecoder("utf-8") : rests;
  let rest: Uint8Array[] = [];
  let restBytes = 0;
  for (const chunk of chunks(source, { ...(options.from === undefined ? {} : { from: options.from }) })) {
    const end = chunk.lastIndexOf(LF);
    if (end < 0) {
      rest.push(chunk.slice());
      restBytes += chunk.length;
    } else {
      const head = chunk.subarray(0, end);
      /* Copied: decoders of some runtimes refuse or slow down on buffers that they do not own. */
      const text = decoder.decode(rest.length > 0 ? join([...rest, head]) : head.slice());
      rest = [chunk.slice(end + 1)];
      restBytes = chunk.length - end - 1;
      decoder = rests;
      yield* split(text, signal);
    }
    if (restBytes > longest) throw new InvalidArgumentError(`a line is longer than ${longest} bytes`);
  }
  signal?.throwIfAborted();
  /* What follows the last line end is a line as it is: a CR there ends nothing. */
  if (restBytes > 0) yield decoder.decode(join(rest));
}

/** Searches window by window; parts overlap by one byte less than the needle has. */
export function findIn(source: Scannable, needle: Uint8Array, from: number): number {
  const { size } = source;
  if (needle.length === 0) return Math.min(from, size);
  const overlap = needle.length - 1;
  const step = Math.max(CHUNK, needle.length);
  for (let at = from; at + needle.length <= size; at += step) {
    const bytes = source.scan(at, Math.min(step + overlap, size - at));
    const found = findBytes(bytes, needle);
    if (found >= 0) return at + found;
  }
  return -1;
}
