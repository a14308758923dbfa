import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import type net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, it } from "vitest";
import { pumpState } from "../../src/memory/pump.ts";
import { isBusy } from "../../src/sendfile/line.ts";
import { PeerClosedError, type SendSource, sendFile } from "../../src/sendfile/main.ts";
import { cleanTempAfterEach, pattern, tempFile } from "../support/temp.ts";
import { connect, quiet, times } from "./support.ts";

cleanTempAfterEach();
const opened: number[] = [];
afterEach(async () => {
  for (const fd of opened.splice(0)) fs.closeSync(fd);
  await quiet();
});

const content = pattern(700_000);

/** A path, and the descriptor of an open file. */
function sources(): [SendSource, SendSource] {
  const fd = fs.openSync(tempFile(content), "r");
  opened.push(fd);
  return [tempFile(content), fd];
}

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
      assert.ok(near.listenerCount("close") <= listeners);
      close();
      /* The places of those that were aborted before their turn go with the stream's other writes. */
      const shadowed = (): boolean => Object.hasOwn(near, "_write") || Object.hasOwn(near, "_writev");
      for (let n = 0; n < 400 && shadowed(); n++) await sleep(5);
      assert.equal(shadowed(), false);
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
