import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { createRing, inspectRing, openRing } from "../../src/ring/main.ts";
import { fixture, freshName, plant, unplant } from "./helpers.ts";

const schema = {
  frame_id: { type: "u64" },
  timestamp: { type: "f64" },
  positions: { type: "f32", components: 3, capacity: 3, extra: new TextEncoder().encode("unit=m") },
  témp: { type: "i16", capacity: 5 },
} as const;

const options = {
  schema,
  wire: "shmx",
  slots: 3,
  readerSlots: 3,
  staticBytes: 512,
  frameBytes: 1000,
  controlBytes: 160,
} as const;

const expected = JSON.parse(readFileSync(new URL("fixtures/expected.json", import.meta.url), "utf8"));
const hex = (view: ArrayBufferView): string =>
  [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)]
    .map((b) => b.toString(16).padStart(2, "0"))
    .join("");

function withPlanted(file: string, use: (name: string) => void): void {
  const name = freshName("dump");
  plant(name, fixture(file));
  try {
    use(name);
  } finally {
    unplant(name);
  }
}

/** The calls that made the dumps. */
function frameOf(i: number) {
  const stamps: Record<number, number> = { 1: 0.75, 2: 1.5, 3: 2.25, 4: 3, 5: 6 };
  const latest = expected[`published-${i}.bin`]?.latest;
  if (latest === undefined) return { values: {}, time: 0, stamp: stamps[i] };
  const bytes = (name: string) =>
    Uint8Array.from(latest.streams[name].hex.match(/../g), (b: string) => Number.parseInt(b, 16));
  return {
    time: latest.metadata.sim_time,
    stamp: 0,
    values: {
      frame_id: new BigUint64Array(bytes("frame_id").buffer),
      timestamp: new Float64Array(bytes("timestamp").buffer),
      positions: new Float32Array(bytes("positions").buffer),
      témp: new Int16Array(bytes("témp").buffer),
    },
  };
}

