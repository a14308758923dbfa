import { InvalidArgumentError } from "../../errors.ts";
import { Endpoint } from "../../memory/endpoint.ts";
import { joinLine } from "../line.ts";
import type { Approach } from "../target.ts";

/** A turn among the transfers to a descriptor. What others write to it mixes in. */
export function approachDescriptor(descriptor: number): Approach {
  const { ahead, leave } = joinLine(descriptor);
  return {
    ahead,
    async open(_control, _total, begun) {
      const endpoint = begun ?? Endpoint.ofDescriptor(descriptor);
      return {
        endpoint,
        reason: "",
        write: () => Promise.reject(new InvalidArgumentError("a descriptor has no stream")),
        release: () => endpoint.close(),
        destroy: () => endpoint.kind === "socket" && endpoint.shutdown(),
      };
    },
    leave,
  };
}
