/** The file of docs/ring-recording.md. */
import { type FileHandle, open } from "node:fs/promises";
import {
  type ElementType,
  elementTypes,
  InvalidArgumentError,
  type Schema,
  type StreamSpec,
} from "../../src/ring/main.ts";

const MAGIC = "OTCRREC1";
const FRAME = 0x4d415246;
const FRAME_HEAD = 40;
const STREAM_HEAD = 16;
const MOST_JSON = 2 ** 24;
const MOST_RECORD = 2 ** 32;

export interface RecordedStream {
  readonly name: string;
  readonly id: number;
  readonly type: ElementType;
  readonly components: number;
  readonly layout: "scalar" | "vector";
  readonly capacity: number;
  readonly extra: string;
}

export interface RecordingHead {
  readonly ring: string;
  readonly wire: "native" | "shmx";
  readonly slots: number;
  readonly streams: readonly RecordedStream[];
}

export interface RecordedFrame {
  readonly id: number;
  readonly time: number;
  /** Milliseconds since the recording began. */
  readonly at: number;
  readonly streams: readonly { readonly index: number; readonly count: number; readonly bytes: Uint8Array }[];
}

const padded = (length: number): number => Math.ceil(length / 8) * 8;

/** Streams of a ring in the form of a recording. */
export function recordedStreams(streams: readonly StreamSpec[]): RecordedStream[] {
  return streams.map(({ name, id, type, components, layout, capacity, extra }) => {
    const text = String.fromCharCode(...extra);
    return { name, id, type, components, layout, capacity, extra: btoa(text) };
  });
}

/** Writes a recording, one frame after another. */
export class RecordingWriter {
  #file: FileHandle;
  #started: number = performance.now();

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async create(path: string, head: RecordingHead): Promise<RecordingWriter> {
    const text = new TextEncoder().encode(JSON.stringify(head));
    const bytes = new Uint8Array(16 + padded(text.length));
    bytes.set(new TextEncoder().encode(MAGIC));
    new DataView(bytes.buffer).setUint32(8, text.length, true);
    bytes.set(text, 16);
    const file = await open(path, "w", 0o600);
    await file.writev([bytes]);
    return new RecordingWriter(file);
  }

