import { SendfileUnavailableError } from "../errors.ts";
import { transferError } from "../memory/endpoint.ts";
import { approach } from "./approach.ts";
import { Control } from "./control.ts";
import { readingEndpoint } from "./place.ts";
import type { Approach, OpenTarget, SendTarget } from "./target.ts";
import { watchClose, whenConnected } from "./targets/stream-events.ts";

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

/** Waits for a socket that is still connecting. */
async function connected(target: SendTarget, control: Control): Promise<void> {
  if (typeof target !== "object" || !("on" in target)) return;
  const unwatch = watchClose(target, control);
  try {
    await whenConnected(target, control);
  } finally {
    unwatch();
  }
}

async function move(
  from: Pick<OpenTarget, "endpoint" | "reason">,
  to: OpenTarget,
  buffered: readonly Uint8Array[],
  options: SpliceOptions,
): Promise<number> {
  if (from.endpoint === undefined) throw new SendfileUnavailableError(from.reason);
  if (to.endpoint === undefined) throw new SendfileUnavailableError(to.reason);
  const control = new Control(options);
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
  const control = new Control(options);
  try {
    const way = approach(to);
    try {
      await connected(from, control);
      if (way.ahead !== undefined) await control.wait(way.ahead, false);
      const source = readingEndpoint(from);
      try {
        const target = await way.open(control, 0);
        try {
          return await move(source, target, takeBuffered(from), options);
        } finally {
          target.release();
        }
      } finally {
        source.endpoint?.close();
      }
    } finally {
      way.leave();
    }
  } finally {
    control.close();
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
  const control = new Control(options);
  const ways: Approach[] = [];
  const opened: OpenTarget[] = [];
  try {
    for (const side of [left, right]) ways.push(approach(side));
    for (const way of ways) {
      if (way.ahead !== undefined) await control.wait(way.ahead, false);
      opened.push(await way.open(control, 0));
    }
    const [one, other] = opened as [OpenTarget, OpenTarget];
    const failed = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal;
    const each = { ...options, signal };
    const both = [move(one, other, takeBuffered(left), each), move(other, one, takeBuffered(right), each)];
    for (const one of both) one.catch((error: unknown) => failed.abort(error));
    const [sent = 0, received = 0] = await Promise.all(both);
    return { sent, received };
  } finally {
    control.close();
    for (const each of opened) {
      each.release();
      each.destroy();
    }
    for (const way of ways) way.leave();
  }
}
