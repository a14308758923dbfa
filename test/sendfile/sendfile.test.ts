import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { InvalidArgumentError, PeerClosedError, SystemError, sendfile } from "../../src/sendfile/main.ts";
import { cleanTempAfterEach, pattern, tempFile, tempFolder } from "../support/temp.ts";
import { connect, hashOf, long, type Pair, receive, retry } from "./support.ts";

cleanTempAfterEach();

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** A connection and an open file; everything is closed afterwards. */
async function withFile(
  content: Uint8Array | string,
  work: (out: number, input: number, pair: Pair) => Promise<void>,
): Promise<void> {
  const pair = await connect();
  const input = fs.openSync(typeof content === "string" ? content : tempFile(content), "r");
  try {
    await work(pair.descriptor(), input, pair);
  } finally {
    fs.closeSync(input);
    pair.close();
  }
}

/** Sends [offset, end) in calls of at most `step` bytes. */
async function sendAll(out: number, input: number, offset: number, step: number, end = Infinity): Promise<number> {
  let total = 0;
  while (offset + total < end) {
    const sent = await retry(() => sendfile(out, input, offset + total, Math.min(step, end - offset - total)));
    if (sent === 0) break;
    total += sent;
  }
  return total;
}

const errnoIs =
  (...errnos: readonly string[]) =>
  (error: unknown): boolean =>
    error instanceof SystemError && errnos.includes(error.errno);

