import assert from "node:assert/strict";
import { once } from "node:events";
import path from "node:path";
import process from "node:process";
import { describe, it } from "vitest";
import { line, root, start } from "../support/run.ts";
import { cleanTempAfterEach, tempFile } from "../support/temp.ts";

cleanTempAfterEach();

describe("outcore serve", () => {
  it("serves a folder on loopback until it is asked to end", async () => {
    const folder = path.dirname(tempFile("<p>served</p>", "index.html"));
    const child = start(path.join(root, "cli", "main.ts"), ["serve", folder, "--port", "0"]);
    try {
      const said = await line(child, folder);
      const [url = ""] = /http:\/\/127\.0\.0\.1:\d+\//.exec(said) ?? [];
      const answer = await fetch(url, { headers: { Connection: "close" } });
      assert.equal(await answer.text(), "<p>served</p>");
      const ended = once(child, "close");
      /* Deno reports the signal, not the exit code, of a child that child.kill() reached. */
      process.kill(child.pid ?? 0, "SIGTERM");
      assert.deepEqual((await ended)[0], 0);
    } finally {
      child.kill("SIGKILL");
    }
  });

  it("refuses what is no folder", async () => {
    const child = start(path.join(root, "cli", "main.ts"), ["serve", tempFile("x")]);
    let said = "";
    child.stdout?.on("data", (chunk) => {
      said += String(chunk);
    });
    const [code] = await once(child, "close");
    assert.equal(code, 1);
    assert.match(said, /UNSUPPORTED_FILE/);
  });
});
