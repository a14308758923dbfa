import { SendfileUnavailableError } from "../errors.ts";
import { transferError } from "../memory/endpoint.ts";
import { Control } from "./control.ts";
import { type OpenTarget, openTarget, type SendTarget } from "./target.ts";

/** Options of `splice`. */
export interface SpliceOptions {
  /** Ends it; it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without a byte moved after which the peer counts as gone. Default: none. */
  readonly timeout?: number | undefined;
  /** Bytes to move. Default: until `from` ends. */
  readonly count?: number | undefined;
}

/** What the stream has read and not given to anybody. */
function takeBuffered(from: SendTarget): Uint8Array[] {
  const { read } = (typeof from === "object" ? from : {}) as { read?: unknown };
  const taken: Uint8Array[] = [];
  if (typeof read !== "function" || !("readableLength" in (from as object))) return taken;
  const stream = from as unknown as { read(): Uint8Array | null; readableLength: number };
  while (stream.readableLength > 0) {
    const chunk = stream.read();
    if (chunk === null) break;
    taken.push(chunk);
  }
  return taken;
}

async function move(
  from: OpenTarget,
  to: OpenTarget,
  buffered: readonly Uint8Array[],
  options: SpliceOptions,
): Promise<number> {
  if (from.endpoint === undefined) throw new SendfileUnavailableError(from.reason);
  if (to.endpoint === undefined) throw new SendfileUnavailableError(to.reason);
  const control = new Control(options, Number.POSITIVE_INFINITY);
  try {
    let moved = 0;
    for (const bytes of buffered)
      for (let at = 0; at < bytes.length; ) {
        const sent = to.endpoint.send(bytes, at, false);
        if (sent === 0) await control.run(to.endpoint.whenWritable());
        at += sent;
        moved += sent;
      }
    const left = (options.count ?? 2 ** 52) - moved;
    if (left <= 0) return moved;
    const end = await control.run(from.endpoint.spliceTo(to.endpoint, left));
    if (typeof end.outcome === "number") throw transferError(-end.outcome, "splice to", to.endpoint.name);
    if (end.outcome === "end" && to.endpoint.kind === "socket") to.endpoint.shutdown("write");
    return moved + end.moved;
  } finally {
    control.close();
  }
}

/**
 * Moves what arrives at one connection to another, inside the kernel, until `from` ends or `count` bytes were moved. The
 * end of `from` is passed on: `to` is shut down for writing.
 *
 * The runtime must not read from `from` meanwhile: a `net.Socket` has to be paused from its beginning
 * (`pauseOnConnect`, or `pause()` before it is connected); what it had read before goes first.
 *
 * @returns bytes moved.
 * @throws {PeerClosedError} when a side went away, or moved nothing for `timeout` milliseconds.
 * @throws {SendfileUnavailableError} when one of the two is encrypted or has no descriptor.
 */
export async function splice(from: SendTarget, to: SendTarget, options: SpliceOptions = {}): Promise<number> {
  const control = new Control(options, 0);
  const opened: OpenTarget[] = [];
  try {
    const source = await openTarget(from, control, 0);
    opened.push(source);
    const target = await openTarget(to, control, 0);
    opened.push(target);
    return await move(source, target, takeBuffered(from), options);
  } finally {
    control.close();
    for (const each of opened) each.release();
  }
}

/**
 * Connects two connections with each other until both have ended, then closes them: `splice` both ways.
 * @returns bytes moved from `left` to `right`, and from `right` to `left`.
 * @throws what `splice` throws, after ending both.
 */
export async function proxy(
  left: SendTarget,
  right: SendTarget,
  options: Pick<SpliceOptions, "signal" | "timeout"> = {},
): Promise<{ readonly sent: number; readonly received: number }> {
  const control = new Control(options, 0);
  const opened: OpenTarget[] = [];
  try {
    const one = await openTarget(left, control, 0);
    opened.push(one);
    const other = await openTarget(right, control, 0);
    opened.push(other);
    const failed = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal;
    const each = { ...options, signal };
    const ways = [move(one, other, takeBuffered(left), each), move(other, one, takeBuffered(right), each)];
    for (const way of ways) way.catch((error: unknown) => failed.abort(error));
    const [sent = 0, received = 0] = await Promise.all(ways);
    return { sent, received };
  } finally {
    control.close();
    for (const each of opened) {
      each.release();
      each.destroy();
    }
  }
}
