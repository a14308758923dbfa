import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "vitest";
import { collector } from "../../src/memory/collection.ts";

const { versions } = process;
const runtime = versions.bun !== undefined ? "bun" : versions.deno !== undefined ? "deno" : "node";

function forgotten(): WeakRef<object>[] {
  return Array.from({ length: 100 }, () => new WeakRef({ large: new Uint8Array(2 ** 16) }));
}

describe("collections of garbage", () => {
  it("can be asked for where a runtime lets large arrays pile up", () => {
    assert.deepEqual(
      [typeof collector("now"), typeof collector("soon"), typeof collector("giving back")],
      {
        bun: ["function", "function", "function"],
        deno: ["function", "undefined", "undefined"],
        node: ["undefined", "undefined", "undefined"],
      }[runtime],
    );
  });

  it("take what nobody has any more", async () => {
    const collect = collector("now");
    /* Node does so in time by itself. */
    if (collect === undefined) return;
    const objects = forgotten();
    /* What a job has made or seen stays until it ends. */
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    const left = objects.filter((each) => each.deref() !== undefined).length;
    assert.ok(left < 20, `${left} are left`);
  });
});
