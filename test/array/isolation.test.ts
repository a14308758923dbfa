import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "vitest";
import { mutations } from "../../src/array/mutations.ts";
import { cleanTempAfterEach } from "../support/temp.ts";
import { fastFolder } from "./disk.ts";
import { interleave } from "./interleavings.ts";

cleanTempAfterEach();

const seed = Number(process.env.OUTCORE_SEED ?? 1);
const count = process.env.OUTCORE_LONG ? 5000 : 120;

describe("snapshot isolation", () => {
  it(`holds in ${count} random interleavings of four connections, ENOSPC included`, async () => {
    assert.deepEqual(await interleave(fastFolder(), seed, count), []);
  }, 1_800_000);

  const mutants = { noConflicts: true, ignoreSnapshots: true, recycleEarly: true, earlyLook: true, lateSlot: () => {} };
  for (const [name, value] of Object.entries(mutants))
    it(`holds only with every part of the protocol: ${name} is noticed`, async () => {
      Object.assign(mutations, { [name]: value });
      try {
        let found = 0;
        for (let round = 0; round < 30 && found === 0; round++)
          found = (await interleave(fastFolder(), 5 + round, 10)).length;
        assert.ok(found > 0);
      } finally {
        Object.assign(mutations, { [name]: undefined });
      }
    }, 120_000);
});
