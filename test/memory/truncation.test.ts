import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { fixture, run } from "../support/run.ts";

/** In a child process: a signal there is a failed test here. The child names each case that it survived. */
async function survives(...list: string[]): Promise<void> {
  const { code, signal, stdout, stderr } = await run(fixture("truncation.ts"), [list.join(",")]);
  const survived = stdout.trim().split("\n");
  assert.deepEqual({ survived, code, signal }, { survived: list, code: 0, signal: null }, stderr);
}

describe("a file truncated under its mapping", () => {
  it("shows zeros to every way of reading a view, and the next call tells", () =>
    survives("view", "backwards", "slice", "set", "dataView", "decode", "clone", "hash", "indexOf"));
  it("takes writes to a view, and the next call tells", () => survives("atomics", "fill", "copyWithin", "private"));
  it("makes system calls from a view fail instead of the process", () => survives("writeSync"));
  it("is told by read, write, flush, lease and close", () => survives("whole", "read", "write", "lease", "close"));
  it("stays lost when it grows again", () => survives("regrown"));
  it("inside a page is told too", () => survives("insidePage"));
  it("takes advice", () => survives("populate"));
  it("may be replaced or removed without harm", () => survives("replaced"));
  it("may be one of many", () => survives("many"));
  it("by a worker, while this thread reads in a loop", () => survives("byWorker"));
  it("by another process, while this one reads in a loop", () => survives("byProcess"));
  it("while a worker reads in a loop", () => survives("inWorker"));
  it("leaves the runtime's own faults to the runtime", () => survives("wasm"));
});
