import { Frame, type FramePart } from "./frame.ts";
import type { NativeClient } from "./native-client.ts";
import { F } from "./native-layout.ts";
import type { NativeSlot, NativeView } from "./native-view.ts";
import type { Schema } from "./schema.ts";

/** A frame of wire "native". */
export class NativeFrame<Sch extends Schema> extends Frame<Sch> {
  #view: NativeView;
  #owner: NativeClient<Sch> | undefined;
  #slot: NativeSlot;
  #counts: number[];

  constructor(
    view: NativeView,
    owner: NativeClient<Sch> | undefined,
    slot: NativeSlot,
    id: number,
    counts: number[],
    time: number,
    stamp: number,
  ) {
    super(id, time, stamp);
    this.#view = view;
    this.#owner = owner;
    this.#slot = slot;
    this.#counts = counts;
  }

  override get<K extends keyof Sch & string>(name: K): never {
    const stream = this.#view.streamsByName.get(name);
    const count = stream === undefined ? -1 : (this.#counts[stream.index] ?? -1);
    if (stream === undefined || count < 0) return super.get(name) as never;
    return this.#view.viewOf(this.#slot, stream, 0, count) as never;
  }

  override part(name: string): FramePart | undefined {
    const stream = this.#view.streamsByName.get(name);
    const count = stream === undefined ? -1 : (this.#counts[stream.index] ?? -1);
    if (stream === undefined || count < 0) return undefined;
    return { stream, count, view: (start, length) => this.#view.viewOf(this.#slot, stream, start, length) };
  }

  override names(): string[] {
    return this.#view.streams.filter(({ index }) => (this.#counts[index] ?? -1) >= 0).map(({ name }) => name);
  }

  override get bytes(): number {
    let sum = 0;
    for (const { index, bytesPerElement } of this.#view.streams)
      sum += Math.max(0, this.#counts[index] ?? 0) * bytesPerElement;
    return sum;
  }

  override get valid(): boolean {
    if (this.#view.segment.closed) return false;
    this.#view.checkStrays();
    return this.#view.words.is64(this.#slot.base + F.state, 2 * this.id);
  }

  override release(): void {
    this.#owner?.released(this.id);
  }
}
