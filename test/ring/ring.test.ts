import assert from "node:assert/strict";
import { describe, it } from "vitest";
import {
  ClosedError,
  ControlFullError,
  FrameTooLargeError,
  InvalidArgumentError,
  NameInUseError,
  NoReaderSlotError,
  NotFoundError,
  OverwrittenError,
  SchemaError,
  TimedOutError,
  WouldBlockError,
} from "../../src/errors.ts";
import {
  createRing,
  createStreamSpec,
  dtypeToString,
  elementTypes,
  frameCapacity,
  fromBf16,
  fromF16,
  inspectRing,
  layoutToString,
  listRings,
  openRing,
  ringRoom,
  toBf16,
} from "../../src/ring/main.ts";
import { exists, freshName } from "./helpers.ts";

const schema = {
  tick: { type: "u64" },
  points: { type: "f32", components: 3, capacity: 4 },
} as const;

for (const wire of ["native", "shmx"] as const)
  describe(`a ring of wire ${wire}`, () => {
    it("gives a frame to a reader, in place", () => {
      const name = freshName("one");
      const server = createRing(name, { schema, wire });
      const client = openRing(name, { schema });
      assert.equal(client.take(), undefined);
      assert.equal(client.absence, "none");
      assert.equal(server.publish({ tick: [7n], points: [1, 2, 3, 4, 5, 6] }, { time: 2.5 }), 1);
      const frame = client.take();
      assert.ok(frame);
      assert.equal(frame.id, 1);
      assert.equal(frame.time, 2.5);
      assert.equal(frame.get("tick")[0], 7n);
      assert.deepEqual([...frame.get("points")], [1, 2, 3, 4, 5, 6]);
      assert.equal(frame.count("points"), 2);
      assert.deepEqual([...frame.slice("points", 1, 1)], [4, 5, 6]);
      assert.deepEqual(frame.names(), ["tick", "points"]);
      assert.ok(frame.valid);
      assert.equal(client.take(), undefined);
      assert.equal(client.absence, "seen");
      assert.equal(client.latest()?.id, 1);
      const view = frame.get("points");
      client.close();
      assert.equal(view.length, 0, "views are detached");
      assert.equal(frame.valid, false);
      server.close();
      assert.equal(exists(name), false);
    });

    it("writes in place what a loan lends, and nothing that is discarded", () => {
      const name = freshName("loan");
      const server = createRing(name, { schema, wire });
      const client = openRing(name, { schema });
      const first = server.begin();
      first.get("tick")[0] = 1n;
      first.discard();
      const loan = server.begin();
      loan.get("points", 1).set([9, 8, 7]);
      assert.equal(loan.publish(1), 1);
      assert.throws(() => loan.get("tick"), InvalidArgumentError);
      const frame = client.take();
      assert.ok(frame);
      assert.equal(frame.has("tick"), false);
      assert.throws(() => frame.get("tick"), SchemaError);
      assert.deepEqual([...frame.copy("points")], [9, 8, 7]);
      client.close();
      server.close();
    });

    it("carries all 13 element types", () => {
      const name = freshName("types");
      const all = Object.fromEntries(elementTypes.map((type) => [type, { type, capacity: 3 }]));
      const server = createRing(name, { schema: all, wire, frameBytes: 4096 });
      const client = openRing(name);
      const loan = server.begin();
      for (const type of elementTypes) {
        const view = loan.get(type) as unknown as { fill(value: unknown): void };
        view.fill(type === "i64" || type === "u64" ? 3n : type === "bf16" ? 0x4040 : 3);
      }
      loan.publish();
      const frame = client.take();
      assert.ok(frame);
      for (const type of elementTypes) {
        assert.equal(frame.count(type), 3);
        assert.equal(Number(frame.get(type)[2]), type === "bf16" ? 0x4040 : 3);
      }
      assert.deepEqual([...fromBf16(frame.get("bf16") as Uint16Array)], [3, 3, 3]);
      client.close();
      server.close();
    });

    it("takes messages of readers and knows its readers", () => {
      const name = freshName("control");
      const server = createRing(name, { schema, wire, controlBytes: 256 });
      const client = openRing(name);
      client.send(5, new Uint8Array([1, 2, 3]));
      client.sendEmpty(6);
      assert.throws(() => client.send(0), InvalidArgumentError);
      const messages = server.poll();
      assert.deepEqual(
        messages.map(({ type, body, reader }) => [type, [...body], reader === client.reader]),
        [
          [5, [1, 2, 3], true],
          [6, [], true],
        ],
      );
      assert.throws(() => {
        for (let i = 0; i < 100; i++) client.send(9, new Uint8Array(20));
      }, ControlFullError);
      assert.ok(server.poll().length > 2);
      for (let i = 1; i < 200; i++) {
        client.send(i, new Uint8Array(i % 60).fill(i));
        const [message] = server.poll();
        assert.equal(message?.type, i);
        assert.equal(message?.body.length, i % 60);
        assert.ok(message?.body.every((byte) => byte === i));
      }
      assert.equal(server.readers().length, 1);
      client.close();
      assert.equal(server.readers().length, 0);
      assert.equal(server.header().readers, 0);
      server.close();
    });

    it("lets the schema grow", () => {
      const name = freshName("grow");
      const server = createRing(name, { schema, wire, frameBytes: 4096 });
      const client = openRing(name);
      assert.equal(client.refresh(), false);
      server.addStreams({ extra: { type: "u8", capacity: 2 } });
      assert.throws(() => server.addStreams({ extra: { type: "u8" } }), SchemaError);
      assert.equal(client.refresh(), true);
      assert.deepEqual(
        client.streams().map(({ name: stream, id }) => [stream, id]),
        [
          ["tick", 1],
          ["points", 2],
          ["extra", 3],
        ],
      );
      server.publish({ extra: [4, 5] } as never);
      assert.deepEqual([...(client.take()?.get("extra") ?? [])], [4, 5]);
      client.close();
      server.close();
    });

    it("waits for frames without blocking, and can be told to stop", async () => {
      const name = freshName("wait");
      const server = createRing(name, { schema, wire, keepAlive: true });
      const client = openRing(name, { schema, keepAlive: true });
      setTimeout(() => server.publish({ tick: [1n] }), 20);
      assert.equal((await client.next({ timeout: 5000 }))?.id, 1);
      assert.equal(await client.next({ timeout: 30 }), undefined);
      assert.equal(client.nextSync({ timeout: 5 }), undefined);
      const stop = new AbortController();
      setTimeout(() => stop.abort(new Error("enough")), 20);
      await assert.rejects(client.next({ signal: stop.signal }), /enough/);
      await assert.rejects(client.next({ signal: stop.signal }), /enough/);
      const seen: number[] = [];
      const reading = (async () => {
        for await (const frame of client.frames()) seen.push(frame.id);
      })();
      for (let i = 0; i < 5; i++) {
        server.publish({ tick: [2n] });
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      const waiting = client.next();
      client.close();
      await assert.rejects(waiting, ClosedError);
      await reading;
      /* The newest each time: a late event loop skips some. */
      assert.equal(seen[seen.length - 1], 6);
      assert.ok(seen.every((id, i) => i === 0 || id > (seen[i - 1] ?? 0)));
      server.close();
    });

    it("tells readers that it was closed", async () => {
      const name = freshName("closed");
      const server = createRing(name, { schema, wire });
      const client = openRing(name, { keepAlive: true });
      const reading = client.next();
      setTimeout(() => server.close(), 10);
      assert.equal(await reading, undefined);
      assert.equal(client.absence, "closed");
      client.close();
      assert.throws(() => client.take(), ClosedError);
      assert.throws(() => openRing(name), NotFoundError);
    });

    it("refuses what does not fit", () => {
      const name = freshName("refuse");
      const server = createRing(name, { schema, wire, frameBytes: wire === "shmx" ? 128 : (undefined as never) });
      assert.throws(() => server.publish({ points: [1, 2, 3, 4] }), SchemaError);
      assert.throws(() => server.publish({ points: new Float32Array(300) }), FrameTooLargeError);
      assert.throws(() => server.publish({ other: [1] } as never), SchemaError);
      server.publish({ tick: [1n] });
      assert.throws(() => openRing(name, { schema: { tick: { type: "u32" } } }), SchemaError);
      assert.throws(() => openRing(name, { schema: { tock: { type: "u64" } } }), SchemaError);
      assert.throws(() => createRing(name, { schema, wire }), NameInUseError);
      assert.throws(() => openRing(`${name}-none`), NotFoundError);
      assert.throws(() => createRing("a/b", { schema, wire }), InvalidArgumentError);
      assert.throws(() => createRing("x".repeat(300), { schema, wire }), InvalidArgumentError);
      server.close();
    });
  });

describe("wire native", () => {
  it("queues frames, counts those that are lost, and keeps history", () => {
    const name = freshName("queue");
    const server = createRing(name, { schema, slots: 8 });
    const queue = openRing(name, { schema, delivery: "queue" });
    for (let i = 1; i <= 5; i++) server.publish({ tick: [BigInt(i)] });
    const late = openRing(name, { schema, delivery: "queue", history: 3 });
    const ids = (client: typeof queue) => {
      const out: number[] = [];
      for (let frame = client.take(); frame; frame = client.take()) out.push(frame.id);
      return out;
    };
    assert.deepEqual(ids(queue), [1, 2, 3, 4, 5]);
    assert.deepEqual(ids(late), [3, 4, 5]);
    for (let i = 6; i <= 25; i++) server.publish({ tick: [BigInt(i)] });
    assert.deepEqual(ids(queue), [19, 20, 21, 22, 23, 24, 25]);
    assert.equal(queue.drops, 13);
    assert.equal(server.readers().find(({ reader }) => reader === queue.reader)?.drops, 13);
    queue.close();
    late.close();
    server.close();
  });

  it("makes the writer wait for a reliable reader, and for no other", async () => {
    const name = freshName("reliable");
    const server = createRing(name, { schema, slots: 4, keepAlive: true });
    const slow = openRing(name, { schema, delivery: "reliable" });
    const optional = openRing(name, { schema, delivery: "queue" });
    for (let i = 1; i <= 4; i++) server.publish({ tick: [BigInt(i)] });
    assert.throws(() => server.publish({ tick: [5n] }), WouldBlockError);
    assert.throws(() => server.publish({ tick: [5n] }, { timeout: 20 }), WouldBlockError);
    await assert.rejects(server.publishAsync({ tick: [5n] }, { timeout: 20 }), WouldBlockError);
    const waiting = server.publishAsync({ tick: [5n] });
    const first = slow.take();
    assert.equal(first?.id, 1);
    first?.release();
    assert.equal(await waiting, 5);
    assert.throws(() => server.publish({ tick: [6n] }), WouldBlockError);
    for (let i = 2; i <= 5; i++) assert.equal(slow.take()?.id, i);
    slow.close();
    for (let i = 6; i <= 20; i++) server.publish({ tick: [BigInt(i)] });
    assert.equal(slow.drops, 0);
    optional.close();
    server.close();
  });

  it("answers requests", async () => {
    const name = freshName("request");
    const server = createRing(name, { schema, keepAlive: true });
    const client = openRing(name, { keepAlive: true });
    const stop = new AbortController();
    const serving = (async () => {
      for await (const message of server.messages({ signal: stop.signal }))
        if (message.type === 7)
          server.reply(
            message,
            8,
            message.body.map((byte) => byte * 2),
          );
    })();
    const answers = await Promise.all([1, 2, 3].map((n) => client.request(7, new Uint8Array([n]))));
    assert.deepEqual(
      answers.map(({ type, body }) => [type, body[0]]),
      [
        [8, 2],
        [8, 4],
        [8, 6],
      ],
    );
    await assert.rejects(client.request(9, undefined, { timeout: 30 }), TimedOutError);
    stop.abort(new Error("stop"));
    await assert.rejects(serving, /stop/);
    client.close();
    server.close();
  });

  it("checks a crc32c when the writer gives one", () => {
    const name = freshName("crc");
    const server = createRing(name, { schema, checksum: true });
    const client = openRing(name, { schema });
    server.publish({ tick: [1n], points: [1, 2, 3] });
    assert.equal(client.take()?.id, 1);
    const loan = server.begin();
    const view = loan.get("points", 1);
    loan.publish();
    view[0] = 5;
    assert.equal(client.take(), undefined);
    assert.equal(client.absence, "checksum");
    client.close();
    server.close();
  });

  it("tells when a frame was overwritten", () => {
    const name = freshName("old");
    const server = createRing(name, { schema, slots: 2 });
    const client = openRing(name, { schema });
    server.publish({ tick: [1n] });
    const frame = client.take();
    assert.ok(frame);
    server.publish({ tick: [2n] });
    assert.ok(frame.valid);
    server.begin().discard();
    assert.equal(frame.valid, false);
    assert.throws(() => frame.copy("tick"), OverwrittenError);
    client.close();
    server.close();
  });

  it("lets an observer look without a reader slot", () => {
    const name = freshName("observer");
    const server = createRing(name, { schema, readerSlots: 1 });
    const client = openRing(name);
    assert.throws(() => openRing(name), NoReaderSlotError);
    const observer = openRing(name, { schema, observe: true, delivery: "queue" });
    server.publish({ tick: [3n] });
    assert.equal(observer.take()?.get("tick")[0], 3n);
    assert.throws(() => observer.send(1), InvalidArgumentError);
    assert.equal(server.readers().length, 1);
    observer.close();
    client.close();
    server.close();
  });

  it("can be listed, inspected and has room to name", () => {
    const name = freshName("list");
    const server = createRing(name, { schema });
    server.publish({ tick: [3n] });
    const entry = listRings().find((each) => each.name === name);
    assert.equal(entry?.ownerState, "alive");
    assert.equal(entry?.report?.published, 1);
    const inspector = inspectRing(name);
    assert.deepEqual(
      inspector.slots().map(({ state }) => state),
      ["frame", "none", "none", "none"],
    );
    assert.equal(inspector.slot(0).frame?.get("tick")[0], 3n);
    const layout = inspector.layout();
    assert.equal(layout[layout.length - 1]?.name, "frame slots");
    inspector.close();
    assert.ok(ringRoom().free <= ringRoom().total);
    server.close();
  });
});

describe("helper functions of rings", () => {
  it("name types and layouts as SHMX does", () => {
    assert.equal(dtypeToString("f32"), "float32");
    assert.equal(dtypeToString(11), "bfloat16");
    assert.equal(dtypeToString(99), "unknown");
    assert.equal(layoutToString(1), "vector");
    assert.equal(layoutToString(7), "unknown");
    assert.deepEqual(createStreamSpec("p", { type: "f64", components: 2 }, 4).layout, "vector");
  });

  it("compute the capacity of a frame", () => {
    assert.equal(frameCapacity(schema, "shmx"), 32 + 80);
    assert.equal(frameCapacity(schema), 64 + 64);
  });

  it("convert half-width numbers", () => {
    const values = [0, 1, -2.5, 1e30, Number.POSITIVE_INFINITY];
    const back = fromBf16(toBf16(values));
    for (const [i, value] of values.entries())
      assert.ok(back[i] === value || Math.abs((back[i] as number) / value - 1) < 0.004);
    assert.ok(Number.isNaN(fromBf16(toBf16([Number.NaN]))[0]));
    assert.deepEqual(
      [...fromF16(new Uint16Array([0x3c00, 0xc000, 0x0001, 0x7c00]))],
      [1, -2, 2 ** -24, Number.POSITIVE_INFINITY],
    );
  });
});
