import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { fixture, run } from "../support/run.ts";

const ways = ["transfer", "transferTwice", "transferFixed", "transferLonger", "transferShorter"];
const copies = ["none", "copy", "postCopy"];
const posts = ["clone", "post", "channel", "unread"];

/** In a child process: a crash there is a failed test here. The child names each way that it survived. */
async function survives(list: readonly string[], end: "close" | "forget", access: "read" | "write"): Promise<void> {
  const { code, signal, stdout, stderr } = await run(fixture("detaching.ts"), [list.join(","), end, access]);
  assert.deepEqual(
    { survived: stdout.trim().split("\n"), code, signal },
    { survived: list, code: 0, signal: null },
    stderr,
  );
}

describe("a buffer that the user moved elsewhere", () => {
  it("not at all, or copied, then closed", () => survives(copies, "close", "write"));
  it("by transfer, then closed", () => survives(ways, "close", "write"));
  it("by cloning and posting, then closed", () => survives(posts, "close", "write"));
  it("not at all, or copied, then forgotten", () => survives(copies, "forget", "write"));
  it("by transfer, then forgotten", () => survives(ways, "forget", "write"));
  it("by cloning and posting, then forgotten", () => survives(posts, "forget", "write"));
  it("from a mapping for reading, then closed", () => survives([...ways, ...posts], "close", "read"));
});
