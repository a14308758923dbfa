import { builtin } from "../src/builtins.ts";
import type { Watch } from "./native.ts";

/** `Native.watch` where `net.Socket` takes a descriptor: Deno and Node. */
export function watchSocket(fd: number, onData: (bytes: Uint8Array) => void): Watch {
  const socket = new (builtin("net").Socket)({ fd, readable: true, writable: false });
  socket.on("data", onData);
  socket.on("error", () => {});
  socket.unref();
  return {
    ref: () => void socket.ref(),
    unref: () => void socket.unref(),
    close: () => void socket.destroy(),
  };
}
