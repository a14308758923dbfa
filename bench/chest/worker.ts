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
/** Milliseconds. */
const WARM_UP = 2000;
const MEASURED = 3000;
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

type Result = Record<string, number>;

/** One of several processes that share a chest. */
function openBeside(options: { readOnly?: boolean; durability?: "none" }): Chest<string, number> {
  return new Chest<string, number>({ path: path.join(folder, "chest"), budget: 16 * MIB, ...options });
}

/** All keys, each once in `count`, in an order of this process's own. */
function keys(): () => string {
  let i = process.pid % count;
  return () => {
    i = (i * 48261 + 11) % count;
    return keyOf(i);
  };
}

/** Repeats `work`, which says how often it did something: first until the engine has compiled it, then when told so. */
function warmed(work: () => number): () => Result {
  const repeat = (milliseconds: number): number => {
    let done = 0;
    for (const until = performance.now() + milliseconds; performance.now() < until; ) done += work();
    return done;
  };
  repeat(WARM_UP);
  return () => {
    const before = processorTime();
    const start = performance.now();
    const done = repeat(MEASURED);
    return { wall: ((performance.now() - start) * 1e6) / done, processor: (processorTime() - before) / done };
  };
}

const roles: Record<string, () => Result> = {
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
};

/** What these do first is done before "ready". */
const warmedRoles: Record<string, () => () => Result> = {
  reader: () => {
    const chest = openBeside({ readOnly: true });
    const next = keys();
    return warmed(() => {
      for (let n = 0; n < 1000; n++) check(chest.get(next()) !== undefined);
      return 1000;
    });
  },
  writer: () => {
    const chest = openBeside({ durability: "none" });
    const next = keys();
    let value = 0;
    return warmed(() => {
      for (let n = 0; n < 10_000; n++) chest.set(next(), value++);
      chest.flush();
      return 10_000;
    });
  },
};

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const run = warmedRoles[role]?.() ?? roles[role]!;
process.stdout.write("ready\n");
await lines.next();
const result = run();
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
