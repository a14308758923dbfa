import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, it } from "vitest";
import { isBusy } from "../../src/sendfile/line.ts";
import { PeerClosedError, type SendSource, sendFile, sendfile } from "../../src/sendfile/main.ts";
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

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const content = pattern(700_000);
const before = pattern(8_000_000, 7);

/** A path, and the descriptor of an open file. */
function sources(): [SendSource, SendSource] {
  const fd = fs.openSync(tempFile(content), "r");
  opened.push(fd);
  return [tempFile(content), fd];
}

/** Fills the buffers of a connection whose peer does not read, until the kernel takes not a byte more. */
function fillKernel(descriptor: number, parts: Uint8Array[]): void {
  const file = fs.openSync(tempFile(before), "r");
  opened.push(file);
  for (;;) {
    try {
      parts.push(before.subarray(0, sendfile(descriptor, file, 0, 100_000)));
    } catch (error) {
      assert.equal((error as { errno?: string }).errno, "EAGAIN");
      return;
    }
  }
}

type State = "idle" | "user space full" | "kernel full" | "corked" | "a transfer before";

/** Brings a socket into a state; adds what the peer gets of that. */
function bring(made: Pair, state: State, file: SendSource, parts: Uint8Array[]): Promise<unknown> | undefined {
  const { near } = made;
  switch (state) {
    case "user space full":
      near.write(before);
      parts.push(before);
      assert.ok(near.writableLength > 0);
      return undefined;
    case "kernel full":
      fillKernel(made.descriptor(), parts);
      assert.equal(near.writableLength, 0);
      return undefined;
    case "corked":
      near.cork();
      near.write("corked");
      parts.push(text("corked"));
      return undefined;
    case "a transfer before":
      parts.push(text("<"), content, text(">"));
      return sendFile(near, file, { header: text("<"), trailer: text(">"), rate: 5_000_000 });
    default:
      return undefined;
  }
}

const states: State[] = ["idle", "user space full", "kernel full", "corked", "a transfer before"];

