import type { Area } from "./area.ts";
import { commitCases } from "./array/commits.ts";
import { memoryCases } from "./array/memory.ts";

export const area: Area = {
  programs: ["c-array"],
  prepare: () => Promise.resolve({}),
  cases: [...commitCases, ...memoryCases],
};
