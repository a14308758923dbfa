import type { Endpoint } from "../memory/endpoint.ts";
import type { Control } from "./control.ts";

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

/** A transfer's way to a target: first its turn among all that is written there, then the target itself. */
export interface Approach {
  /** When it is its turn among transfers; undefined: it is. */
  readonly ahead: Promise<void> | undefined;
  /**
   * Makes the target ready for `total` raw bytes: finds its descriptor, sends its headers, waits until user space holds
   * nothing of it that was written before.
   *
   * @param begun its descriptor, when bytes of the transfer went out already.
   * @throws {PeerClosedError} when it is not connected.
   */
  open(control: Control, total: number, begun?: Endpoint): Promise<OpenTarget>;
  /** Ends the turn: what was written since goes out. `failed`: the transfer was not made. */
  leave(failed?: boolean): void;
}
