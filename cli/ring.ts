import { createReadStream, createWriteStream } from "node:fs";
import process from "node:process";
import { Command } from "commander";
import {
  collectRings,
  createRing,
  type Frame,
  InvalidArgumentError,
  inspectRing,
  listRings,
  openRing,
  ringRoom,
  type Schema,
} from "../src/ring/main.ts";
import { bytes, say, table } from "./terminal.ts";

const json = (value: unknown): void =>
  say(
    JSON.stringify(value, (_key, each: unknown) =>
      typeof each === "bigint" ? String(each) : each instanceof Uint8Array ? [...each] : each,
    ),
  );

function list(options: { json?: boolean }): void {
  const rings = listRings();
  const room = ringRoom();
  if (options.json) {
    json({ rings, room });
    return;
  }
  if (rings.length === 0) say("No rings.");
  else
    table(
      ["ring", "wire", "owner", "frames", "readers", "size"],
      rings.map(({ name, wire, foreign, ownerState, bytes: size, report, problem }) => [
        name,
        foreign ? "shmx (SHMX)" : wire,
        problem ?? ownerState,
        String(report?.published ?? "?"),
        String(report?.connected.length ?? "?"),
        bytes(size),
      ]),
    );
  say(`${bytes(room.free)} of ${bytes(room.total)} shared memory are free.`);
}

function inspect(name: string, options: { json?: boolean }): void {
  const inspector = inspectRing(name);
  try {
    const report = inspector.inspect();
    const slots = inspector
      .slots()
      .map(({ slot, state, frame }) => ({ slot, state, frame: frame?.id, time: frame?.time }));
    if (options.json) {
      json({ ...report, layout: inspector.layout(), slotStates: slots });
      return;
    }
    say(
      `${name}: wire ${report.wire}, session ${report.session.toString(16)}, owner ${report.owner} ${report.ownerState}`,
    );
    say(`${report.published} frames published, ${report.slots} slots of ${bytes(report.frameBytes)}`);
    table(
      ["stream", "id", "type", "components", "capacity"],
      report.streams.map(({ name: stream, id, type, components, capacity }) => [
        stream,
        String(id),
        type,
        String(components),
        String(capacity),
      ]),
    );
    table(
      ["slot", "state", "frame", "time"],
      slots.map(({ slot, state, frame, time }) => [String(slot), state, String(frame ?? ""), String(time ?? "")]),
    );
    table(
      ["reader", "process", "delivery", "seen", "lag", "drops"],
      report.connected.map(({ reader, process: pid, delivery, seen, drops }) => [
        reader.toString(16),
        String(pid),
        delivery,
        String(seen),
        String(Math.max(0, report.published - seen)),
        String(drops),
      ]),
    );
  } finally {
    inspector.close();
  }
}

async function hz(name: string, options: { json?: boolean; seconds: string }): Promise<void> {
  const inspector = inspectRing(name);
  try {
    let before = inspector.inspect();
    for (let i = 0; i < Number(options.seconds); i++) {
      const started = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const now = inspector.inspect();
      const seconds = (performance.now() - started) / 1000;
      const rate = (now.published - before.published) / seconds;
      const readers = now.connected.map(({ reader, seen, drops }) => {
        const old = before.connected.find((each) => each.reader === reader);
        return { reader, rate: old ? (seen - old.seen) / seconds : 0, lag: Math.max(0, now.published - seen), drops };
      });
      if (options.json) json({ name, rate, readers });
      else {
        say(`${name}: ${rate.toFixed(1)} frames/s`);
        for (const each of readers)
          say(`  reader ${each.reader.toString(16)}: ${each.rate.toFixed(1)}/s, lag ${each.lag}, drops ${each.drops}`);
      }
      before = now;
      if (now.ownerState !== "alive") {
        say(`The owner is gone (${now.ownerState}).`);
        return;
      }
    }
  } finally {
    inspector.close();
  }
}

/* A recording is a line of JSON per schema or frame; each stream's bytes are base64. */
interface RecordedFrame {
  time: number;
  at: number;
  streams: Record<string, string>;
}

function base64(view: ArrayBufferView): string {
  let text = "";
  for (const byte of new Uint8Array(view.buffer, view.byteOffset, view.byteLength)) text += String.fromCharCode(byte);
  return btoa(text);
}

