/**
 * Segments that were tampered with, through reader, inspector and server: a typed error or correct data, never a crash.
 * Half of them keep what else they hold and have one field at a boundary value, the others have up to eight words of
 * noise, magic and version included. With OUTCORE_LONG a million, in six parts; else 8,000, which is what a few seconds
 * allow in the slowest runtime.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { OutcoreError } from "../../src/errors.ts";
import { Mapping } from "../../src/memory/main.ts";
import { createRing, type Frame, inspectRing, openRing } from "../../src/ring/main.ts";
import { F, H, R, READER_BYTES, S } from "../../src/ring/native-layout.ts";
import { F as XF, H as XH, R as XR } from "../../src/ring/shmx-layout.ts";
import { cleanRingsAfterAll, fixture, freshName, long, plant, random, seed, unplant } from "./helpers.ts";

cleanRingsAfterAll();

const schema = { number: { type: "u32" }, words: { type: "u32", capacity: 256 } } as const;
const options = { schema, slots: 3, readerSlots: 3, controlBytes: 256, mode: 0o600 } as const;
const next = random(seed);
const pick = (below: number): number => Math.floor(next() * below);
const total = long ? 1_000_000 : 8000;
type Field = readonly [at: number, bytes: 4 | 8];
type Wire = "native" | "shmx";

const words = new Uint32Array(256);

function content(number: number): { number: number[]; words: Uint32Array } {
  for (let i = 0; i < words.length; i++) words[i] = (Math.imul(number, 0x9e3779b1) ^ Math.imul(i, 0x85ebca6b)) >>> 0;
  return { number: [number], words };
}

/** A whole frame must be one that was published. */
function checkData(frame: Frame<typeof schema> | undefined, what: string): void {
  if (frame === undefined || !frame.has("number") || !frame.has("words")) return;
  const [number = 0] = frame.get("number");
  assert.ok(number >= 1 && number < 1e6, `${what}: number ${number}`);
  assert.deepEqual(frame.get("words"), content(number).words, what);
}

/** A ring of ours with frames, readers and messages in it, as bytes. */
function model(wire: Wire): Uint8Array {
  const name = freshName("model");
  const server = createRing(name, { ...options, wire, frameBytes: 2048, checksum: true });
  const client = openRing(name);
  client.send(3, new Uint8Array(9));
  client.send(4, new Uint8Array(30));
  for (let i = 1; i <= 5; i++) server.publish(content(i), { time: i });
  const bytes = new Uint8Array(readFileSync(`/dev/shm/${name}`));
  client.close();
  server.close();
  return bytes;
}

/** Every number of a native segment that is not payload. */
function nativeFields(bytes: Uint8Array): Field[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const wide = (at: number): number => Number(view.getBigUint64(at, true));
  const small = new Set<number>([H.version, H.endianness, H.slots, H.readers, H.mostStreams, H.requestBytes]);
  for (const at of [H.replyBytes, H.ownerProcess, H.closed, H.generation, H.directoryUsed, H.streams]) small.add(at);
  const fields: Field[] = Object.values(H).map((at) => [at, small.has(at) ? 4 : 8]);
  for (let at = 512; at < 512 + view.getUint32(H.directoryUsed, true); at += 4) fields.push([at, 4]);
  const shared = wide(H.shared);
  for (const at of [S.toReaders, S.toWriter, S.attached]) fields.push([shared + at, 4]);
  const rings = shared + S.readers + 3 * READER_BYTES;
  for (let i = 0; i < 3; i++) {
    const at = shared + S.readers + i * READER_BYTES;
    for (const field of [R.state, R.delivery, R.process]) fields.push([at + field, 4]);
    for (const field of [R.id, R.cursor, R.drops, R.heartbeat, R.taken]) fields.push([at + field, 8]);
    for (const ring of [rings + 512 * i, rings + 512 * i + 256]) {
      fields.push([ring, 8], [ring + 8, 8]);
      for (let k = 16; k < 64; k += 4) fields.push([ring + k, 4]);
    }
    const slot = wide(H.slotsAt) + i * wide(H.slotStride);
    for (const field of [F.checksum, F.flags]) fields.push([slot + field, 4]);
    for (const field of [F.state, F.time, F.stamp, F.counts, F.counts + 8, F.counts + 16])
      fields.push([slot + field, 8]);
  }
  return fields;
}

