import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import tls from "node:tls";
import { afterEach, describe, it } from "vitest";
import { pumpState } from "../../src/memory/pump.ts";
import { isBusy } from "../../src/sendfile/line.ts";
import { PeerClosedError, type SendSource, sendFile, sendfile } from "../../src/sendfile/main.ts";
import { runtime } from "../support/run.ts";
import { cleanTempAfterEach, pattern, tempFile } from "../support/temp.ts";
import { connect, hashOf, type Pair, quiet, receive, times } from "./support.ts";
import { cert, key } from "./tls.ts";

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

describe("several transfers at once, aborted at random moments", () => {
  it("each settles, and nothing stays: on the socket, in the pump, among the descriptors", async () => {
    const [named, open] = sources();
    const large = tempFile(pattern(8_000_000));
    const reason = new Error("stop");
    const warm = await connect();
    await sendFile(warm.near, named);
    warm.close();
    await sleep(20);
    const first = fs.readdirSync("/proc/self/fd").length;
    for (let i = 0; i < times(200); i++) {
      const { near, far, close } = await connect();
      if (i % 3 > 0) far.resume();
      const listeners = near.listenerCount("close");
      const controllers = [large, named, open, large].map((source, n) => {
        const controller = new AbortController();
        const sending = sendFile(near, source, { signal: controller.signal, timeout: 5000 }).catch((error) => error);
        near.write(`${n}`);
        return { controller, sending };
      });
      for (const { controller } of controllers.sort(() => Math.random() - 0.5)) {
        await sleep(Math.random() * 4);
        controller.abort(reason);
      }
      for (const { sending } of controllers) {
        const result = await sending;
        assert.ok(result === reason || result instanceof PeerClosedError || result.sent > 0, String(result));
      }
      assert.equal(isBusy(near), false);
      assert.equal(Object.hasOwn(near, "_write") || Object.hasOwn(near, "_writev"), false);
      assert.ok(near.listenerCount("close") <= listeners);
      close();
    }
    await quiet();
    const now = (): number => fs.readdirSync("/proc/self/fd").length;
    for (let i = 0; i < 400 && (pumpState().running || now() > first); i++) await sleep(10);
    assert.equal(pumpState().running, false);
    assert.ok(now() <= first, `${now()} descriptors, ${first} before`);
  }, 120_000);

  it("responses: the connection ends, or its response is whole", async () => {
    const large = tempFile(pattern(8_000_000));
    const outcomes: unknown[] = [];
    const server = http.createServer((_, response) => {
      const controller = new AbortController();
      response.setHeader("Content-Length", 8_000_003);
      const sending = sendFile(response, large, { signal: controller.signal });
      response.write("a");
      response.end("bc");
      setTimeout(() => controller.abort(new Error("stop")), Math.random() * 12);
      sending.then(
        () => outcomes.push("sent"),
        (error: Error) => outcomes.push(error.message),
      );
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const { port } = server.address() as net.AddressInfo;
    try {
      for (let i = 0; i < times(200); i++) {
        const length = await new Promise<number>((resolve) => {
          let got = 0;
          const request = http.get({ port, host: "127.0.0.1", agent }, (response) => {
            response.on("data", (chunk: Uint8Array) => (got += chunk.length));
            response.on("error", () => resolve(-1));
            response.on("aborted", () => resolve(-1));
            response.on("end", () => resolve(got));
          });
          request.on("error", () => resolve(-1));
        });
        assert.ok(length === -1 || length === 8_000_003, `${length} bytes`);
      }
      for (let i = 0; i < 400 && outcomes.length < times(200); i++) await sleep(5);
      for (const outcome of outcomes) assert.ok(outcome === "sent" || outcome === "stop", String(outcome));
    } finally {
      agent.destroy();
      server.close();
      server.closeAllConnections();
    }
  }, 120_000);
});

describe("order on other targets, nothing awaited", () => {
  it("an encrypted socket: its writes do not mix with the file's", async () => {
    const [named, open] = sources();
    const sending: Promise<unknown>[] = [];
    const server = tls.createServer({ key, cert }, (socket) => {
      socket.on("error", () => undefined);
      socket.write(before);
      for (const source of [named, open]) {
        sending.push(sendFile(socket, source, { header: text("(") }));
        for (let i = 0; i < 10; i++) socket.write(content.subarray(i, 50_000));
      }
      socket.end("last");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as net.AddressInfo;
    const client = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
    const { hash } = await receive(client as unknown as net.Socket);
    server.close();
    const writes = Array.from({ length: 10 }, (_, i) => content.subarray(i, 50_000));
    const each = [text("("), content, ...writes];
    assert.equal(hash, hashOf(before, ...each, ...each, text("last")));
    assert.deepEqual(await Promise.all(sending), [
      { sent: content.length + 1, method: "stream" },
      { sent: content.length + 1, method: "stream" },
    ]);
  });

  it("responses: of a known length, chunked, pipelined; write and end wait for the file", async () => {
    const [named, open] = sources();
    const pieces = [text("a"), content, text("b"), content, text("c")];
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const sending: Promise<unknown>[] = [];
    let ended = 0;
    const server = http.createServer((request, response) => {
      if (request.url === "/chunked") response.setHeader("Transfer-Encoding", "chunked");
      else response.setHeader("Content-Length", length);
      response.write("a");
      sending.push(sendFile(response, named));
      assert.equal(response.write("b"), false);
      sending.push(sendFile(response, open));
      response.end("c", () => ended++);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as net.AddressInfo;
    try {
      for (const path of ["/", "/chunked"]) {
        const body = await (await fetch(`http://127.0.0.1:${port}${path}`)).arrayBuffer();
        assert.equal(hashOf(new Uint8Array(body)), hashOf(...pieces), path);
      }
      const client = net.connect(port, "127.0.0.1");
      const ask = (last: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${last}\r\n`;
      client.write(ask("") + ask("") + ask("Connection: close\r\n"));
      const chunks: Uint8Array[] = [];
      client.on("data", (data: Uint8Array) => chunks.push(Uint8Array.from(data)));
      await once(client, "close");
      let all = Buffer.concat(chunks);
      for (let i = 0; i < 3; i++) {
        const at = all.indexOf("\r\n\r\n") + 4;
        assert.equal(hashOf(all.subarray(at, at + length)), hashOf(...pieces), `pipelined ${i}`);
        all = all.subarray(at + length);
      }
      assert.equal(all.length, 0);
      await Promise.all(sending);
      for (let i = 0; i < 200 && ended < 5; i++) await sleep(5);
      assert.equal(ended, 5);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  it("a response that has more to send than its client takes: the file comes behind it", async () => {
    const [named, open] = sources();
    const pieces = [before, content, text("b"), content, before, text("c")];
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const server = http.createServer((_, response) => {
      response.setHeader("Content-Length", length);
      response.write(before);
      void sendFile(response, named);
      response.write("b");
      void sendFile(response, open);
      response.write(before);
      response.end("c");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const client = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
      client.pause();
      client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      await sleep(50);
      const { head, ...all } = await receive(client);
      const start = Buffer.from(head).indexOf("\r\n\r\n") + 4;
      assert.equal(all.length, start + length);
      assert.equal(all.hash, hashOf(head.subarray(0, start), ...pieces));
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  it("a response whose write had to wait says when to go on", async () => {
    const [named] = sources();
    const sending: Promise<unknown>[] = [];
    const server = http.createServer((_, response) => {
      response.setHeader("Content-Length", content.length + 2);
      sending.push(sendFile(response, named));
      assert.equal(response.write("a"), false);
      response.once("drain", () => response.end("b"));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const { port } = server.address() as net.AddressInfo;
      const body = new Uint8Array(await (await fetch(`http://127.0.0.1:${port}`)).arrayBuffer());
      assert.equal(hashOf(body), hashOf(content, text("ab")));
      await Promise.all(sending);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  it("a response that is piped into meanwhile goes on behind the file", async () => {
    const [named] = sources();
    const chunk = new Uint8Array(50_000).fill(255);
    const server = http.createServer((_, response) => {
      response.setHeader("Content-Length", content.length + 100 * chunk.length);
      void sendFile(response, named);
      Readable.from(Array.from({ length: 100 }, () => Buffer.from(chunk))).pipe(response);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const { port } = server.address() as net.AddressInfo;
      const body = new Uint8Array(await (await fetch(`http://127.0.0.1:${port}`)).arrayBuffer());
      assert.equal(hashOf(body), hashOf(content, new Uint8Array(100 * chunk.length).fill(255)));
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  it("a response that is destroyed while calls wait", async () => {
    const large = tempFile(pattern(30_000_000));
    const outcome: unknown[] = [];
    const server = http.createServer((_, response) => {
      for (let i = 0; i < 2; i++)
        void sendFile(response, large).then(
          () => outcome.push("sent"),
          (error: unknown) => outcome.push(error),
        );
      response.write("x");
      response.end();
      setTimeout(() => response.destroy(), 30);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const client = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
      client.on("error", () => undefined);
      client.pause();
      client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      for (let i = 0; i < 400 && outcome.length < 2; i++) await sleep(5);
      client.destroy();
      assert.equal(outcome.length, 2);
      for (const each of outcome) assert.ok(each instanceof PeerClosedError, String(each));
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  it("the runtime's own connections: write and end wait for the file", async () => {
    const [named, open] = sources();
    const expected = [text("a"), content, text("b"), content, before.subarray(0, 3_000_000), text("last")];
    const sending: Promise<unknown>[] = [];
    if (runtime === "bun") {
      const listener = Bun.listen({
        hostname: "127.0.0.1",
        port: 0,
        socket: {
          open(socket) {
            socket.write("a");
            sending.push(sendFile(socket, named));
            assert.equal(socket.write("b"), 1);
            sending.push(sendFile(socket, open));
            assert.equal(socket.write(before, 0, 3_000_000), 3_000_000);
            socket.end("last");
          },
          data: () => undefined,
        },
      });
      const { hash } = await receive(net.connect(listener.port, "127.0.0.1"));
      listener.stop();
      assert.equal(hash, hashOf(...expected));
    } else if (runtime === "deno") {
      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const received = receive(net.connect(listener.addr.port, "127.0.0.1"));
      const conn = await listener.accept();
      await conn.write(text("a"));
      sending.push(sendFile(conn, named));
      const one = conn.write(text("b"));
      sending.push(sendFile(conn, open));
      const writing = (async () => {
        for (let at = 0; at < 3_000_000; ) at += await conn.write(before.subarray(at, 3_000_000));
        await conn.write(text("last"));
        await conn.closeWrite();
      })();
      assert.equal(await one, 1);
      await writing;
      assert.equal((await received).hash, hashOf(...expected));
      conn.close();
      listener.close();
    } else {
      const { near, far } = await pair();
      const received = receive(far);
      const handle = await fs.promises.open(String(named));
      near.write("a");
      sending.push(sendFile(near, handle));
      near.write("b");
      sending.push(sendFile(near, open));
      near.end(Buffer.concat([before.subarray(0, 3_000_000), text("last")]));
      assert.equal((await received).hash, hashOf(...expected));
      await Promise.all(sending);
      await handle.close();
    }
    await Promise.all(sending);
  });
});