describe("wire shmx, against segments that SHMX wrote", () => {
  for (const file of ["published-2.bin", "published-5.bin"])
    it(`reads ${file} as SHMX does`, () => {
      withPlanted(file, (name) => {
        const { latest } = expected[file];
        const client = openRing(name, { schema });
        const frame = client.take();
        assert.ok(frame, client.absence);
        assert.equal(frame.id, latest.metadata.frame_id);
        assert.equal(frame.time, latest.metadata.sim_time);
        assert.equal(frame.bytes, latest.metadata.payload_bytes);
        assert.deepEqual(frame.names(), Object.keys(latest.streams));
        for (const [stream, wanted] of Object.entries<{ elem_count: number; hex: string }>(latest.streams)) {
          assert.equal(frame.count(stream as "timestamp"), wanted.elem_count);
          assert.equal(hex(frame.get(stream as "timestamp")), wanted.hex);
        }
        assert.ok(frame.valid);
        client.close();
      });
    });

  it("reads the streams as SHMX does", () => {
    withPlanted("published-5.bin", (name) => {
      const inspector = inspectRing(name);
      const { streams } = inspector.inspect();
      const wanted = expected["published-5.bin"].streams;
      assert.equal(streams.length, wanted.length);
      for (const [i, spec] of streams.entries()) {
        assert.equal(spec.id, wanted[i].id);
        assert.equal(spec.name, wanted[i].name);
        assert.equal(spec.components, wanted[i].components);
        assert.equal(spec.layout, wanted[i].layout);
        assert.equal(spec.bytesPerElement, wanted[i].bytes_per_elem);
        assert.equal(hex(spec.extra), wanted[i].extra ?? "");
      }
      assert.deepEqual(
        inspector.slots().map(({ state }) => state),
        ["frame", "frame", "frame"],
      );
      inspector.close();
    });
  });

  it("reads the header of a ring without frames", () => {
    withPlanted("created.bin", (name) => {
      const wanted = expected["created.bin"].header;
      const client = openRing(name);
      const header = client.header();
      assert.equal(header.session, BigInt(wanted.session_id));
      assert.equal(header.slots, wanted.slots);
      assert.equal(header.frameBytes, wanted.frame_bytes_cap);
      assert.equal(header.readerSlots, wanted.reader_slots);
      assert.equal(header.controlBytes, wanted.control_per_reader);
      assert.equal(header.published, wanted.frame_seq);
      assert.equal(client.take(), undefined);
      assert.equal(client.absence, "none");
      client.close();
    });
  });

  for (const file of ["control-3.bin", "control-wrapped.bin"])
    it(`reads the messages of ${file}`, () => {
      withPlanted(file, (name) => {
        const inspector = inspectRing(name);
        const messages = inspector.peekControl(0);
        assert.deepEqual(
          messages.map(({ reader, type, body }) => ({ reader_id: String(reader), type, hex: hex(body) })),
          expected[file].messages,
        );
        inspector.close();
      });
    });

  it("writes the directory and header that SHMX writes", () => {
    const name = freshName("same");
    const server = createRing(name, options);
    try {
      const ours = new Uint8Array(readFileSync(`/dev/shm/${name}`));
      const theirs = fixture("created.bin");
      assert.equal(ours.length, theirs.length);
      for (const bytes of [ours, theirs]) checkDirectoryHash(bytes);
      mask(ours);
      mask(theirs);
      assert.equal(firstDifference(ours, theirs), -1);
    } finally {
      server.close();
    }
  });

  it("writes the frame that SHMX writes", () => {
    const name = freshName("frame");
    const server = createRing(name, options);
    try {
      for (const i of [1, 2]) {
        const { values, time } = frameOf(i);
        server.publish(values, { time });
      }
      const ours = new Uint8Array(readFileSync(`/dev/shm/${name}`));
      const theirs = fixture("published-2.bin");
      /* Frame 2 stands in slot 1; padding inside of it is whatever was there before, zeros here. */
      const view = new DataView(theirs.buffer);
      const at = view.getUint32(68, true) + view.getUint32(64, true);
      for (const bytes of [ours, theirs]) mask(bytes);
      const length = 64 + view.getUint32(at + 24, true);
      assert.equal(firstDifference(ours.slice(at, at + length), theirs.slice(at, at + length)), -1);
    } finally {
      server.close();
    }
  });

  it("leaves the whole segment as SHMX does, call by call", () => {
    const name = freshName("whole");
    const server = createRing(name, options);
    const client = openRing(name, { schema });
    const same = (file: string, rings = true) => {
      const ours = new Uint8Array(readFileSync(`/dev/shm/${name}`));
      const theirs = fixture(file);
      for (const bytes of [ours, theirs]) {
        mask(bytes);
        const view = new DataView(bytes.buffer);
        if (!rings) bytes.fill(0, view.getUint32(88, true), view.getUint32(68, true));
      }
      assert.equal(firstDifference(ours, theirs), -1, file);
    };
    const send = (file: string) => {
      for (const { type, hex: body } of expected[file].messages as { type: number; hex: string }[])
        client.send(
          type,
          Uint8Array.from(body.match(/../g) ?? [], (b) => Number.parseInt(b, 16)),
        );
    };
    /* Frames 1 and 2 stand in one dump, 4, 5 and 3 in the other, in slots 0, 1 and 2. */
    const publish = (file: string, slot: number) => {
      withPlanted(file, (dump) => {
        const inspector = inspectRing(dump);
        const frame = inspector.slot(slot).frame;
        assert.ok(frame);
        const id = server.publish(frame.toObject(), { time: frame.time });
        assert.equal(id, frame.id);
        inspector.close();
      });
    };
    try {
      publish("published-2.bin", 0);
      publish("published-2.bin", 1);
      client.latest();
      same("published-2.bin");
      publish("published-5.bin", 2);
      publish("published-5.bin", 0);
      publish("published-5.bin", 1);
      client.latest();
      same("published-5.bin");
      send("control-3.bin");
      same("control-3.bin");
      server.poll();
      send("control-wrapped.bin");
      same("control-wrapped.bin");
      client.close();
      /* Between these two dumps more messages went through the ring than were written down. */
      same("closed.bin", false);
    } finally {
      client.close();
      server.close();
    }
  });

  it("writes the messages that SHMX writes", () => {
    withPlanted("published-5.bin", (name) => {
      const client = openRing(name);
      const inspector = inspectRing(name);
      const wanted = expected["control-3.bin"].messages as { type: number; hex: string }[];
      const slot = inspector.inspect().connected.find(({ reader }) => reader === client.reader)?.slot ?? -1;
      for (const { type, hex: body } of wanted)
        client.send(
          type,
          Uint8Array.from(body.match(/../g) ?? [], (b) => Number.parseInt(b, 16)),
        );
      assert.deepEqual(
        inspector.peekControl(slot).map(({ type, body }) => ({ type, hex: hex(body) })),
        wanted.map(({ type, hex: body }) => ({ type, hex: body })),
      );
      inspector.close();
      client.close();
    });
  });
});

/** The directory's hash, which covers its padding too: SHMX left text in the padding of the last entry. */
function checkDirectoryHash(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const at = view.getUint32(48, true);
  let hash = 1469598103934665603n;
  for (const byte of bytes.subarray(at, at + view.getUint32(56, true)))
    hash = ((hash ^ BigInt(byte)) * 1099511628211n) & 0xffffffffffffffffn;
  assert.equal(view.getBigUint64(40, true), hash);
}

/** Zeroes session, reader ids, heartbeats and padding. */
function mask(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const zero = (at: number, length: number) => bytes.fill(0, at, at + length);
  const [slots, stride, slotsAt, readers, readersAt] = [60, 64, 68, 76, 84].map((at) => view.getUint32(at, true)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  for (const at of [20, 36, 100, 124]) zero(at, 4);
  zero(24, 8);
  zero(40, 8);
  const directory = view.getUint32(48, true);
  for (let at = directory; at + 8 <= directory + view.getUint32(56, true); ) {
    const length = 8 + view.getUint32(at + 4, true);
    const padded = Math.ceil(length / 16) * 16;
    zero(at + length, padded - length);
    at += padded;
  }
  for (let i = 0; i < readers; i++) {
    zero(readersAt + 64 * i, 16);
    zero(readersAt + 64 * i + 28, 36);
  }
  for (let i = 0; i < slots; i++) {
    zero(slotsAt + i * stride, 8);
    zero(slotsAt + i * stride + 36, 28);
  }
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) if (a[i] !== b[i]) return i;
  return -1;
}
