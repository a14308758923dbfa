import { InvalidArgumentError } from "../errors.ts";
import { isFunction } from "./place.ts";
import type { Approach, BunSocketLike, DenoConnLike, ResponseLike, SendTarget, SocketLike } from "./target.ts";
import { approachBunSocket } from "./targets/bun-socket.ts";
import { approachDenoConn } from "./targets/deno-conn.ts";
import { approachDescriptor } from "./targets/descriptor.ts";
import { approachResponse } from "./targets/response.ts";
import { approachSocket } from "./targets/socket.ts";

/**
 * Takes a turn at a target: behind what was written and sent to it before this call, ahead of what comes after.
 * @throws {PeerClosedError} when it has ended.
 * @throws {InvalidArgumentError} when it is none of the targets there are.
 */
export function approach(target: SendTarget): Approach {
  if (typeof target === "number") return approachDescriptor(target);
  const shape = (typeof target === "object" && target !== null ? target : {}) as unknown as Record<string, unknown>;
  if (isFunction(shape.flushHeaders) && isFunction(shape.setHeader)) return approachResponse(target as ResponseLike);
  if (isFunction(shape.cork) && isFunction(shape.write)) return approachSocket(target as SocketLike);
  if (isFunction(shape.terminate) && isFunction(shape.flush)) return approachBunSocket(target as BunSocketLike);
  if ("localAddr" in shape && isFunction(shape.write)) return approachDenoConn(target as DenoConnLike);
  throw new InvalidArgumentError("the target is no socket, server response, connection or descriptor");
}
