import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { Age, WindowTable } from "../../src/window/window-table.ts";

describe("the table of windows", () => {
  it("knows no window at first, whatever number is asked for", () => {
    const table = new WindowTable(new Age(100));
    for (const window of [0, 1, 4095, 4096, 2 ** 31, 2 ** 40, -1, 0.5, Number.NaN]) assert.equal(table.id(window), -1);
    assert.equal(table.count(7), 0);
  });

  it("remembers ids and counts of windows far apart", () => {
    const table = new WindowTable(new Age(1000));
    for (const [index, window] of [0, 4095, 4096, 10_000_000].entries()) {
      table.setId(window, index);
      for (let uses = 0; uses <= index; uses++) assert.equal(table.touch(window), uses + 1);
    }
    for (const [index, window] of [0, 4095, 4096, 10_000_000].entries()) {
      assert.equal(table.id(window), index);
      assert.equal(table.count(window), index + 1);
    }
    table.setId(4096, -1);
    assert.equal(table.id(4096), -1);
    assert.equal(table.count(4096), 3);
  });

  it("halves all counts after a period of touches, and stops counting at 255", () => {
    const age = new Age(1000);
    const table = new WindowTable(age);
    for (let touch = 0; touch < 400; touch++) table.touch(3);
    assert.equal(table.count(3), 255);
    for (let touch = 0; touch < 100; touch++) table.touch(5000);
    for (let touch = 0; touch < 500; touch++) table.touch(9);
    assert.equal(age.epoch, 1);
    assert.equal(table.count(3), 127);
    assert.equal(table.count(5000), 50);
    for (let touch = 0; touch < 20_000; touch++) table.touch(9);
    assert.equal(table.count(3), 0);
  });
});