describe("order on a net.Socket, nothing awaited", () => {
  for (const state of states)
    it(`${state}: each file where it was asked for among what is written, and the end behind all`, async () => {
      const made = await pair();
      const { near, far } = made;
      const [named, open] = sources();
      const parts: Uint8Array[] = [];
      const sending = [bring(made, state, open, parts)];
      for (const [i, source] of [open, named, open, open].entries()) {
        near.write(`a${i}`);
        sending.push(sendFile(near, source, { header: text("(") }));
        near.write(`x${i}`);
        near.write(`y${i}`);
        parts.push(text(`a${i}(`), content, text(`x${i}y${i}`));
      }
      const short = { ranges: [{ start: 5, end: 104 }] };
      sending.push(sendFile(near, open, short), sendFile(near, named, short));
      near.end("last");
      parts.push(content.subarray(5, 105), content.subarray(5, 105), text("last"));
      await sleep(20);
      const { hash, error } = await receive(far);
      assert.equal(error, undefined);
      assert.equal(hash, hashOf(...parts));
      for (const each of sending) await each;
      await assert.rejects(sendFile(near, open), PeerClosedError);
      assert.equal(isBusy(near), false);
      assert.equal(Object.hasOwn(near, "_write") || Object.hasOwn(near, "_writev"), false);
    });

  for (const state of states)
    it(`${state}: a file at once behind a call, small`, async () => {
      const made = await pair();
      const { near, far } = made;
      const [named, open] = sources();
      const parts: Uint8Array[] = [];
      const sending = [bring(made, state, open, parts)];
      for (const source of [open, named]) {
        sending.push(sendFile(near, source, { ranges: [{ start: 0, end: 999 }] }));
        near.write("after");
        parts.push(content.subarray(0, 1000), text("after"));
      }
      near.end();
      const { hash } = await receive(far);
      assert.equal(hash, hashOf(...parts));
      for (const each of sending) await each;
    });

  it("a socket that is not connected yet", async () => {
    const server = net.createServer((socket) => socket.pause());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const accepted = once(server, "connection");
    const near = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
    const [named, open] = sources();
    near.write("first");
    const one = sendFile(near, named);
    near.write("between");
    const two = sendFile(near, open);
    near.end("last");
    const [far] = (await accepted) as [net.Socket];
    assert.equal((await receive(far)).hash, hashOf(text("first"), content, text("between"), content, text("last")));
    assert.deepEqual((await one).method, "sendfile");
    assert.deepEqual((await two).method, "sendfile");
    server.close();
  });

  it("what is piped into the socket meanwhile goes around the file", async () => {
    for (const full of [false, true]) {
      const { near, far } = await pair();
      const [named] = sources();
      const chunk = new Uint8Array(50_000).fill(255);
      if (full) near.write(before);
      const piped = Readable.from(Array.from({ length: 100 }, () => Buffer.from(chunk)));
      piped.pipe(near);
      await sleep(5);
      const sending = sendFile(near, named, { header: text("\0head"), trailer: text("tail\0") });
      const chunks: Uint8Array[] = [];
      far.on("data", (data: Uint8Array) => chunks.push(Uint8Array.from(data)));
      far.resume();
      await once(far, "end");
      await sending;
      const all = Buffer.concat(chunks);
      const at = all.indexOf("\0head");
      const end = at + content.length + 10;
      assert.equal(hashOf(all.subarray(at, end)), hashOf(text("\0head"), content, text("tail\0")));
      const start = full ? before.length : 0;
      const around = Buffer.concat([all.subarray(start, at), all.subarray(end)]);
      assert.equal(around.length, 5_000_000);
      assert.ok(around.every((byte) => byte === 255));
    }
  });

  it("writes that wait are told of, as for a slow peer: false, then drain, then their callbacks", async () => {
    const { near, far } = await pair();
    const [named] = sources();
    const sending = sendFile(near, named, { rate: 20_000_000 });
    const drained = once(near, "drain");
    let isSent = false;
    let wasSent = false;
    void sending.then(() => (isSent = true));
    const written = new Promise<void>((resolve) => {
      const accepted = near.write(before.subarray(0, 300_000), () => {
        wasSent = isSent;
        resolve();
      });
      assert.equal(accepted, false);
    });
    assert.equal(near.writableLength, 300_000);
    const received = receive(far);
    await Promise.all([sending, drained, written]);
    assert.equal(wasSent, true);
    assert.equal(near.writableLength, 0);
    near.end();
    assert.equal((await received).hash, hashOf(content, before.subarray(0, 300_000)));
  });

  it("one that is aborted before its turn sends nothing, and nobody overtakes", async () => {
    const made = await pair();
    const { near, far } = made;
    const [named, open] = sources();
    const parts: Uint8Array[] = [];
    bring(made, "user space full", open, parts);
    const controller = new AbortController();
    const reason = new Error("not this one");
    const one = sendFile(near, named);
    near.write("a");
    const two = sendFile(near, open, { signal: controller.signal });
    near.write("b");
    const three = sendFile(near, open);
    near.end("c");
    const refused = assert.rejects(two, (error) => error === reason);
    controller.abort(reason);
    await refused;
    const missing = await sendFile(near, "/none").catch((error: Error) => error.name);
    assert.equal(missing, "PeerClosedError");
    parts.push(content, text("ab"), content, text("c"));
    assert.equal((await receive(far)).hash, hashOf(...parts));
    await one;
    await three;
  });

  it("one that fails before its first byte leaves the others where they are", async () => {
    const { near, far } = await pair();
    const [named, open] = sources();
    const one = sendFile(near, named, { header: text("1") });
    const two = assert.rejects(sendFile(near, `${String(named)}-none`), { name: "NotFoundError" });
    const three = assert.rejects(sendFile(near, open, { ranges: [{ start: 1e9 }] }), { name: "OutOfRangeError" });
    near.write("2");
    const four = sendFile(near, open, { header: text("3") });
    near.end("4");
    assert.equal((await receive(far)).hash, hashOf(text("1"), content, text("23"), content, text("4")));
    await Promise.all([one, two, three, four]);
  });

  it("destroyed while some wait: each is a PeerClosedError, callbacks hear of it, nothing stays on the socket", async () => {
    for (const state of states) {
      const made = await pair();
      const { near } = made;
      const [named, open] = sources();
      const before = bring(made, state, open, [])?.catch((error: unknown) => error);
      const large = tempFile(pattern(30_000_000));
      const sending = [large, named, open].map((source) =>
        sendFile(near, source).then(
          () => undefined,
          (error: unknown) => error,
        ),
      );
      const written = new Promise((resolve) => near.write("never", resolve));
      await sleep(5);
      near.destroy();
      for (const each of sending) assert.ok((await each) instanceof PeerClosedError, state);
      assert.ok((await written) instanceof Error);
      await before;
      assert.equal(isBusy(near), false);
      assert.equal(Object.hasOwn(near, "_write") || Object.hasOwn(near, "_writev"), false);
    }
  });
});
