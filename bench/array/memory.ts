import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { type ArrayStore, openStore } from "../../src/array/main.ts";
import { DataFile } from "../../src/memory/data-file.ts";
import { Mapping } from "../../src/memory/main.ts";
import type { Case, Context } from "../area.ts";
import { randomIntegers } from "../random.ts";
import { interleave, median } from "../rounds.ts";
import { emptyStore, prepared, remove, rest, sizeOf, timed } from "./stores.ts";

/** As c/outcore.h counts kinds of advice. */
const DONTNEED = 4;

function sum(values: Float64Array): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i] as number;
  return total;
}

/** The array's file beside it as a plain mapping of the same runtime. */
const warm: Case = {
  name: "scan-warm",
  unit: "s",
  target: { peer: "mmap", atMost: 1.05 },
  async run(context) {
    const { store, array } = await prepared(context, sizeOf(context));
    const mapping = Mapping.open(path.join(store.folder, "a1.dat"));
    const plain = mapping.view("f64", 0, array.size);
    const { ours = Number.NaN, mmap = Number.NaN } = await interleave(
      { ours: () => timed(() => sum(array.typed())), mmap: () => timed(() => sum(plain)) },
      { rounds: 9, warmup: 3 },
    );
    mapping.close();
    remove(store);
    return { ours, peers: { mmap } };
  },
};

/** Opened anew, with nothing of the file in memory. */
const cold: Case = {
  name: "scan-cold",
  unit: "s",
  async run(context) {
    const { store } = await prepared(context, sizeOf(context));
    const { folder } = store;
    const home = path.join(folder, "a1.dat");
    store.close();
    const evict = (): void => {
      const file = DataFile.open(home, true);
      file.sync();
      file.advise(DONTNEED, 0, 0);
      file.close();
    };
    const { ours = Number.NaN, mmap = Number.NaN } = await interleave(
      {
        ours: async () => {
          evict();
          const opened = openStore(folder);
          const cost = await timed(() => sum(opened.array("a", "f64").typed()));
          opened.close();
          return cost;
        },
        mmap: async () => {
          evict();
          const mapping = Mapping.open(home);
          const cost = await timed(() => sum(mapping.view("f64", 0, mapping.length / 8)));
          mapping.close();
          return cost;
        },
      },
      { rounds: 5, warmup: 1 },
    );
    fs.rmSync(folder, { recursive: true });
    return { ours, peers: { mmap } };
  },
};

const abort: Case = {
  name: "abort-page",
  unit: "s",
  target: { atMost: 15e-6 },
  async run(context) {
    const { store, array } = await prepared(context, sizeOf(context));
    const random = randomIntegers(2);
    const view = array.typed();
    const { ours = Number.NaN } = await interleave(
      {
        ours: async () => {
          const transaction = store.begin();
          for (let i = 0; i < 1000; i++) view[random(view.length)] = i;
          return (await timed(() => transaction.abort())) / 1000;
        },
      },
      { rounds: 15, warmup: 5 },
    );
    remove(store);
    return { ours, peers: {} };
  },
};

const begin: Case = {
  name: "begin",
  unit: "s",
  target: { atMost: 10e-6 },
  async run(context) {
    const { store } = await prepared(context, 2 ** 20);
    const { ours = Number.NaN } = await interleave(
      {
        ours: () => {
          let cost = 0;
          for (let i = 0; i < 1000; i++) {
            const started = performance.now();
            const transaction = store.begin();
            cost += performance.now() - started;
            transaction.abort();
          }
          return cost / 1e6;
        },
      },
      { rounds: 9, warmup: 2 },
    );
    remove(store);
    return { ours, peers: {} };
  },
};

const dirtyScan: Case = {
  name: "dirty-scan",
  unit: "s",
  target: (context: Context) => ({ atMost: (0.01 * sizeOf(context)) / 2 ** 30 }),
  async run(context) {
    const { store, array } = await prepared(context, sizeOf(context));
    array.sum();
    const { ours = Number.NaN } = await interleave(
      { ours: () => timed(() => store.engine.view(1, 0).changed(array.nbytes, store.engine.dirtyWay)) },
      { rounds: 9, warmup: 2 },
    );
    remove(store);
    return { ours, peers: {} };
  },
};

/** A log of 64 MiB, left by somebody who died. */
const recovery: Case = {
  name: "recovery",
  unit: "s",
  target: { atMost: 1 },
  async run(context) {
    const costs: number[] = [];
    for (let round = 0; round < 3; round++) {
      const { store } = await prepared(context, 2 ** 24);
      const { folder } = store;
      store.close();
      const again = openStore(folder, { segmentBytes: 2 ** 28 });
      const same = again.array("a", "f64");
      for (let i = 0; i < 4; i++) await again.transact(() => same.fill(i + 2));
      if (again.engine.logBytes < 2 ** 26) throw new Error(`a log of ${again.engine.logBytes} bytes`);
      again.engine[Symbol.dispose]();
      let opened: ArrayStore | undefined;
      costs.push(
        await timed(() => {
          opened = openStore(folder);
        }),
      );
      if (opened !== undefined) remove(opened);
    }
    return { ours: median(costs), peers: {} };
  },
};

const terabyte: Case = {
  name: "terabyte",
  unit: "s",
  target: { atMost: 1 },
  async run(context) {
    const random = randomIntegers(3);
    const costs: number[] = [];
    for (let round = 0; round < 3; round++) {
      const store = emptyStore(context);
      costs.push(
        await timed(() =>
          store.transact(() => {
            const big = store.create("big", { dtype: "f64", shape: 2 ** 37 });
            for (let i = 0; i < 1000; i++) big.typed(random(2 ** 37), 1)[0] = i;
          }),
        ),
      );
      remove(store);
    }
    return { ours: median(costs), peers: {} };
  },
};

/** Private memory of the process after a commit of 10 000 pages, over what it was before. */
const resident: Case = {
  name: "resident-after",
  unit: "MiB",
  target: { atMost: 8 },
  async run(context) {
    const { store, array } = await prepared(context, sizeOf(context));
    const view = array.typed();
    const anonymous = (): number =>
      Number(/^RssAnon:\s*(\d+)/m.exec(fs.readFileSync(`/proc/${process.pid}/status`, "utf8"))?.[1] ?? Number.NaN);
    const commit = async (round: number): Promise<void> => {
      const transaction = store.begin();
      for (let i = 0; i < 10_000; i++) view[i * 512] = round;
      await transaction.commit();
      await rest(20);
    };
    for (let i = 0; i < 5; i++) await commit(i);
    const before = anonymous();
    for (let i = 0; i < 5; i++) await commit(i + 10);
    const ours = (anonymous() - before) / 1024;
    remove(store);
    return { ours: Math.max(0, ours), peers: {} };
  },
};

export const memoryCases: readonly Case[] = [warm, cold, abort, begin, dirtyScan, recovery, terabyte, resident];
