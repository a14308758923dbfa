import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, it } from "vitest";
import { pumpState } from "../../src/memory/pump.ts";
import {
  InvalidArgumentError,
  NotFoundError,
  OutOfRangeError,
  PeerClosedError,
  SendfileUnavailableError,
  sendFile,
  TruncatedError,
  UnsupportedFileError,
} from "../../src/sendfile/main.ts";
import { runtime } from "../support/run.ts";
import { cleanTempAfterEach, pattern, tempFile, tempFolder } from "../support/temp.ts";
import { connect, hashOf, type Pair, quiet, type Received, receive, times } from "./support.ts";

cleanTempAfterEach();
const pairs: Pair[] = [];
afterEach(async () => {
  for (const pair of pairs.splice(0)) pair.close();
  await quiet();
});

async function pair(options?: net.ServerOpts): Promise<Pair> {
  const made = await connect(options);
  pairs.push(made);
  return made;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const content = pattern(3_000_000);
const openDescriptors = (): number => fs.readdirSync("/proc/self/fd").length;

describe("sendFile, targets and sources", () => {
  it("a net.Socket: what was written before goes first, what is written meanwhile comes after", async () => {
    const { near, far } = await pair();
    const before = pattern(6_000_000, 3);
    near.write(before);
    const received = receive(far);
    const sending = sendFile(near, tempFile(content), { header: text("HEAD"), trailer: text("TAIL") });
    while (near.writableLength > 0) await sleep(1);
    await sleep(2);
    near.write("meanwhile");
    assert.deepEqual(await sending, { sent: content.length + 8, method: "sendfile" });
    near.end("after");
    const { length, hash } = await received;
    assert.equal(length, before.length + content.length + 8 + 14);
    assert.equal(hash, hashOf(before, text("HEAD"), content, text("TAILmeanwhileafter")));
  });

  it("a descriptor of a socket, a pipe and a file", async () => {
    const source = tempFile(content);
    const made = await pair();
    const received = receive(made.far);
    await sendFile(made.descriptor(), source);
    made.near.end();
    assert.equal((await received).hash, hashOf(content));

    const folder = tempFolder();
    const copy = path.join(folder, "copy");
    const out = fs.openSync(copy, "w");
    await sendFile(out, source);
    fs.closeSync(out);
    assert.equal(hashOf(fs.readFileSync(copy)), hashOf(content));

    const fifo = path.join(folder, "fifo");
    assert.equal(spawnSync("mkfifo", [fifo]).status, 0);
    const both = fs.openSync(fifo, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
    const small = content.subarray(0, 40_000);
    await sendFile(both, tempFile(small));
    const got = new Uint8Array(small.length);
    for (let at = 0; at < got.length; ) at += fs.readSync(both, got, at, got.length - at, null);
    fs.closeSync(both);
    assert.equal(hashOf(got), hashOf(small));
  });

  it("an http.ServerResponse, three times on one connection", async () => {
    const file = tempFile(content);
    const methods: string[] = [];
    const ports = new Set<number | undefined>();
    const server = http.createServer(async (request, response) => {
      ports.add(request.socket.remotePort);
      if (methods.length === 1) response.writeHead(200, { "Content-Length": content.length });
      methods.push((await sendFile(response, file)).method);
      response.end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const { port } = server.address() as net.AddressInfo;
    try {
      for (let i = 0; i < 3; i++) {
        const received = await new Promise<Received>((resolve, reject) => {
          const request = http.get({ port, host: "127.0.0.1", agent }, (response) => {
            assert.equal(response.headers["content-length"], String(content.length));
            const chunks: Uint8Array[] = [];
            response.on("data", (chunk: Uint8Array) => chunks.push(Uint8Array.from(chunk)));
            response.on("end", () =>
              resolve({ length: 0, hash: hashOf(...chunks), head: new Uint8Array(0), error: undefined }),
            );
          });
          request.on("error", reject);
        });
        assert.equal(received.hash, hashOf(content));
      }
      while (methods.length < 3) await sleep(1);
    } finally {
      agent.destroy();
      server.close();
    }
    assert.deepEqual(methods, ["sendfile", "sendfile", "sendfile"]);
    assert.equal(ports.size, 1);
  });

  it("a chunked response goes through the stream", async () => {
    const file = tempFile(content);
    const outcome: string[] = [];
    const server = http.createServer(async (_, response) => {
      response.writeHead(200, { "Transfer-Encoding": "chunked" });
      response.write("first ");
      await sendFile(response, file, { fallback: false }).catch((error: Error) => outcome.push(error.name));
      outcome.push((await sendFile(response, file)).method);
      response.end(" last");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const { port } = server.address() as net.AddressInfo;
      const body = new Uint8Array(await (await fetch(`http://127.0.0.1:${port}/`)).arrayBuffer());
      assert.equal(hashOf(body), hashOf(text("first "), content, text(" last")));
      assert.deepEqual(outcome, ["SendfileUnavailableError", "stream"]);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  it("the runtime's own connections and files", async () => {
    const file = tempFile(content);
    if (runtime === "bun") {
      const result: unknown[] = [];
      const listener = Bun.listen({
        hostname: "127.0.0.1",
        port: 0,
        socket: {
          async open(socket) {
            result.push((await sendFile(socket, Bun.file(file))).method);
            socket.end();
          },
          data: () => undefined,
        },
      });
      const received = await receive(net.connect(listener.port, "127.0.0.1"));
      listener.stop();
      assert.equal(received.hash, hashOf(content));
      assert.deepEqual(result, ["sendfile"]);
      await assert.rejects(sendFile(1, Bun.file(file).slice(5)), InvalidArgumentError);
    } else if (runtime === "deno") {
      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const received = receive(net.connect(listener.addr.port, "127.0.0.1"));
      const conn = await listener.accept();
      const opened = await Deno.open(file);
      assert.equal((await sendFile(conn, opened)).method, "sendfile");
      assert.equal(opened.seekSync(0, Deno.SeekMode.Current), 0);
      opened.close();
      conn.close();
      listener.close();
      assert.equal((await received).hash, hashOf(content));
    } else {
      const { near, far } = await pair();
      const received = receive(far);
      const handle = await fs.promises.open(file);
      await sendFile(near, handle);
      await handle.close();
      near.end();
      assert.equal((await received).hash, hashOf(content));
    }
  });

  it("a URL, ranges, and bytes around each range", async () => {
    const { near, far } = await pair();
    const received = receive(far);
    const file = new URL(`file://${tempFile(content)}`);
    const ranges = [
      { start: 0, end: 99, header: text("[") },
      { start: 2_999_000, end: 5_000_000, trailer: text("]") },
      { last: 5 },
      { start: 1_000_000, end: 1_000_000 },
    ];
    await sendFile(near, file, { ranges });
    near.end();
    const part = (a: number, b: number): Uint8Array => content.subarray(a, b);
    const parts = [text("["), part(0, 100), part(2_999_000, 3e6), text("]"), part(2_999_995, 3e6), part(1e6, 1e6 + 1)];
    assert.equal((await received).hash, hashOf(...parts));
  });

  it("bodies around the small-body threshold, one after the other on one socket", async () => {
    const { near, far } = await pair();
    const received = receive(far);
    const file = tempFile(content);
    const expected: Uint8Array[] = [];
    for (const length of [1, 1023, 8191, 8192, 8193, 20_000, 70_000]) {
      await sendFile(near, file, { ranges: [{ start: 10, end: 9 + length }], header: text("h") });
      expected.push(text("h"), content.subarray(10, 10 + length));
    }
    near.end();
    assert.equal((await received).hash, hashOf(...expected));
  });

  it("transfers to one socket do not mix", async () => {
    const { near, far } = await pair();
    const received = receive(far);
    const file = tempFile(content);
    await Promise.all([1, 2, 3].map((n) => sendFile(near, file, { header: text(String(n)) })));
    near.end();
    assert.equal((await received).hash, hashOf(text("1"), content, text("2"), content, text("3"), content));
  });
});

describe("sendFile, options", () => {
  it("progress reaches the total", async () => {
    const { near, far } = await pair();
    const received = receive(far);
    const seen: number[] = [];
    await sendFile(near, tempFile(pattern(20_000_000)), {
      onProgress: ({ sent, total }) => {
        assert.equal(total, 20_000_000);
        seen.push(sent);
      },
    });
    near.end();
    await received;
    assert.equal(seen.at(-1), 20_000_000);
    assert.ok(seen.length >= 3);
    assert.deepEqual(
      seen,
      [...seen].sort((a, b) => a - b),
    );
  });

  it("what onProgress throws ends the transfer", async () => {
    const { near, far } = await pair();
    const received = receive(far);
    const fail = (): void => {
      throw new RangeError("enough");
    };
    await assert.rejects(sendFile(near, tempFile(content), { onProgress: fail }), RangeError);
    assert.ok((await received).length < content.length);
  });

  it("the rate is kept", async () => {
    const { near, far } = await pair();
    const received = receive(far);
    const started = performance.now();
    await sendFile(near, tempFile(content), { rate: 10_000_000 });
    assert.ok(performance.now() - started >= 200);
    near.end();
    assert.equal((await received).hash, hashOf(content));
  });

  it("an idle timeout ends the transfer to a peer that stops reading, and nothing is left", async () => {
    const { near, far } = await pair();
    far.pause();
    await assert.rejects(
      sendFile(near, tempFile(pattern(30_000_000)), { timeout: 200 }),
      (error) => error instanceof PeerClosedError && error.errno === "ETIMEDOUT",
    );
    assert.equal(near.destroyed, true);
  });

  it("bad options are refused before anything is sent", async () => {
    const { near } = await pair();
    const file = tempFile(content);
    for (const bad of [{ start: -1 }, { start: 0.5 }, { start: 5, end: 4 }, { last: -1 }, { start: Number.NaN }])
      await assert.rejects(sendFile(near, file, { ranges: [bad] }), InvalidArgumentError);
    await assert.rejects(sendFile(near, file, { rate: 0 }), InvalidArgumentError);
    await assert.rejects(sendFile(near, file, { timeout: -1 }), InvalidArgumentError);
    await assert.rejects(sendFile(near, file, { ranges: [{ start: content.length }] }), OutOfRangeError);
    await assert.rejects(sendFile({} as never, file), InvalidArgumentError);
    await assert.rejects(sendFile(undefined as never, file), InvalidArgumentError);
    await assert.rejects(sendFile(near, {} as never), InvalidArgumentError);
    assert.equal(near.destroyed, false);
  });
});

describe("sendFile, faults", () => {
  it("a file that shrinks is a TruncatedError, and the connection ends", async () => {
    const { near, far } = await pair();
    const file = tempFile(pattern(40_000_000));
    const sending = sendFile(near, file);
    const watched = assert.rejects(sending, TruncatedError);
    await sleep(20);
    fs.truncateSync(file, 100_000);
    const received = receive(far);
    await watched;
    assert.ok((await received).length < 40_000_000);
  });

  it("a peer that closes, or resets, is a PeerClosedError", async () => {
    for (const end of ["destroy", "resetAndDestroy"] as const) {
      const { near, far } = await pair();
      const sending = sendFile(near, tempFile(pattern(40_000_000)));
      const watched = assert.rejects(sending, PeerClosedError);
      await sleep(10);
      if (typeof far[end] === "function") far[end]();
      else far.destroy();
      await watched;
    }
  });

  it("a peer that has half-closed still gets the file", async () => {
    const { near, far } = await pair({ allowHalfOpen: true });
    const received = receive(far);
    far.end();
    await sleep(10);
    near.resume();
    await sendFile(near, tempFile(content));
    near.end();
    assert.equal((await received).hash, hashOf(content));
  });

  it("aborted at random moments nothing is left", async () => {
    const file = tempFile(pattern(20_000_000));
    {
      const { near, far } = await pair();
      const received = receive(far);
      await sendFile(near, file);
      near.end();
      await received;
      for (const each of pairs.splice(0)) each.close();
    }
    await sleep(20);
    const before = openDescriptors();
    for (let i = 0; i < times(100); i++) {
      const made = await connect();
      const { near, far } = made;
      if (i % 2 === 0) void receive(far);
      const controller = new AbortController();
      const sending = sendFile(near, file, { signal: controller.signal });
      const listeners = near.listenerCount("close");
      const reason = new Error("stop");
      const watched = sending.then(
        () => undefined,
        (error) => assert.equal(error, reason),
      );
      await sleep(Math.random() * 8);
      controller.abort(reason);
      await watched;
      assert.ok(near.listenerCount("close") <= listeners);
      made.close();
    }
    await quiet();
    for (let i = 0; i < 200 && (pumpState().running || openDescriptors() > before); i++) await sleep(10);
    assert.equal(pumpState().running, false);
    assert.ok(openDescriptors() <= before, `${openDescriptors()} descriptors, ${before} before`);
  });

  it("aborted before it begins it sends nothing", async () => {
    const { near, far } = await pair();
    const received = receive(far);
    await assert.rejects(sendFile(near, tempFile(content), { signal: AbortSignal.abort() }), { name: "AbortError" });
    near.end();
    assert.equal((await received).length, 0);
  });

  it("an empty file, and a sparse file of 2.5 GB in part", async () => {
    const { near, far } = await pair();
    const received = receive(far);
    assert.equal((await sendFile(near, tempFile(""))).sent, 0);
    const sparse = tempFile("begin");
    fs.truncateSync(sparse, 2_500_000_000);
    await sendFile(near, sparse, { ranges: [{ start: 0, end: 9_999 }, { last: 10_000_000 }] });
    near.end();
    const zeros = new Uint8Array(10_009_995);
    assert.equal((await received).hash, hashOf(text("begin"), zeros));
  });

  it("directories, FIFOs, files of /proc and missing files are refused", async () => {
    const { near } = await pair();
    const folder = tempFolder();
    const fifo = path.join(folder, "fifo");
    assert.equal(spawnSync("mkfifo", [fifo]).status, 0);
    for (const bad of [folder, fifo, "/proc/self/status"])
      await assert.rejects(sendFile(near, bad), UnsupportedFileError);
    await assert.rejects(sendFile(near, path.join(folder, "none")), NotFoundError);
    await assert.rejects(sendFile(near, `${folder}\0`), InvalidArgumentError);
    await assert.rejects(sendFile(near, 99_999));
    await assert.rejects(sendFile(99_999, tempFile(content)));
  });

  it("a closed socket is a PeerClosedError", async () => {
    const { near } = await pair();
    near.destroy();
    await assert.rejects(sendFile(near, tempFile(content)), PeerClosedError);
  });

  it("a file open for appending cannot take sendfile: it is copied", async () => {
    const source = tempFile(content);
    const log = tempFile("log:");
    const out = fs.openSync(log, "a");
    try {
      await assert.rejects(
        sendFile(out, source, { fallback: false }),
        (error) => error instanceof SendfileUnavailableError && error.errno === "EINVAL",
      );
      assert.equal((await sendFile(out, source)).method, "copy");
    } finally {
      fs.closeSync(out);
    }
    assert.equal(hashOf(fs.readFileSync(log)), hashOf(text("log:"), content));
  });

  it("500 transfers at once, each whole", async () => {
    const count = times(500);
    const size = 300_000;
    const file = tempFile(content);
    await Promise.all(
      Array.from({ length: count }, async (_, i) => {
        const { near, far } = await pair();
        const received = receive(far);
        await sendFile(near, file, { ranges: [{ start: i, end: i + size - 1 }] });
        near.end();
        assert.equal((await received).hash, hashOf(content.subarray(i, i + size)));
      }),
    );
  });

  it("a fast transfer is not held up by peers that do not read", async () => {
    const slow = await Promise.all(Array.from({ length: times(100) }, () => pair()));
    const large = tempFile(pattern(20_000_000));
    const stalled = slow.map(({ near }) => sendFile(near, large).catch((error: Error) => error));
    const { near, far } = await pair();
    const received = receive(far);
    await sendFile(near, large);
    near.end();
    assert.equal((await received).length, 20_000_000);
    for (const each of slow) each.close();
    for (const each of await Promise.all(stalled)) assert.ok(each instanceof PeerClosedError);
  });

  it("a socket closed and its number reused never receives our bytes", async () => {
    const file = tempFile(pattern(10_000_000));
    for (let i = 0; i < times(100); i++) {
      const first = await connect();
      first.far.pause();
      const sending = sendFile(first.near, file).catch((error: unknown) => error);
      await sleep(Math.random() * 3);
      first.near.destroy();
      const second = await connect();
      const received = receive(second.far);
      second.near.end("only this");
      assert.equal((await received).hash, hashOf(text("only this")));
      first.close();
      second.close();
      assert.ok((await sending) instanceof PeerClosedError);
    }
  });
});
