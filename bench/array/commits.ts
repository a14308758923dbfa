import type { Case } from "../area.ts";
import { randomIntegers } from "../random.ts";
import { against, emptyStore, floor, lmdb, numpy, prepared, remove, rest, sizeOf, timed } from "./stores.ts";

/** Changes 1000 random elements of a GiB. */
const sparse: Case = {
  name: "commit-sparse",
  unit: "s",
  target: { peer: "c-floor", atMost: 2 },
  async run(context) {
    const size = context.quick ? 2 ** 28 : 2 ** 30;
    const { store, array } = await prepared(context, size);
    const random = randomIntegers(1);
    const view = array.typed();
    const peers = {
      "c-floor": { peer: floor(context), line: "commit-sparse" },
      "lmdb-4k": { peer: lmdb(context, 2 ** 12, size), line: "commit 1000" },
      "lmdb-64k": { peer: lmdb(context, 2 ** 16, size), line: "commit 1000" },
    };
    const figures = await against(context, peers, { rounds: 15, warmup: 5 }, async (round) => {
      const transaction = store.begin();
      for (let i = 0; i < 1000; i++) view[random(view.length)] = round + i + 2;
      return timed(() => transaction.commit());
    });
    remove(store);
    return figures;
  },
};

/** The same with all that a commit leaves for later: begin, write, commit, begin. */
const cycle: Case = {
  name: "cycle-sparse",
  unit: "s",
  async run(context) {
    const { store, array } = await prepared(context, context.quick ? 2 ** 28 : 2 ** 30);
    const random = randomIntegers(1);
    const view = array.typed();
    const peers = { "c-floor": { peer: floor(context), line: "commit-sparse" } };
    const figures = await against(context, peers, { rounds: 15, warmup: 5 }, (round) =>
      timed(async () => {
        const transaction = store.begin();
        for (let i = 0; i < 1000; i++) view[random(view.length)] = round + i + 2;
        await transaction.commit();
        store.begin().abort();
      }),
    );
    remove(store);
    return figures;
  },
};

const logGrowth: Case = {
  name: "log-growth",
  unit: "MiB",
  target: { atMost: 5e6 / 2 ** 20 },
  async run(context) {
    const { store, array } = await prepared(context, 2 ** 28);
    const random = randomIntegers(1);
    const view = array.typed();
    const before = store.engine.logBytes;
    const transaction = store.begin();
    for (let i = 0; i < 1000; i++) view[random(view.length)] = i + 2;
    await transaction.commit();
    const grown = store.engine.logBytes - before;
    await store.checkpoint();
    const left = store.engine.logBytes;
    remove(store);
    if (left > 0) throw new Error(`${left} bytes are left after a checkpoint`);
    return { ours: grown / 2 ** 20, peers: {} };
  },
};

const one: Case = {
  name: "commit-1",
  unit: "s",
  target: { peer: "c-floor", atMost: 1.4 },
  async run(context) {
    const { store, array } = await prepared(context, 2 ** 24);
    const peers = { "c-floor": { peer: floor(context), line: "commit-1" } };
    const figures = await against(context, peers, { rounds: 200, warmup: 200 }, async (round) => {
      const transaction = store.begin();
      array.typed((round * 600) % array.size, 1)[0] = round + 2;
      const cost = await timed(() => transaction.commit());
      await rest();
      return cost;
    });
    remove(store);
    return figures;
  },
};

const append: Case = {
  name: "append-1MiB",
  unit: "s",
  target: { peer: "c-floor", atMost: 1.5 },
  async run(context) {
    const { store, array } = await prepared(context, 2 ** 20);
    const values = new Float64Array(2 ** 17).fill(3);
    const peers = { "c-floor": { peer: floor(context), line: "append" } };
    const figures = await against(context, peers, { rounds: 30, warmup: 5 }, () => {
      const transaction = store.begin();
      return timed(() => {
        array.append(values);
        return transaction.commit();
      });
    });
    remove(store);
    return figures;
  },
};

function fill(name: string, view: boolean): Case {
  return {
    name,
    unit: "s",
    target: view ? { peer: "numpy-memmap", atMost: 2 } : { peer: "c-floor", atMost: 1.33 },
    async run(context) {
      const bytes = sizeOf(context);
      const store = emptyStore(context);
      const peers = {
        "c-floor": { peer: floor(context), line: `fill ${bytes}` },
        "numpy-memmap": { peer: numpy(context), line: `fill ${bytes}` },
      };
      const figures = await against(context, peers, { rounds: 5, warmup: 1 }, async (round) => {
        const transaction = store.begin();
        const array = store.create(`a${round}`, { dtype: "f64", shape: bytes / 8 });
        const cost = await timed(() => {
          if (view) array.typed().fill(round + 1);
          else array.fill(round + 1);
          return transaction.commit();
        });
        await store.transact(() => store.drop(`a${round}`));
        await store.checkpoint();
        return cost;
      });
      remove(store);
      return figures;
    },
  };
}

const over: Case = {
  name: "fill-view-over",
  unit: "s",
  target: { peer: "numpy-memmap", atMost: 4 },
  async run(context) {
    const bytes = sizeOf(context);
    const { store, array } = await prepared(context, bytes);
    const view = array.typed();
    const peers = {
      "c-floor": { peer: floor(context), line: `over ${bytes}` },
      "numpy-memmap": { peer: numpy(context), line: `over ${bytes}` },
    };
    const figures = await against(context, peers, { rounds: 5, warmup: 1 }, async (round) => {
      const transaction = store.begin();
      const cost = await timed(() => {
        view.fill(round + 2);
        return transaction.commit();
      });
      await store.checkpoint();
      return cost;
    });
    remove(store);
    return figures;
  },
};

export const commitCases: readonly Case[] = [
  one,
  sparse,
  cycle,
  logGrowth,
  append,
  fill("fill-bulk", false),
  fill("fill-view", true),
  over,
];
