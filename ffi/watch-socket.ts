import { builtin } from "../src/builtins.ts";
import type { Watch } from "./native.ts";

/**
 * `Native.watch` where `net.Socket` takes a descriptor: Deno and Node. `onread` leaves out the stream that would lie
 * between the event loop and the handler, and with it half of the time from idle.
 */
export function watchSocket(fd: number, onData: (bytes: Uint8Array) => void): Watch {
  const buffer = new Uint8Array(4096);
  const socket = new (builtin("net").Socket)({
    fd,
    readable: true,
    writable: false,
    onread: {
      buffer,
      callback: (length) => {
        onData(buffer.subarray(0, length));
        return true;
      },
    },
  });
  socket.on("error", () => {});
  socket.unref();
  return {
    ref: () => void socket.ref(),
    unref: () => void socket.unref(),
    close: () => void socket.destroy(),
  };
}
