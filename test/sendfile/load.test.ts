import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, it } from "vitest";
import { serveFolder } from "../../src/sendfile/server/main.ts";
import { collect, fixture, line, start } from "../support/run.ts";
import { cleanTempAfterEach, pattern, tempFolder } from "../support/temp.ts";
import { hashOf, quiet, times } from "./support.ts";

cleanTempAfterEach();

describe("the file server under load", () => {
  it("slow clients take little memory and hold up nobody", async () => {
    const root = tempFolder();
    const content = pattern(20_000_000);
    fs.writeFileSync(path.join(root, "large"), content);
    const server = await serveFolder(root);
    const clients = times(1000);
    const get = async (): Promise<string> =>
      hashOf(new Uint8Array(await (await fetch(`${server.url}large`)).arrayBuffer()));
    try {
      assert.equal(await get(), hashOf(content));
      await collect();
      const before = process.memoryUsage.rss();
      const child = start(fixture("slow-clients.ts"), [String(server.port), String(clients), "/large"]);
      try {
        await line(child, "all open");
        await sleep(1500);
        await collect();
        const growth = process.memoryUsage.rss() - before;
        assert.equal(await get(), hashOf(content));
        assert.ok(growth < 100 * 2 ** 20, `${Math.round(growth / 2 ** 20)} MiB for ${clients} clients`);
      } finally {
        child.kill("SIGKILL");
      }
    } finally {
      await server.close(100);
    }
    await quiet();
  }, 120_000);
});
