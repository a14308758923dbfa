import { InvalidArgumentError } from "../errors.ts";
import type { DataFile } from "../memory/data-file.ts";
import type { BegunBody } from "../memory/send-now.ts";
import { answered, sendAtOnce } from "./at-once.ts";
import { Control, type TransferOptions } from "./control.ts";
import { type ByteRange, type LastBytes, lengthOf, type Piece, piecesOf, withoutFirst } from "./ranges.ts";
import { openSource, type SendSource } from "./source.ts";
import { openTarget, type SendTarget } from "./target.ts";
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

/** The last transfer to each target that has not ended: the next one waits for it. */
const lastOfObject = new WeakMap<object, Promise<void>>();
const lastOfDescriptor = new Map<number, Promise<void>>();

interface Turns<T> {
  get(target: T): Promise<void> | undefined;
  set(target: T, ended: Promise<void>): unknown;
  delete(target: T): unknown;
}

const turnsOf = (target: SendTarget): Turns<SendTarget> =>
  (typeof target === "number" ? lastOfDescriptor : lastOfObject) as Turns<SendTarget>;

async function inTurn<T>(target: SendTarget, work: () => Promise<T>): Promise<T> {
  const turns = turnsOf(target);
  const before = turns.get(target);
  const result = before === undefined ? work() : before.then(work);
  const end = (): void => {
    if (turns.get(target) === ended) turns.delete(target);
  };
  const ended: Promise<void> = result.then(end, end);
  turns.set(target, ended);
  return result;
}

/** Sends pieces of a file that the caller has open and closes. */
async function sendPieces(
  target: SendTarget,
  file: DataFile,
  pieces: readonly Piece[],
  options: Omit<SendFileOptions, "ranges" | "header" | "trailer">,
  begun?: BegunBody,
): Promise<SendFileResult> {
  const total = lengthOf(pieces);
  const control = new Control(options, total);
  try {
    control.check();
    if (begun !== undefined) control.sent = begun.sent;
    const opened = await openTarget(target, control, total, begun?.endpoint);
    try {
      const transfer = new Transfer(opened, file, control, options.fallback ?? true);
      await transfer.send(begun === undefined ? pieces : withoutFirst(pieces, begun.sent));
      return { sent: control.sent, method: transfer.method };
    } catch (error) {
      /* Whoever waits for the rest must learn that it will not come. */
      if (control.sent > 0) opened.destroy();
      throw error;
    } finally {
      opened.release();
    }
  } finally {
    control.close();
  }
}

async function send(
  target: SendTarget,
  source: SendSource,
  options: SendFileOptions,
  begun?: BegunBody,
): Promise<SendFileResult> {
  try {
    const file = openSource(source);
    try {
      const pieces = piecesOf(options.ranges, file.size());
      if (options.header?.length) pieces.unshift(options.header);
      if (options.trailer?.length) pieces.push(options.trailer);
      return await sendPieces(target, file, pieces, options, begun);
    } finally {
      file.close();
    }
  } catch (error) {
    /* The target's owner need not have got it back: the rest will not come. */
    if (begun !== undefined && !begun.endpoint.closed) {
      begun.endpoint.shutdown();
      begun.endpoint.close();
    }
    throw error;
  }
}

/** `sendPieces`, after the transfers to the same target that were asked for before. */
export function sendOpened(
  target: SendTarget,
  file: DataFile,
  pieces: readonly Piece[],
  options: Omit<SendFileOptions, "ranges" | "header" | "trailer">,
): Promise<SendFileResult> {
  return inTurn(target, () => sendPieces(target, file, pieces, options));
}

/**
 * Sends a file, or ranges of it, to a connection: without a copy through user space where the kernel can.
 *
 * Waits first until what was written to the target before has left; what is written to it meanwhile goes out behind the
 * file. Afterwards the target is usable as before: a response is still to be ended. A response whose headers are not
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
  if (turnsOf(target).get(target) !== undefined) return inTurn(target, () => send(target, source, options));
  let begun: number | BegunBody | undefined;
  try {
    begun = sendAtOnce(target, source, options);
  } catch (error) {
    /* When bytes went out the connection was gone before the rest could follow. */
    return Promise.reject(error);
  }
  if (typeof begun === "number") return answered({ sent: begun, method: "sendfile" }, begun);
  const rest = begun;
  return inTurn(target, () => send(target, source, options, rest));
}
