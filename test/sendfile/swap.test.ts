import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import type net from "node:net";
import path from "node:path";
import { afterEach, describe, it } from "vitest";
import { dropUnused } from "../../src/memory/reopening.ts";
import { createFileHandler, type FileHandler } from "../../src/sendfile/server/main.ts";
import { fixture, line, runtime, start } from "../support/run.ts";
import { cleanTempAfterEach, pattern, tempFolder } from "../support/temp.ts";
import { hashOf, times } from "./support.ts";

cleanTempAfterEach();
afterEach(() => dropUnused(0));

const SIZE = 1_500_000;
const good = pattern(SIZE);
const secret = new Uint8Array(SIZE).fill(255);
const openDescriptors = (): number => fs.readdirSync("/proc/self/fd").length;

/** A folder with a file, and a symbolic link beside it that leads to a secret outside. */
function swappable(): { folder: string; outside: string; root: string; target: string; link: string } {
  const folder = tempFolder();
  const root = path.join(folder, "www");
  const outside = path.join(folder, "secret");
  fs.mkdirSync(root);
  fs.writeFileSync(outside, secret);
  fs.writeFileSync(path.join(folder, "good"), good);
  fs.writeFileSync(path.join(root, "file"), good);
  const link = path.join(folder, "link");
  fs.symlinkSync(outside, link);
  return { folder, outside, root, target: path.join(root, "file"), link };
}

const ask = (range?: string): Request => new Request("http://a/file", range ? { headers: { Range: range } } : {});

/** The handler behind the server that the runtime is best served by. */
async function listen(handler: FileHandler): Promise<{ url: string; stop: () => unknown }> {
  if (runtime === "bun") {
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: handler.fetch });
    return { url: `${server.url}file`, stop: () => server.stop(true) };
  }
  if (runtime === "deno") {
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => undefined }, handler.fetch);
    return { url: `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}/file`, stop: () => server.shutdown() };
  }
  const server = http.createServer((request, response) => void handler.node(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = (): void => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}/file`, stop };
}

describe("a file that is swapped for a link while it is served", () => {
  for (const range of [undefined, "bytes=7-1400000"])
    it(`after the answer was made: ${range ?? "all"} of the file itself is sent`, async () => {
      const { root, target, link } = swappable();
      const handler = createFileHandler(root);
      const response = handler.fetch(ask(range));
      fs.renameSync(link, target);
      const body = new Uint8Array(await response.arrayBuffer());
      assert.equal(hashOf(body), hashOf(range ? good.subarray(7, 1_400_001) : good));
      assert.equal(handler.fetch(ask()).status, 404);
      handler.close();
    });

  it("after the answer was made and its body was kept for later: nothing else is ever sent", async () => {
    const { root } = swappable();
    const handler = createFileHandler(root);
    const response = handler.fetch(ask());
    handler.close();
    dropUnused(0);
    const others = Array.from({ length: 50 }, () => fs.openSync(path.join(root, "..", "secret"), "r"));
    const body = await response.arrayBuffer().catch(() => new ArrayBuffer(0));
    for (const other of others) fs.closeSync(other);
    if (body.byteLength > 0) assert.equal(hashOf(new Uint8Array(body)), hashOf(good));
  });

  it("at random moments: the file or nothing, and no descriptor stays", async () => {
    const { folder, outside, root, target } = swappable();
    const handler = createFileHandler(root);
    const { url, stop } = await listen(handler);
    const swapper = start(fixture("swap-files.ts"), [target, path.join(folder, "good"), outside]);
    const statuses = new Set<number>();
    const expected = { all: hashOf(good), part: hashOf(good.subarray(7, 1_400_001)) };
    const get = async (i: number): Promise<void> => {
      const response = await fetch(url, i % 2 ? { headers: { Range: "bytes=7-1400000" } } : {});
      const body = new Uint8Array(await response.arrayBuffer());
      statuses.add(response.status);
      if (response.status === 404) return;
      assert.equal(hashOf(body), i % 2 ? expected.part : expected.all, `${response.status} ${body.length}`);
    };
    try {
      await line(swapper, "swapping");
      await get(0);
      const before = openDescriptors();
      for (let i = 0; i < times(1000) || statuses.size < 3; i++) await get(i);
      dropUnused(0);
      assert.ok(openDescriptors() <= before + 8, `${openDescriptors()} descriptors, ${before} before`);
    } finally {
      swapper.kill("SIGKILL");
      await stop();
      handler.close();
    }
    assert.deepEqual([...statuses].sort(), [200, 206, 404]);
  }, 120_000);
});
