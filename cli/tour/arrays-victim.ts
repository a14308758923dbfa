/** Counts a file again and again in a store of the arrays chapter, until it is killed: arrays-victim.ts STORE FILE. */
import fs from "node:fs";
import process from "node:process";
import { openStore } from "../../src/array/main.ts";
import { countPairs } from "./arrays.ts";

const [folder = "", file = ""] = process.argv.slice(2);
const content = fs.readFileSync(file);
const store = openStore(folder, { create: false });
const [pairs, done] = [store.array("pairs", "f64"), store.array("done", "f64")];
for (;;) {
  const transaction = store.begin();
  countPairs(content, pairs.typed());
  done.append([content.length]);
  await transaction.commit();
  fs.writeSync(1, "c");
}
