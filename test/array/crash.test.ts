import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "vitest";
import { type Mutations, mutations } from "../../src/array/page-log.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";
import { explore } from "./explorer.ts";

cleanTempAfterEach();

const seed = Number(process.env.OUTCORE_SEED ?? 1);
const histories = process.env.OUTCORE_LONG ? 10_000 : 1000;

describe("power loss", () => {
  it(`in ${histories} random places loses no durable transaction and shows no half of any`, async () => {
    assert.deepEqual(await explore(tempFolder(), seed, histories), []);
  });

  const mutants: readonly (keyof Mutations)[] = ["noLogSync", "noHomeSync", "noDirectSync", "noPageSums", "noTruncate"];
  for (const name of mutants)
    it(`is survived only with every part of the protocol: ${name} is noticed`, async () => {
      mutations[name] = true;
      try {
        let found = 0;
        for (let round = 0; round < 8 && found === 0; round++)
          found = (await explore(tempFolder(), 5 + round, 200)).length;
        assert.ok(found > 0);
      } finally {
        mutations[name] = false;
      }
    });
});
