import { builtin } from "../../builtins.ts";
import { checkPositive } from "../control.ts";
import type { FileHandlerOptions } from "./answer.ts";
import { createFileHandler, type NodeRequest, type NodeResponse } from "./handler.ts";

/** Options of `serveFolder`. */
export interface ServeOptions extends FileHandlerOptions {
  /** Address to listen on. Default "127.0.0.1": nobody but this machine. */
  readonly host?: string | undefined;
  /** Default 0: any that is free. */
  readonly port?: number | undefined;
  /** Milliseconds that a client may take for the headers of a request. Default 10 000. */
  readonly headersTimeout?: number | undefined;
  /** Milliseconds after which a connection without a request is ended, about. Default 5000. */
  readonly idleTimeout?: number | undefined;
}

/** A running file server. */
export interface FolderServer {
  /** Where it is reached. */
  readonly url: string;
  /** The port that it listens on. */
  readonly port: number;
  /** Takes no more connections, lets answers that have begun end, at most `grace` milliseconds (default 10 000). */
  close(grace?: number): Promise<void>;
}

const HEADERS_TIMEOUT = 10_000;
const REQUEST_TIMEOUT = 30_000;
const IDLE_TIMEOUT = 5_000;
const CHECKING_INTERVAL = 1_000;

/**
 * Serves a folder over HTTP on loopback, by node:http in every runtime, with folders listed unless told otherwise.
 * @throws what `createFileHandler` throws, and the runtime's error when the port is taken.
 */
export async function serveFolder(folder: string, options: ServeOptions = {}): Promise<FolderServer> {
  const {
    host = "127.0.0.1",
    port = 0,
    headersTimeout = HEADERS_TIMEOUT,
    idleTimeout = IDLE_TIMEOUT,
    ...rest
  } = options;
  checkPositive("headersTimeout", headersTimeout);
  checkPositive("idleTimeout", idleTimeout);
  const handler = createFileHandler(folder, { listing: true, precompressed: true, ...rest });
  const server = builtin("http").createServer(
    /* The runtimes look for late clients every 30 s unless told otherwise. */
    { connectionsCheckingInterval: Math.min(CHECKING_INTERVAL, Math.ceil(headersTimeout / 2)) },
    (request, response) => {
      void handler.node(request as NodeRequest, response as unknown as NodeResponse);
    },
  );
  server.headersTimeout = headersTimeout;
  server.requestTimeout = Math.max(REQUEST_TIMEOUT, headersTimeout);
  server.keepAliveTimeout = idleTimeout;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, () => resolve());
    });
  } catch (error) {
    handler.close();
    throw error;
  }
  const address = server.address() as { port: number };
  const shown = host.includes(":") ? `[${host}]` : host;
  return {
    url: `http://${shown}:${address.port}/`,
    port: address.port,
    async close(grace = 10_000) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), grace);
      await closed;
      clearTimeout(timer);
      handler.close();
    },
  };
}
