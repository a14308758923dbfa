import fs from "node:fs";
import path from "node:path";
import { type ArrayStore, type BigArray, openStore } from "../src/array/main.ts";
import { Mapping } from "../src/memory/main.ts";
import type { Area, Case, Context, Figures } from "./area.ts";
import { Peer } from "./peer.ts";
import { randomIntegers } from "./random.ts";
import { interleave } from "./rounds.ts";

const MICRO = 1000;

function sizeOf({ quick }: Context): number {
  return quick ? 2 ** 26 : 2 ** 28;
}

/** A store of its own for each case: an f64 array of `bytes`, written once. */
async function prepared(context: Context, bytes: number): Promise<{ store: ArrayStore; array: BigArray<"f64"> }> {
  const store = openStore(fs.mkdtempSync(path.join(context.folder, "store-")));
  await store.transact(() => store.create("a", { dtype: "f64", shape: bytes / 8 }));
  const array = store.array("a", "f64");
  await store.transact(() => array.fill(1));
  await store.checkpoint();
  return { store, array };
}

async function timed(work: () => unknown): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) * MICRO;
}

/** Ours and the C program in turns. */
async function againstFloor(
  context: Context,
  op: string,
  rounds: number,
  ours: (round: number) => number | Promise<number>,
): Promise<Figures> {
  const peer = new Peer(context.programs["c-array"] ?? "", [context.folder]);
  try {
    const { ours: cost = Number.NaN, "c-floor": floor = Number.NaN } = await interleave(
      { ours, "c-floor": () => peer.ask(op) },
      { rounds, warmup: 2 },
    );
    return { ours: cost, peers: { "c-floor": floor } };
  } finally {
    await peer.end();
  }
}

const cases: Case[] = [
  {
    name: "commit-1",
    unit: "us",
    target: { peer: "c-floor", atMost: 1.4 },
    async run(context) {
      const { store, array } = await prepared(context, 2 ** 24);
      const figures = await againstFloor(context, "commit-1", 40, (round) => {
        const transaction = store.begin();
        array.typed(round * 600, 1)[0] = round + 2;
        return timed(() => transaction.commit());
      });
      store.close();
      return figures;
    },
  },
  {
    name: "commit-sparse",
    unit: "us",
    target: { peer: "c-floor", atMost: 2 },
    async run(context) {
      const size = context.quick ? 2 ** 28 : 2 ** 30;
      const { store, array } = await prepared(context, size);
      const random = randomIntegers(1);
      const view = array.typed();
      const figures = await againstFloor(context, "commit-sparse", 10, (round) => {
        const transaction = store.begin();
        for (let i = 0; i < 1000; i++) view[random(view.length)] = round + i + 2;
        return timed(() => transaction.commit());
      });
      store.close();
      return figures;
    },
  },
  {
    name: "append-1MiB",
    unit: "us",
    target: { peer: "c-floor", atMost: 1.5 },
    async run(context) {
      const { store, array } = await prepared(context, 2 ** 20);
      const values = new Float64Array(2 ** 17).fill(3);
      const figures = await againstFloor(context, "append", 20, () => {
        const transaction = store.begin();
        return timed(() => {
          array.append(values);
          return transaction.commit();
        });
      });
      store.close();
      return figures;
    },
  },
  {
    name: "fill-bulk",
    unit: "us",
    target: { peer: "c-floor", atMost: 1.33 },
    async run(context) {
      const bytes = sizeOf(context);
      const store = openStore(fs.mkdtempSync(path.join(context.folder, "store-")));
      const figures = await againstFloor(context, `fill ${bytes}`, 3, async (round) => {
        const transaction = store.begin();
        const array = store.create(`a${round}`, { dtype: "f64", shape: bytes / 8 });
        const cost = await timed(() => {
          array.fill(round + 1);
          return transaction.commit();
        });
        await store.transact(() => store.drop(`a${round}`));
        await store.checkpoint();
        return cost;
      });
      store.close();
      return figures;
    },
  },
  {
    name: "scan-warm",
    unit: "us",
    target: { peer: "mmap", atMost: 1.05 },
    async run(context) {
      const { store, array } = await prepared(context, sizeOf(context));
      const mapping = Mapping.open(path.join(store.folder, "a1.dat"));
      const plain = mapping.view("f64", 0, array.size);
      const sum = (values: Float64Array): number => {
        let total = 0;
        for (let i = 0; i < values.length; i++) total += values[i] as number;
        return total;
      };
      const { ours = Number.NaN, mmap = Number.NaN } = await interleave(
        { ours: () => timed(() => sum(array.typed())), mmap: () => timed(() => sum(plain)) },
        { rounds: 5, warmup: 2 },
      );
      mapping.close();
      store.close();
      return { ours, peers: { mmap } };
    },
  },
  {
    name: "abort-page",
    unit: "us",
    target: { atMost: 15 },
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
        { rounds: 9, warmup: 2 },
      );
      store.close();
      return { ours, peers: {} };
    },
  },
  {
    name: "begin",
    unit: "us",
    target: { atMost: 10 },
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
            return cost;
          },
        },
        { rounds: 9, warmup: 2 },
      );
      store.close();
      return { ours, peers: {} };
    },
  },
  {
    name: "dirty-scan",
    unit: "us",
    target: (context) => ({ atMost: (10_000 * sizeOf(context)) / 2 ** 30 }),
    async run(context) {
      const { store, array } = await prepared(context, sizeOf(context));
      array.sum();
      const { ours = Number.NaN } = await interleave(
        { ours: () => timed(() => store.engine.view(1, 0).changed(array.nbytes, store.engine.dirtyWay)) },
        { rounds: 9, warmup: 2 },
      );
      store.close();
      return { ours, peers: {} };
    },
  },
  {
    name: "recovery",
    unit: "us",
    target: { atMost: 1e6 },
    async run(context) {
      const { store, array } = await prepared(context, 2 ** 24);
      const { folder } = store;
      store.close();
      const again = openStore(folder, { segmentBytes: 2 ** 28 });
      const same = again.array("a", array.dtype);
      for (let i = 0; i < 4; i++) await again.transact(() => same.fill(i + 2));
      again.engine[Symbol.dispose]();
      const ours = await timed(() => openStore(folder).close());
      return { ours, peers: {} };
    },
  },
  {
    name: "terabyte",
    unit: "us",
    target: { atMost: 1e6 },
    async run(context) {
      const store = openStore(fs.mkdtempSync(path.join(context.folder, "store-")));
      const random = randomIntegers(3);
      const ours = await timed(() =>
        store.transact(() => {
          const big = store.create("big", { dtype: "f64", shape: 2 ** 37 });
          for (let i = 0; i < 1000; i++) big.typed(random(2 ** 37), 1)[0] = i;
        }),
      );
      store.close();
      return { ours, peers: {} };
    },
  },
];

export const area: Area = { programs: ["c-array"], prepare: () => Promise.resolve({}), cases };
