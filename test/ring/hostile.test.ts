/** What others can put where rings are: names, files of other kinds, huge and shrinking objects. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { describe, it } from "vitest";
import { InvalidArgumentError, NameInUseError, OutcoreError } from "../../src/errors.ts";
import { collectRings, createRing, inspectRing, listRings, openRing } from "../../src/ring/main.ts";
import { H } from "../../src/ring/native-layout.ts";
import { cleanRingsAfterAll, exists, freshName, here, peer, prefix, unplant } from "./helpers.ts";

cleanRingsAfterAll();

const schema = { number: { type: "u32" }, words: { type: "u32", capacity: 1024 } } as const;

function typed(use: () => void): void {
  try {
    use();
  } catch (error) {
    assert.ok(error instanceof OutcoreError, String((error as Error).stack));
  }
}

describe("rings among hostile neighbours", () => {
  it("are not stopped by a pipe, a folder or links in their place", () => {
    const [pipe, folder, link, loop] = [freshName("pipe"), freshName("folder"), freshName("link"), freshName("loop")];
    const at = (name: string): string => `/dev/shm/${name}`;
    try {
      assert.equal(spawnSync("mkfifo", [at(pipe)]).status, 0);
      mkdirSync(at(folder));
      symlinkSync("/etc/passwd", at(link));
      symlinkSync(at(loop), at(loop));
      for (const name of [pipe, folder, link, loop]) {
        assert.throws(() => createRing(name, { schema }), NameInUseError);
        assert.throws(() => openRing(name), OutcoreError);
        assert.throws(() => inspectRing(name), OutcoreError);
      }
      assert.ok(listRings().every(({ name }) => ![pipe, folder, link, loop].includes(name)));
      assert.deepEqual(collectRings(prefix), []);
    } finally {
      for (const name of [pipe, folder, link, loop]) rmSync(at(name), { recursive: true, force: true });
    }
  });

  it("refuse names that lead elsewhere, and take all others literally", () => {
    for (const name of ["", "/", ".", "..", "//x", "../x", "a/b", "a\0b", "x".repeat(256), "é".repeat(128)]) {
      assert.throws(() => createRing(name, { schema }), InvalidArgumentError, name);
      assert.throws(() => openRing(name), InvalidArgumentError, name);
    }
    for (const tail of [" ", "\n", "%s%n", "$(id)", "-rf", "\u{1f600}", "..."]) {
      const name = `${prefix}${tail}`;
      const server = createRing(`/${name}`, { schema });
      assert.ok(exists(name));
      assert.equal(server.name, name);
      openRing(name).close();
      server.close();
      assert.ok(!exists(name));
    }
    for (const mode of [-1, 0o1777, 1.5, Number.NaN])
      assert.throws(() => createRing(freshName("mode"), { schema, mode }), InvalidArgumentError);
  });

  it("survive objects that claim to be huge, and are so only in name", () => {
    const model = freshName("model");
    const server = createRing(model, { schema, slots: 2 });
    const bytes = new Uint8Array(readFileSync(`/dev/shm/${model}`));
    server.close();
    const name = freshName("huge");
    try {
      for (const [slots, payload] of [
        [256, 2n ** 30n],
        [2, 2n ** 43n],
        [2, 2n ** 45n],
      ] as const) {
        const copy = bytes.slice();
        const view = new DataView(copy.buffer);
        const stride = view.getBigUint64(H.slotStride, true) - view.getBigUint64(H.payloadBytes, true) + payload;
        const slotsAt = view.getBigUint64(H.slotsAt, true);
        const total = slotsAt + stride * BigInt(slots);
        view.setUint32(H.slots, slots, true);
        view.setBigUint64(H.slotStride, stride, true);
        view.setBigUint64(H.payloadBytes, payload, true);
        view.setBigUint64(H.total, total, true);
        writeFileSync(`/dev/shm/${name}`, copy.subarray(0, Number(slotsAt)));
        truncateSync(`/dev/shm/${name}`, Number(total));
        typed(() => {
          const client = openRing(name);
          client.take();
          client.latest();
          client.close();
        });
        typed(() => {
          const inspector = inspectRing(name);
          inspector.inspect();
          inspector.slots();
          inspector.close();
        });
        assert.ok(listRings().some((each) => each.name === name));
        unplant(name);
      }
    } finally {
      unplant(name);
    }
  });

  it("refuse an SHMX segment of 60 million readers or slots at once", () => {
    const name = freshName("crowd");
    const shmx = createRing(name, { schema, wire: "shmx", readerSlots: 1 });
    const bytes = new Uint8Array(readFileSync(`/dev/shm/${name}`));
    shmx.close();
    const model = new DataView(bytes.buffer, bytes.byteOffset);
    try {
      for (const what of ["readers", "slots"]) {
        const copy = bytes.slice();
        const view = new DataView(copy.buffer);
        const readersAt = model.getUint32(84, true);
        const count = 60_000_000;
        if (what === "readers") {
          view.setUint32(76, count, true);
          for (const at of [92, 96]) view.setUint32(at, 0, true);
          view.setUint32(88, readersAt + count * 64, true);
          view.setUint32(68, readersAt + count * 64, true);
        } else {
          view.setUint32(60, count / 2, true);
          view.setUint32(64, 128, true);
          view.setUint32(72, 64, true);
        }
        writeFileSync(`/dev/shm/${name}`, copy.subarray(0, 4096));
        truncateSync(`/dev/shm/${name}`, 2 ** 32 - 4096);
        assert.throws(() => openRing(name), { code: "RING_FORMAT" });
        assert.throws(() => inspectRing(name), { code: "RING_FORMAT" });
        assert.equal(listRings().find((each) => each.name === name)?.ownerState, "unknown");
      }
    } finally {
      unplant(name);
    }
    assert.throws(() => createRing(name, { schema, wire: "shmx", readerSlots: 65537 }), InvalidArgumentError);
  });

  for (const wire of ["native", "shmx"] as const)
    it(`end waits on a ring of wire ${wire} that is cut, on both sides`, async () => {
      const name = freshName("cut");
      const server = createRing(name, { schema, wire });
      const client = openRing(name, { schema, keepAlive: true });
      const inspector = inspectRing(name);
      server.publish({ number: [1] });
      const frame = client.take();
      const loan = server.begin();
      const view = loan.get("words");
      const waiting = client.next({ timeout: 20_000 }).then(
        () => "came",
        (error: unknown) => error,
      );
      const messages = (async () => {
        for await (const { type } of server.messages({ timeout: 20_000 })) assert.equal(type, 1);
      })().catch((error: unknown) => error);
      await new Promise((resolve) => setTimeout(resolve, 20));
      truncateSync(`/dev/shm/${name}`, 0);
      view.fill(7);
      typed(() => void frame?.copy("number"));
      typed(() => void frame?.valid);
      typed(() => void loan.publish());
      typed(() => void server.publish({ number: [2] }));
      typed(() => void server.poll());
      typed(() => void server.readers());
      typed(() => void server.reap());
      typed(() => void server.header());
      typed(() => void client.send(1));
      typed(() => void client.nextSync({ timeout: 10 }));
      typed(() => void inspector.inspect());
      typed(() => void inspector.slots());
      typed(() => void inspector.peekControl(0));
      const ended = await waiting;
      assert.ok(ended === "came" || ended instanceof OutcoreError, String(ended));
      inspector.close();
      client.close();
      server.close();
      const last = await messages;
      assert.ok(last === undefined || last instanceof OutcoreError, String(last));
      unplant(name);
    });

  it("keep their count while many processes come and go", async () => {
    const name = freshName("churn");
    const server = createRing(name, { schema, readerSlots: 3, slots: 8, keepAlive: true });
    const rounds = 30;
    const children = Array.from({ length: 5 }, () => peer(here(), "churn", name, String(rounds)));
    let running = true;
    const publishing = (async () => {
      while (running) {
        await server.publishAsync({ number: [7] });
        assert.ok(server.readers().length <= 3);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    })();
    const lines = await Promise.all(children.map((child) => child.line()));
    await Promise.all(children.map((child) => child.exit));
    running = false;
    await publishing;
    assert.deepEqual(
      lines.map((line) => line?.split(" ")[0]),
      Array.from(children, () => "joined"),
    );
    server.reap();
    assert.deepEqual(server.readers(), []);
    for (let i = 0; i < 3; i++) openRing(name, { schema }).close();
    server.close();
    assert.deepEqual(collectRings(name), []);
  });
});
