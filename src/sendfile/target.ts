import { InvalidArgumentError, PeerClosedError } from "../errors.ts";
import { Endpoint } from "../memory/endpoint.ts";
import type { Control } from "./control.ts";
import { connectionOf, connectionOfDeno, endpointOf, isEncrypted, isFunction } from "./place.ts";

/** Any listener: what an event carries is of no interest here. */
// biome-ignore lint/suspicious/noExplicitAny: the runtimes declare listeners with parameters of many types
export type Listener = (...args: any[]) => void;

/** Both ends of a connection, as far as the runtime tells them. */
export interface ShownConnection {
  /** Address of this side. */
  readonly localAddress?: string | undefined;
  /** Port of this side. */
  readonly localPort?: number | undefined;
  /** Address of the other side. */
  readonly remoteAddress?: string | undefined;
  /** Port of the other side. */
  readonly remotePort?: number | undefined;
}

/** `net.Socket`, in all three runtimes. */
export interface SocketLike extends ShownConnection {
  /** Writes bytes. */
  write(bytes: Uint8Array | string, done?: (error?: Error | null) => void): boolean;
  /** Holds back what is written. */
  cork(): void;
  /** Lets it go. */
  uncork(): void;
  /** Ends the connection. */
  destroy(error?: Error): unknown;
  /** Adds a listener. */
  on(event: string, listener: Listener): unknown;
  /** Removes a listener. */
  off(event: string, listener: Listener): unknown;
  /** Bytes that wait in user space. */
  readonly writableLength: number;
  /** Whether it was destroyed. */
  readonly destroyed: boolean;
}

/** `http.ServerResponse`, in all three runtimes. */
export interface ResponseLike {
  /** The connection, once it is this response's turn. */
  readonly socket: unknown;
  /** Whether the headers are fixed. */
  readonly headersSent: boolean;
  /** Bytes that wait in user space. */
  readonly writableLength: number;
  /** Sets a header. */
  setHeader(name: string, value: string | number): unknown;
  /** A header that was set. */
  getHeader(name: string): unknown;
  /** Whether a header was set. */
  hasHeader(name: string): boolean;
  /** Sends the headers. */
  flushHeaders(): void;
  /** Writes bytes. */
  write(bytes: Uint8Array, done?: (error?: Error | null) => void): boolean;
  /** Ends the connection. */
  destroy(error?: Error): unknown;
  /** Adds a listener. */
  on(event: string, listener: Listener): unknown;
  /** Removes a listener. */
  off(event: string, listener: Listener): unknown;
}

/** A socket of `Bun.listen` or `Bun.connect`. */
export interface BunSocketLike extends ShownConnection {
  /** Writes bytes. */
  write(bytes: Uint8Array): number;
  /** Sends what waits. */
  flush(): unknown;
  /** Ends the connection at once. */
  terminate(): unknown;
}

/** `Deno.TcpConn`. */
export interface DenoConnLike {
  /** Address of this side. */
  readonly localAddr: unknown;
  /** Address of the other side. */
  readonly remoteAddr: unknown;
  /** Writes bytes. */
  write(bytes: Uint8Array): Promise<number>;
  /** Closes the connection. */
  close(): void;
}

/** Where a file can be sent to; a number is a descriptor of a connected socket, a pipe or a file. */
export type SendTarget = SocketLike | ResponseLike | BunSocketLike | DenoConnLike | number;

/** A target made ready. */
export interface OpenTarget {
  /** Takes raw bytes; undefined where only `write` can be used. */
  readonly endpoint: Endpoint | undefined;
  /** Why there is no endpoint. */
  readonly reason: string;
  /** Sends bytes through the runtime's own stream and waits until it took them. */
  write(bytes: Uint8Array): Promise<void>;
  /** Gives the target back to its owner, usable. */
  release(): void;
  /** Ends the connection: what was promised on it cannot be kept. */
  destroy(): void;
}

const NO_BODY = new Set([204, 304]);

/** Raw bytes may go out only when nothing that was written before waits in user space. */
async function drain(stream: { readonly writableLength: number }, flushed: (done: () => void) => void): Promise<void> {
  while (stream.writableLength > 0) {
    const before = stream.writableLength;
    await new Promise<void>(flushed);
    if (stream.writableLength >= before) await new Promise<void>((resolve) => setTimeout(resolve, 1));
  }
}

