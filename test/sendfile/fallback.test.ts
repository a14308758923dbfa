import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import type net from "node:net";
import path from "node:path";
import tls from "node:tls";
import { describe, it } from "vitest";
import { DataFile } from "../../src/memory/data-file.ts";
import { JobKind } from "../../src/memory/job.ts";
import { startTimedJob } from "../../src/memory/timer-pump.ts";
import { SendfileUnavailableError, sendFile } from "../../src/sendfile/main.ts";
import { fixture, root, run } from "../support/run.ts";
import { cleanTempAfterEach, pattern, tempFile, tempFolder } from "../support/temp.ts";
import { connect, hashOf, receive } from "./support.ts";
import { cert, key } from "./tls.ts";

cleanTempAfterEach();

describe("sendFile where the kernel cannot", () => {
  it("an encrypted socket gets the file through its stream", async () => {
    const content = pattern(3_000_000);
    const file = tempFile(content);
    const outcome: unknown[] = [];
    const server = tls.createServer({ key, cert }, async (socket) => {
      socket.on("error", () => undefined);
      await sendFile(socket, file, { fallback: false }).catch((error: unknown) => outcome.push(error));
      outcome.push(await sendFile(socket, file, { header: new Uint8Array([1, 2]) }));
      socket.end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as net.AddressInfo;
    const client = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
    const { hash } = await receive(client as unknown as net.Socket);
    server.close();
    assert.equal(hash, hashOf(new Uint8Array([1, 2]), content));
    assert.ok(outcome[0] instanceof SendfileUnavailableError);
    assert.deepEqual(outcome[1], { sent: content.length + 2, method: "stream" });
  });

  it("a refusal in the middle goes on by copying, at the right byte", async () => {
    const folder = tempFolder();
    const library = path.join(folder, "liboutcore.so");
    const sources = fs
      .readdirSync(path.join(root, "c"))
      .filter((name) => name.endsWith(".c") && !/^(darwin|windows)/.test(name))
      .map((name) => path.join(root, "c", name));
    const flags = ["-O1", "-std=gnu11", "-D_GNU_SOURCE", "-fPIC", "-shared", "-pthread", "-Dsendfile=failing_sendfile"];
    const fault = path.join(folder, "fault.c");
    fs.writeFileSync(
      fault,
      `#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#undef sendfile
ssize_t sendfile(int, int, off_t *, size_t);
ssize_t failing_sendfile(int out, int in, off_t *offset, size_t count) {
  static size_t sent;
  size_t most = (size_t)atol(getenv("FAIL_AFTER"));
  if (sent >= most) { errno = atoi(getenv("FAIL_WITH")); return -1; }
  if (count > most - sent) count = most - sent;
  ssize_t now = sendfile(out, in, offset, count);
  if (now > 0) sent += (size_t)now;
  return now;
}
`,
    );
    const built = spawnSync("cc", [...flags, ...sources, fault, "-o", library]);
    assert.equal(built.status, 0, String(built.stderr));
    const codes: [string, number][] = [
      ["EINVAL", 22],
      ["ENOSYS", 38],
      ["ENOTSUP", 95],
      ["EPERM", 1],
    ];
    for (const [name, number] of codes) {
      const env = { OUTCORE_LIBRARY: library, FAIL_AFTER: String(1_234_567), FAIL_WITH: String(number) };
      const { stdout, stderr } = await run(fixture("sendfile-refused.ts"), [], { env });
      assert.deepEqual(stdout.trim().split("\n"), ["copy true", `SendfileUnavailableError ${name}`], name + stderr);
    }
  }, 60_000);

  it("timers move the bytes where the library has no thread for it", async () => {
    const content = pattern(3_000_000);
    const { near, far, descriptor, close } = await connect();
    const file = DataFile.open(tempFile(content), false);
    try {
      const out = descriptor();
      assert.deepEqual(await startTimedJob(JobKind.writable, out, -1, 0, 0).done, { moved: 0, outcome: "done" });
      const stopped = startTimedJob(JobKind.copy, out, file.fd, 0, 10);
      stopped.stop();
      assert.equal(stopped.moved(), 0);
      const received = receive(far);
      const job = startTimedJob(JobKind.copy, out, file.fd, 1000, content.length);
      assert.deepEqual(await job.done, { moved: content.length - 1000, outcome: "end" });
      near.end();
      assert.equal((await received).hash, hashOf(content.subarray(1000)));
    } finally {
      file.close();
      close();
    }
  });
});
