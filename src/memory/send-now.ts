import { native } from "../../ffi/load.ts";
import { pathBytes } from "./check.ts";
import { type Connection, Endpoint } from "./endpoint.ts";

const ENDS_LENGTH = 36;
const request = new Float64Array(7);
const nothing = new Uint8Array(1);

/** Both addresses of a connection in the form in which they are checked. */
export type Ends = Uint8Array;

/** Any connected stream: for descriptors that the caller names by their number. */
export const unknownEnds: Ends = new Uint8Array(ENDS_LENGTH).fill(255);

/** Undefined where the system library cannot send at once. */
export function endsOf({ localAddress, localPort, remoteAddress, remotePort }: Connection): Ends | undefined {
  const ends = new Uint8Array(ENDS_LENGTH);
  const made = native().calls.oc_ends(pathBytes(localAddress), localPort, pathBytes(remoteAddress), remotePort, ends);
  return made < 0 ? undefined : ends;
}

/** A body that was sent in part: the rest goes to `endpoint`, which is the caller's. */
export interface BegunBody {
  readonly sent: number;
  readonly endpoint: Endpoint;
}

/**
 * Sends a small body in one call that never waits, or nothing: the result is the bytes of all of it; what was sent and
 * where the rest goes; or undefined when nothing was sent, for whatever reason.
 *
 * Each call takes a duplicate of `socket` and checks that it is the connection between `ends`, so a number that was
 * closed and given to another connection gets no bytes. Ten system calls.
 *
 * @param file descriptor of any file: only regular ones of real file systems are sent.
 * @param count bytes of the file; it ends where the file does.
 * @param readUpTo a part of so many bytes is read and sent: at most 8192.
 */
export function sendNow(
  socket: number,
  ends: Ends,
  file: number,
  offset: number,
  count: number,
  header: Uint8Array | undefined,
  trailer: Uint8Array | undefined,
  readUpTo: number,
): number | BegunBody | undefined {
  const before = header?.length ?? 0;
  const after = trailer?.length ?? 0;
  let parts = before > 0 ? (header as Uint8Array) : nothing;
  if (after > 0) {
    parts = new Uint8Array(before + after);
    if (before > 0) parts.set(header as Uint8Array);
    parts.set(trailer as Uint8Array, before);
  }
  request[0] = socket;
  request[1] = file;
  request[2] = offset;
  request[3] = count;
  request[4] = before;
  request[5] = after;
  request[6] = readUpTo;
  const sent = native().calls.oc_send_now(request, ends, parts);
  if (sent <= 0) return undefined;
  const rest = request[0];
  return rest < 0 ? sent : { sent, endpoint: Endpoint.adopt(rest, `descriptor ${socket}`) };
}
