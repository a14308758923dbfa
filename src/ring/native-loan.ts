import { InvalidArgumentError } from "../errors.ts";
import type { StreamArray } from "./element.ts";
import type { NativeServer } from "./native-server.ts";
import type { Schema, StreamOf } from "./schema.ts";
import type { Loan } from "./server.ts";

/** A slot as the writer keeps it: its views are made once. */
export interface WriterSlot {
  readonly base: number;
  readonly counts: Uint32Array;
  readonly times: Float64Array;
  readonly views: (StreamArray | undefined)[];
}

/** A loan of wire "native". */
export class NativeLoan<Sch extends Schema> implements Loan<Sch> {
  #server: NativeServer<Sch> | undefined;
  #slot: WriterSlot;
  #frame: number;

  constructor(server: NativeServer<Sch>, slot: WriterSlot, frame: number) {
    this.#server = server;
    this.#slot = slot;
    this.#frame = frame;
  }

  #live(): NativeServer<Sch> {
    if (this.#server === undefined) throw new InvalidArgumentError("the frame was published or discarded already");
    return this.#server;
  }

  get<K extends keyof Sch & string>(name: K, count?: number): StreamOf<Sch, K> {
    const server = this.#live();
    const stream = server.streamNamed(name);
    const elements = count ?? stream.capacity;
    server.setCount(this.#slot, stream, elements);
    return server.viewOf(this.#slot, stream, elements) as StreamOf<Sch, K>;
  }

  slice<K extends keyof Sch & string>(name: K, start: number, length: number): StreamOf<Sch, K> {
    const server = this.#live();
    return server.partOf(this.#slot, server.streamNamed(name), start, length) as StreamOf<Sch, K>;
  }

  count(name: keyof Sch & string, count: number): void {
    const server = this.#live();
    server.setCount(this.#slot, server.streamNamed(name), count);
  }

  publish(time = 0): number {
    const server = this.#live();
    this.#server = undefined;
    server.publishSlot(this.#slot, this.#frame, time);
    return this.#frame;
  }

  discard(): void {
    this.#server?.discardSlot();
    this.#server = undefined;
  }
}
