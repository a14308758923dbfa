import { InvalidArgumentError, OverwrittenError, SchemaError } from "../errors.ts";
import type { Mapping } from "../memory/mapping.ts";
import { elementOf, type StreamArray } from "./element.ts";
import type { Schema, StreamOf, StreamSpec } from "./schema.ts";

/** Makes typed arrays over a stream's bytes, at most 1 GiB each. */
export function viewStream(mapping: Mapping, stream: StreamSpec, offset: number, count: number): StreamArray {
  const { Array: Type, bytes } = elementOf(stream.type);
  const length = count * stream.components;
  if (length * bytes > 2 ** 30)
    throw new InvalidArgumentError(`stream "${stream.name}" is longer than 1 GiB: take it in parts`);
  if (length === 0) return new Type(new ArrayBuffer(0), 0, 0);
  const view = mapping.view("u8", offset, length * bytes);
  return new Type(view.buffer, view.byteOffset, length);
}

/** Where a stream of a frame lies. */
export interface FramePart {
  /** The stream. */
  readonly stream: StreamSpec;
  /** Its elements in this frame. */
  readonly count: number;
  /** Makes a view of `count` elements from `start` on. */
  view(start: number, count: number): StreamArray;
}

/**
 * One frame, in place: its views show the writer's memory, without a copy. When the writer comes round to the slot it
 * overwrites them; `valid` tells whether it has (a reliable reader's frame stays until it is released or the next is
 * taken). Views are detached when the client closes.
 */
export abstract class Frame<S extends Schema = Schema> {
  /** Number of the frame, from 1. */
  readonly id: number;
  /** The time that the writer gave it. */
  readonly time: number;
  /** When it was published, in ns of the machine's monotonic clock; 0 when the writer does not say. */
  readonly stamp: number;

  /** @internal Frames come from a reader or an inspector. */
  constructor(id: number, time: number, stamp: number) {
    this.id = id;
    this.time = time;
    this.stamp = stamp;
  }

  /** @internal Where a stream lies, or undefined when the frame does not have it. */
  abstract part(name: string): FramePart | undefined;

  /**
   * Whether the writer has not begun to overwrite it.
   * @throws {ReadOnlyError} when somebody wrote to a view of a frame; the write has been taken back.
   */
  abstract get valid(): boolean;

  /** Names of the streams in this frame. */
  abstract names(): string[];

  /** Bytes that all its streams take. */
  abstract get bytes(): number;

  /** Says that a reliable reader is done with it; otherwise it does nothing. */
  release(): void {}

  #found(name: string): FramePart {
    const part = this.part(name);
    if (part === undefined) throw new SchemaError(`frame ${this.id} has no stream "${name}"`);
    return part;
  }

  /** Whether the frame has the stream. */
  has(name: keyof S & string): boolean {
    return this.part(name) !== undefined;
  }

  /** Elements of a stream. */
  count(name: keyof S & string): number {
    return this.#found(name).count;
  }

  /**
   * A stream as its typed array, in place: `count * components` numbers.
   * @throws {SchemaError} when the frame does not have it.
   */
  get<K extends keyof S & string>(name: K): StreamOf<S, K> {
    const part = this.#found(name);
    return part.view(0, part.count) as StreamOf<S, K>;
  }

  /** `count` elements of a stream from `start` on, for streams beyond 1 GiB. */
  slice<K extends keyof S & string>(name: K, start: number, count: number): StreamOf<S, K> {
    const part = this.#found(name);
    if (!(start >= 0 && count >= 0 && start + count <= part.count))
      throw new InvalidArgumentError(`stream "${name}" has ${part.count} elements`);
    return part.view(start, count) as StreamOf<S, K>;
  }

  /**
   * A copy of a stream that no writer changes any more.
   * @throws {OverwrittenError} when the writer was there before the copy was whole.
   */
  copy<K extends keyof S & string>(name: K): StreamOf<S, K> {
    const copied = this.get(name).slice() as StreamOf<S, K>;
    if (!this.valid) throw new OverwrittenError(this.id);
    return copied;
  }

  /** Copies of all streams by name. @throws {OverwrittenError} as `copy`. */
  toObject(): { [K in keyof S]?: StreamOf<S, K> } {
    const out: { [K in keyof S]?: StreamOf<S, K> } = {};
    for (const name of this.names()) out[name as keyof S] = this.get(name).slice() as never;
    if (!this.valid) throw new OverwrittenError(this.id);
    return out;
  }
}
