import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { afterEach, describe, it } from "vitest";
import { copyFile, InvalidArgumentError, OutOfRangeError, proxy, splice } from "../../src/sendfile/main.ts";
import { cleanTempAfterEach, pattern, tempFile, tempFolder } from "../support/temp.ts";
import { connect, hashOf, type Pair, quiet, receive } from "./support.ts";

cleanTempAfterEach();
const pairs: Pair[] = [];
afterEach(async () => {
  for (const pair of pairs.splice(0)) pair.close();
  await quiet();
});

const content = pattern(3_000_000);

describe("copyFile", () => {
  it("copies a file and replaces what was there", async () => {
    const to = tempFile("much longer than nothing");
    const { bytes } = await copyFile(tempFile(content), to);
    assert.equal(bytes, content.length);
    assert.equal(hashOf(fs.readFileSync(to)), hashOf(content));
  });

  it("copies a range, an empty file, and beyond the end nothing", async () => {
    const source = tempFile(content);
    const to = path.join(tempFolder(), "to");
    await copyFile(source, to, { range: { start: 1000, end: 500_000 } });
    assert.equal(hashOf(fs.readFileSync(to)), hashOf(content.subarray(1000, 500_001)));
    await copyFile(tempFile(""), to);
    assert.equal(fs.statSync(to).size, 0);
    await assert.rejects(copyFile(source, to, { range: { start: 3_000_000 } }), OutOfRangeError);
  });

  it("holes stay holes", async () => {
    const source = tempFile("begin");
    fs.truncateSync(source, 300_000_000);
    const fd = fs.openSync(source, "r+");
    fs.writeSync(fd, content, 0, 5000, 200_000_000);
    fs.closeSync(fd);
    const to = path.join(tempFolder(), "to");
    await copyFile(source, to, { reflink: "never" });
    const { size, blocks } = fs.statSync(to);
    assert.equal(size, 300_000_000);
    assert.ok(blocks * 512 < 1_000_000, `${blocks * 512} bytes on disk`);
    const part = new Uint8Array(5002);
    const reader = fs.openSync(to, "r");
    fs.readSync(reader, part, 0, part.length, 199_999_999);
    fs.closeSync(reader);
    assert.equal(hashOf(part), hashOf(new Uint8Array(1), content.subarray(0, 5000), new Uint8Array(1)));
  });

  it("copies from one file system to another", async () => {
    const to = path.join(tempFolder(fs.existsSync("/dev/shm") ? "/dev/shm" : undefined), "to");
    await copyFile(tempFile(content), to);
    assert.equal(hashOf(fs.readFileSync(to)), hashOf(content));
  });

  it("a file is not copied onto itself", async () => {
    const file = tempFile(content);
    await assert.rejects(copyFile(file, file), InvalidArgumentError);
    const link = path.join(tempFolder(), "link");
    fs.linkSync(file, link);
    await assert.rejects(copyFile(file, link), InvalidArgumentError);
    assert.equal(fs.statSync(file).size, content.length);
  });
});

describe("splice", () => {
  it("moves what arrives at one connection to another, and its end", async () => {
    const from = await connect({ pauseOnConnect: true, allowHalfOpen: true });
    const to = await connect();
    pairs.push(from, to);
    const received = receive(to.far);
    from.far.end(content);
    assert.equal(await splice(from.descriptor(), to.descriptor()), content.length);
    const { length, hash } = await received;
    assert.equal(length, content.length);
    assert.equal(hash, hashOf(content));
  });

  it("moves no more than it is told", async () => {
    const from = await connect({ pauseOnConnect: true });
    const to = await connect();
    pairs.push(from, to);
    const received = receive(to.far);
    from.far.write(content.subarray(0, 1000));
    assert.equal(await splice(from.descriptor(), to.descriptor(), { count: 600 }), 600);
    to.near.end();
    assert.equal((await received).hash, hashOf(content.subarray(0, 600)));
  });

  it("stops on abort and on a timeout", async () => {
    const from = await connect({ pauseOnConnect: true });
    const to = await connect();
    pairs.push(from, to);
    await assert.rejects(splice(from.descriptor(), to.descriptor(), { timeout: 50 }), { code: "PEER_CLOSED" });
    const controller = new AbortController();
    const waiting = splice(from.descriptor(), to.descriptor(), { signal: controller.signal });
    const watched = assert.rejects(waiting, { name: "AbortError" });
    controller.abort();
    await watched;
  });

  it("a proxy carries both ways", async () => {
    const echo = net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    echo.listen(0, "127.0.0.1");
    await once(echo, "listening");
    const outcome: unknown[] = [];
    const front = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, async (client) => {
      client.on("error", () => undefined);
      const { port } = echo.address() as net.AddressInfo;
      const server = new net.Socket({ allowHalfOpen: true });
      server.pause();
      server.on("error", () => undefined);
      server.connect(port, "127.0.0.1");
      outcome.push(await proxy(client, server).catch((error: unknown) => error));
    });
    front.listen(0, "127.0.0.1");
    await once(front, "listening");
    const client = net.connect((front.address() as net.AddressInfo).port, "127.0.0.1");
    const received = receive(client);
    client.end(content);
    const { length, hash } = await received;
    front.close();
    echo.close();
    assert.equal(length, content.length);
    assert.equal(hash, hashOf(content));
    for (let i = 0; i < 100 && outcome.length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual(outcome, [{ sent: content.length, received: content.length }]);
  });
});
