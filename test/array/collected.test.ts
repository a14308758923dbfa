import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "vitest";
import { fixture, run } from "../support/run.ts";
import { cleanTempAfterEach, tempMemoryFolder } from "../support/temp.ts";

cleanTempAfterEach();

describe("a store that was forgotten in a transaction, and not closed", () => {
  it("keeps its snapshot as long as there is a view, and holds nothing back once it is collected", async () => {
    const { stdout, stderr } = await run(fixture("array-collected.ts"), [path.join(tempMemoryFolder(), "store")]);
    assert.equal(stderr, "");
    assert.equal(stdout, "view: free false, same true; none: free true\n".repeat(2));
  }, 60_000);
});
