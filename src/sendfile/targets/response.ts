import { InvalidArgumentError, PeerClosedError } from "../../errors.ts";
import type { Endpoint } from "../../memory/endpoint.ts";
import type { Control } from "../control.ts";
import { enterHeld, type HeldTurn, type Holding } from "../held-calls.ts";
import { joinLine } from "../line.ts";
import { connectionOf, endpointOf } from "../place.ts";
import type { Approach, OpenTarget, ResponseLike, SocketLike } from "../target.ts";
import { drain, watchClose } from "./stream-events.ts";

const NO_BODY = new Set([204, 304]);

/** What a response is, beyond what is asked of every one. */
interface Response extends ResponseLike {
  readonly writableEnded?: boolean;
  readonly writableNeedDrain?: boolean;
  readonly destroyed?: boolean;
  readonly req?: { readonly method?: string };
  readonly statusCode?: number;
  readonly socket: (SocketLike & { readonly encrypted?: boolean }) | null | undefined;
  strictContentLength?: boolean;
  emit(event: string): unknown;
}

/** A response to a pipelined request has no socket before the responses ahead of it have ended. */
async function socketOf(response: Response, control: Control): Promise<void> {
  for (
    let delay = 1;
    !response.socket && !response.writableEnded && !response.destroyed;
    delay = Math.min(20, delay * 2)
  )
    await control.wait(new Promise<void>((resolve) => setTimeout(resolve, delay)), false);
}

/** Whether a Content-Length was set. Node keeps headers that were given to `writeHead` in its header text only. */
function hasLength(response: ResponseLike): boolean {
  const { _header } = response as { _header?: unknown };
  return response.hasHeader("content-length") || (typeof _header === "string" && /\r\ncontent-length:/i.test(_header));
}

/** Writes, and waits until it has left user space. */
function written(write: (...args: unknown[]) => unknown, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) =>
    write(bytes, (error?: (Error & { code?: string }) | null) =>
      error ? reject(new PeerClosedError(error.code ?? "EPIPE", error)) : resolve(),
    ),
  );
}

/** `write` says that it has enough for now; `end` waits. What is wrong with a call shows when it is made. */
function holding(response: Response): Holding {
  const late = (call: () => unknown) => (): void => {
    try {
      call();
    } catch (error) {
      response.destroy(error as Error);
    }
  };
  return {
    write: (original, args) => ({ answer: false, call: late(() => original(...args)) }),
    end: (original, args) => ({ answer: response, call: late(() => original(...args)) }),
  };
}

/** Who was told to wait is told to go on, unless the response itself will. */
function goOn(response: Response): void {
  if (!response.writableNeedDrain && !response.writableEnded && !response.destroyed) response.emit("drain");
}

async function open(response: Response, turn: HeldTurn, control: Control, total: number): Promise<OpenTarget> {
  await socketOf(response, control);
  const { socket, req, statusCode } = response;
  if (response.writableEnded) throw new InvalidArgumentError("the response has ended");
  if (response.destroyed || socket?.destroyed) throw new PeerClosedError("ENOTCONN");
  if (req?.method === "HEAD" || NO_BODY.has(statusCode ?? 200))
    throw new InvalidArgumentError("this response cannot have a body");
  let framed = hasLength(response);
  if (!response.headersSent && !framed && !response.hasHeader("transfer-encoding")) {
    response.setHeader("Content-Length", total);
    framed = true;
  }
  const write = turn.original("write");
  const unwatch = watchClose(response, control);
  const reason = !socket
    ? "it has no connection"
    : socket.encrypted === true
      ? "the connection is encrypted"
      : !framed
        ? "the response is chunked"
        : "the response's descriptor was not found";
  let endpoint: Endpoint | undefined;
  try {
    if (socket && socket.encrypted !== true && framed) {
      response.flushHeaders();
      /* Bun keeps what was written, and does not count it, until its loop has gone through its sockets once. */
      for (let turn = 0; turn < 2; turn++) await control.wait(new Promise<void>((resolve) => setImmediate(resolve)));
      await control.wait(drain(response));
      await control.wait(drain(socket));
      control.check();
      endpoint = endpointOf(socket, connectionOf(socket));
    }
  } catch (error) {
    unwatch();
    throw error;
  }
  if (endpoint !== undefined) {
    /* The headers have promised bytes that only this transfer brings. */
    control.begun = true;
    /* Bytes that went around the response are not in its count. */
    if ("strictContentLength" in response) response.strictContentLength = false;
    socket?.cork?.();
  }
  return {
    endpoint,
    reason,
    write: (bytes) => control.wait(written(write, bytes)),
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

/** A turn among the calls of a response's `write` and `end`. */
export function approachResponse(target: ResponseLike): Approach {
  const response = target as Response;
  const line = joinLine(target);
  const turn = enterHeld(
    response,
    () => holding(response),
    () => goOn(response),
  );
  return {
    ahead: turn.ahead,
    open: (control, total) => open(response, turn, control, total),
    leave(failed) {
      /* With its end waiting it would be complete without the file, or shorter than its headers say. */
      if (failed && turn.isFollowed()) response.destroy();
      line.leave();
      turn.leave();
    },
  };
}
