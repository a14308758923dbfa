import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import process from "node:process";
import { describe, it } from "vitest";
import { openWindows, type WindowFile, WindowManager } from "../../src/window/main.ts";
import { defaultFlags, fixture, nodeMajor, root, run, runtime } from "../support/run.ts";
import { cleanTempAfterEach, pattern, tempFile, tempFolder } from "../support/temp.ts";
import { failure, PAGE } from "./support.ts";

describe("windows and bad input", () => {
  cleanTempAfterEach();

  /** Both ways to a file refuse it in the same way, and hold nothing afterwards. */
  function refuses(source: string | URL | number, code: string, properties: Record<string, unknown> = {}): void {
    const manager = new WindowManager();
    try {
      assert.throws(() => manager.open(source), failure(code, properties));
      assert.throws(() => manager.cursor(source), failure(code, properties));
      assert.throws(() => manager.open(source, { mode: "r+" }), failure(code));
      assert.equal(manager.stats.files, 0);
    } finally {
      manager.close();
    }
  }

  it("a path that does not exist is NotFoundError", () => {
    const name = path.join(tempFolder(), "missing");
    refuses(name, "NOT_FOUND", { path: name });
    refuses(path.join(tempFile("x"), "below a file"), "NOT_FOUND");
    const link = path.join(tempFolder(), "link");
    symlinkSync("nowhere", link);
    refuses(link, "NOT_FOUND");
  });

  it("a directory is UnsupportedFileError", () => refuses(tempFolder(), "UNSUPPORTED_FILE", { kind: "a directory" }));

  it("a FIFO is UnsupportedFileError, without waiting for a writer", () => {
    const name = path.join(tempFolder(), "fifo");
    assert.equal(spawnSync("mkfifo", [name]).status, 0);
    refuses(name, "UNSUPPORTED_FILE", { path: name });
  });

  it("a socket is UnsupportedFileError", async () => {
    const name = path.join(tempFolder(), "socket");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(name, resolve));
    try {
      refuses(name, "UNSUPPORTED_FILE", { path: name });
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it("a file of /proc and a device are UnsupportedFileError", () => {
    refuses("/proc/self/status", "UNSUPPORTED_FILE");
    refuses("/dev/null", "UNSUPPORTED_FILE");
  });

  it("a path with NUL, an empty one, and what is no path are InvalidArgumentError", () => {
    for (const source of ["a\0b", "", new URL("http://localhost/x"), null, {}, ["x"], true])
      refuses(source as string, "INVALID_ARGUMENT");
  });

  it("what is no descriptor is refused", () => {
    for (const source of [-1, 0.5, Number.NaN, 2 ** 31, 2 ** 53]) refuses(source, "INVALID_ARGUMENT");
    const manager = new WindowManager();
    assert.throws(() => manager.open(1_000_000), failure("SYSTEM", { errno: "EBADF" }));
    manager.close();
  });

  it("no permission is PermissionError", async () => {
    const name = tempFile("secret");
    chmodSync(path.dirname(name), 0o755);
    chmodSync(name, 0);
    const result = await run(fixture("window-permission.ts"), [name]);
    assert.equal(result.stdout.trim(), `PERMISSION ${name}`, result.stderr);
  });

  const denies = runtime === "deno" || nodeMajor > 0;
  it.skipIf(!denies)("a path that the runtime's own permissions leave out is PermissionError", async () => {
    const allowed = tempFile("allowed");
    const denied = tempFile("denied");
    const flags =
      runtime === "deno"
        ? [
            "run",
            "--no-check",
            "--quiet",
            "--allow-ffi",
            "--allow-env",
            "--allow-sys",
            `--allow-read=${root},${allowed}`,
          ]
        : [
            ...defaultFlags(),
            "--permission",
            "--allow-addons",
            ...(nodeMajor >= 26 ? ["--allow-ffi"] : []),
            `--allow-fs-read=${root}*`,
            `--allow-fs-read=${allowed}`,
          ];
    const result = await run(fixture("window-open.ts"), [allowed, denied], { flags });
    assert.equal(result.stdout.trim(), `7 bytes\nPERMISSION ${denied}`, result.stderr);
  });

  it("options that are none are InvalidArgumentError", () => {
    const bad = [
      { windowSize: 0 },
      { windowSize: -1 },
      { windowSize: 0.5 },
      { windowSize: Number.NaN },
      { windowSize: 2 ** 53 },
      { windowSize: "big" },
      { windowSize: PAGE, budget: PAGE - 1 },
      { budget: 0 },
      { budget: -1 },
      { budget: Number.NaN },
      { budget: Number.POSITIVE_INFINITY },
      { maxWindows: 0 },
      { maxFiles: 0 },
      { maxFiles: 1.5 },
      { strict: "yes" },
      { admission: "never" },
      { policy: "random" },
    ];
    for (const options of bad)
      assert.throws(
        () => new WindowManager(options as unknown as { budget: number }),
        failure("INVALID_ARGUMENT"),
        JSON.stringify(options),
      );
    assert.throws(() => openWindows(tempFile("x"), { mode: "w" as "r" }), failure("INVALID_ARGUMENT"));
  });

  it("a budget of one window is enough, one below is refused", () => {
    const data = pattern(5 * PAGE);
    const file = openWindows(tempFile(data), { windowSize: PAGE, budget: PAGE, strict: true });
    for (let window = 0; window < 5; window++) makeSure(file, data, window * PAGE);
    file.close();
    assert.throws(() => new WindowManager({ windowSize: PAGE + 1, budget: 2 * PAGE - 1 }), failure("INVALID_ARGUMENT"));
  });

  function makeSure(file: WindowFile, data: Uint8Array, offset: number): void {
    const lease = file.lease(offset, 100);
    assert.deepEqual(lease.bytes, data.subarray(offset, offset + 100));
    lease.release();
  }

  const bad = [
    -1,
    -0.5,
    0.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    2 ** 53,
    2 ** 60,
    -(2 ** 53),
  ];
  const kinds: [string, unknown][] = [
    ["text", "5"],
    ["null", null],
    ["undefined", undefined],
    ["a BigInt", 5n],
    ["an object", {}],
  ];

  /** Checks before and after windows are resident: the fast ways must refuse what the slow ones do. */
  function withFile(body: (file: WindowFile) => void): void {
    const file = openWindows(tempFile(pattern(3 * PAGE)), { windowSize: PAGE, budget: 4 * PAGE, mode: "r+" });
    try {
      body(file);
      for (let round = 0; round < 3; round++) for (let offset = 0; offset < 3 * PAGE; offset += 100) file.u8(offset);
      for (const window of [0, 1, 2]) file.lease(window * PAGE, 1).release();
      assert.equal(file.residentWindows, 3);
      body(file);
      assert.equal(file.size, 3 * PAGE);
      assert.equal(file.leases, 0);
      assert.deepEqual(file.read(0, 3 * PAGE), pattern(3 * PAGE));
    } finally {
      file.close();
    }
  }

  it("offsets that are negative, fractional, NaN, infinite or beyond 2^53 are InvalidArgumentError", () => {
    withFile((file) => {
      for (const offset of bad) {
        for (const use of [
          () => file.read(offset, 1),
          () => file.readInto(offset, new Uint8Array(1)),
          () => file.lease(offset, 1),
          () => file.view(offset, 1),
          () => file.u8(offset),
          () => file.f64(offset),
          () => file.write(offset, new Uint8Array(1)),
          () => file.flush(offset, 1),
          () => file.prefetch(offset, 1),
          () => file.advise("random", offset, 1),
          () => file.indexOf("x", offset),
          () => [...file.chunks({ from: offset })],
          () => [...file.lines({ from: offset })],
          () => file.stream({ start: offset }),
          () => file.blob(offset),
        ])
          assert.throws(use, failure("INVALID_ARGUMENT"), `${String(use)} at ${offset}`);
      }
    });
  });

  it("lengths that are negative, fractional, NaN, infinite or beyond 2^53 are InvalidArgumentError", () => {
    withFile((file) => {
      for (const length of bad)
        for (const use of [
          () => file.read(0, length),
          () => file.lease(0, length),
          () => file.view(0, length),
          () => file.flush(0, length),
          () => file.prefetch(0, length),
        ])
          assert.throws(use, failure("INVALID_ARGUMENT"), `${String(use)} of ${length}`);
    });
  });

  it("a target that is no Uint8Array, or not as long as it says, is InvalidArgumentError and is not written to", () => {
    const file = openWindows(tempFile(new Uint8Array(8192).fill(7)));
    class Liar extends Uint8Array {
      override get length(): number {
        return 4096;
      }
    }
    const liar = new Liar(16);
    for (const target of [new Uint16Array(8), new DataView(new ArrayBuffer(8)), [1, 2], "text", liar])
      assert.throws(() => file.readInto(0, target as unknown as Uint8Array), failure("INVALID_ARGUMENT"));
    assert.equal(liar[0], 0);
    const target = new Uint8Array(4);
    file.readInto(0, target);
    target.buffer.transfer();
    file.readInto(0, target);
    file.close();
  });

  it("ranges beyond the end are OutOfRangeError, and tell offset, length and size", () => {
    const size = 3 * PAGE;
    withFile((file) => {
      for (const [offset, length] of [
        [size, 1],
        [size + 1, 0],
        [size - 1, 2],
        [0, size + 1],
        [2 ** 53 - 1, 0],
        [2 ** 40, 2 ** 20],
      ] as const) {
        const expected = failure("OUT_OF_RANGE", { offset, length, size });
        for (const use of [
          () => file.read(offset, length),
          () => file.lease(offset, length),
          () => file.view(offset, length),
          () => file.prefetch(offset, length),
          () => file.flush(offset, length),
        ])
          assert.throws(use, expected, `${String(use)} at ${offset}`);
      }
      assert.throws(() => file.readInto(size - 1, new Uint8Array(2)), failure("OUT_OF_RANGE", { offset: size - 1 }));
      assert.throws(() => file.read(2 ** 53 - 1, 2 ** 53 - 1), failure("OUT_OF_RANGE"));
    });
  });

  for (const [name, value] of kinds) {
    it(`${name} in place of a number is refused`, () => {
      withFile((file) => {
        const wrong = value as number;
        for (const use of [
          () => file.read(wrong, 1),
          () => file.readInto(wrong, new Uint8Array(1)),
          () => file.lease(wrong, 1),
          () => file.view(wrong, 1),
          () => file.u8(wrong),
          () => file.write(wrong, new Uint8Array(1)),
          () => file.read(0, wrong),
          () => file.lease(0, wrong),
          () => file.view(0, wrong),
        ])
          assert.throws(use, Error, String(use));
      });
    });
  }

  it("a write at an offset that no file reaches is an error and changes nothing", () => {
    withFile((file) => {
      assert.throws(() => file.write(2 ** 53 - 1, new Uint8Array(1)), Error);
      assert.equal(file.refresh(), 3 * PAGE);
    });
  });

  it("targets and sources that are no Uint8Array are refused", () => {
    withFile((file) => {
      for (const wrong of [new ArrayBuffer(4), [0, 0], "text", null, undefined, new DataView(new ArrayBuffer(4))]) {
        assert.throws(() => file.readInto(0, wrong as unknown as Uint8Array), Error, String(wrong));
        assert.throws(() => file.write(0, wrong as unknown as Uint8Array), Error, String(wrong));
      }
    });
  });

  it("reopening what is no handle is InvalidArgumentError", () => {
    const manager = new WindowManager();
    try {
      for (const handle of [null, undefined, {}, "x", { kind: "outcore.mapping" }])
        assert.throws(() => manager.reopen(handle as never), failure("INVALID_ARGUMENT"));
    } finally {
      manager.close();
    }
  });

  it("closeUnder of a folder does not reach its namesakes", () => {
    const folder = tempFolder();
    const manager = new WindowManager();
    try {
      mkdirSync(path.join(folder, "a"));
      for (const name of ["a/file", "ab"]) {
        const full = path.join(folder, name);
        spawnSync("sh", ["-c", 'echo text > "$1"', "sh", full]);
        manager.open(full);
      }
      assert.equal(manager.closeUnder(path.join(folder, "a")), 1);
      assert.deepEqual(
        [...manager.files()].map((file) => file.path),
        [path.join(folder, "ab")],
      );
      assert.equal(manager.closeUnder(path.relative(process.cwd(), folder)), 1);
    } finally {
      manager.close();
    }
  });
});
