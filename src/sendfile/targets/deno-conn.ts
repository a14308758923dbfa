import { PeerClosedError } from "../../errors.ts";
import { enterHeld, type HeldCall, type Holding } from "../held-calls.ts";
import { joinLine } from "../line.ts";
import { connectionOfDeno, endpointOf, isFunction } from "../place.ts";
import type { Approach, DenoConnLike } from "../target.ts";

/** The promise that a caller gets settles as that of the call does, later. */
function later(original: (...args: unknown[]) => unknown, args: unknown[]): HeldCall {
  let call: () => unknown = () => undefined;
  const answer = new Promise((resolve, reject) => {
    call = () => {
      const made = Promise.resolve(original(...args));
      made.then(resolve, reject);
      return made;
    };
  });
  return { answer, call };
}

const holding: Holding = { write: later, closeWrite: later };

/** A turn among the calls of a `Deno.Conn`: its `write` and `closeWrite`, not what `writable` does. */
export function approachDenoConn(conn: DenoConnLike): Approach {
  const line = joinLine(conn);
  const turn = enterHeld(conn, () => holding);
  const write = turn.original("write") as DenoConnLike["write"];
  return {
    ahead: turn.ahead,
    async open(control, _total, begun) {
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
              at += await control.wait(write(bytes.subarray(at)));
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
    },
    leave() {
      line.leave();
      turn.leave();
    },
  };
}
