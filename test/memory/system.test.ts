import assert from "node:assert/strict";
import fs from "node:fs";
import process from "node:process";
import { describe, it } from "vitest";
import { ABI } from "../../ffi/symbols.ts";
import { Mapping, systemInfo } from "../../src/memory/main.ts";

describe("systemInfo", () => {
  it("tells runtime, backend and library", () => {
    const info = systemInfo();
    assert.match(info.runtime, /^(bun|deno|node) \d+\.\d+\.\d+/);
    assert.ok(["bun-ffi", "deno-ffi", "koffi", "node-ffi"].includes(info.backend));
    assert.ok(fs.existsSync(info.libraryPath));
    assert.equal(info.abi, ABI);
    assert.equal(info.platform, `${process.platform} ${process.arch}`);
    assert.equal(info.mapGranularity % info.pageSize, 0);
  });

  it("tells features, limits and room", () => {
    const { features, limits, sharedMemory } = systemInfo();
    for (const [name, value] of Object.entries(features)) assert.equal(typeof value, "boolean", name);
    for (const [name, value] of Object.entries(limits)) assert.ok(value === undefined || value >= 0, name);
    assert.ok((limits.memory ?? 0) > 2 ** 20);
    if (process.platform !== "linux") return;
    assert.ok((limits.descriptorsOpen ?? 0) >= 3);
    assert.ok((limits.resident ?? 0) > 2 ** 20);
    assert.ok(sharedMemory !== undefined && sharedMemory.total >= sharedMemory.free);
  });

  it("counts what is mapped", () => {
    const before = systemInfo().mappings;
    const mapping = Mapping.anonymous(4096);
    assert.equal(systemInfo().mappings.held, before.held + 1);
    mapping.close();
    assert.deepEqual(systemInfo().mappings, before);
    assert.ok(before.most >= 1000);
  });
});
