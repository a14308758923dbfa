/** Each weakness that was seen in SHMX 1.0.1, by its number in docs/ring.md, and what happens here instead; the second is in torn.test.ts. */
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { describe, it } from "vitest";
import {
  InvalidArgumentError,
  NameInUseError,
  NoReaderSlotError,
  OutcoreError,
  PeerGoneError,
  RingFormatError,
} from "../../src/errors.ts";
import { Mapping } from "../../src/memory/main.ts";
import { Words } from "../../src/memory/words.ts";
import { collectRings, createRing, inspectRing, openRing } from "../../src/ring/main.ts";
import { exists, fixture, freshName, here, long, peer, plant, prefix, random, seed, unplant } from "./helpers.ts";

const schema = { number: { type: "u32" }, words: { type: "u32", capacity: 1024 } } as const;

describe("weaknesses of SHMX", () => {
  it("1 a checksum that is slow: the vector form gives the same on random inputs", () => {
    const next = random(seed);
    const mapping = Mapping.anonymous(1 << 16, { shared: false });
    const words = new Words(mapping);
    const bytes = mapping.bytes();
    const kernels = (["best", "sliced", "avx2", "avx512", "neon"] as const).filter(
      (kernel) => words.frameHash64(0, 1, kernel) !== undefined,
    );
    assert.equal(words.frameHash64(0, 0), 0x14650fb0739d0383n);
    bytes.set(new TextEncoder().encode("hello world"));
    assert.equal(words.frameHash(0, 11), 0xa2a8dff8);
    assert.equal(words.frameHash64(0, 11), 0xe1d7a701437f78f9n);
    for (let round = 0; round < (long ? 20000 : 500); round++) {
      const length = Math.floor(next() * 4000);
      const offset = Math.floor(next() * 64);
      for (let i = 0; i < length; i++) bytes[offset + i] = next() * 256;
      const serial = words.frameHash64(offset, length, "serial");
      for (const kernel of kernels) assert.equal(words.frameHash64(offset, length, kernel), serial, kernel);
    }
    mapping.close();
  });

  it("3 an object of 0 bytes is an error", () => {
    for (const bytes of [0, 1, 100, 127, 128, 4096]) {
      const name = freshName("empty");
      plant(name, new Uint8Array(bytes));
      assert.throws(() => openRing(name), RingFormatError);
      assert.throws(() => inspectRing(name), RingFormatError);
      unplant(name);
    }
  });

  it("4 hostile offsets and lengths are errors", () => {
    const boundary = [0, 1, 7, 64, 127, 4671, 4672, 0x7fffffff, 0x80000000, 0xffffffc0, 0xffffffff];
    for (let at = 32; at < 128; at += 4)
      for (const value of boundary) {
        const name = freshName("hostile");
        const bytes = fixture("control-3.bin");
        new DataView(bytes.buffer).setUint32(at, value, true);
        plant(name, bytes);
        try {
          const client = openRing(name);
          client.take();
          client.close();
          const inspector = inspectRing(name);
          inspector.slots();
          for (let i = 0; i < 3; i++) inspector.peekControl(i);
          inspector.close();
        } catch (error) {
          assert.ok(error instanceof OutcoreError, `${at}=${value}: ${(error as Error).stack}`);
        } finally {
          unplant(name);
        }
      }
  });

  it("5 a segment that is made anew, larger or smaller, under a client is noticed", () => {
    for (const length of [0, 128, 4096, 100_000]) {
      const name = freshName("anew");
      plant(name, fixture("published-5.bin"));
      const client = openRing(name);
      assert.equal(client.take()?.id, 5);
      /* SHMX writes into the same object. */
      const other = new Uint8Array(length);
      other.set(fixture("published-2.bin").subarray(0, length));
      if (length >= 32) other.fill(9, 24, 32);
      plant(name, other);
      assert.equal(client.latest(), undefined);
      assert.equal(client.absence, "session");
      client.close();
      unplant(name);
    }
  });

  it("6 and 7 sizes that overflow, or that lead writers out of their ring, are refused", () => {
    const name = freshName("sizes");
    const make = (options: object) => createRing(name, { schema, wire: "shmx", ...options });
    assert.throws(() => make({ frameBytes: 2 ** 32 - 1 }), InvalidArgumentError);
    assert.throws(() => make({ frameBytes: 2 ** 32 - 64, slots: 1 }), InvalidArgumentError);
    assert.throws(() => make({ frameBytes: 0 }), InvalidArgumentError);
    for (const controlBytes of [1, 8, 15, 16, 47, 50])
      assert.throws(() => make({ controlBytes }), InvalidArgumentError);
    assert.throws(() => make({ slots: 0 }), InvalidArgumentError);
    assert.throws(() => createRing(name, { schema, slots: 1 }), InvalidArgumentError);
    assert.throws(() => createRing(name, { schema, frameBytes: Number.NaN }), InvalidArgumentError);
    assert.equal(exists(name), false);
  });

  for (const wire of ["native", "shmx"] as const)
    it(`8 what a dead ${wire} server left is not served for ever, and is removed`, async () => {
      const name = freshName("dead");
      const writer = peer(here(), "hold", name, wire);
      assert.equal(await writer.line(), "ready");
      const client = openRing(name, { keepAlive: true });
      assert.equal(client.take()?.id, 1);
      assert.throws(() => createRing(name, { schema }), NameInUseError);
      const reading = assert.rejects(client.next(), PeerGoneError);
      writer.kill();
      await writer.exit;
      const died = performance.now();
      await reading;
      assert.ok(performance.now() - died < 5000);
      assert.throws(() => client.nextSync(), PeerGoneError);
      assert.ok(exists(name));
      const server = createRing(name, { schema });
      server.publish({ number: [2] });
      assert.equal(openRing(name).take()?.id, 1);
      server.close();
      client.close();
      assert.equal(exists(name), false);
    });

  it("9 a second server is refused, of several that race one wins", async () => {
    const name = freshName("race");
    const first = peer(here(), "hold", name);
    assert.equal(await first.line(), "ready");
    first.kill();
    await first.exit;
    const racers = [0, 1, 2].map(() => peer(here(), "hold", name));
    const lines = await Promise.all(racers.map((each) => each.line()));
    assert.deepEqual(lines.sort(), ["NAME_IN_USE", "NAME_IN_USE", "ready"]);
    for (const each of racers) each.kill();
    await Promise.all(racers.map((each) => each.exit));
    assert.ok(collectRings(prefix).includes(name));
  });

  it("9 a ring that SHMX made is never taken over", () => {
    const name = freshName("foreign");
    plant(name, fixture("created.bin"));
    assert.throws(() => createRing(name, { schema, wire: "shmx" }), NameInUseError);
    assert.throws(() => createRing(name, { schema }), NameInUseError);
    assert.ok(!collectRings(prefix).includes(name));
    assert.ok(exists(name));
    unplant(name);
  });

  it("10 the mode is 0600, and clients map what they do not write read-only", () => {
    const name = freshName("mode");
    const server = createRing(name, { schema });
    assert.equal(statSync(`/dev/shm/${name}`).mode & 0o777, 0o600);
    server.publish({ number: [1] });
    const client = openRing(name, { schema });
    const maps = readFileSync("/proc/self/maps", "utf8")
      .split("\n")
      .filter((line) => line.endsWith(name));
    assert.ok(maps.some((line) => / r--[sp] /.test(line)));
    client.close();
    server.close();
  });

  it("11 a view that is touched after close is empty", () => {
    const name = freshName("view");
    const server = createRing(name, { schema });
    const loan = server.begin();
    const written = loan.get("words");
    loan.publish();
    const client = openRing(name, { schema });
    const read = client.take()?.get("words");
    client.close();
    server.close();
    assert.equal(read?.length, 0);
    assert.equal(written.length, 0);
    assert.equal(written[0], undefined);
  });

  for (const wire of ["native", "shmx"] as const)
    it(`12 the last message of a reader of wire ${wire} arrives, under its own name`, () => {
      const name = freshName("bye");
      const server = createRing(name, { schema, wire });
      const client = openRing(name);
      const id = client.reader;
      client.send(1);
      assert.equal(server.poll().length, 1);
      client.send(0x4259455f);
      client.close();
      const next = openRing(name);
      assert.notEqual(next.reader, id);
      next.send(2);
      const messages = server.poll();
      assert.deepEqual(
        messages.map(({ type, reader }) => [type, reader === id ? "old" : reader === next.reader ? "new" : "?"]).sort(),
        [
          [0x4259455f, "old"],
          [2, "new"],
        ],
      );
      assert.throws(() => next.send(0), InvalidArgumentError);
      next.close();
      server.close();
    });

  it("13 reaping a live reader does not make the count wrong", () => {
    const name = freshName("reap");
    const server = createRing(name, { schema, wire: "shmx" });
    const client = openRing(name);
    assert.equal(server.reap(0), 0, "a live outcore reader is not reaped");
    /* A reader of SHMX: no mark, an old heartbeat. */
    const mapping = Mapping.object(name, { access: "write" });
    const at = new DataView(mapping.bytes().buffer, 0, 128).getUint32(84, true) + 64;
    mapping.view("u64", at, 1)[0] = 77n;
    mapping.view("u64", at + 8, 1)[0] = 1n;
    mapping.view("u32", at + 24, 1)[0] = 1;
    mapping.view("u32", 116, 1)[0] = 2;
    assert.equal(server.readers().length, 2);
    assert.equal(server.reap(10), 1);
    assert.equal(mapping.view("u32", 116, 1)[0], 1);
    /* That reader closes after all and subtracts itself; so does ours: no wrap on our side. */
    mapping.view("u32", 116, 1)[0] = 0;
    client.close();
    assert.equal(mapping.view("u32", 116, 1)[0], 0);
    mapping.close();
    server.close();
  });

  it("14 open fails when there is no free reader slot", () => {
    const name = freshName("full");
    const server = createRing(name, { schema, wire: "shmx", readerSlots: 1 });
    const client = openRing(name);
    assert.throws(() => openRing(name), NoReaderSlotError);
    client.close();
    openRing(name).close();
    server.close();
  });

  for (const wire of ["native", "shmx"] as const)
    it(`15 a frame without streams of wire ${wire} can be read`, () => {
      const name = freshName("bare");
      const server = createRing(name, { schema, wire });
      const client = openRing(name);
      server.publish({}, { time: 3 });
      const frame = client.take();
      assert.equal(frame?.time, 3);
      assert.deepEqual(frame?.names(), []);
      client.close();
      server.close();
    });

  it("16 a segment beyond 4 GiB works", () => {
    const name = freshName("large");
    let server: ReturnType<typeof createRing>;
    try {
      server = createRing(name, { schema: { big: { type: "u8", capacity: 1.5 * 2 ** 30 } }, slots: 3 });
    } catch (error) {
      /* Shared memory of this machine is smaller. */
      assert.equal((error as OutcoreError).code, "DISK_FULL");
      return;
    }
    const client = openRing(name);
    for (let i = 1; i <= 3; i++) {
      const loan = server.begin();
      loan.count("big", 1.5 * 2 ** 30);
      (loan.slice("big", 1.5 * 2 ** 30 - 8, 8) as Uint8Array).fill(i);
      loan.publish();
      const frame = client.take();
      assert.equal(frame?.slice("big", 1.5 * 2 ** 30 - 8, 8)[7], i);
      assert.throws(() => frame?.get("big"), InvalidArgumentError);
    }
    assert.ok(server.header().bytes > 2 ** 32);
    client.close();
    server.close();
  });

  it("17 sequences go on beyond 2^32, waits block and queues queue", () => {
    const name = freshName("wrap");
    const server = createRing(name, { schema, wire: "shmx" });
    const client = openRing(name, { schema });
    const mapping = Mapping.object(name, { access: "write" });
    mapping.view("u32", 120, 1)[0] = 0xfffffffe;
    const seen: (number | undefined)[] = [];
    for (let i = 1; i <= 4; i++) {
      server.publish({ number: [i] });
      seen.push(client.take()?.get("number")[0]);
    }
    assert.deepEqual(seen, [1, 2, 3, 4]);
    mapping.close();
    client.close();
    server.close();
  });
});
