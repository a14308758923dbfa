import assert from "node:assert/strict";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import path from "node:path";
import process from "node:process";
import { describe, it } from "vitest";
import { RecordingReader, RecordingWriter, recordedStreams } from "../../cli/ring/recording.ts";
import { createRing, createStreamSpec, InvalidArgumentError, openRing, type RingServer } from "../../src/ring/main.ts";
import { cleanRingsAfterAll, exists, fixture, freshName, here, peer, plant, prefix, unplant } from "../ring/helpers.ts";
import { finish, type RunResult, root, run, start } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

cleanRingsAfterAll();

cleanTempAfterEach();

const main = path.join(root, "cli", "main.ts");
const options = { env: { NO_COLOR: "1" }, timeout: 60_000 };
const cli = (...args: string[]): Promise<RunResult> => run(main, ["ring", ...args], options);

async function output(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await cli(...args);
  assert.equal(code, 0, stdout + stderr);
  assert.doesNotMatch(stdout, /\u001b/);
  return stdout;
}

function fits(text: string): void {
  assert.deepEqual(
    text.split("\n").filter((line) => line.length > 80),
    [],
  );
}

const schema = {
  number: { type: "u32" },
  words: { type: "u32", components: 2, capacity: 100, extra: new Uint8Array([1, 2]) },
} as const;

const wordsOf = (i: number): Uint32Array => Uint32Array.from({ length: 2 * (i % 100) }, (_, k) => i * k);

