import { InvalidArgumentError } from "../errors.ts";
import type { DataFile } from "../memory/data-file.ts";
import type { BegunBody } from "../memory/send-now.ts";
import { approach } from "./approach.ts";
import { answered, sendAtOnce } from "./at-once.ts";
import { Control, type TransferOptions } from "./control.ts";
import { isBusy } from "./line.ts";
import { type ByteRange, type LastBytes, lengthOf, type Piece, piecesOf, withoutFirst } from "./ranges.ts";
import { openSource, type SendSource } from "./source.ts";
import type { Approach, SendTarget } from "./target.ts";
import { type SendMethod, Transfer } from "./transfer.ts";

/** Options of `sendFile`. */
export interface SendFileOptions extends TransferOptions {
  /** Which bytes of the file, in the order in which they are sent. Default: all. */
  readonly ranges?: readonly (ByteRange | LastBytes)[] | undefined;
  /** Bytes before all others. */
  readonly header?: Uint8Array | undefined;
  /** Bytes after all others. */
  readonly trailer?: Uint8Array | undefined;
  /** Whether to copy where the kernel cannot send without. Default true. */
  readonly fallback?: boolean | undefined;
}

/** What a transfer did. */
export interface SendFileResult {
  /** Bytes sent, header and trailer included. */
  readonly sent: number;
  /** How the file's bytes went out in the end. */
  readonly method: SendMethod;
}

type PieceOptions = Omit<SendFileOptions, "ranges" | "header" | "trailer">;

/** Sends pieces of a file that the caller has open and closes. */
async function sendPieces(
  way: Approach,
  control: Control,
  file: DataFile,
  pieces: readonly Piece[],
  options: PieceOptions,
  begun?: BegunBody,
): Promise<SendFileResult> {
  const total = lengthOf(pieces);
  control.start(total, begun?.sent);
  const opened = await way.open(control, total, begun?.endpoint);
  try {
    const transfer = new Transfer(opened, file, control, options.fallback ?? true);
    await transfer.send(begun === undefined ? pieces : withoutFirst(pieces, begun.sent));
    return { sent: control.sent, method: transfer.method };
  } catch (error) {
    /* Whoever waits for the rest must learn that it will not come. */
    if (control.begun) opened.destroy();
    throw error;
  } finally {
    opened.release();
  }
}

/** Sends in this transfer's turn, which is over afterwards. */
async function inTurn<T>(way: Approach, options: PieceOptions, work: (control: Control) => Promise<T>): Promise<T> {
  let failed = true;
  try {
    const control = new Control(options);
    try {
      if (way.ahead !== undefined) await control.wait(way.ahead, false);
      const result = await work(control);
      failed = false;
      return result;
    } finally {
      control.close();
    }
  } finally {
    way.leave(failed);
  }
}

/** @param opened what it is sent from, when it is open already; closed at the end. */
async function send(
  target: SendTarget,
  source: SendSource,
  options: SendFileOptions,
  opened?: DataFile,
  begun?: BegunBody,
): Promise<SendFileResult> {
  let own = opened;
  try {
    const way = approach(target);
    /* Whatever is wrong shows later, when it is known whether anything was written behind it. */
    return await inTurn(way, options, async (control) => {
      own ??= openSource(source);
      const file = own;
      const pieces = piecesOf(options.ranges, file.size());
      if (options.header?.length) pieces.unshift(options.header);
      if (options.trailer?.length) pieces.push(options.trailer);
      return sendPieces(way, control, file, pieces, options, begun);
    });
  } catch (error) {
    /* The target's owner need not have got it back: the rest will not come. */
    if (begun !== undefined && !begun.endpoint.closed) {
      begun.endpoint.shutdown();
      begun.endpoint.close();
    }
    throw error;
  } finally {
    own?.close();
  }
}

/** Sends pieces of a file that the caller has open and closes. */
export async function sendOpened(
  target: SendTarget,
  file: DataFile,
  pieces: readonly Piece[],
  options: PieceOptions,
): Promise<SendFileResult> {
  const way = approach(target);
  return inTurn(way, options, (control) => sendPieces(way, control, file, pieces, options));
}

/**
 * Sends a file, or ranges of it, to a connection: without a copy through user space where the kernel can.
 *
 * What was written to the target before the call goes first, what is written to it after the call goes out behind the
 * file, and so does `end`, whether or not the promise is awaited; not so for descriptors, which anybody can write to.
 * Afterwards the target is usable as before: a response is still to be ended. A response whose headers are not
 * sent yet gets a `Content-Length`. Transfers to one target happen one after the other; all transfers of the process
 * take turns in one thread, and none blocks the event loop on a slow peer.
 *
 * When a transfer fails, or is aborted, after bytes went out, the connection is ended: its framing is broken.
 *
 * @throws {PeerClosedError} when the other side closed, reset, or took nothing for `timeout` milliseconds.
 * @throws {TruncatedError} when the file became shorter meanwhile.
 * @throws {OutOfRangeError} when a range begins at or beyond the file's end.
 * @throws {UnsupportedFileError} when the source is no regular file.
 * @throws {SendfileUnavailableError} with `fallback: false`, where it cannot be done without a copy.
 * @throws {InvalidArgumentError} when an option, the target or the source is none; with the signal's reason on abort.
 */
export function sendFile(
  target: SendTarget,
  source: SendSource,
  options: SendFileOptions = {},
): Promise<SendFileResult> {
  if (typeof target !== "number" && (typeof target !== "object" || target === null))
    return Promise.reject(
      new InvalidArgumentError("the target is no socket, server response, connection or descriptor"),
    );
  if (isBusy(target)) return send(target, source, options);
  let opened: DataFile | undefined;
  let begun: number | BegunBody | undefined;
  try {
    if (typeof source === "string" || source instanceof URL) opened = openSource(source);
  } catch {
    return send(target, source, options);
  }
  try {
    begun = sendAtOnce(target, opened ?? source, options);
  } catch (error) {
    /* When bytes went out the connection was gone before the rest could follow. */
    opened?.close();
    return Promise.reject(error);
  }
  if (typeof begun !== "number") return send(target, source, options, opened, begun);
  opened?.close();
  return answered({ sent: begun, method: "sendfile" }, begun);
}