/** Every number of an SHMX segment that is not payload. */
function shmxFields(bytes: Uint8Array): Field[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const word = (at: number): number => view.getUint32(at, true);
  const fields: Field[] = Object.values(XH).map((at) => [
    at,
    at === XH.magic || at === XH.session || at === XH.hash || at === XH.frameSequence ? 8 : 4,
  ]);
  for (let at = word(XH.directory); at < word(XH.directory) + word(XH.directoryUsed); at += 4) fields.push([at, 4]);
  for (let i = 0; i < 3; i++) {
    const reader = word(XH.readersAt) + i * 64;
    for (const at of [XR.id, XR.heartbeat, XR.seen, XR.own]) fields.push([reader + at, 8]);
    for (const at of [XR.used, XR.mark, XR.process, XR.toReaders, XR.toWriter]) fields.push([reader + at, 4]);
    const ring = word(XH.controlAt) + i * word(XH.controlStride);
    fields.push([ring, 8], [ring + 8, 8]);
    for (let k = 16; k < 64; k += 4) fields.push([ring + k, 4]);
    const slot = word(XH.slotsAt) + i * word(XH.slotStride);
    for (const at of [XF.session, XF.frame, XF.time]) fields.push([slot + at, 8]);
    for (const at of [XF.bytes, XF.tlvs, XF.checksum]) fields.push([slot + at, 4]);
    for (let k = 0; k < 56; k += 4) fields.push([slot + 64 + k, 4]);
  }
  return fields;
}

const SMALL = [0, 1, 2, 3, 7, 8, 15, 16, 17, 63, 64, 65, 127, 128, 255, 256, 511, 512, 4095, 4096, 65535, 65536];
const LARGE = [2 ** 31 - 1, 2 ** 31, 2 ** 32 - 64, 2 ** 32 - 16, 2 ** 32 - 2, 2 ** 32 - 1];
const HUGE = [
  2n ** 32n,
  2n ** 44n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 64n,
];

function boundary(now: bigint, bytes: number, size: number): bigint {
  const near = [now - 1n, now + 1n, now * 2n, now / 2n, -now, BigInt(size - 1), BigInt(size), BigInt(size + 1)];
  const wide = bytes === 8 ? [...HUGE, 2n ** 64n - 1n] : [];
  const all = [...near, ...near, ...wide];
  const choice = pick(SMALL.length + LARGE.length + all.length);
  if (choice < SMALL.length) return BigInt(SMALL[choice] ?? 0);
  if (choice < SMALL.length + LARGE.length) return BigInt(LARGE[choice - SMALL.length] ?? 0);
  return all[choice - SMALL.length - LARGE.length] ?? 0n;
}

/** One field at a boundary value, or noise. Tells what it did, and whether only a field was touched. */
function mutate(bytes: Uint8Array, fields: readonly Field[]): { what: string; single: boolean } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (next() < 0.5) {
    const [at, width] = fields[pick(fields.length)] ?? [0, 4];
    const now = width === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
    const value = boundary(now, width, bytes.length);
    if (width === 8) view.setBigUint64(at, BigInt.asUintN(64, value), true);
    else view.setUint32(at, Number(BigInt.asUintN(32, value)), true);
    return { what: `${at} was ${now}, is ${value}`, single: true };
  }
  const done: string[] = [];
  for (let i = pick(8); i >= 0; i--) {
    const at = next() < 0.5 ? (fields[pick(fields.length)]?.[0] ?? 0) : pick(bytes.length / 4 - 1) * 4;
    const value = next() < 0.6 ? (LARGE[pick(LARGE.length)] ?? 0) : pick(2 ** 32);
    view.setUint32(at, value, true);
    done.push(`${at} is ${value}`);
  }
  return { what: done.join(", "), single: false };
}

