/**
 * One process of a case that takes several, in the runtime that is measured. Says "ready", begins when told so by a line,
 * and says what it measured as JSON.
 *
 *   worker.ts ROLE FOLDER COUNT    ROLE: make-arrays, arrays, make-pairs, pairs, million, reader, writer
 */
import path from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { Chest } from "../../src/chest/main.ts";
import { keyOf } from "./stores.ts";

const MIB = 2 ** 20;
const [role = "", folder = "", number = "0"] = process.argv.slice(2);
const count = Number(number);

/** Nanoseconds of processor time so far, of all threads. */
function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

const arrayAt = (i: number): Float64Array => new Float64Array(2 ** 17).fill(i + 1);

function check(ok: boolean): void {
  if (!ok) throw new Error("the chest gave back something else");
}

const roles: Record<string, () => Record<string, number>> = {
  "make-arrays": () => {
    let sum = 0;
    for (let round = 0; round < 3; round++) for (let i = 0; i < count; i++) sum += arrayAt(i)[7]!;
    return { sum };
  },
  arrays: () => {
    const chest = new Chest<string, Float64Array>({ path: path.join(folder, "chest"), budget: 100 * MIB });
    for (let i = 0; i < count; i++) chest.set(keyOf(i), arrayAt(i));
    chest.flush();
    for (let i = 0; i < count; i++) {
      const lease = chest.lease(keyOf(i))!;
      check(lease.value[2 ** 16] === i + 1);
      lease.release();
    }
    for (let i = 0; i < count; i++) check(chest.get(keyOf(i))![5] === i + 1);
    chest.close();
    return {};
  },
  "make-pairs": () => {
    let length = 0;
    for (let i = 0; i < count; i++) length += keyOf(i).length;
    return { length };
  },
  pairs: () => {
    const options = { path: path.join(folder, "chest"), budget: 100 * MIB };
    let chest = new Chest<string, number>(options);
    for (let i = 0; i < count; i++) chest.set(keyOf(i), i);
    chest.close();
    chest = new Chest<string, number>(options);
    for (let i = 0; i < count; i++) check(chest.get(keyOf(i)) === i);
    chest.close();
    return {};
  },
  million: () => {
    const options = { path: path.join(folder, "chest"), budget: 256 * MIB };
    const chest = new Chest<string, number>(options);
    const step = Math.min(1_000_000, count / 2);
    const each = (work: (i: number) => void): { first: number; last: number; mean: number } => {
      /* Processor time of the first and the last million: what else the machine does does not count. */
      const times: number[] = [];
      const start = performance.now();
      for (let from = 0; from < count; from += step) {
        const before = processorTime();
        for (let i = from; i < from + step; i++) work(i);
        times.push((processorTime() - before) / step);
      }
      return { first: times[0]!, last: times.at(-1)!, mean: ((performance.now() - start) * 1e6) / count };
    };
    const put = each((i) => chest.set(keyOf(i), i));
    chest.flush();
    const get = each((i) => check(chest.get(keyOf(i)) === i));
    check(chest.size === count);
    const { disk } = chest.usage();
    chest.close();
    return {
      putFirst: put.first,
      putLast: put.last,
      putMean: put.mean,
      getFirst: get.first,
      getLast: get.last,
      getMean: get.mean,
      disk,
    };
  },
  reader: () => {
    const chest = new Chest<string, number>({ path: path.join(folder, "chest"), readOnly: true, budget: 16 * MIB });
    const until = performance.now() + 2000;
    const before = processorTime();
    const start = performance.now();
    let reads = 0;
    for (let i = process.pid; performance.now() < until; )
      for (let n = 0; n < 1000; n++, reads++) {
        i = (i * 48271 + 11) % count;
        check(chest.get(keyOf(i)) !== undefined);
      }
    const wall = ((performance.now() - start) * 1e6) / reads;
    const cost = { wall, processor: (processorTime() - before) / reads, reads };
    chest.close();
    return cost;
  },
  writer: () => {
    const chest = new Chest<string, number>({ path: path.join(folder, "chest"), durability: "none", budget: 16 * MIB });
    const until = performance.now() + 2000;
    const before = processorTime();
    let sets = 0;
    for (let i = 1; performance.now() < until; ) {
      for (let n = 0; n < 10_000; n++, sets++) {
        i = (i * 48271 + 11) % count;
        chest.set(keyOf(i), sets);
      }
      chest.flush();
    }
    const cost = { processor: (processorTime() - before) / sets, sets };
    chest.close();
    return cost;
  },
};

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
process.stdout.write("ready\n");
await lines.next();
const result = roles[role]!();
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
