import fs from "node:fs";
import { Command } from "commander";
import { openStore } from "../../src/array/main.ts";
import { countPairs } from "./pairs.ts";

async function run(folder: string, file: string): Promise<void> {
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
}

/** For the chapter on arrays: counts a file again and again, and prints a "c" for each commit, until it is killed. */
export function arraysVictimCommand(): Command {
  return new Command("tour-arrays-victim").argument("<store>").argument("<file>").action(run);
}
