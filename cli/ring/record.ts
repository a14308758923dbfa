import {
  createRing,
  type Frame,
  InvalidArgumentError,
  inspectRing,
  OverwrittenError,
  openRing,
  PeerGoneError,
  type RingServer,
  type Schema,
} from "../../src/ring/main.ts";
import { say } from "../terminal.ts";
import { untilAsked } from "./hz.ts";
import {
  elementBytes,
  type RecordedFrame,
  RecordingReader,
  RecordingWriter,
  recordedStreams,
  schemaOf,
} from "./recording.ts";
import { json, shown } from "./text.ts";

export interface RecordOptions {
  frames: number;
  seconds: number;
  json?: boolean;
}

/** `outcore ring record NAME FILE`: without joining the ring, until it is closed or Ctrl+C. */
export async function record(name: string, file: string, options: RecordOptions): Promise<void> {
  const inspector = inspectRing(name);
  const { wire, slots, name: ring } = inspector.inspect();
  inspector.close();
  const delivery = wire === "native" ? "queue" : "latest";
  const client = openRing(name, { observe: true, keepAlive: true, delivery });
  const streams = recordedStreams(client.streams());
  const writer = await RecordingWriter.create(file, { ring, wire, slots, streams });
  const signal = untilAsked(options.seconds * 1000);
  let frames = 0;
  let lost = 0;
  let end = "closed";
  try {
    if (options.frames > 0)
      for await (const frame of client.frames({ signal }) as AsyncIterable<Frame<Schema>>) {
        const parts = copied(frame, streams);
        if (parts === undefined) {
          lost++;
          continue;
        }
        await writer.add(frame.id, frame.time, parts);
        if (++frames >= options.frames) {
          end = "enough";
          break;
        }
      }
  } catch (error) {
    if (error instanceof PeerGoneError) end = "owner dead";
    else if (signal.aborted) end = "stopped";
    else throw error;
  } finally {
    await writer.close();
    client.close();
  }
  const missed = client.drops + lost;
  if (options.json) json({ file, frames, missed, end });
  else say(`${frames} frames in ${shown(file, 200)}; ${missed} were missed (${end}).`);
}

/** Copies of a frame's streams, or undefined when the writer came round to it meanwhile. */
function copied(frame: Frame<Schema>, streams: readonly { name: string }[]) {
  try {
    return Object.entries(frame.toObject()).map(([name, view]) => ({
      index: streams.findIndex((each) => each.name === name),
      count: frame.count(name),
      view: view as unknown as ArrayBufferView,
    }));
  } catch (error) {
    if (error instanceof OverwrittenError) return undefined;
    throw error;
  }
}

export interface ReplayOptions {
  name?: string;
  speed: number;
  wire?: "native" | "shmx";
  wait: number;
  json?: boolean;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function publish(server: RingServer<Schema>, reader: RecordingReader, frame: RecordedFrame): Promise<void> {
  const loan = await server.beginAsync();
  for (const { index, count, bytes } of frame.streams) {
    const stream = reader.head.streams[index];
    if (stream === undefined || bytes.length !== count * elementBytes(stream)) continue;
    const view = loan.get(stream.name, count) as unknown as ArrayBufferView;
    new Uint8Array(view.buffer, view.byteOffset, view.byteLength).set(bytes);
  }
  loan.publish(frame.time);
}

/** `outcore ring replay FILE`: as its owner published it, in the same rhythm. */
export async function replay(file: string, options: ReplayOptions): Promise<void> {
  const reader = await RecordingReader.open(file);
  const counts: number[] = [];
  for (let frame = await reader.next(); frame !== undefined; frame = await reader.next())
    for (const { index, count } of frame.streams) counts[index] = Math.max(counts[index] ?? 0, count);
  reader.rewind();
  const { head } = reader;
  const wire = options.wire ?? head.wire;
  if (wire !== "native" && wire !== "shmx") throw new InvalidArgumentError(`no wire "${String(wire)}"`);
  const slots = Math.min(64, Math.max(2, head.slots));
  const server = createRing(options.name ?? head.ring, {
    schema: schemaOf(head, counts),
    wire,
    slots,
    keepAlive: true,
  });
  try {
    const signal = untilAsked(Number.POSITIVE_INFINITY);
    while (server.readers().length < options.wait && !signal.aborted) await pause(5);
    const started = performance.now();
    let first: number | undefined;
    for (let frame = await reader.next(); frame !== undefined && !signal.aborted; frame = await reader.next()) {
      first ??= frame.at;
      const due = (frame.at - first) / options.speed - (performance.now() - started);
      if (due > 0) await pause(due);
      await publish(server, reader, frame);
    }
    const result = { name: server.name, frames: server.published, cut: reader.cut };
    if (options.json) json(result);
    else say(`${result.frames} frames replayed${reader.cut ? "; the last of the file is cut off" : ""}.`);
  } finally {
    server.close();
    await reader.close();
  }
}