/** What is thrown must be an error of outcore. */
function attempt(what: string, use: () => void): void {
  try {
    use();
  } catch (error) {
    if (error instanceof OutcoreError) return;
    throw new Error(`${what}: ${(error as Error).stack}`);
  }
}

function useAll(name: string, what: string, single: boolean): void {
  attempt(what, () => {
    const client = openRing(name, { schema });
    try {
      for (const frame of [client.take(), client.latest(), client.take()]) {
        if (single) checkData(frame, what);
        else frame?.toObject();
      }
      attempt(what, () => client.send(5, new Uint8Array(9)));
      client.refresh();
      client.header();
    } finally {
      client.close();
    }
  });
  attempt(what, () => {
    const inspector = inspectRing(name);
    try {
      const { readerSlots } = inspector.inspect();
      for (const { frame } of inspector.slots()) frame?.toObject();
      for (let i = 0; i < Math.min(readerSlots, 8); i++) inspector.peekControl(i);
      inspector.layout();
    } finally {
      inspector.close();
    }
  });
}

/** The segment stands there as somebody left it. */
function planted(base: Uint8Array, fields: readonly Field[], rounds: number, pure: boolean): void {
  const name = freshName("planted");
  try {
    for (let i = 0; i < rounds; i++) {
      const bytes = base.slice();
      const { what, single } = mutate(bytes, fields);
      plant(name, bytes);
      useAll(name, `round ${i}: ${what}`, single && pure);
    }
  } finally {
    unplant(name);
  }
}

/** The segment changes under a server, a reader and an inspector that have it open. */
function live(wire: Wire, rounds: number): void {
  const fields = wire === "native" ? nativeFields(model(wire)) : shmxFields(model(wire));
  for (let done = 0; done < rounds; ) {
    const name = freshName("live");
    const server = createRing(name, { ...options, wire, frameBytes: 2048, checksum: true });
    const client = openRing(name, { schema });
    const inspector = inspectRing(name);
    const mapping = Mapping.object(name, { access: "write" });
    try {
      for (let i = 0; i < 50 && done < rounds; i++, done++) {
        server.publish(content(i + 1));
        client.take();
        const bytes = mapping.bytes();
        const before = bytes.slice();
        const { what } = mutate(bytes, fields);
        const at = `round ${done}: ${what}`;
        attempt(at, () => server.publish(content(i + 1)));
        for (let k = 0; k < 2; k++) attempt(at, () => client.take()?.toObject());
        attempt(at, () => client.latest()?.toObject());
        attempt(at, () => client.send(3, new Uint8Array(pick(60))));
        attempt(at, () => void client.refresh());
        attempt(at, () => server.poll());
        attempt(at, () => server.readers());
        attempt(at, () => server.reap());
        attempt(at, () => server.header());
        attempt(at, () => inspector.inspect());
        attempt(at, () => inspector.slots().map(({ frame }) => frame?.toObject()));
        attempt(at, () => inspector.peekControl(0));
        if (i % 5 === 0) useAll(name, at, false);
        bytes.set(before);
      }
    } finally {
      mapping.close();
      inspector.close();
      client.close();
      server.close();
      unplant(name);
    }
  }
}

describe("segments that were tampered with", () => {
  it("a native one that stands there", () => {
    const base = model("native");
    planted(base, nativeFields(base), total * 0.3, true);
  });

  it("one of wire shmx that stands there", () => {
    const base = model("shmx");
    planted(base, shmxFields(base), total * 0.2, true);
  });

  for (const file of ["published-5.bin", "control-wrapped.bin"])
    it(`${file} of SHMX`, () => {
      const base = fixture(file);
      planted(base, shmxFields(base), total * 0.1, false);
    });

  for (const wire of ["native", "shmx"] as const)
    it(`one of wire ${wire} that is open meanwhile`, () => {
      live(wire, total * 0.15);
    });
});
