import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import tls from "node:tls";
import { afterEach, describe, it } from "vitest";
import { PeerClosedError, type SendSource, sendFile } from "../../src/sendfile/main.ts";
import { runtime } from "../support/run.ts";
import { cleanTempAfterEach, pattern, tempFile } from "../support/temp.ts";
import { connect, hashOf, quiet, receive } from "./support.ts";
import { cert, key } from "./tls.ts";

cleanTempAfterEach();
const opened: number[] = [];
afterEach(async () => {
  for (const fd of opened.splice(0)) fs.closeSync(fd);
  await quiet();
});

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const content = pattern(700_000);
const before = pattern(8_000_000, 7);

/** A path, and the descriptor of an open file. */
function sources(): [SendSource, SendSource] {
  const fd = fs.openSync(tempFile(content), "r");
  opened.push(fd);
  return [tempFile(content), fd];
}

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

  it("a response that is ended behind a file that cannot be sent is destroyed, one that waits for it is not", async () => {
    const [named] = sources();
    const aborted = { signal: AbortSignal.abort(new Error("stop")) };
    const outcome: string[] = [];
    const server = http.createServer(async (request, response) => {
      const sending =
        request.url === "/aborted" ? sendFile(response, named, aborted) : sendFile(response, `${String(named)}-none`);
      if (request.url === "/awaited") {
        await sending.catch((error: Error) => outcome.push(error.name));
        response.statusCode = 404;
        response.end("none");
        return;
      }
      response.end("end");
      await sending.catch((error: Error) => outcome.push(error.name));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as net.AddressInfo;
    const ask = async (path: string): Promise<string> => {
      const client = net.connect(port, "127.0.0.1");
      client.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
      return Buffer.from((await receive(client)).head).toString();
    };
    try {
      assert.equal(await ask("/aborted"), "");
      assert.equal(await ask("/missing"), "");
      assert.match(await ask("/awaited"), /^HTTP\/1\.1 404(.|\s)*none/);
      assert.deepEqual(outcome, ["Error", "NotFoundError", "NotFoundError"]);
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
      const { near, far } = await connect();
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
