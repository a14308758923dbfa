import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { Chest } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const array = (i: number): Float64Array => new Float64Array(8000 + i).fill(i);

describe("update from another chest", () => {
  cleanTempAfterEach();

  it("sets what is over anew, behind all others, as set does", () => {
    const from = new Chest<string, unknown>([
      ["late", 1],
      ["large", array(2)],
    ]);
    from.shrink(0);
    for (const budget of [0, 1e6])
      for (const overwrite of [true, false]) {
        const to = new Chest<string, unknown>({ budget });
        to.set("late", 0, { expires: 1 }).set("large", 0, { expires: 1 }).set("first", 0).flush();
        to.update(from, { overwrite });
        assert.deepEqual([...to], [["first", 0], ...from]);
        assert.equal(to.size, 3);
        to.close();
      }
    from.close();
  });

  it("takes large values over from file to file, with their time and tags, and they are there when reopened", () => {
    const folder = tempFolder();
    const from = new Chest<number | string, unknown>({ path: path.join(folder, "from"), segmentSize: 2 ** 20 });
    for (let i = 0; i < 60; i++) from.set(i, array(i), { tags: [`t${i % 3}`], timeToLive: i === 7 ? 3_600_000 : 0 });
    from.set("small", 1).set("object", { a: [1, 2, 3] });
    from.flush();
    from.shrink(0);
    const options = { path: path.join(folder, "to"), segmentSize: 2 ** 20 };
    const to = new Chest<number | string, unknown>(options);
    to.set(3, "mine").set(4, array(1)).flush();
    to.update(from, { overwrite: false });
    assert.equal(to.get(3), "mine");
    assert.equal(to.memoryUsage < 300_000, true);
    to.update(from);
    to.close();
    from.close();
    const again = new Chest<number | string, unknown>(options);
    assert.equal(again.size, 62);
    for (let i = 0; i < 60; i++) {
      assert.deepEqual(again.get(i), array(i));
      const lease = again.lease(i);
      assert.deepEqual(lease?.value, array(i));
      lease?.release();
    }
    assert.equal(again.get("small"), 1);
    assert.deepEqual(again.get("object"), { a: [1, 2, 3] });
    assert.deepEqual([...again.keys()].slice(0, 3), [3, 4, 0]);
    assert.equal(again.deleteTagged("t1"), 20);
    again.close();
  });

  it("damage goes over as damage, and is found there", () => {
    const folder = tempFolder();
    const from = new Chest<number, unknown>({ path: path.join(folder, "from") });
    from.set(1, array(1)).set(2, array(2));
    from.close();
    const log = path.join(folder, "from", "00000001.log");
    const bytes = fs.readFileSync(log);
    bytes[4096 * 2 + 77]! ^= 4;
    fs.writeFileSync(log, bytes);
    const damaged = new Chest<number, unknown>({ path: path.join(folder, "from"), readOnly: true });
    const to = new Chest<number, unknown>({ path: path.join(folder, "to") });
    to.update(damaged);
    assert.throws(() => to.get(1), { code: "DAMAGED" });
    assert.deepEqual(to.get(2), array(2));
    damaged.close();
    to.close();
  });
});