describe("sendfile, the facts of pysendfile's tests", () => {
  it("1: 10 MiB in calls of 4096 bytes, EAGAIN tried again, arrive whole", async () => {
    const content = pattern(10 * 1024 * 1024);
    await withFile(content, async (out, input, { near, far }) => {
      const received = receive(far);
      assert.equal(await sendAll(out, input, 0, 4096), content.length);
      near.end();
      const { length, hash } = await received;
      assert.equal(length, content.length);
      assert.equal(hash, hashOf(content));
    });
  });

  it("2: from the middle of the file", async () => {
    const content = pattern(1_000_000);
    await withFile(content, async (out, input, { near, far }) => {
      const received = receive(far);
      await sendAll(out, input, 500_000, 65_536);
      near.end();
      assert.equal((await received).hash, hashOf(content.subarray(500_000)));
    });
  });

  it("3: a header of 512 bytes comes first and counts", async () => {
    const content = pattern(100_000);
    const header = pattern(512, 7);
    await withFile(content, async (out, input, { near, far }) => {
      const received = receive(far);
      const first = sendfile(out, input, 0, 4096, { header });
      assert.equal(first, 512 + 4096);
      await sendAll(out, input, 4096, 4096);
      near.end();
      assert.equal((await received).hash, hashOf(header, content));
    });
  });

  it("4: a trailer comes last, and only with the last byte", async () => {
    const content = pattern(10_000);
    await withFile(content, async (out, input, { near, far }) => {
      const received = receive(far);
      assert.equal(sendfile(out, input, 0, 20_000, { header: text("<"), trailer: text("END") }), 10_004);
      assert.equal(sendfile(out, input, 10_000, 10, { trailer: text("!") }), 1);
      near.end();
      assert.equal((await received).hash, hashOf(text("<"), content, text("END!")));
    });
  });

  it("5: descriptors the wrong way round are refused", async () => {
    await withFile(pattern(100), async (out, input) => {
      assert.throws(() => sendfile(input, out, 0, 10), errnoIs("EBADF"));
      assert.throws(() => sendfile(input, input, 0, 10), errnoIs("EBADF"));
      assert.throws(() => sendfile(out, -1, 0, 10), errnoIs("EBADF"));
    });
  });

  it("6: a count of 0 sends nothing", async () => {
    await withFile(pattern(100), async (out, input, { near, far }) => {
      const received = receive(far);
      assert.equal(sendfile(out, input, 0, 0), 0);
      near.end();
      assert.equal((await received).length, 0);
    });
  });

  it("7: flags are refused, not ignored", async () => {
    await withFile(pattern(100), async (out, input) => {
      assert.throws(() => sendfile(out, input, 0, 10, { flags: 1 }), InvalidArgumentError);
      assert.equal(sendfile(out, input, 0, 10, { flags: 0 }), 10);
    });
  });

  it("8: an offset beyond the end sends 0 bytes", async () => {
    await withFile(pattern(100), async (out, input, { near, far }) => {
      const received = receive(far);
      assert.equal(sendfile(out, input, 5000, 10), 0);
      near.end();
      assert.equal((await received).length, 0);
    });
  });

  it("9: an offset of -1 is EINVAL", async () => {
    await withFile(pattern(100), async (out, input) => {
      assert.throws(() => sendfile(out, input, -1, 10), errnoIs("EINVAL"));
    });
  });

  it("10: a file of 7 bytes", async () => {
    await withFile(text("small!\n"), async (out, input, { near, far }) => {
      const received = receive(far);
      assert.equal(await sendAll(out, input, 0, 4096), 7);
      near.end();
      assert.equal((await received).hash, hashOf(text("small!\n")));
    });
  });

  it("11: a file of 7 bytes from offset 4096", async () => {
    await withFile(text("small!\n"), async (out, input) => {
      assert.equal(await sendAll(out, input, 4096, 4096), 0);
    });
  });

  it("12: an empty file", async () => {
    await withFile(text(""), async (out, input, { near, far }) => {
      const received = receive(far);
      assert.equal(await sendAll(out, input, 0, 4096), 0);
      near.end();
      assert.equal((await received).length, 0);
    });
  });

  it("13: offset null reads at the position and moves it, until 0", async () => {
    const content = pattern(300_000);
    await withFile(content, async (out, input, { near, far }) => {
      const received = receive(far);
      let total = 0;
      for (;;) {
        const sent = await retry(() => sendfile(out, input, null, 10_000));
        if (sent === 0) break;
        total += sent;
      }
      assert.equal(total, content.length);
      near.end();
      assert.equal((await received).hash, hashOf(content));
    });
  });

  it("14: a file of 2.5 GB in calls of 64 KiB", async () => {
    const size = 2_500_000_000;
    const file = path.join(tempFolder(), "large");
    const marks = [0, 2 ** 31 - 5, 2 ** 31 + 7, size - 9];
    const writer = fs.openSync(file, "w");
    for (const mark of marks) {
      const bytes = text(`mark${mark % 97}`);
      fs.writeSync(writer, bytes, 0, bytes.length, mark);
    }
    fs.ftruncateSync(writer, size);
    fs.closeSync(writer);
    await withFile(file, async (out, input, { near, far }) => {
      const received = receive(far);
      const from = long ? 0 : 2 ** 31 - 20_000_000;
      const end = long ? size : 2 ** 31 + 20_000_000;
      assert.equal(await sendAll(out, input, from, 65_536, end), end - from);
      near.end();
      const zeros = new Uint8Array(1 << 20);
      const pieces: Uint8Array[] = [];
      for (let at = from; at < end; ) {
        const mark = marks.find((each) => each >= at);
        const stop = Math.min(mark ?? end, end);
        while (at < stop) {
          const part = zeros.subarray(0, Math.min(zeros.length, stop - at));
          pieces.push(part);
          at += part.length;
        }
        if (mark !== undefined && at === mark) {
          pieces.push(text(`mark${mark % 97}`));
          at += pieces.at(-1)?.length ?? 0;
        }
      }
      const { length, hash } = await received;
      assert.equal(length, end - from);
      assert.equal(hash, hashOf(...pieces));
    });
  }, 300_000);
});

describe("sendfile, bad arguments", () => {
  it("fractions and what is no number are refused", async () => {
    await withFile(pattern(100), async (out, input) => {
      for (const bad of [0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, "1" as unknown as number]) {
        assert.throws(() => sendfile(out, input, bad, 10), InvalidArgumentError);
        assert.throws(() => sendfile(out, input, 0, bad), InvalidArgumentError);
        assert.throws(() => sendfile(bad, input, 0, 10), InvalidArgumentError);
      }
      assert.throws(() => sendfile(out, input, 0, -1), InvalidArgumentError);
    });
  });

  it("a peer that has gone is a PeerClosedError with the system's name", async () => {
    await withFile(pattern(100_000), async (out, input, { far }) => {
      far.destroy();
      await assert.rejects(
        async () => {
          for (let i = 0; i < 2000; i++) await retry(() => sendfile(out, input, 0, 100_000));
        },
        (error) => error instanceof PeerClosedError && ["EPIPE", "ECONNRESET"].includes(error.errno),
      );
    });
  });
});
