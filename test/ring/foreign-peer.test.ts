/** Programs of SHMX in C, written from its wire format alone: our server with their client and inspector, and the other way. */
import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { InvalidArgumentError, NameInUseError } from "../../src/errors.ts";
import { Mapping } from "../../src/memory/main.ts";
import { collectRings, createRing, inspectRing, openRing } from "../../src/ring/main.ts";
import { cleanRingsAfterAll, exists, freshName, type Peer, program, start, unplant } from "./helpers.ts";

cleanRingsAfterAll();

const schema = {
  number: { type: "u32" },
  points: { type: "f32", components: 3, capacity: 2, extra: new TextEncoder().encode("unit=m") },
  wide: { type: "f64" },
} as const;
const options = { schema, wire: "shmx", slots: 3, readerSlots: 3, controlBytes: 160 } as const;

let built: string | undefined;

interface Foreign {
  ask(command: string): Promise<string>;
  end(): Promise<void>;
  kill(): Promise<void>;
}

function foreign(name: string): Foreign {
  built ??= program("shmx-peer");
  const child: Peer = start([built, name]);
  return {
    ask: async (command) => {
      child.write(command);
      return (await child.line()) ?? "ended";
    },
    end: async () => {
      child.end();
      await child.exit;
    },
    kill: async () => {
      child.kill();
      await child.exit;
    },
  };
}

