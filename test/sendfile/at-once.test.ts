import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import type net from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, it } from "vitest";
import { endsOf, sendNow, unknownEnds } from "../../src/memory/send-now.ts";
import { InvalidArgumentError, OutOfRangeError, PeerClosedError, sendFile } from "../../src/sendfile/main.ts";
import { fixture, run } from "../support/run.ts";
import { cleanTempAfterEach, pattern, tempFile } from "../support/temp.ts";
import { connect, hashOf, type Pair, quiet, receive } from "./support.ts";

cleanTempAfterEach();
const pairs: Pair[] = [];
const opened: number[] = [];
afterEach(async () => {
  for (const pair of pairs.splice(0)) pair.close();
  for (const fd of opened.splice(0)) fs.closeSync(fd);
  await quiet();
});

async function pair(options?: net.ServerOpts): Promise<Pair> {
  const made = await connect(options);
  pairs.push(made);
  return made;
}

function open(bytes: Uint8Array | string): number {
  const fd = fs.openSync(tempFile(bytes), "r");
  opened.push(fd);
  return fd;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const content = pattern(200_000);
const openDescriptors = (): number => fs.readdirSync("/proc/self/fd").length;

describe("sendFile of small bodies of open files", () => {
  it("header, body and trailer of every size, in order, with what is written between", async () => {
    const { near, far } = await pair();
    const received = receive(far);
    const file = open(content);
    const expected: Uint8Array[] = [];
    for (const length of [1, 100, 8191, 8192, 8193, 65_536, 150_000, 199_990])
      for (const [header, trailer] of [
        ["", ""],
        ["head", ""],
        ["", "tail"],
        ["head", "tail"],
      ] as const) {
        const ranges = [{ start: 10, end: 9 + length }];
        const result = await sendFile(near, file, { ranges, header: text(header), trailer: text(trailer) });
        assert.deepEqual(result, { sent: header.length + length + trailer.length, method: "sendfile" });
        near.write("between");
        expected.push(text(header), content.subarray(10, 10 + length), text(`${trailer}between`));
      }
    await sendFile(near, file, { ranges: [{ start: 199_999, end: 5e9 }], fallback: false });
    near.end();
    assert.equal((await received).hash, hashOf(...expected, content.subarray(199_999)));
  });

  it("to a peer that reads late: nothing is lost, and what is written at once comes after each", async () => {
    const { near, far } = await pair();
    const file = open(content);
    const expected: Uint8Array[] = [];
    const sending: Promise<unknown>[] = [];
    for (let i = 0; i < 100; i++) {
      const header = text(`<${i}>`);
      sending.push(sendFile(near, file, { header }));
      expected.push(header, content);
    }
    const received = receive(far);
    await Promise.all(sending);
    for (let i = 0; i < 100; i++) {
      const one = sendFile(near, file, { ranges: [{ start: 0, end: 99_999 }] });
      near.write("after");
      await one;
      expected.push(content.subarray(0, 100_000), text("after"));
    }
    near.end();
    assert.equal((await received).hash, hashOf(...expected));
  });

  it("written while a body is half sent: it waits for the rest", async () => {
    const { near, far } = await pair();
    const file = open(content);
    const expected: Uint8Array[] = [];
    let one: Promise<unknown> | undefined;
    let ended = true;
    while (ended) {
      ended = false;
      one = sendFile(near, file).then(() => (ended = true));
      near.write("behind");
      expected.push(content, text("behind"));
      await sleep(5);
    }
    const received = receive(far);
    await one;
    near.end();
    assert.equal((await received).hash, hashOf(...expected));
  });

  it("the number of another connection gets nothing", async () => {
    const made = await pair();
    const other = await pair();
    const file = open(content);
    const received = receive(other.far);
    const ends = endsOf(made.near as never);
    assert.ok(ends);
    const before = openDescriptors();
    assert.equal(sendNow(other.descriptor(), ends, file, 0, 100, undefined, undefined, 0), undefined);
    assert.equal(sendNow(file, ends, file, 0, 100, undefined, undefined, 0), undefined);
    assert.equal(sendNow(file, unknownEnds, file, 0, 100, undefined, undefined, 0), undefined);
    assert.equal(sendNow(-1, ends, file, 0, 100, undefined, undefined, 0), undefined);
    assert.equal(openDescriptors(), before + 1);
    other.near.end();
    assert.equal((await received).length, 0);
  });

  it("a descriptor of a socket", async () => {
    const made = await pair();
    const received = receive(made.far);
    const file = open(content);
    assert.equal((await sendFile(made.descriptor(), file)).sent, content.length);
    made.near.end();
    assert.equal((await received).hash, hashOf(content));
  });

  it("a socket that is gone is a PeerClosedError, and bad input what it is for any body", async () => {
    const { near, far } = await pair();
    const file = open(content);
    const received = receive(far);
    await sendFile(near, file);
    await assert.rejects(sendFile(near, file, { ranges: [{ start: content.length }] }), OutOfRangeError);
    await assert.rejects(sendFile(near, file, { ranges: [{ start: 1.5 }] }), InvalidArgumentError);
    await assert.rejects(sendFile(near, file, { timeout: -1 }), InvalidArgumentError);
    await assert.rejects(sendFile(near, file, { signal: AbortSignal.abort() }), { name: "AbortError" });
    assert.equal((await sendFile(near, open(""))).sent, 0);
    const proc = fs.openSync("/proc/self/status", "r");
    opened.push(proc);
    await assert.rejects(sendFile(near, proc), { name: "UnsupportedFileError" });
    const seen: unknown[] = [];
    await sendFile(near, file, { onProgress: (progress) => seen.push(progress) });
    assert.deepEqual(seen.at(-1), { sent: content.length, total: content.length });
    near.destroy();
    await assert.rejects(sendFile(near, file), PeerClosedError);
    assert.equal((await received).hash, hashOf(content, content));
  });

  it("leaves the event loop its turns, and no descriptor", async () => {
    const { near, far } = await pair();
    const received = receive(far);
    const file = open(content);
    await sendFile(near, file);
    const before = openDescriptors();
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    for (let i = 0; i < 300; i++) await sendFile(near, file);
    clearInterval(timer);
    assert.ok(turns > 0);
    await quiet();
    assert.ok(openDescriptors() <= before + 8);
    near.end();
    assert.equal((await received).length, 301 * content.length);
  });
});

describe("sendFile, who may read and who listens", () => {
  it("a file that may not be read is PermissionError, and the connection stays", async () => {
    const name = tempFile("secret");
    const other = tempFile("public");
    for (const file of [name, other]) fs.chmodSync(path.dirname(file), 0o755);
    fs.chmodSync(name, 0);
    fs.chmodSync(other, 0o644);
    const result = await run(fixture("sendfile-permission.ts"), [name, other]);
    assert.equal(result.stdout.trim(), `PERMISSION ${name}\n6`, result.stderr);
  });

  it("a peer that half-closes gets what it was sent before; then a socket without allowHalfOpen has ended", async () => {
    const { near, far } = await pair();
    const large = pattern(30_000_000);
    const sending = sendFile(near, tempFile(large));
    near.resume();
    const ended = once(near, "end");
    far.end();
    await ended;
    const received = receive(far);
    assert.equal((await sending).sent, large.length);
    await assert.rejects(sendFile(near, open(content)), PeerClosedError);
    assert.equal((await received).hash, hashOf(large));
  });

  it("a peer that half-closes and reads no more is a PeerClosedError", async () => {
    const { near, far } = await pair();
    const sending = sendFile(near, tempFile(pattern(30_000_000)), { timeout: 200 });
    near.resume();
    far.end();
    await assert.rejects(sending, PeerClosedError);
  });
});
