import { type Connection, Endpoint } from "../memory/endpoint.ts";
import { type Ends, endsOf, unknownEnds } from "../memory/send-now.ts";
import type { BunSocketLike, DenoConnLike, SendTarget, ShownConnection, SocketLike } from "./target.ts";

export const isFunction = (value: unknown): boolean => typeof value === "function";

type Shape = Record<string, unknown>;

/** The number under which a socket was found before, by the socket. Each use checks it anew. */
const knownNumbers = new WeakMap<object, number>();

export function connectionOf(socket: ShownConnection): Connection | undefined {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  if (!localAddress || !remoteAddress || localPort === undefined || remotePort === undefined) return undefined;
  return { localAddress, localPort, remoteAddress, remotePort };
}

/** The descriptor that a runtime shows, if it does. */
function shownDescriptor(socket: object): number | undefined {
  const { _handle, fd } = socket as { _handle?: { fd?: unknown } | null; fd?: unknown };
  const number = _handle?.fd ?? fd;
  return typeof number === "number" && number >= 0 ? number : undefined;
}

export function endpointOf(socket: object, ends: Connection | undefined): Endpoint | undefined {
  const shown = shownDescriptor(socket);
  if (ends === undefined) return shown === undefined ? undefined : Endpoint.ofDescriptor(shown);
  const hint = shown ?? knownNumbers.get(socket);
  return Endpoint.ofConnection(ends, hint, shown === undefined, (found) => knownNumbers.set(socket, found));
}

/** The ends of a `Deno.Conn`. */
export function connectionOfDeno(conn: DenoConnLike): Connection | undefined {
  const local = conn.localAddr as { hostname?: string; port?: number };
  const remote = conn.remoteAddr as { hostname?: string; port?: number };
  return connectionOf({
    localAddress: local.hostname ?? "",
    localPort: local.port ?? 0,
    remoteAddress: remote.hostname ?? "",
    remotePort: remote.port ?? 0,
  });
}

/** Bun's sockets keep nothing back, and say of an unencrypted connection that it has no TLS version. */
export function isEncrypted(socket: object): boolean {
  const { getTLSVersion } = socket as { getTLSVersion?: () => unknown };
  try {
    return Boolean(getTLSVersion?.call(socket));
  } catch {
    return false;
  }
}

/** The connection that bytes are to be read from, or why it cannot be had. It is the caller's to close. */
export function readingEndpoint(source: SendTarget): {
  readonly endpoint: Endpoint | undefined;
  readonly reason: string;
} {
  if (typeof source === "number") return { endpoint: Endpoint.ofDescriptor(source), reason: "" };
  const shape = source as unknown as Shape;
  if (shape.encrypted === true || isFunction(shape.handshake) || isEncrypted(source))
    return { endpoint: undefined, reason: "the connection is encrypted" };
  const ends = "localAddr" in shape ? connectionOfDeno(source as DenoConnLike) : connectionOf(source as SocketLike);
  return { endpoint: endpointOf(source, ends), reason: "the connection's descriptor was not found" };
}

/** What is known of a target that bytes were sent to at once, and was true then. */
interface Known {
  readonly ends: Ends;
  readonly localPort: number;
  readonly remotePort: number;
}

const knownTargets = new WeakMap<object, Known>();

/** The addresses do not change while the ports are the same: a socket object can be connected anew. */
function knownOf(
  target: object,
  ports: { localPort?: unknown; remotePort?: unknown },
  ends: () => Connection | undefined,
) {
  const known = knownTargets.get(target);
  if (known !== undefined && known.localPort === ports.localPort && known.remotePort === ports.remotePort) return known;
  const connection = ends();
  const checked = connection === undefined ? undefined : endsOf(connection);
  if (connection === undefined || checked === undefined) return undefined;
  const { localPort, remotePort } = connection;
  const made: Known = { ends: checked, localPort, remotePort };
  knownTargets.set(target, made);
  return made;
}

/** A descriptor, and the connection that it must be. */
export interface Place {
  readonly descriptor: number;
  readonly ends: Ends;
}

/**
 * Where bytes for a target can go right now: undefined when user space holds some that belong before them, or may, when
 * the target is not connected or encrypted, or nothing was ever sent to it.
 */
export function placeOf(target: SendTarget): Place | undefined {
  if (typeof target === "number") return { descriptor: target, ends: unknownEnds };
  const shape = target as unknown as Shape;
  let known: Known | undefined;
  if (isFunction(shape.cork)) {
    if (isFunction(shape.flushHeaders) || shape.destroyed || shape.writableEnded || shape.connecting) return undefined;
    if (shape.encrypted === true || shape.writableLength !== 0) return undefined;
    known = knownOf(target, shape, () => connectionOf(target as SocketLike));
  } else if (isFunction(shape.terminate)) {
    if (typeof shape.readyState !== "number" || shape.readyState <= 0 || isEncrypted(target)) return undefined;
    (target as BunSocketLike).flush();
    known = knownOf(target, shape, () => connectionOf(target as BunSocketLike));
  } else if ("localAddr" in shape && !isFunction(shape.handshake)) {
    const localPort = (shape.localAddr as { port?: number } | undefined)?.port;
    const remotePort = (shape.remoteAddr as { port?: number } | undefined)?.port;
    known = knownOf(target, { localPort, remotePort }, () => connectionOfDeno(target as DenoConnLike));
  }
  const descriptor = known && (shownDescriptor(target) ?? knownNumbers.get(target));
  return known === undefined || descriptor === undefined ? undefined : { descriptor, ends: known.ends };
}