/** Publishes until told to stop, with the event loop free. */
function publishing(server: RingServer<typeof schema>, pause: number): () => Promise<void> {
  let going = true;
  const done = (async () => {
    while (going) {
      const i = server.published + 1;
      server.publish({ number: [i], words: wordsOf(i) }, { time: i / 4 });
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  })();
  return async () => {
    going = false;
    await done;
  };
}

describe("outcore ring", () => {
  it("ls shows rings of every kind and the room left, in 80 columns", async () => {
    const alive = freshName(`ls-${"x".repeat(150)}`);
    const [foreign, damaged, evil] = [freshName("ls-foreign"), freshName("ls-damaged"), `${prefix}\u001b[31mred\n`];
    const server = createRing(alive, { schema });
    const tampered = fixture("published-5.bin");
    tampered.fill(255, 60, 100);
    plant(foreign, fixture("published-5.bin"));
    plant(damaged, tampered);
    plant(evil, fixture("published-5.bin"));
    try {
      const text = await output("ls");
      fits(text);
      assert.match(text, /^ring +wire +owner +frames readers +size$/m);
      assert.match(text, /\.\.\. +native +alive +0 +0 /);
      assert.match(text, new RegExp(`^${foreign.slice(0, 25)}.* shmx +SHMX +5 +1 +4\\.6 KiB$`, "m"));
      assert.match(text, / shmx +damaged +\? +\? /);
      assert.match(text, /shared memory are free\.$/m);
      const { rings, room } = JSON.parse(await output("ls", "--json"));
      const entry = (name: string) => rings.find((each: { name: string }) => each.name === name);
      assert.equal(entry(alive).ownerState, "alive");
      assert.equal(entry(alive).report.slots, 4);
      assert.equal(entry(foreign).foreign, true);
      assert.equal(typeof entry(damaged).problem, "string");
      assert.equal(entry(evil).report.published, 5);
      assert.ok(room.free <= room.total && room.total > 0);
    } finally {
      server.close();
      for (const name of [foreign, damaged, evil]) unplant(name);
    }
  });

  it("inspect shows schema, slots and readers", async () => {
    const name = freshName("inspect");
    const server = createRing(name, { schema });
    const client = openRing(name, { schema, delivery: "queue" });
    for (let i = 1; i <= 6; i++) server.publish({ number: [i], words: wordsOf(i) }, { time: i / 4 });
    client.take();
    client.send(5);
    const text = await output("inspect", name);
    fits(text);
    assert.match(text, /^6 frames published, 4 slots of 896 B, /m);
    assert.match(text, /^words +2 +u32 +2 +100$/m);
    assert.match(text, /^1 +frame +6 +1\.5 +52 B$/m);
    assert.match(text, /^Readers, 1 of 16$/m);
    assert.match(text, / queue +4 +2 +3 +1$/m);
    const report = JSON.parse(await output("inspect", name, "--json"));
    assert.equal(report.streams[1].name, "words");
    assert.deepEqual(report.messages, [1]);
    assert.equal(report.slotStates.length, 4);
    assert.equal(report.layout.at(-1).name, "frame slots");
    client.close();
    server.close();
    const { code, stdout } = await cli("inspect", name);
    assert.equal(code, 1);
    assert.match(stdout, /^outcore: .*\(NOT_FOUND\)\n$/);
  });

  it("hz tells rates, lag and drops of each reader, and ends with the ring", async () => {
    const name = freshName("hz");
    const server = createRing(name, { schema });
    const stop = publishing(server, 2);
    const slow = openRing(name, { schema, delivery: "queue" });
    const taking = setInterval(() => slow.take(), 50);
    const text = await output("hz", name, "--every", "0.3", "--seconds", "1");
    fits(text);
    assert.match(text, /, wire native: [0-9.]+ frames\/s, .*\/s, \d+ so far$/m);
    assert.match(text, /^reader +process +delivery +frames\/s +lag +drops drops\/s$/m);
    assert.match(text, /^[0-9a-f]{8} +\d+ +queue +[0-9.]+ +\d+ +\d+ +[0-9.]+$/m);
    assert.match(text, /shared memory are free\.$/m);
    const child = start(main, ["ring", "hz", name, "--every", "0.2", "--json"], options);
    const ended = finish(child, 60_000);
    let said = "";
    child.stdout?.on("data", (chunk: Uint8Array) => {
      said += new TextDecoder().decode(chunk);
    });
    const looksOf = (text: string) =>
      text
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line));
    /* One look may fall on a slot that is being written, or on a moment in which this process stands still. */
    const isBusy = (look: { rate: number; frameBytes: number; readers: { drops: number; rate: number }[] }): boolean =>
      look.readers.length === 1 &&
      look.rate > 0 &&
      look.frameBytes > 0 &&
      (look.readers[0]?.drops ?? 0) > 0 &&
      (look.readers[0]?.rate ?? 0) > 0;
    for (let i = 0; i < 3000 && !looksOf(said).some(isBusy); i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    clearInterval(taking);
    await stop();
    slow.close();
    server.close();
    const { code, stdout } = await ended;
    assert.equal(code, 0);
    const looks = looksOf(stdout);
    assert.ok(looks.some(isBusy), stdout);
    assert.ok(looks.every(({ room, readers }) => room.free > 0 && readers.every(({ lag = -1 }) => lag >= 0)));
    assert.equal(looks.at(-1).ownerState, "closed");
  });

  it("hz shows a live page to this machine only", async () => {
    const name = freshName("page");
    const server = createRing(name, { schema });
    const stop = publishing(server, 2);
    const client = openRing(name, { schema, delivery: "queue" });
    const taking = setInterval(() => client.take(), 20);
    const child = start(main, ["ring", "hz", name, "--every", "0.1", "--page", "0"], options);
    const ended = finish(child, 60_000);
    let said = "";
    child.stdout?.on("data", (chunk: Uint8Array) => {
      said += new TextDecoder().decode(chunk);
    });
    for (let i = 0; i < 4000 && !said.includes("\n"); i++) await new Promise((resolve) => setTimeout(resolve, 10));
    const url = /^(http:\S+) /.exec(said)?.[1] ?? "";
    const page = await fetch(url);
    assert.equal(page.status, 200);
    assert.match(await page.text(), /new EventSource\("rates"\)/);
    assert.equal(await statusFor(url, "evil.example"), 403);
    assert.equal(await statusFor(`${url}none`, "localhost"), 404);
    const events = await fetch(`${url}rates`);
    const reader = (events.body as ReadableStream<Uint8Array>).getReader();
    let text = "";
    const looks = () => [...text.matchAll(/^data: (.*)$/gm)].map(([, line = ""]) => JSON.parse(line));
    while (
      !text.endsWith("\n\n") ||
      !looks().some(({ rate, readers, room }) => rate > 0 && readers.length === 1 && room.free > 0)
    ) {
      const { value, done } = await reader.read();
      assert.ok(!done, text);
      text += new TextDecoder().decode(value);
    }
    await reader.cancel();
    clearInterval(taking);
    await stop();
    client.close();
    server.close();
    assert.equal((await ended).code, 0);
  });

  for (const wire of ["native", "shmx"] as const)
    it(`record and replay give the same frames on wire ${wire}`, async () => {
      const file = path.join(tempFolder(), "recording");
      const name = freshName("record");
      const server = createRing(name, { schema, wire, slots: 16 });
      const stop = publishing(server, 5);
      const said = JSON.parse(await output("record", name, file, "--frames", "25", "--json"));
      await stop();
      server.close();
      assert.deepEqual([said.frames, said.end], [25, "enough"]);
      const copy = freshName("replay");
      const child = start(main, ["ring", "replay", file, "--name", copy, "--wait", "1", "--speed", "2"], options);
      const ended = finish(child);
      while (!exists(copy)) await new Promise((resolve) => setTimeout(resolve, 10));
      const queue = wire === "native" ? ({ delivery: "reliable", history: 15 } as const) : {};
      const client = openRing(copy, { schema, keepAlive: true, ...queue });
      assert.deepEqual(client.streams()[1]?.extra, new Uint8Array([1, 2]));
      let seen = 0;
      for await (const frame of client.frames()) {
        const number = frame.get("number")[0] as number;
        assert.equal(frame.time, number / 4);
        assert.deepEqual(frame.copy("words"), wordsOf(number));
        seen++;
      }
      assert.equal(client.absence, "closed");
      client.close();
      const { code, stdout } = await ended;
      assert.equal(code, 0, stdout);
      assert.equal(stdout, "25 frames replayed.\n");
      if (wire === "native") assert.equal(seen, 25);
      else assert.ok(seen > 0 && seen <= 25);

      truncateSync(file, readFileSync(file).length - 5);
      assert.equal(
        await output("replay", file, "--name", copy, "--speed", "100"),
        "24 frames replayed; the last of the file is cut off.\n",
      );
    });

  it("a recording that was tampered with is an error", async () => {
    const file = path.join(tempFolder(), "recording");
    const streams = recordedStreams([createStreamSpec("a", { type: "u16", capacity: 8, extra: new Uint8Array(3) }, 1)]);
    const writer = await RecordingWriter.create(file, {
      ring: freshName("tampered"),
      wire: "native",
      slots: 4,
      streams,
    });
    for (let i = 1; i <= 3; i++) await writer.add(i, i / 2, [{ index: 0, count: i, view: new Uint16Array(i).fill(i) }]);
    await writer.close();
    const bytes = readFileSync(file);
    const all = async (): Promise<number[]> => {
      const reader = await RecordingReader.open(file);
      try {
        const out: number[] = [];
        for (let frame = await reader.next(); frame; frame = await reader.next())
          out.push(...frame.streams.map(({ count, bytes: data }) => count * data.length));
        return out;
      } finally {
        await reader.close();
      }
    };
    assert.deepEqual(await all(), [2, 8, 18]);
    const first = 16 + Math.ceil(bytes.readUInt32LE(8) / 8) * 8;
    const noise = [0, 3, 8, 77, 0x7fffffff, 0xffffffff];
    let refused = 0;
    for (let at = 0; at < bytes.length - 4; at += 4)
      for (const value of noise) {
        const damaged = Buffer.from(bytes);
        damaged.writeUInt32LE(value, at);
        writeFileSync(file, damaged);
        try {
          await all();
        } catch (error) {
          assert.ok(error instanceof InvalidArgumentError, `${at}: ${(error as Error).stack}`);
          refused++;
        }
      }
    assert.ok(refused > 100, String(refused));
    for (const [at, value] of [
      [0, 0],
      [8, 0xffffffff],
      [8, bytes.readUInt32LE(8) - 3],
      [first + 40, 77],
      [first + 48, 0x7fffffff],
      [first + 8, 3],
    ] as const) {
      const damaged = Buffer.from(bytes);
      damaged.writeUInt32LE(value, at);
      writeFileSync(file, damaged);
      await assert.rejects(all(), InvalidArgumentError, String(at));
    }
    const { code, stdout } = await cli("replay", file);
    assert.equal(code, 1);
    assert.match(stdout, /^outcore: .*\(INVALID_ARGUMENT\)\n$/);
  });

  it("record stops at Ctrl+C and keeps what it has", async () => {
    const file = path.join(tempFolder(), "recording");
    const name = freshName("stop");
    const server = createRing(name, { schema });
    const stop = publishing(server, 5);
    const child = start(main, ["ring", "record", name, file, "--json"], options);
    const ended = finish(child);
    for (let i = 0; i < 2000 && (await sizeOf(file)) < 2000; i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    process.kill(child.pid ?? 0, "SIGINT");
    const { code, stdout } = await ended;
    await stop();
    server.close();
    assert.equal(code, 0);
    const { frames, end } = JSON.parse(stdout);
    assert.ok(frames > 0);
    assert.equal(end, "stopped");
    const replayed = JSON.parse(await output("replay", file, "--name", name, "--speed", "100", "--json"));
    assert.deepEqual([replayed.frames, replayed.cut], [frames, false]);
  });

  it("gc removes what dead owners left, and nothing else", async () => {
    const name = freshName("gc");
    const living = createRing(freshName("gc-living"), { schema });
    const holder = peer(here(), "hold", name);
    assert.equal(await holder.line(), "ready");
    holder.kill();
    await holder.exit;
    assert.match(await output("ls"), /outcore ring gc removes/);
    assert.deepEqual(JSON.parse(await output("gc", "--prefix", prefix, "--json")), { removed: [name] });
    assert.equal(exists(name), false);
    assert.ok(exists(living.name));
    assert.equal(await output("gc", "--prefix", prefix), "Nothing to remove.\n");
    living.close();
  });
});

/** Status of a GET request that names another host. */
function statusFor(url: string, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const request = get(url, { headers: { Host: host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on("error", reject);
  });
}

async function sizeOf(file: string): Promise<number> {
  try {
    return readFileSync(file).length;
  } catch {
    return 0;
  }
}
