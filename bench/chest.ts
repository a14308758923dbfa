import { type ChildProcess, spawn } from "node:child_process";
import path from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { findRuntime } from "../scripts/runtimes.ts";
import type { ChestLease } from "../src/chest/main.ts";
import { Chest } from "../src/chest/main.ts";
import type { Area, Case, Context, Figures } from "./area.ts";
import { processCases } from "./chest/processes.ts";
import { type Costs, runArrays, runPairs, type Store } from "./chest/stores.ts";
import { flagsFor, runtimeFlags } from "./flags.ts";
import { median } from "./rounds.ts";

const BUDGET = 100 * 2 ** 20;
const PEER = fileURLToPath(new URL("./chest/peer.ts", import.meta.url));

class ChestStore implements Store {
  #chest: Chest<string, unknown> | undefined;
  #lease: ChestLease<unknown> | undefined;

  open(folder: string): void {
    this.#chest = new Chest<string, unknown>({ path: path.join(folder, "chest"), budget: BUDGET });
  }
  putAll(count: number, key: (i: number) => string, valueAt: (i: number) => unknown): void {
    const chest = this.#chest!;
    for (let i = 0; i < count; i++) chest.set(key(i), valueAt(i));
    chest.flush();
  }
  get(key: string): unknown {
    return this.#chest!.get(key);
  }
  lease(key: string): Uint8Array {
    const lease = this.#chest!.lease(key)!;
    this.#lease = lease;
    const view = lease.value as Float64Array;
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  }
  endLease(): void {
    this.#lease?.release();
  }
  close(): void {
    this.#chest!.close();
  }
}

/** The stores of others, in one Node process each, whichever runtime is measured; `plain` in that runtime. */
class PeerProcess {
  #child: ChildProcess;
  #lines: AsyncIterator<string>;

  constructor(name: string) {
    const [command, flags] =
      name === "plain" ? [process.execPath, runtimeFlags()] : [findRuntime("node24").command, flagsFor("node")];
    this.#child = spawn(command, [...flags, PEER], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async run(name: string, what: string, { folder }: Context, arrays: number, pairs: number): Promise<Costs> {
    this.#child.stdin!.write(`${[name, what, folder, arrays, pairs].join(" ")}\n`);
    const { value } = await this.#lines.next();
    const costs = JSON.parse(value ?? '{"error":"the peer ended"}') as Costs & { error?: string };
    if (costs.error !== undefined) throw new Error(`${name}: ${costs.error}`);
    return costs;
  }

  end(): void {
    this.#child.stdin!.end();
  }
}

const peersOf = {
  arrays: ["file", "plain", "lmdb", "classic-level", "sqlite", "map", "files"],
  pairs: ["lmdb", "classic-level", "sqlite", "map"],
};
const measured = new Map<string, Promise<Map<string, Costs>>>();

/** All steps of ours and of each peer by turns; the medians of the rounds. */
async function measure(what: "arrays" | "pairs", context: Context): Promise<Map<string, Costs>> {
  const arrays = context.quick ? 200 : 1000;
  const pairs = 100_000;
  const rounds = context.quick ? 3 : 5;
  const work = { folder: context.folder, arrays, pairs, budget: BUDGET };
  const all = new Map<string, Costs[]>();
  const peers = new Map<string, PeerProcess>();
  const names = ["ours", ...peersOf[what]];
  for (let round = 0; round <= rounds; round++) {
    /* Whoever comes next finds the memory that the one before has given back, and a disk that is still at work. */
    for (const name of round % 2 === 0 ? names : [...names].reverse()) {
      let costs: Costs;
      if (name === "ours") {
        const store = new ChestStore();
        costs = what === "arrays" ? await runArrays(store, work) : await runPairs(store, work, false);
      } else {
        let peer = peers.get(name);
        if (peer === undefined) {
          peer = new PeerProcess(name);
          peers.set(name, peer);
        }
        costs = await peer.run(name, what, context, arrays, pairs);
      }
      /* The first round is for compilers and caches. */
      if (round > 0) all.set(name, [...(all.get(name) ?? []), costs]);
    }
  }
  for (const peer of peers.values()) peer.end();
  return new Map(
    [...all].map(([name, list]) => [
      name,
      Object.fromEntries(Object.keys(list[0]!).map((step) => [step, median(list.map((each) => each[step]!))])),
    ]),
  );
}

function make(what: "arrays" | "pairs", name: string, target?: Case["target"], leftOut: readonly string[] = []): Case {
  return {
    name,
    unit: name === "disk-small" ? "bytes" : "s",
    ...(target && { target }),
    async run(context): Promise<Figures | undefined> {
      let results = measured.get(what);
      if (results === undefined) {
        results = measure(what, context);
        measured.set(what, results);
      }
      const peers: Record<string, number> = {};
      let ours = Number.NaN;
      for (const [peer, costs] of await results) {
        const cost = costs[name];
        if (cost === undefined || leftOut.includes(peer)) continue;
        if (peer === "ours") ours = cost;
        else peers[peer] = cost;
      }
      return { ours, peers };
    },
  };
}

export const area: Area = {
  programs: [],
  prepare: async () => ({}),
  cases: [
    make("arrays", "put-1MiB", { peer: "file", atMost: 1.2 }),
    make("arrays", "lease-1MiB", { peer: "lmdb", atMost: 1 / 3 }),
    make("arrays", "get-1MiB", { peer: "lmdb", atMost: 1.2 }),
    make("pairs", "put-small", { peer: "lmdb", atMost: 1.3 }),
    make("pairs", "get-small", { peer: "lmdb", atMost: 1.5 }),
    make("pairs", "get-string", { peer: "lmdb", atMost: 1.2 }),
    make("pairs", "get-hot"),
    make("pairs", "reopen", { atMost: 0.01 }, ["map"]),
    make("pairs", "disk-small", { peer: "lmdb", atMost: 2 }, ["map"]),
    ...processCases,
  ],
};