  /** `streams` are views of copies, each with its place in the head's list. */
  async add(
    id: number,
    time: number,
    streams: readonly { index: number; count: number; view: ArrayBufferView }[],
  ): Promise<void> {
    const total = streams.reduce((sum, { view }) => sum + STREAM_HEAD + padded(view.byteLength), FRAME_HEAD);
    const head = new DataView(new ArrayBuffer(FRAME_HEAD));
    head.setUint32(0, FRAME, true);
    head.setUint32(4, streams.length, true);
    head.setBigUint64(8, BigInt(total), true);
    head.setBigUint64(16, BigInt(id), true);
    head.setFloat64(24, time, true);
    head.setFloat64(32, performance.now() - this.#started, true);
    const parts: Uint8Array[] = [new Uint8Array(head.buffer)];
    for (const { index, count, view } of streams) {
      const each = new DataView(new ArrayBuffer(STREAM_HEAD));
      each.setUint32(0, index, true);
      each.setBigUint64(8, BigInt(count), true);
      parts.push(new Uint8Array(each.buffer), new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
      parts.push(new Uint8Array(padded(view.byteLength) - view.byteLength));
    }
    /* A vector of writes may be cut short by the system; one buffer after another is not. */
    for (const part of parts) if (part.length > 0) await this.#file.writeFile(part);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Reads a recording. Nothing in it is believed without a check. */
export class RecordingReader {
  readonly head: RecordingHead;
  /** Whether its last frame is cut off. */
  cut = false;
  #path: string;
  #file: FileHandle;
  #size: number;
  #first: number;
  #at: number;

  private constructor(path: string, file: FileHandle, size: number, head: RecordingHead, first: number) {
    this.#path = path;
    this.#file = file;
    this.#size = size;
    this.head = head;
    this.#first = first;
    this.#at = first;
  }

  static async open(path: string): Promise<RecordingReader> {
    const file = await open(path, "r");
    try {
      const { size } = await file.stat();
      const bytes = await readAt(file, 0, 16);
      const length = bytes === undefined ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true);
      if (bytes === undefined || new TextDecoder().decode(bytes.subarray(0, 8)) !== MAGIC || length > MOST_JSON)
        throw new InvalidArgumentError(`${path} is not a recording`);
      const text = await readAt(file, 16, length);
      if (text === undefined) throw new InvalidArgumentError(`${path} ends in its head`);
      return new RecordingReader(
        path,
        file,
        size,
        checkHead(path, new TextDecoder().decode(text)),
        16 + padded(length),
      );
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Goes back to the first frame. */
  rewind(): void {
    this.#at = this.#first;
  }

  /** The next frame, or undefined at the end. */
  async next(): Promise<RecordedFrame | undefined> {
    if (this.#at >= this.#size) return undefined;
    const head = await readAt(this.#file, this.#at, FRAME_HEAD);
    if (head === undefined) return this.#end();
    const view = new DataView(head.buffer, head.byteOffset, head.length);
    const total = Number(view.getBigUint64(8, true));
    if (view.getUint32(0, true) !== FRAME || total % 8 !== 0 || total < FRAME_HEAD || total > MOST_RECORD)
      throw this.#damage();
    if (this.#at + total > this.#size) return this.#end();
    const body = await readAt(this.#file, this.#at + FRAME_HEAD, total - FRAME_HEAD);
    if (body === undefined) return this.#end();
    this.#at += total;
    const streams = this.#streams(body, view.getUint32(4, true));
    const [time, at] = [view.getFloat64(24, true), view.getFloat64(32, true)];
    return { id: Number(view.getBigUint64(16, true)), time, at, streams };
  }

  #end(): undefined {
    this.cut = true;
    this.#at = this.#size;
    return undefined;
  }

  #damage(): InvalidArgumentError {
    return new InvalidArgumentError(`${this.#path} is damaged at byte ${this.#at}`);
  }

  #streams(body: Uint8Array, count: number): RecordedFrame["streams"][number][] {
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    const out: RecordedFrame["streams"][number][] = [];
    let at = 0;
    for (let i = 0; i < count; i++) {
      if (at + STREAM_HEAD > body.length) throw this.#damage();
      const index = view.getUint32(at, true);
      const elements = Number(view.getBigUint64(at + 8, true));
      const stream = this.head.streams[index];
      if (stream === undefined) throw this.#damage();
      const length = elements * elementBytes(stream);
      if (at + STREAM_HEAD + length > body.length) throw this.#damage();
      out.push({ index, count: elements, bytes: body.subarray(at + STREAM_HEAD, at + STREAM_HEAD + length) });
      at += STREAM_HEAD + padded(length);
    }
    return out;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

const widths: Record<string, number> = {
  bool: 1,
  i8: 1,
  u8: 1,
  i16: 2,
  u16: 2,
  f16: 2,
  bf16: 2,
  i64: 8,
  u64: 8,
  f64: 8,
};

/** Bytes of an element of a stream. */
export function elementBytes({ type, components }: RecordedStream): number {
  return (widths[type] ?? 4) * components;
}

/** All bytes of a range, or undefined when the file ends before. */
async function readAt(file: FileHandle, at: number, length: number): Promise<Uint8Array | undefined> {
  const out = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(out, done, length - done, at + done);
    if (bytesRead === 0) return undefined;
    done += bytesRead;
  }
  return out;
}

function checkHead(path: string, text: string): RecordingHead {
  const fail = (): never => {
    throw new InvalidArgumentError(`${path} has a damaged head`);
  };
  let head: RecordingHead;
  try {
    head = JSON.parse(text);
  } catch {
    return fail();
  }
  if (typeof head?.ring !== "string" || !Array.isArray(head.streams) || !Number.isInteger(head.slots)) fail();
  for (const { name, id, type, components, capacity, extra } of head.streams) {
    if (typeof name !== "string" || typeof extra !== "string" || !elementTypes.includes(type)) fail();
    if (![id, components, capacity].every((each) => Number.isSafeInteger(each) && each >= 0) || components === 0)
      fail();
  }
  return head;
}

/** The schema of a recording; `counts` are the most elements that its frames have of each stream. */
export function schemaOf(head: RecordingHead, counts: readonly number[]): Schema {
  return Object.fromEntries(
    head.streams.map(({ name, id, type, components, layout, capacity, extra }, i) => [
      name,
      {
        type,
        components,
        layout,
        id,
        capacity: Math.max(1, head.wire === "native" ? capacity : 0, counts[i] ?? 0),
        extra: Uint8Array.from(atob(extra), (each) => each.charCodeAt(0)),
      },
    ]),
  );
}
