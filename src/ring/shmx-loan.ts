import { InvalidArgumentError, SchemaError } from "../errors.ts";
import type { Schema, StreamOf } from "./schema.ts";
import type { Loan } from "./server.ts";
import type { ShmxServer, ShmxSlot } from "./shmx-server.ts";

/** A loan of wire "shmx": streams follow each other in the order in which they are asked for. */
export class ShmxLoan<Sch extends Schema> implements Loan<Sch> {
  #server: ShmxServer<Sch> | undefined;
  #slot: ShmxSlot;
  #sequence: number;
  #used = 0;
  #parts = new Map<string, { at: number; count: number }>();

  constructor(server: ShmxServer<Sch>, slot: ShmxSlot, sequence: number) {
    this.#server = server;
    this.#slot = slot;
    this.#sequence = sequence;
  }

  #live(): ShmxServer<Sch> {
    if (this.#server === undefined) throw new InvalidArgumentError("the frame was published or discarded already");
    return this.#server;
  }

  get<K extends keyof Sch & string>(name: K, count?: number): StreamOf<Sch, K> {
    const server = this.#live();
    const stream = server.streamNamed(name);
    const elements = count ?? stream.capacity;
    const part = this.#parts.get(name);
    if (part !== undefined) {
      if (elements !== part.count)
        throw new SchemaError(`stream "${name}" is in the frame with ${part.count} elements`);
      return server.dataOf(this.#slot, stream, part.at, elements) as StreamOf<Sch, K>;
    }
    const { data, end } = server.append(this.#slot, this.#used, stream, elements);
    this.#used = end;
    this.#parts.set(name, { at: data, count: elements });
    return server.dataOf(this.#slot, stream, data, elements) as StreamOf<Sch, K>;
  }

  slice<K extends keyof Sch & string>(name: K, start: number, length: number): StreamOf<Sch, K> {
    const server = this.#live();
    const part = this.#parts.get(name);
    const stream = server.streamNamed(name);
    if (part === undefined || !(start >= 0 && length >= 0 && start + length <= part.count))
      throw new InvalidArgumentError(`stream "${name}" does not have these elements in this frame`);
    return server.partOf(this.#slot, stream, part.at + start * stream.bytesPerElement, length) as StreamOf<Sch, K>;
  }

  count(name: keyof Sch & string, count: number): void {
    this.get(name, count);
  }

  publish(time = 0): number {
    const server = this.#live();
    this.#server = undefined;
    return server.publishSlot(this.#slot, this.#sequence, this.#used, this.#parts.size, time);
  }

  discard(): void {
    this.#server = undefined;
  }
}
