import assert from "node:assert/strict";
import {
  appendFileSync,
  closeSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, it } from "vitest";
import { type Lease, openWindows, WindowManager } from "../../src/window/main.ts";
import { collect, finish, fixture, line, type RunResult, run, start } from "../support/run.ts";
import { cleanTempAfterEach, pattern, tempFile, tempFolder } from "../support/temp.ts";
import { failure, long, PAGE, Random, seed } from "./support.ts";

function lines(result: RunResult): string[] {
  assert.equal(result.code, 0, `${result.signal ?? result.code}\n${result.stdout}\n${result.stderr}`);
  return result.stdout.trim().split("\n");
}

describe("windows under faults", () => {
  cleanTempAfterEach();

  for (const way of ["transfer", "clone", "post"]) {
    it(`a buffer moved away (${way}), then close and collection: no crash`, async () => {
      const said = lines(await run(fixture("window-moved.ts"), [tempFile(pattern(64 * PAGE)), way]));
      assert.equal(said.at(-1), "survived");
      assert.match(said[0] as string, /^(moved|refused)/);
    });
  }

  it("a file truncated, replaced, grown or deleted under its windows kills neither the main thread nor a Worker", async () => {
    const said = lines(await run(fixture("window-changes.ts"), [tempFolder()]));
    const size = 64 * PAGE;
    const [byte5, byte50] = [6, ((50 * PAGE) % 251) + 1];
    for (const thread of ["main", "worker"]) {
      const find = (kind: string): string | undefined => said.find((each) => each.startsWith(`${thread} ${kind} `));
      const same = `undefined undefined ${byte50} OUT_OF_RANGE ${byte5} ${size} ${size} undefined`;
      assert.equal(find("replaced"), `${thread} replaced bytes ${same}`);
      assert.equal(find("deleted"), `${thread} deleted bytes ${same}`);
      const grown = size + PAGE;
      assert.equal(
        find("grown"),
        `${thread} grown bytes undefined undefined ${byte50} ${(size % 251) + 1} ${byte5} ${grown} ${grown} undefined`,
      );
      const truncated = find("truncated")?.split(" ").slice(2) ?? [];
      const [first, release, readInto, read, beyond, typed, , refresh, close] = truncated;
      assert.equal(first, "bytes", "what is left of the file shows");
      assert.deepEqual([release, readInto, read], ["TRUNCATED", "TRUNCATED", "TRUNCATED"], truncated.join(" "));
      assert.ok(beyond === "TRUNCATED" || beyond === "OUT_OF_RANGE", truncated.join(" "));
      assert.ok(typed === "TRUNCATED" || typed === String(byte5), truncated.join(" "));
      assert.equal(refresh, String(PAGE + 10));
      assert.equal(close, "undefined", "it has been told already");
    }
    assert.equal(said.at(-1), "survived");
  });

  it("a file truncated under views is told by close when nothing else told it", () => {
    const name = tempFile(pattern(16 * PAGE));
    const file = openWindows(name, { windowSize: PAGE, budget: 4 * PAGE });
    const view = file.view(0, 16 * PAGE);
    truncateSync(name, 100);
    assert.equal(view[15 * PAGE], 0);
    assert.throws(() => file.close(), failure("TRUNCATED", { path: name, size: 100 }));
    assert.equal(view.length, 0);
    file.close();
  });

  it("a file truncated within a page is told although no page was lost", () => {
    const name = tempFile(pattern(2 * PAGE));
    for (const use of ["lease", "read", "close"] as const) {
      writeFileSync(name, pattern(2 * PAGE));
      const file = openWindows(name, { windowSize: PAGE, budget: 4 * PAGE });
      const lease = file.lease(PAGE, 200);
      truncateSync(name, PAGE + 100);
      assert.equal(lease.bytes[150], 0);
      if (use === "lease") assert.throws(() => lease.release(), failure("TRUNCATED", { size: PAGE + 100 }));
      else if (use === "read") {
        assert.throws(() => file.read(PAGE + 50, 100), failure("TRUNCATED", { size: PAGE + 100 }));
        assert.deepEqual(file.read(PAGE, 100), pattern(100, PAGE));
      } else assert.throws(() => file.close(), failure("TRUNCATED", { size: PAGE + 100 }));
      try {
        file.close();
      } catch (error) {
        failure("TRUNCATED")(error);
      }
    }
  });

  it("after a truncation the file is read on, up to its new end, and grows again", () => {
    const data = pattern(16 * PAGE);
    const name = tempFile(data);
    const manager = new WindowManager({ windowSize: PAGE, budget: 8 * PAGE });
    const file = manager.open(name);
    const lease = file.lease(4 * PAGE, PAGE);
    const view = file.view(0, 16 * PAGE);
    truncateSync(name, 2 * PAGE);
    assert.equal(view[8 * PAGE], 0);
    assert.throws(() => file.refresh(), failure("TRUNCATED"));
    assert.equal(file.size, 2 * PAGE);
    for (let round = 0; round < 4; round++) assert.deepEqual(file.read(PAGE, PAGE), data.slice(PAGE, 2 * PAGE));
    assert.throws(() => file.read(2 * PAGE, 1), failure("OUT_OF_RANGE"));
    const fd = openSync(name, "r+");
    writeSync(fd, data, 0, data.length, 0);
    closeSync(fd);
    const fresh = file.lease(4 * PAGE, PAGE);
    assert.deepEqual(fresh.bytes, data.subarray(4 * PAGE, 5 * PAGE));
    try {
      lease.release();
    } catch (error) {
      failure("TRUNCATED")(error);
    }
    assert.equal(manager.stats.pinnedBytes, PAGE, "the old lease's end leaves the new lease's pin");
    fresh.release();
    assert.equal(manager.stats.pinnedBytes, 0);
    assert.deepEqual(file.read(0, 16 * PAGE), data);
    const whole = file.lease(0, 16 * PAGE);
    assert.deepEqual(whole.bytes, data);
    whole.release();
    for (let round = 0; round < 3; round++) assert.equal(file.u8(8 * PAGE), data[8 * PAGE]);
    manager.close();
  });

  it("reading a read-write file that somebody truncated does not make it longer again", () => {
    const name = tempFile(pattern(4 * PAGE));
    const file = openWindows(name, { mode: "r+", windowSize: PAGE, budget: 16 * PAGE });
    file.lease(0, PAGE).release();
    appendFileSync(name, pattern(8 * PAGE, 4 * PAGE));
    assert.equal(file.refresh(), 12 * PAGE);
    truncateSync(name, PAGE);
    for (let round = 0; round < 3; round++) {
      assert.throws(() => file.read(6 * PAGE, 10), failure("TRUNCATED", { size: PAGE }));
      assert.throws(() => file.lease(6 * PAGE, 10), failure("TRUNCATED", { size: PAGE }));
      assert.throws(() => file.view(6 * PAGE, 10), failure("TRUNCATED", { size: PAGE }));
      assert.throws(() => file.u8(6 * PAGE), failure("TRUNCATED", { size: PAGE }));
      assert.deepEqual(file.read(5, 10), pattern(10, 5));
      file.lease(5, 10).release();
      assert.equal(file.u8(5), 6);
    }
    assert.equal(file.refresh(), PAGE);
    assert.throws(() => file.u8(6 * PAGE), failure("OUT_OF_RANGE", { size: PAGE }));
    assert.equal(statSync(name).size, PAGE);
    try {
      file.close();
    } catch (error) {
      failure("TRUNCATED")(error);
    }
    assert.equal(statSync(name).size, PAGE);
  });

  it("a file truncated while it is scanned ends the scan with a TruncatedError", () => {
    for (const scan of ["chunks", "lines", "indexOf"] as const) {
      const name = tempFile("some line\n".repeat(200_000));
      const file = openWindows(name, { windowSize: 16 * PAGE, budget: 64 * PAGE });
      let parts = 0;
      const read = (): void => {
        if (scan === "indexOf") {
          truncateSync(name, 300_000);
          if (file.indexOf("absent", 300_000 - 5) === -1) file.read(file.size, 1);
        } else if (scan === "chunks") {
          for (const chunk of file.chunks()) if (chunk.length > 0 && ++parts === 2) truncateSync(name, 300_000);
        } else
          for (const line of file.lines()) if (line === "some line" && ++parts === 30_000) truncateSync(name, 300_000);
      };
      assert.throws(read, (error) => ["TRUNCATED", "OUT_OF_RANGE"].includes((error as { code: string }).code), scan);
      try {
        file.close();
      } catch (error) {
        failure("TRUNCATED")(error);
      }
    }
  });

  for (const mode of ["r", "r+"] as const) {
    it(`under random truncation and growth every read shows the file's bytes or throws, and refresh mends it (${mode})`, () => {
      const random = new Random(seed);
      const name = tempFile(pattern(32 * PAGE));
      const manager = new WindowManager({ windowSize: 2 * PAGE, budget: 12 * PAGE });
      const file = manager.open(name, { mode });
      const told = (body: () => void): void => {
        try {
          body();
        } catch (error) {
          if (!["TRUNCATED", "OUT_OF_RANGE", "MAPPED_IO"].includes((error as { code: string }).code)) throw error;
        }
      };
      const leases: Lease[] = [];
      /* The file is always a prefix of one pattern, so any byte that shows tells by itself whether it is right. */
      const right = (bytes: Uint8Array, offset: number): void => {
        const what = `${bytes.length} bytes at ${offset}, seed ${seed}`;
        assert.equal(Buffer.compare(bytes, pattern(bytes.length, offset)), 0, what);
        assert.ok(statSync(name).size >= offset + bytes.length, what);
      };
      const actions: (() => void)[] = [
        () => truncateSync(name, random.below(statSync(name).size + 1)),
        () => {
          const { size } = statSync(name);
          if (size < 64 * PAGE) appendFileSync(name, pattern(random.below(12 * PAGE), size));
        },
        () => told(() => file.refresh()),
        () => {
          told(() => {
            const offset = random.below(file.size + 1);
            leases.push(file.lease(offset, random.below(file.size - offset + 1)));
          });
          if (leases.length > 3) told(() => leases.shift()?.release());
        },
        () => {
          const offset = random.below(40 * PAGE);
          told(() => {
            if (file.u8(offset) === (offset % 251) + 1 && offset < statSync(name).size) return;
            assert.throws(
              () => {
                file.u8(offset);
                file.refresh();
              },
              failure("TRUNCATED"),
              `a byte that is not there must be told of at the next call, seed ${seed}`,
            );
          });
        },
        () => {
          if (mode !== "r+") return;
          const { size } = statSync(name);
          const offset = random.below(size + 1);
          if (offset < 60 * PAGE) file.write(offset, pattern(random.below(2 * PAGE), offset));
        },
        () =>
          told(() => {
            const from = random.below(40 * PAGE);
            let at = from;
            for (const chunk of file.chunks({ from, to: from + 3 * PAGE, size: 5000 })) {
              const copy = chunk.slice();
              file.refresh();
              right(copy, at);
              at += chunk.length;
            }
          }),
      ];
      for (let round = 0; round < (long ? 5000 : 600); round++) {
        if (random.next() < 0.4) random.pick(actions)();
        else {
          const offset = random.below(40 * PAGE);
          const bytes = new Uint8Array(random.between(1, 3 * PAGE));
          told(() => {
            file.readInto(offset, bytes);
            right(bytes, offset);
          });
        }
      }
      for (const lease of leases) told(() => lease.release());
      assert.equal(manager.stats.pinnedBytes, 0);
      appendFileSync(name, pattern(PAGE, statSync(name).size));
      told(() => file.refresh());
      told(() => file.refresh());
      const { size } = statSync(name);
      assert.deepEqual(file.read(0, size), pattern(size));
      const lease = file.lease(0, size);
      assert.deepEqual(lease.bytes, pattern(size));
      lease.release();
      told(() => manager.close());
      manager.close();
    });
  }

  it("a process that ends with everything open ends as it should", async () => {
    for (const way of ["end", "exit", "throw"]) {
      const result = await run(fixture("window-exit.ts"), [tempFile(pattern(16 * PAGE)), way]);
      assert.equal(result.stdout.trim(), "open", result.stderr);
      assert.deepEqual([result.code, result.signal], [way === "end" ? 0 : way === "exit" ? 7 : 1, null], result.stderr);
    }
  });

  it("two Workers read and write one file through handles, each with windows of its own", async () => {
    const name = tempFile(pattern(64 * PAGE));
    const said = lines(await run(fixture("window-workers.ts"), [name]));
    assert.deepEqual(said.slice(0, 2).sort(), ["half 0: 0 wrong", "half 1: 0 wrong"]);
    assert.deepEqual(said.slice(2), ["0 wrong", "STALE_HANDLE"]);
    const bytes = readFileSync(name);
    assert.ok(bytes.subarray(0, 32 * PAGE).every((byte) => byte === 255));
    assert.ok(bytes.subarray(32 * PAGE).every((byte) => byte === 254));
  });

  it("SIGKILL during a read-write flush leaves a readable file with everything that was flushed", async () => {
    const size = 2 ** 21;
    for (let round = 0; round < (long ? 20 : 2); round++) {
      const name = tempFile(new Uint8Array(size));
      const child = start(fixture("window-flush.ts"), [name]);
      let text = "";
      child.stdout?.on("data", (chunk: Uint8Array) => {
        text += new TextDecoder().decode(chunk);
      });
      const end = finish(child);
      await line(child, "flushed");
      await sleep(5 + 17 * round);
      child.kill("SIGKILL");
      const { signal } = await end;
      assert.equal(signal, "SIGKILL");
      const flushed = Number(text.split("\n").at(-2)?.split(" ")[1]);
      assert.ok(flushed >= 1);
      const file = openWindows(name, { windowSize: 65536, budget: 2 ** 20 });
      assert.equal(file.size, size);
      for (let offset = 0; offset < size; offset += 4) {
        const generation = file.u32(offset);
        if (generation < flushed || generation > flushed + 1)
          assert.fail(`generation ${generation} at ${offset}, ${flushed} was flushed`);
      }
      file.close();
    }
  });

  it("with 64 descriptors: files nobody uses make room, then there is a typed error, and what is open goes on", async () => {
    const said = lines(await run(fixture("window-descriptors.ts"), [tempFolder()], { shell: "ulimit -n 64" }));
    assert.deepEqual(said, [
      "cursors: all read",
      "open: descriptors after some",
      "again: descriptors",
      "after closing: none",
    ]);
  });

  it("without address space: reads go on, leases and views are a typed error, and work when there is room again", async () => {
    const name = tempFile("");
    const size = 2 ** 36;
    truncateSync(name, size);
    const fd = openSync(name, "r+");
    writeSync(fd, Buffer.from("end"), 0, 3, size - 3);
    closeSync(fd);
    assert.equal(statSync(name).size, size);
    const said = lines(await run(fixture("window-address-space.ts"), [name]));
    assert.deepEqual(said, [
      "read: end",
      "typed: 100",
      `chunks: ${2 ** 20}`,
      "limit: memory",
      "limit: memory",
      "limit: memory",
      "held: 0 windows, 0 pinned, 0 leases",
      "leased: end",
    ]);
  });

  it("without mappings: files nobody uses make room, then leases are a typed error, reads go on, and leases come back", async () => {
    const said = lines(await run(fixture("window-map-count.ts"), [tempFolder()]));
    assert.deepEqual(said, ["next: next", "last: limit: maps", "read: last", "held: busy next", "again: las"]);
  });

  it("files and managers that are forgotten are collected without harm, and their views stay readable", async () => {
    const name = tempFile(pattern(64 * PAGE));
    const kept: Uint8Array[] = [];
    const forget = (): void => {
      for (let round = 0; round < 20; round++) {
        const file = openWindows(name, { windowSize: PAGE, budget: 8 * PAGE });
        file.lease(0, PAGE);
        const view = file.view(PAGE, 10);
        if (round % 5 === 0) kept.push(view);
      }
    };
    forget();
    assert.equal(await collect(), true, "the runtime offers a way to collect");
    for (const view of kept) assert.deepEqual(view, pattern(10, PAGE));
  });
});
