import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { native } from "../../ffi/load.ts";
import { Mapping } from "../../src/memory/main.ts";
import { waitByTimer } from "../../src/memory/timed-wait.ts";
import { waitForWord } from "../../src/memory/waiter.ts";

/** A word of anonymous memory, and its address. */
function word(): { words: Int32Array; address: number; close(): void } {
  const mapping = Mapping.anonymous(4096);
  const words = mapping.view("i32", 0, 16);
  return { words, address: mapping.addressOf(0), close: () => mapping.close() };
}

const ways = { "the waiter thread": waitForWord, timers: waitByTimer };

for (const [way, wait] of Object.entries(ways))
  describe(`a wait for a word, by ${way}`, () => {
    it("ends at once when the word is another already", async () => {
      const { address, close } = word();
      assert.equal(await wait(address, 5, 60_000, true).done, true);
      close();
    });

    it("ends when the word changes, each of several", async () => {
      const { words, address, close } = word();
      const waits = [
        wait(address, 0, 60_000, true),
        wait(address, 0, 60_000, true),
        wait(address + 4, 0, 60_000, true),
      ];
      setTimeout(() => {
        Atomics.store(words, 0, 1);
        native().calls.oc_wake(address, 0);
      }, 5);
      assert.deepEqual(await Promise.all(waits.slice(0, 2).map(({ done }) => done)), [true, true]);
      waits[2]?.cancel();
      assert.equal(await waits[2]?.done, false);
      close();
    });

    it("ends when the time is over", async () => {
      const { address, close } = word();
      assert.equal(await wait(address, 0, 20, true).done, true);
      close();
    });

    it("ends when it is cancelled, once", async () => {
      const { words, address, close } = word();
      const waiting = wait(address, 0, 60_000, true);
      waiting.cancel();
      waiting.cancel();
      Atomics.store(words, 0, 1);
      assert.equal(await waiting.done, false);
      close();
    });
  });

describe("a wait for a word whose writer wakes nobody", () => {
  it("ends when the word changes", async () => {
    const { words, address, close } = word();
    const waits = [0, 1, 2].map(() => waitForWord(address, 0, 60_000, true, true));
    setTimeout(() => Atomics.store(words, 0, 1), 5);
    for (const { done } of waits) assert.equal(await done, true);
    close();
  });

  it("ends when the time is over, or when it is cancelled", async () => {
    const { address, close } = word();
    assert.equal(await waitForWord(address, 0, 20, true, true).done, true);
    const waiting = waitForWord(address, 0, 60_000, true, true);
    waiting.cancel();
    assert.equal(await waiting.done, false);
    close();
  });
});