/** Calls `control.stop` when the stream ends before the transfer does. */
function watchClose(stream: Pick<SocketLike, "on" | "off">, control: Control): () => void {
  const closed = (error?: unknown): void => {
    const code = (error as { code?: string } | undefined)?.code;
    control.stop(new PeerClosedError(code ?? "ENOTCONN", error instanceof Error ? error : undefined));
  };
  const listener = closed;
  stream.on("close", listener);
  stream.on("error", listener);
  return () => {
    stream.off("close", listener);
    stream.off("error", listener);
    if (!control.stopped) return;
    /* An error may be told only after the transfer heard of the end in another way: it must not become uncaught. */
    const late = (): void => undefined;
    stream.on("error", late);
    setTimeout(() => stream.off("error", late), 1000).unref?.();
  };
}

function writeThrough(
  stream: { write(bytes: Uint8Array, done?: (error?: Error | null) => void): boolean },
  control: Control,
): (bytes: Uint8Array) => Promise<void> {
  return (bytes) =>
    control.wait(
      new Promise((resolve, reject) =>
        stream.write(bytes, (error) =>
          error ? reject(new PeerClosedError((error as { code?: string }).code ?? "EPIPE", error)) : resolve(),
        ),
      ),
    );
}

async function openSocket(socket: SocketLike, control: Control, begun: Endpoint | undefined): Promise<OpenTarget> {
  if (socket.destroyed || (socket as { writableEnded?: boolean }).writableEnded) throw new PeerClosedError("ENOTCONN");
  const unwatch = watchClose(socket, control);
  try {
    if ((socket as { connecting?: boolean }).connecting)
      await control.wait(new Promise<void>((resolve) => socket.on("connect", () => resolve())));
    const encrypted = (socket as { encrypted?: boolean }).encrypted === true;
    if (!encrypted && begun === undefined)
      await control.wait(
        drain(socket, (done) => socket.write("", done)),
        true,
      );
    control.check();
    const endpoint = encrypted ? undefined : (begun ?? endpointOf(socket, connectionOf(socket)));
    /* Whatever the application writes meanwhile waits, and goes out behind the file. */
    if (endpoint !== undefined) socket.cork();
    return {
      endpoint,
      reason: encrypted ? "the connection is encrypted" : "the socket's descriptor was not found",
      write: writeThrough(socket, control),
      release() {
        unwatch();
        if (endpoint !== undefined && !socket.destroyed) socket.uncork();
        endpoint?.close();
      },
      destroy: () => void socket.destroy(),
    };
  } catch (error) {
    unwatch();
    throw error;
  }
}

/** A response to a pipelined request has no socket before the responses ahead of it have ended. */
async function socketOf(response: ResponseLike, control: Control): Promise<void> {
  const state = response as { writableEnded?: boolean; destroyed?: boolean };
  for (let delay = 1; !response.socket && !state.writableEnded && !state.destroyed; delay = Math.min(20, delay * 2))
    await control.wait(new Promise<void>((resolve) => setTimeout(resolve, delay)), false);
}

/** Whether a Content-Length was set. Node keeps headers that were given to `writeHead` in its header text only. */
function hasLength(response: ResponseLike): boolean {
  const { _header } = response as { _header?: unknown };
  return response.hasHeader("content-length") || (typeof _header === "string" && /\r\ncontent-length:/i.test(_header));
}

async function openResponse(response: ResponseLike, control: Control, total: number): Promise<OpenTarget> {
  await socketOf(response, control);
  const { socket, req, statusCode } = response as {
    socket?: (SocketLike & { encrypted?: boolean }) | null;
    req?: { method?: string };
    statusCode?: number;
  };
  const state = response as { writableEnded?: boolean; destroyed?: boolean };
  if (state.writableEnded) throw new InvalidArgumentError("the response has ended");
  if (state.destroyed || socket?.destroyed) throw new PeerClosedError("ENOTCONN");
  if (req?.method === "HEAD" || NO_BODY.has(statusCode ?? 200))
    throw new InvalidArgumentError("this response cannot have a body");
  let framed = hasLength(response);
  if (!response.headersSent && !framed && !response.hasHeader("transfer-encoding")) {
    response.setHeader("Content-Length", total);
    framed = true;
  }
  const unwatch = watchClose(response, control);
  const reason = !socket
    ? "it has no connection"
    : socket.encrypted === true
      ? "the connection is encrypted"
      : !framed
        ? "the response is chunked"
        : "the response's descriptor was not found";
  const raw = socket && socket.encrypted !== true && framed;
  let endpoint: Endpoint | undefined;
  try {
    if (raw) {
      response.flushHeaders();
      /* Bun keeps what a handler wrote until its turn ends. */
      await control.wait(new Promise<void>((resolve) => setImmediate(resolve)));
      await control.wait(drain(response, (done) => setTimeout(done, 1)));
      await control.wait(drain(socket, (done) => setTimeout(done, 1)));
      control.check();
      endpoint = endpointOf(socket, connectionOf(socket));
    }
  } catch (error) {
    unwatch();
    throw error;
  }
  /* Bytes that went around the response are not in its count. */
  if (endpoint !== undefined && "strictContentLength" in response)
    (response as { strictContentLength: boolean }).strictContentLength = false;
  if (endpoint !== undefined) socket?.cork?.();
  return {
    endpoint,
    reason,
    write: writeThrough(response, control),
    release() {
      unwatch();
      if (endpoint !== undefined && socket && !socket.destroyed) socket.uncork?.();
      endpoint?.close();
    },
    destroy() {
      endpoint?.shutdown();
      response.destroy();
      socket?.destroy();
    },
  };
}