async function record(name: string, file: string, options: { frames: string }): Promise<void> {
  const client = openRing(name, { observe: true, keepAlive: true });
  const out = createWriteStream(file);
  const streams = client.streams().map(({ extra, ...rest }) => ({ ...rest, extra: base64(extra) }));
  out.write(`${JSON.stringify({ outcoreRecording: 1, name, streams })}\n`);
  let frames = 0;
  let lost = 0;
  for await (const frame of client.frames() as AsyncIterable<Frame<Schema>>) {
    try {
      const values = Object.entries(frame.toObject()).map(([stream, value]) => [stream, base64(value as Uint8Array)]);
      const line: RecordedFrame = { time: frame.time, at: performance.now(), streams: Object.fromEntries(values) };
      if (!out.write(`${JSON.stringify(line)}\n`)) await new Promise((resolve) => out.once("drain", resolve));
      frames++;
    } catch {
      lost++;
    }
    if (frames >= Number(options.frames)) break;
  }
  await new Promise<void>((resolve) => out.end(() => resolve()));
  say(`${frames} frames in ${file}; ${client.drops + lost} were missed.`);
  client.close();
}

async function replay(file: string, options: { name?: string; speed: string }): Promise<void> {
  let server: ReturnType<typeof createRing<Schema>> | undefined;
  let types = new Map<string, { type: string }>();
  let rest = "";
  let first = Number.NaN;
  const started = performance.now();
  for await (const chunk of createReadStream(file, "utf8")) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const parsed = JSON.parse(line);
      if (server === undefined) {
        if (parsed.outcoreRecording !== 1) throw new InvalidArgumentError(`${file} is not a recording`);
        types = new Map(parsed.streams.map((each: { name: string; type: string }) => [each.name, each]));
        const schema = Object.fromEntries(
          parsed.streams.map((each: { name: string; type: "u8"; components: number; capacity: number; id: number }) => [
            each.name,
            { type: each.type, components: each.components, capacity: Math.max(1, each.capacity), id: each.id },
          ]),
        );
        server = createRing(options.name ?? parsed.name, { schema, keepAlive: true, frameBytes: undefined as never });
        continue;
      }
      const { at, time, streams } = parsed as RecordedFrame;
      if (Number.isNaN(first)) first = at;
      const due = (at - first) / Number(options.speed) - (performance.now() - started);
      if (due > 0) await new Promise((resolve) => setTimeout(resolve, due));
      const loan = server.begin();
      for (const [stream, text] of Object.entries(streams)) {
        if (!types.has(stream)) continue;
        const data = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
        const spec = server.streams().find((each) => each.name === stream);
        const view = loan.get(stream, data.length / (spec?.bytesPerElement ?? 1));
        new Uint8Array(view.buffer, view.byteOffset, view.byteLength).set(data);
      }
      loan.publish(time);
    }
  }
  say(`${server?.published ?? 0} frames replayed.`);
  server?.close();
}

function collect(options: { json?: boolean }): void {
  const removed = collectRings();
  if (options.json) {
    json({ removed });
    return;
  }
  say(removed.length === 0 ? "Nothing to remove." : `Removed ${removed.join(", ")}.`);
}

/** `outcore ring ...`: looks after rings. */
export function ringCommand(): Command {
  const command = new Command("ring").description("Look at rings in shared memory");
  const sub = (name: string, text: string) => command.command(name).description(text);
  sub("ls", "list rings and the room left").option("--json", "as JSON").action(list);
  sub("inspect", "show schema, slots and readers").argument("<name>").option("--json", "as JSON").action(inspect);
  sub("hz", "rates, lag and drops, live")
    .argument("<name>")
    .option("--seconds <n>", "how long", "1000000")
    .option("--json", "as JSON lines")
    .action(hz);
  sub("record", "write frames to a file")
    .argument("<name>")
    .argument("<file>")
    .option("--frames <n>", "at most", "Infinity")
    .action(record);
  sub("replay", "publish a recording")
    .argument("<file>")
    .option("--name <name>", "another name for the ring")
    .option("--speed <x>", "times as fast", "1")
    .action(replay);
  sub("gc", "remove what dead owners left").option("--json", "as JSON").action(collect);
  process.on("SIGINT", () => process.exit(130));
  return command;
}
