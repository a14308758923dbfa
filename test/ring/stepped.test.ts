/**
 * Writers and readers that are killed at each step of their protocol, by a watchpoint in the processor: what runs is the
 * library itself. With OUTCORE_LONG each step is hit five times, at random repetitions; the histogram is printed.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import process from "node:process";
import { afterAll, describe, it } from "vitest";
import { OutcoreError } from "../../src/errors.ts";
import { collectRings, createRing, openRing, type RingClient, type RingServer } from "../../src/ring/main.ts";
import { F, H, R, READER_BYTES, S, slotHead } from "../../src/ring/native-layout.ts";
import { F as XF, H as XH, R as XR } from "../../src/ring/shmx-layout.ts";
import { count } from "../support/counts.ts";
import { cleanRingsAfterAll, exists, freshName, here, long, program, random, runs, seed, start } from "./helpers.ts";

cleanRingsAfterAll();

const schema = { number: { type: "u32" }, words: { type: "u32", capacity: 1024 } } as const;
type Step = readonly [name: string, spec: string, most: number];

const next = random(seed);
const histogram = new Map<string, number>();
let slowest = 0;

/** The header of a ring as stepped.worker.ts makes it: tells where everything lies. */
function model(wire: "native" | "shmx"): DataView {
  const name = freshName("model");
  const server = createRing(name, { schema, wire, slots: 4, controlBytes: 256 });
  const bytes = new Uint8Array(readFileSync(`/dev/shm/${name}`));
  server.close();
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

const write = (at: number, bytes: 4 | 8, when = "any"): string => `write:${at}:${bytes}:${when}`;

/** Steps of a writer; slot 1 stands for all. `most` is the repetitions that are sure to come while the ring lives. */
function writerSteps(wire: "native" | "shmx"): Step[] {
  const view = model(wire);
  const wide = (at: number): number => Number(view.getBigUint64(at, true));
  const creation: Step[] = [
    ["made, without a name", "call:link:entry", 1],
    ["named", "call:link:exit", 1],
  ];
  const end: Step[] = [
    ["will wake the readers", "call:wake:entry", 3],
    ["has woken the readers", "call:wake:exit", 3],
    ["closed", write(wire === "native" ? H.closed : XH.closed, 4), 1],
    ["closed, will remove the name", "call:unlink:entry", 1],
    ["closed, name removed", "call:unlink:exit", 1],
  ];
  if (wire === "native") {
    const base = wide(H.slotsAt) + wide(H.slotStride);
    return [
      ...creation,
      ["slot marked", write(base + F.state, 8, "odd"), 8],
      ["counts", write(base + F.counts, 4), 8],
      ["payload", write(base + slotHead(8) + 64 + 2048, 4), 8],
      ["time", write(base + F.time, 8), 8],
      ["checksum", write(base + F.checksum, 4), 8],
      ["slot published, ring not", write(base + F.state, 8, "even"), 8],
      ["ring published", write(H.published, 8), 30],
      ["readers signalled", write(wide(H.shared) + S.toReaders, 4), 3],
      ...end,
    ];
  }
  const base = view.getUint32(XH.slotsAt, true) + view.getUint32(XH.slotStride, true);
  return [
    ...creation,
    ["sequence reserved", write(XH.reserved, 4), 30],
    ["head of a stream", write(base + 64, 4), 8],
    ["payload", write(base + 64 + 32 + 24 + 2048, 4), 8],
    ["frame counted", write(XH.frameSequence, 8), 30],
    ["time", write(base + XF.time, 8), 8],
    ["session", write(base + XF.session, 8), 8],
    ["frame numbered", write(base + XF.frame, 8), 8],
    ["ring published", write(XH.written, 4), 30],
    ["readers signalled", write(view.getUint32(XH.readersAt, true) + XR.toReaders, 4), 3],
    ...end,
  ];
}

/** Steps of the reader in slot 1. */
function readerSteps(wire: "native" | "shmx"): Step[] {
  const view = model(wire);
  const wide = (at: number): number => Number(view.getBigUint64(at, true));
  const waits: Step[] = [
    ["slot locked", "call:lock:exit", 4],
    ["will sleep", "call:wait:entry", 10],
    ["has slept", "call:wait:exit", 10],
  ];
  if (wire === "native") {
    const shared = wide(H.shared);
    const at = shared + S.readers + READER_BYTES;
    const readers = view.getUint32(H.readers, true);
    const ring = shared + S.readers + READER_BYTES * readers + 512;
    return [
      ...waits,
      ["slot being filled", write(at + R.state, 4, "=1"), 3],
      ["id", write(at + R.id, 8), 3],
      ["delivery", write(at + R.delivery, 4), 3],
      ["slot active", write(at + R.state, 4, "=2"), 3],
      ["attached or left", write(shared + S.attached, 4), 5],
      ["cursor", write(at + R.cursor, 8), 20],
      ["heartbeat", write(at + R.heartbeat, 8), 20],
      ["says that it will sleep", write(shared + S.toReaders, 4), 10],
      ["message, not counted", write(ring + 16, 4), 2],
      ["message sent", write(ring + 8, 8), 10],
      ["writer signalled", write(shared + S.toWriter, 4), 3],
      ["slot given back", write(at + R.state, 4, "=0"), 3],
    ];
  }
  const at = view.getUint32(XH.readersAt, true) + 64;
  const ring = view.getUint32(XH.controlAt, true) + view.getUint32(XH.controlStride, true);
  return [
    ...waits,
    ["slot taken", write(at + XR.used, 4, "=1"), 3],
    ["id", write(at + XR.id, 8), 5],
    ["process", write(at + XR.process, 4), 5],
    ["mark", write(at + XR.mark, 4), 5],
    ["counted", write(XH.connected, 4), 5],
    ["seen", write(at + XR.seen, 8), 20],
    ["heartbeat", write(at + XR.heartbeat, 8), 20],
    ["says that it will sleep", write(at - 64 + XR.toReaders, 4), 10],
    ["message sent", write(ring + 8, 8), 10],
    ["slot given back", write(at + XR.used, 4, "=0"), 3],
  ];
}

const built = new Map<string, string>();
function stepper(): string {
  const known = built.get("stepper") ?? program("stepper");
  built.set("stepper", known);
  return known;
}

/** Runs the worker until it is killed at the step; resolves to the moment of its death. */
async function killed(name: string, role: string, argument: string, step: Step, first: boolean): Promise<number> {
  const { words, env } = runs(here(), new URL("stepped.worker.ts", import.meta.url));
  const [title, spec, most] = step;
  const skip = first ? 0 : Math.floor(next() * most);
  const all = [stepper(), name, spec, String(skip), ...words, role, name, argument];
  const child = start(all, { ...env, ...(process.env.OUTCORE_BACKEND && { OUTCORE_BACKEND: "node-ffi" }) });
  const limit = setTimeout(() => child.kill(), 30_000);
  let line: string | undefined;
  do line = await child.line();
  while (line === "ready");
  const at = performance.now();
  clearTimeout(limit);
  await child.exit;
  assert.equal(line, "killed", `${role} ${argument}, ${title}`);
  const key = `${role} ${argument}: ${title}`;
  histogram.set(key, (histogram.get(key) ?? 0) + 1);
  return at;
}

/** Reads whatever there is under a name, until told to stop; the error that ended the last ring. */
async function follow(name: string, stop: { now: boolean }): Promise<unknown> {
  let ended: unknown;
  while (!stop.now) {
    let client: RingClient<typeof schema> | undefined;
    ended = undefined;
    try {
      client = openRing(name, { schema, keepAlive: true });
      for await (const frame of client.frames()) {
        const words = frame.get("words").slice();
        if (frame.valid) assert.ok(words.every((word) => word === frame.id));
      }
    } catch (error) {
      if (!(error instanceof OutcoreError)) throw error;
      ended = error;
      if (error.code === "PEER_GONE") break;
    } finally {
      client?.close();
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return ended;
}

async function killWriter(wire: "native" | "shmx", step: Step, first: boolean): Promise<void> {
  const name = freshName("step");
  const stop = { now: false };
  const reading = follow(name, stop);
  const died = await killed(name, "write", wire, step, first);
  setTimeout(() => {
    stop.now = true;
  }, 20);
  const ended = (await reading) as OutcoreError | undefined;
  slowest = Math.max(slowest, performance.now() - died);
  /* Either it was seen to die, or it had left no name, or had closed what it left. */
  if (exists(name) && ended?.code !== "PEER_GONE") {
    const late = openRing(name, { observe: true, keepAlive: true });
    try {
      while ((await late.next({ timeout: 5000 })) !== undefined);
      assert.equal(late.absence, "closed", step[0]);
    } catch (error) {
      assert.equal((error as OutcoreError).code, "PEER_GONE", step[0]);
    }
    late.close();
  }
  if (first && exists(name)) assert.deepEqual(collectRings(name), [name]);
  createRing(name, { schema }).close();
  assert.deepEqual(collectRings(name), []);
  assert.equal(exists(name), false);
}

async function publishAll(server: RingServer<typeof schema>, stop: { now: boolean; last: number }): Promise<void> {
  while (!stop.now) {
    const started = performance.now();
    await server.publishAsync({ number: [7] }, { timeout: 10_000 });
    stop.last = Math.max(stop.last, performance.now() - started);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function killReader(wire: "native" | "shmx", delivery: string, step: Step, first: boolean): Promise<void> {
  const name = freshName("step");
  const server = createRing(name, { schema, wire, slots: 4, controlBytes: 256, keepAlive: true });
  const healthy = openRing(name, { schema, delivery: wire === "native" ? "queue" : "latest", keepAlive: true });
  const stop = { now: false, last: 0 };
  let seen = 0;
  let foreign = 0;
  const counting = (async () => {
    for await (const frame of healthy.frames()) seen = frame.id;
  })();
  const serving = (async () => {
    for await (const { type, body } of server.messages())
      if (type !== 5 || body.length !== 8 || body.some((byte) => byte !== 5)) foreign++;
  })();
  const publishing = publishAll(server, stop);
  try {
    await killed(name, "read", delivery, step, first);
    stop.last = 0;
    const from = server.published;
    while (server.published < from + 12) await new Promise((resolve) => setTimeout(resolve, 2));
    slowest = Math.max(slowest, stop.last);
    stop.now = true;
    await publishing;
    for (let i = 0; i < 2000 && seen < server.published; i++) await new Promise((resolve) => setTimeout(resolve, 2));
    assert.equal(seen, server.published, "the healthy reader gets what comes");
    assert.equal(foreign, 0, "no half message arrives");
    server.reap();
    assert.deepEqual(
      server.readers().map(({ reader }) => reader),
      [healthy.reader],
      step[0],
    );
    const another = openRing(name, { schema });
    another.send(5, new Uint8Array(8).fill(5));
    another.close();
  } finally {
    stop.now = true;
    await publishing.catch(() => {});
    healthy.close();
    server.close();
    await Promise.all([counting, serving]);
  }
  assert.deepEqual(collectRings(name), []);
  assert.equal(exists(name), false);
}

const rounds = long ? 5 : 1;
/** Every step, or one of four. */
const every = count({ long: 1, usual: 1, brief: 4 });

/** Every step in every round, three at a time: most of the time goes by until a death is noticed. */
async function everyStep(steps: readonly Step[], kill: (step: Step, first: boolean) => Promise<void>): Promise<void> {
  const some = steps.filter((_, i) => i % every === 0);
  const all = Array.from({ length: rounds }, (_, round) => some.map((step) => ({ step, first: round === 0 }))).flat();
  const work = async () => {
    for (let each = all.shift(); each !== undefined; each = all.shift()) await kill(each.step, each.first);
  };
  await Promise.all([work(), work(), work()]);
}

describe.skipIf(process.arch !== "x64")("processes killed at each step", () => {
  for (const wire of ["native", "shmx"] as const) {
    it(`a writer of wire ${wire}: its readers end with a clear error, its name is free again`, async () => {
      await everyStep(writerSteps(wire), (step, first) => killWriter(wire, step, first));
    });

    it(`a reader of wire ${wire}: the others go on, its slot is free again`, async () => {
      const delivery = wire === "native" ? "queue" : "latest";
      await everyStep(readerSteps(wire), (step, first) => killReader(wire, delivery, step, first));
    });
  }

  it("a reliable reader: the writer goes on", async () => {
    /* In CI the steps that the writer may wait for. */
    const decisive = [
      "slot being filled",
      "slot active",
      "attached or left",
      "cursor",
      "will sleep",
      "slot given back",
    ];
    const steps = readerSteps("native").filter(([name]) => long || decisive.includes(name));
    await everyStep(steps, (step, first) => killReader("native", "reliable", step, first));
  });

  afterAll(() => {
    const total = [...histogram.values()].reduce((sum, count) => sum + count, 0);
    const lines = [...histogram].map(([step, count]) => `  ${step}: ${count}`);
    if (long) console.log(lines.join("\n"));
    console.log(`${total} kills at ${histogram.size} steps; the others went on within ${slowest.toFixed(0)} ms`);
  });
});
