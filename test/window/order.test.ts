import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { Order } from "../../src/window/order.ts";
import { Random, seed } from "./support.ts";

describe("the order of windows", () => {
  it("is what an array would be, over random operations", () => {
    const random = new Random(seed);
    const order = new Order();
    const model: number[] = [];
    for (let operation = 0; operation < 5000; operation++) {
      const id = random.below(300);
      const at = model.indexOf(id);
      if (at < 0) {
        order.pushFront(id);
        model.unshift(id);
      } else if (random.next() < 0.5) {
        order.remove(id);
        model.splice(at, 1);
      } else {
        order.toFront(id);
        model.splice(at, 1);
        model.unshift(id);
      }
      assert.equal(order.size, model.length);
      assert.equal(order.head, model[0] ?? -1);
      assert.equal(order.tail, model.at(-1) ?? -1);
      const some = random.below(model.length || 1);
      if (model.length > 0) assert.equal(order.towardsHead(model[some] as number), model[some - 1] ?? -1);
    }
    const seen: number[] = [];
    for (let id = order.tail; id >= 0; id = order.towardsHead(id)) seen.unshift(id);
    assert.deepEqual(seen, model);
  });
});