const hex = (view: ArrayBufferView): string =>
  [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");

function values(number: number) {
  return {
    number: new Uint32Array([number]),
    points: Float32Array.from({ length: 6 }, (_, i) => number + i),
    wide: new Float64Array([number / 4]),
  };
}

/** What a frame of `values(number)` is in the words of shmx-peer.c. */
function latestLine(frame: number, number: number): string {
  const { number: first, points, wide } = values(number);
  return `latest ${frame} ${(number * 0.5).toFixed(3)} 112 3 1:1:${hex(first)} 2:2:${hex(points)} 3:1:${hex(wide)}`;
}

describe("our server of wire shmx, with programs of SHMX", () => {
  it("gives a client of SHMX its frames, streams and growth", async () => {
    const name = freshName("c-client");
    const server = createRing(name, options);
    const client = foreign(name);
    try {
      const [, session, slot, id] = (await client.ask("open")).split(" ");
      assert.equal(session, String(server.header().session));
      assert.equal(slot, "0");
      assert.equal(await client.ask("latest"), "none");
      for (let i = 1; i <= 10; i++) {
        if (i === 5) server.begin().discard();
        server.publish(values(i * 7), { time: i * 3.5 });
        assert.equal(await client.ask("latest"), latestLine(i, i * 7));
        assert.deepEqual(
          server.readers().map(({ reader, seen, process }) => [String(reader), seen, process]),
          [[id, i, 0]],
        );
      }
      const before = "1:7:1:0:4:number: 2:12:3:1:12:points:unit=m 3:13:1:0:8:wide:";
      assert.equal(await client.ask("streams"), `streams 1 1 ${before}`);
      server.addStreams({ late: { type: "u8" } });
      assert.equal(await client.ask("streams"), `streams 2 1 ${before} 4:3:1:0:1:late:`);
      assert.equal(await client.ask("close"), "closed");
      assert.deepEqual(server.readers(), []);
      assert.equal(server.header().readers, 0);
    } finally {
      await client.end();
      server.close();
    }
  });

  it("gets the messages of a client of SHMX, round its ring, and those of its last moment", async () => {
    const name = freshName("c-messages");
    const server = createRing(name, options);
    const client = foreign(name);
    try {
      const id = BigInt((await client.ask("open")).split(" ")[3] ?? "0");
      for (let i = 1; i <= 60; i++) {
        assert.equal(await client.ask(`send ${i} ${i % 50} ${i}`), "sent");
        const [message, more] = server.poll();
        assert.equal(more, undefined);
        assert.deepEqual([message?.reader, message?.type, message?.body], [id, i, new Uint8Array(i % 50).fill(i)]);
      }
      let sent = 0;
      while ((await client.ask("send 9 8 1")) === "sent") sent++;
      assert.ok(sent >= 5 && sent <= 9, `${sent} sent`);
      assert.equal(server.poll().length, sent);
      assert.equal(await client.ask("send 77 0 0"), "sent");
      assert.equal(await client.ask("close"), "closed");
      assert.deepEqual(
        server.poll().map(({ reader, type }) => [reader, type]),
        [[id, 77]],
      );
    } finally {
      await client.end();
      server.close();
    }
  });

  it("reaps a client of SHMX that died, by its heartbeat, and not one that lives", async () => {
    const name = freshName("c-dead");
    const server = createRing(name, options);
    const [dead, alive, late] = [foreign(name), foreign(name), foreign(name)];
    const ours = openRing(name, { schema });
    try {
      const id = BigInt((await dead.ask("open")).split(" ")[3] ?? "0");
      await alive.ask("open");
      assert.equal(server.readers().length, 3);
      assert.equal((await late.ask("open")).split(" ")[2], "-1", "no slot is free");
      await dead.kill();
      server.publish(values(1));
      await alive.ask("latest");
      assert.equal(server.reap(30_000), 0, "silence alone tells: its process is not known");
      const slot = server.readers().find(({ reader }) => reader === id)?.slot ?? -1;
      const mapping = Mapping.object(name, { access: "write" });
      const readersAt = mapping.view("u32", 84, 1)[0] ?? 0;
      mapping.view("u64", readersAt + 64 * slot + 8, 1)[0] = 1n;
      mapping.close();
      assert.equal(server.reap(30_000), 1);
      assert.ok(server.readers().every(({ reader }) => reader !== id));
      assert.equal(server.header().readers, 2);
      assert.equal(ours.take()?.id, 1);
    } finally {
      await Promise.all([alive.end(), late.end()]);
      ours.close();
      server.close();
    }
  });

  it("shows an inspector of SHMX what it is", async () => {
    const name = freshName("c-inspect");
    const server = createRing(name, options);
    const inspector = foreign(name);
    try {
      for (let i = 1; i <= 4; i++) server.publish(values(i));
      const client = openRing(name, { schema });
      const wanted = `inspect ${server.header().session} 1 4 1 slots 4:112:1 2:112:1 3:112:1`;
      assert.equal(await inspector.ask("inspect"), wanted);
      client.close();
    } finally {
      await inspector.end();
      server.close();
    }
  });
});

describe("a server of SHMX, with our reader and inspector", () => {
  async function served(use: (name: string, server: Foreign) => Promise<void>): Promise<void> {
    const name = freshName("c-server");
    const server = foreign(name);
    try {
      assert.equal(await server.ask("create 3 3 512 1000 160"), "created");
      await use(name, server);
    } finally {
      await server.end();
      unplant(name);
    }
  }

  it("gives us frames, streams and growth, and waits are polled", async () => {
    await served(async (name, server) => {
      const client = openRing(name, { schema, keepAlive: true });
      assert.equal(client.take(), undefined);
      assert.equal(client.absence, "none");
      for (let i = 1; i <= 10; i++) {
        if (i === 4) assert.equal(await server.ask("abandon 99"), "abandoned");
        const waiting = client.next({ timeout: 10_000 });
        assert.equal(await server.ask(`publish ${i * 3}`), `frame ${i}`);
        const frame = await waiting;
        assert.equal(frame?.id, i);
        assert.equal(frame?.time, i * 1.5);
        assert.deepEqual(frame?.toObject(), values(i * 3));
        assert.ok(frame?.valid);
        assert.equal(await server.ask("readers"), `readers 1 ${client.reader}:${i}:fresh`);
      }
      const waiting = client.nextSync({ timeout: 10 });
      assert.equal(waiting, undefined);
      assert.equal(client.absence, "seen");
      assert.equal(client.refresh(), false);
      assert.equal(await server.ask("grow"), "grown");
      assert.equal(client.refresh(), true);
      assert.deepEqual(
        client.streams().map(({ name: stream, id, type, components }) => [stream, id, type, components]),
        [
          ["number", 1, "u32", 1],
          ["points", 2, "f32", 3],
          ["wide", 3, "f64", 1],
          ["late", 4, "u8", 1],
        ],
      );
      client.close();
      assert.equal(await server.ask("readers"), "readers 0");
    });
  });

  it("gets our messages, round the ring", async () => {
    await served(async (name, server) => {
      const client = openRing(name);
      for (let i = 1; i <= 60; i++) {
        client.send(i, new Uint8Array(i % 50).fill(i));
        const length = i % 50;
        assert.equal(await server.ask("poll"), `messages ${client.reader}:${i}:${length}:${(length * i) % 2 ** 32}`);
      }
      await assert.rejects(client.request(1), InvalidArgumentError);
      client.send(1);
      client.close();
      /* SHMX loses whose the last message was, not the message. */
      assert.equal(await server.ask("poll"), "messages 0:1:0:0");
    });
  });

  it("counts us with its own clients, and may reap us", async () => {
    await served(async (name, server) => {
      const other = foreign(name);
      const theirs = (await other.ask("open")).split(" ")[3];
      const client = openRing(name, { schema });
      await server.ask("publish 5");
      assert.equal(client.take()?.get("number")[0], 5);
      assert.equal(await other.ask("latest"), latestLine(1, 5));
      assert.equal(await server.ask("readers"), `readers 2 ${theirs}:1:fresh ${client.reader}:1:fresh`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      assert.equal(await server.ask("reap 1"), "reaped 1");
      assert.equal(await server.ask("readers"), "readers 0");
      /* We were reaped alive: we read on, and our end does not make its count wrong. */
      await server.ask("publish 6");
      assert.equal(client.take()?.get("number")[0], 6);
      client.close();
      assert.equal(await server.ask("readers"), "readers 0");
      await other.end();
    });
  });

  it("is inspected, never taken over and never removed, and its rebirth is noticed", async () => {
    await served(async (name, server) => {
      for (let i = 1; i <= 4; i++) await server.ask(`publish ${i}`);
      const inspector = inspectRing(name);
      const report = inspector.inspect();
      assert.deepEqual([report.wire, report.published, report.owner, report.ownerState], ["shmx", 4, 0, "alive"]);
      assert.deepEqual(
        inspector.slots().map(({ frame }) => frame?.id),
        [4, 2, 3],
      );
      inspector.close();
      const client = openRing(name, { schema });
      assert.equal(client.take()?.id, 4);
      assert.throws(() => createRing(name, options), NameInUseError);
      assert.ok(!collectRings(name).includes(name));
      assert.equal(await server.ask("destroy"), "closed");
      assert.ok(exists(name));
      assert.ok(!collectRings(name).includes(name));
      assert.equal(client.latest()?.id, 4);
      await new Promise((resolve) => setTimeout(resolve, 1));
      assert.equal(await server.ask("create 3 3 512 1000 160"), "created");
      assert.equal(client.latest(), undefined);
      assert.equal(client.absence, "session");
      client.close();
      assert.equal(await server.ask("readers"), "readers 0");
    });
  });
});
