import { PeerClosedError } from "../../errors.ts";
import { enterHeld, type HeldCall, type Holding } from "../held-calls.ts";
import { joinLine } from "../line.ts";
import { connectionOf, endpointOf, isEncrypted } from "../place.ts";
import type { Approach, BunSocketLike } from "../target.ts";

type Write = (bytes: Uint8Array) => number;

const isGone = (socket: BunSocketLike): boolean => ((socket as { readyState?: number }).readyState ?? 1) <= 0;

/** Writes all of it. The socket's own drain callback belongs to the application. */
async function writeAll(socket: BunSocketLike, write: Write, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const sent = write(bytes.subarray(at));
    if (sent < 0 || isGone(socket)) throw new PeerClosedError("EPIPE");
    at += sent;
    if (at < bytes.length) await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The bytes that `write(data, offset, length)` means, in a copy: their owner may use them again when it returns. */
function copyOf([data, offset, length]: unknown[]): Uint8Array {
  if (typeof data === "string") return new TextEncoder().encode(data);
  const bytes = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data as ArrayBuffer);
  const start = typeof offset === "number" ? offset : 0;
  return bytes.slice(start, typeof length === "number" ? start + length : undefined);
}

/** `write` takes everything; `end` and `shutdown` wait. */
function holding(socket: BunSocketLike, write: Write): Holding {
  const later = (original: (...args: unknown[]) => unknown, args: unknown[]): HeldCall => ({
    answer: undefined,
    call: () => original(...args),
  });
  return {
    write(_original, args) {
      const bytes = copyOf(args);
      return { answer: bytes.length, call: () => writeAll(socket, write, bytes) };
    },
    end(original, args) {
      const bytes = args[0] === undefined ? new Uint8Array(0) : copyOf(args);
      return { answer: bytes.length, call: () => writeAll(socket, write, bytes).then(() => original()) };
    },
    shutdown: later,
  };
}

/**
 * A turn among the calls of a socket of `Bun.listen` or `Bun.connect`.
 * @throws {PeerClosedError} when it has ended.
 */
export function approachBunSocket(socket: BunSocketLike): Approach {
  if (isGone(socket)) throw new PeerClosedError("ENOTCONN");
  const line = joinLine(socket);
  const turn = enterHeld(socket, () => holding(socket, socket.write.bind(socket)));
  const write = turn.original("write") as Write;
  return {
    ahead: turn.ahead,
    async open(control, _total, begun) {
      if (isGone(socket)) throw new PeerClosedError("ENOTCONN");
      const encrypted = isEncrypted(socket);
      if (begun === undefined) socket.flush();
      const endpoint = encrypted ? undefined : (begun ?? endpointOf(socket, connectionOf(socket)));
      return {
        endpoint,
        reason: encrypted ? "the connection is encrypted" : "the socket's descriptor was not found",
        write: (bytes) => control.wait(writeAll(socket, write, bytes)),
        release: () => endpoint?.close(),
        destroy: () => void socket.terminate(),
      };
    },
    leave() {
      line.leave();
      turn.leave();
    },
  };
}
