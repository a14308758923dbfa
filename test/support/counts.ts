import process from "node:process";

const { OUTCORE_LONG, OUTCORE_BRIEF } = process.env;

/** How many repetitions a random test makes: `long` by `npm run test:long`, `brief` in runtimes beside the first three. */
export function count(of: { readonly long: number; readonly usual: number; readonly brief: number }): number {
  if (OUTCORE_LONG) return of.long;
  return OUTCORE_BRIEF ? of.brief : of.usual;
}