async function openBunSocket(
  socket: BunSocketLike,
  control: Control,
  begun: Endpoint | undefined,
): Promise<OpenTarget> {
  const { readyState } = socket as { readyState?: number };
  if (readyState !== undefined && readyState <= 0) throw new PeerClosedError("ENOTCONN");
  const encrypted = isEncrypted(socket);
  if (begun === undefined) socket.flush();
  const endpoint = encrypted ? undefined : (begun ?? endpointOf(socket, connectionOf(socket)));
  return {
    endpoint,
    reason: encrypted ? "the connection is encrypted" : "the socket's descriptor was not found",
    async write(bytes) {
      for (let at = 0; at < bytes.length; ) {
        const sent = socket.write(bytes.subarray(at));
        if (sent < 0 || (socket as { readyState?: number }).readyState === 0) throw new PeerClosedError("EPIPE");
        at += sent;
        /* The socket's own drain callback belongs to the application. */
        if (at < bytes.length) await control.wait(new Promise((resolve) => setTimeout(resolve, 2)));
      }
    },
    release: () => endpoint?.close(),
    destroy: () => void socket.terminate(),
  };
}

async function openDenoConn(conn: DenoConnLike, control: Control, begun: Endpoint | undefined): Promise<OpenTarget> {
  const encrypted = isFunction((conn as { handshake?: unknown }).handshake);
  const ends = connectionOfDeno(conn);
  const endpoint = encrypted || ends === undefined ? undefined : (begun ?? endpointOf(conn, ends));
  if (endpoint === undefined && !encrypted && ends !== undefined) throw new PeerClosedError("ENOTCONN");
  return {
    endpoint,
    reason: encrypted ? "the connection is encrypted" : "the connection's descriptor cannot be found",
    async write(bytes) {
      for (let at = 0; at < bytes.length; ) {
        try {
          at += await control.wait(conn.write(bytes.subarray(at)));
        } catch (error) {
          control.check();
          if (error instanceof Error && error.name !== "TypeError") throw new PeerClosedError("EPIPE", error);
          throw error;
        }
      }
    },
    release: () => endpoint?.close(),
    destroy() {
      endpoint?.shutdown();
      try {
        conn.close();
      } catch {
        /* It is closed already. */
      }
    },
  };
}

function openDescriptor(descriptor: number, begun: Endpoint | undefined): OpenTarget {
  const endpoint = begun ?? Endpoint.ofDescriptor(descriptor);
  return {
    endpoint,
    reason: "",
    write: () => Promise.reject(new InvalidArgumentError("a descriptor has no stream")),
    release: () => endpoint.close(),
    destroy: () => endpoint.kind === "socket" && endpoint.shutdown(),
  };
}

/**
 * Makes a target ready for `total` raw bytes: finds its descriptor, sends its headers, waits until user space holds
 * nothing of it any more.
 *
 * @param begun its descriptor, when bytes of the transfer went out already: then the target holds back what is written
 * to it before this returns.
 * @throws {PeerClosedError} when it is not connected.
 * @throws {InvalidArgumentError} when it is none of the targets there are.
 */
export async function openTarget(
  target: SendTarget,
  control: Control,
  total: number,
  begun?: Endpoint,
): Promise<OpenTarget> {
  if (typeof target === "number") return openDescriptor(target, begun);
  const shape = (typeof target === "object" && target !== null ? target : {}) as unknown as Record<string, unknown>;
  if (isFunction(shape.flushHeaders) && isFunction(shape.setHeader))
    return openResponse(target as ResponseLike, control, total);
  if (isFunction(shape.cork) && isFunction(shape.write)) return openSocket(target as SocketLike, control, begun);
  if (isFunction(shape.terminate) && isFunction(shape.flush))
    return openBunSocket(target as BunSocketLike, control, begun);
  if ("localAddr" in shape && isFunction(shape.write)) return openDenoConn(target as DenoConnLike, control, begun);
  throw new InvalidArgumentError("the target is no socket, server response, connection or descriptor");
}
