import { InvalidArgumentError } from "../errors.ts";
import { checkInteger } from "../memory/check.ts";
import { type Scannable, scanRange } from "./scan.ts";

/** What a stream delivers. */
export interface StreamOptions {
  /** First byte. Default 0. */
  start?: number;
  /** End. Default: the end of the file at the time of the call. */
  end?: number;
  /** Bytes of each chunk. Default 256 KiB. */
  size?: number;
  /** Ends the stream with the signal's reason. */
  signal?: AbortSignal;
}

const PART = 2 ** 24;

/** A stream that reads as its consumer asks: at most one chunk ahead. */
export function streamOf(source: Scannable, options: StreamOptions): ReadableStream<Uint8Array> {
  const { size = 2 ** 18, signal } = options;
  const { from, to } = scanRange(source, options.start, options.end);
  checkInteger("size", size);
  if (size === 0) throw new InvalidArgumentError("a chunk must have bytes");
  let at = from;
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (signal?.aborted) {
          controller.error(signal.reason);
          return;
        }
        if (at >= to) {
          controller.close();
          return;
        }
        const length = Math.min(size, to - at);
        /* A consumer may keep or transfer a chunk, so it gets its own. */
        controller.enqueue(source.scan(at, length).slice());
        at += length;
      },
    },
    { highWaterMark: 1 },
  );
}

/** A Blob of copies, made part by part. */
export function blobOf(source: Scannable, start: number, end: number, type: string): Blob {
  const { from, to } = scanRange(source, start, end);
  const parts: Blob[] = [];
  for (let at = from; at < to; at += PART) parts.push(new Blob([source.scan(at, Math.min(PART, to - at)).slice()]));
  return new Blob(parts, { type });
}
