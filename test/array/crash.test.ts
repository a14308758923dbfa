import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "vitest";
import { type Mutations, mutations } from "../../src/array/mutations.ts";
import { count } from "../support/counts.ts";
import { cleanTempAfterEach } from "../support/temp.ts";
import { fastFolder } from "./disk.ts";
import { explore } from "./explorer.ts";

cleanTempAfterEach();

const seed = Number(process.env.OUTCORE_SEED ?? 1);
/* The six runtimes of continuous integration together see 10 000. The lost power is not real, so memory will do. */
const histories = count({ long: 100_000, usual: 2800, brief: 600 });

describe("power loss", () => {
  it("in random places loses no durable transaction and shows no half of any", async () => {
    assert.deepEqual(await explore(fastFolder(), seed, histories), []);
  }, 1_800_000);

  const mutants: readonly (keyof Mutations)[] = [
    "noLogSync",
    "noHomeSync",
    "noDirectSync",
    "noPageSums",
    "noTruncate",
    "noUnwrite",
    "ignoreSnapshots",
    "recycleEarly",
    "trustHomes",
    "trustLog",
    "trustFailed",
  ];
  for (const name of mutants)
    it(`is survived only with every part of the protocol: ${name} is noticed`, async () => {
      Object.assign(mutations, { [name]: true });
      try {
        let found = 0;
        for (let round = 0; round < 20 && found === 0; round++)
          found = (await explore(fastFolder(), 5 + round, 200).catch(() => ["fails"])).length;
        assert.ok(found > 0);
      } finally {
        Object.assign(mutations, { [name]: undefined });
      }
    }, 120_000);
});
