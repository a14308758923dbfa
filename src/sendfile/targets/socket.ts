import { PeerClosedError } from "../../errors.ts";
import { joinLine } from "../line.ts";
import { connectionOf, endpointOf } from "../place.ts";
import type { Approach, SocketLike } from "../target.ts";
import { enterGate } from "../write-gate.ts";
import { watchClose, whenConnected } from "./stream-events.ts";

/**
 * A turn among the writes of a stream: of a `net.Socket`, or of any other, which then gets the bytes by its own means.
 * @throws {PeerClosedError} when it has ended.
 */
export function approachSocket(socket: SocketLike): Approach {
  const { writableEnded, encrypted } = socket as { writableEnded?: boolean; encrypted?: boolean };
  if (socket.destroyed || writableEnded) throw new PeerClosedError("ENOTCONN");
  const line = joinLine(socket);
  const turn = enterGate(socket);
  return {
    ahead: line.ahead,
    async open(control, _total, begun) {
      const unwatch = watchClose(socket, control);
      try {
        await control.wait(turn.reached);
        await whenConnected(socket, control);
        if (socket.destroyed) throw new PeerClosedError("ENOTCONN");
        const endpoint = encrypted ? undefined : (begun ?? endpointOf(socket, connectionOf(socket)));
        return {
          endpoint,
          reason: encrypted ? "the connection is encrypted" : "the socket's descriptor was not found",
          write: (bytes) => control.wait(turn.write(bytes)),
          release() {
            unwatch();
            endpoint?.close();
          },
          destroy: () => void socket.destroy(),
        };
      } catch (error) {
        unwatch();
        throw error;
      }
    },
    leave() {
      turn.leave();
      line.leave();
    },
  };
}
