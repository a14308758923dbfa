import type { StreamArray } from "./element.ts";
import { Frame, type FramePart, viewStream } from "./frame.ts";
import type { Schema, StreamSpec } from "./schema.ts";
import type { ShmxView } from "./shmx-view.ts";

/** Where a stream of a frame lies in its payload. */
export interface ShmxPart {
  readonly stream: StreamSpec;
  readonly count: number;
  readonly offset: number;
}

/** A frame of wire "shmx". */
export class ShmxFrame<Sch extends Schema> extends Frame<Sch> {
  #view: ShmxView;
  #bytes: number;
  #base: number;
  #written: number | undefined;
  #parts: Map<string, ShmxPart>;

  constructor(
    view: ShmxView,
    id: number,
    time: number,
    bytes: number,
    base: number,
    written: number | undefined,
    parts: Map<string, ShmxPart>,
  ) {
    super(id, time, 0);
    this.#view = view;
    this.#bytes = bytes;
    this.#base = base;
    this.#written = written;
    this.#parts = parts;
  }

  override part(name: string): FramePart | undefined {
    const part = this.#parts.get(name);
    if (part === undefined) return undefined;
    const at = this.#base + part.offset;
    const { stream, count } = part;
    return {
      stream,
      count,
      view: (start, length): StreamArray =>
        viewStream(this.#view.all, stream, at + start * stream.bytesPerElement, length),
    };
  }

  override names(): string[] {
    return [...this.#parts.keys()];
  }

  override get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of the frame with the heads of its streams (SHMX: payload_bytes). */
  get payloadBytes(): number {
    return this.#bytes;
  }

  override get valid(): boolean {
    if (this.#view.segment.closed) return false;
    this.#view.checkStrays();
    if (!this.#view.sameSession()) return false;
    return this.#written === undefined || this.#view.untouched(this.#written);
  }
}
