import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { fixture, type RunOptions, run } from "../support/run.ts";

async function survives(limit: string, options: RunOptions = {}): Promise<void> {
  const { code, signal, stdout, stderr } = await run(fixture("limits.ts"), [limit], options);
  assert.deepEqual({ stdout: stdout.trim(), code, signal }, { stdout: "survived", code: 0, signal: null }, stderr);
}

describe("a limit that is met is an error, and nothing is lost", () => {
  it("descriptors", () => survives("descriptors", { shell: "ulimit -n 64" }));
  it("a quarter of the mappings that the system allows", () => survives("maps"));
  it("address space, limited after the start", () => survives("addressSpace"));
  it("10 000 files opened and closed leave descriptors, mappings and memory where they were", () => survives("many"));
});
