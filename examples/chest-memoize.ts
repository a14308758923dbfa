/** A slow function whose answers outlive the process: `chest-memoize.ts FOLDER N`. */
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { Chest } from "outcore/chest";

const [folder, text = "10"] = process.argv.slice(2);
const answers = new Chest<readonly [string, number], number>(folder === undefined ? {} : { path: folder });
let calls = 0;

/** However many ask for one number at once, it is worked out once. */
const square = (n: number): Promise<number> =>
  answers.memoize(["square", n], async () => {
    calls++;
    await setTimeout(5);
    return n * n;
  });

const sums = await Promise.all(Array.from({ length: Number(text) * 3 }, (_, i) => square(i % Number(text))));
console.log(`${sums.length} answers, ${calls} worked out`);
answers.close();
