import { PeerClosedError } from "../../errors.ts";
import type { Control } from "../control.ts";
import type { SocketLike } from "../target.ts";

/** Raw bytes may go out only when nothing that was written before waits in user space. */
export async function drain(stream: { readonly writableLength: number }): Promise<void> {
  while (stream.writableLength > 0) await new Promise<void>((resolve) => setTimeout(resolve, 1));
}

/** Calls `control.stop` when the stream ends before the transfer does. */
export function watchClose(stream: Pick<SocketLike, "on" | "off">, control: Control): () => void {
  const listener = (error?: unknown): void => {
    const code = (error as { code?: string } | undefined)?.code;
    control.stop(new PeerClosedError(code ?? "ENOTCONN", error instanceof Error ? error : undefined));
  };
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

/** A socket that is connecting has no ends yet. */
export async function whenConnected(socket: Pick<SocketLike, "on" | "off">, control: Control): Promise<void> {
  if ((socket as { connecting?: boolean }).connecting !== true) return;
  let listener = (): void => undefined;
  const connected = new Promise<void>((resolve) => (listener = resolve));
  socket.on("connect", listener);
  try {
    await control.wait(connected);
  } finally {
    socket.off("connect", listener);
  }
}
