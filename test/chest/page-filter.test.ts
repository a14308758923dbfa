import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { KeyBytes } from "../../src/chest/keys.ts";
import { PageFilter } from "../../src/chest/log/page-filter.ts";

const PAGES = 100;
/** As many keys as pages hold before the index grows. */
const KEYS: number = PAGES * 290;

describe("what is remembered of pages of the index that are not mapped", () => {
  it("excludes no key that is there, and nearly every one that is not", () => {
    const filter = new PageFilter(PAGES);
    const key = new KeyBytes(3);
    const page = (): number => Math.floor((key.h1 * PAGES) / 2 ** 32);
    for (let i = 0; i < KEYS; i++) {
      key.set(i);
      filter.add(page(), key.h1, key.tag);
    }
    for (let each = 0; each < PAGES; each += 2) filter.learn(each);
    let others = 0;
    let taken = 0;
    for (let i = 0; i < 2 * KEYS; i++) {
      key.set(i);
      const excluded = filter.excludes(page(), key.h1, key.tag);
      assert.equal(filter.knows(page()), page() % 2 === 0);
      if (i < KEYS || page() % 2 === 1) assert.equal(excluded, false);
      else {
        others++;
        if (!excluded) taken++;
      }
    }
    assert.ok(taken < others * 0.06, `${taken} of ${others} keys are taken to be there`);
    assert.equal(filter.bytes, PageFilter.bytesFor(PAGES));
  });
});
