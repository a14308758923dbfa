import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { findRuntime } from "../../scripts/runtimes.ts";
import { type ArrayStore, type BigArray, openStore } from "../../src/array/main.ts";
import type { Context, Figures } from "../area.ts";
import { Peer } from "../peer.ts";
import { interleave, type Participant } from "../rounds.ts";

/** Bytes of the arrays of most cases. */
export function sizeOf({ quick }: Context): number {
  return quick ? 2 ** 26 : 2 ** 28;
}

export function emptyStore(context: Context): ArrayStore {
  return openStore(fs.mkdtempSync(path.join(context.folder, "store-")));
}

/** A store of its own for each case: an f64 array of `bytes`, written once. */
export async function prepared(
  context: Context,
  bytes: number,
): Promise<{ store: ArrayStore; array: BigArray<"f64"> }> {
  const store = emptyStore(context);
  await store.transact(() => store.create("a", { dtype: "f64", shape: bytes / 8 }));
  const array = store.array("a", "f64");
  await store.transact(() => array.fill(1));
  await store.checkpoint();
  return { store, array };
}

/** Closes a store and removes it: the disk is for the next. */
export function remove(store: ArrayStore): void {
  store.close();
  fs.rmSync(store.folder, { recursive: true, force: true });
}

/** Seconds. */
export async function timed(work: () => unknown): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

/** Lets what a commit left for later be done. */
export function rest(milliseconds = 0): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Ours, the C program and other peers in turns. */
export async function against(
  context: Context,
  peers: Readonly<Record<string, { peer: Peer | undefined; line: string }>>,
  options: { rounds: number; warmup?: number },
  ours: Participant,
): Promise<Figures> {
  const there = Object.entries(peers).flatMap(([name, { peer, line }]) => (peer ? [{ name, peer, line }] : []));
  try {
    const participants: Record<string, Participant> = { ours };
    for (const { name, peer, line } of there) participants[name] = () => peer.ask(line);
    const costs = await interleave(participants, { warmup: 2, ...options });
    const { ours: cost = Number.NaN, ...others } = costs;
    return { ours: cost, peers: others };
  } finally {
    for (const { peer } of there) await peer.end();
    for (const name of fs.readdirSync(context.folder))
      if (/^(floor|numpy|lmdb)/.test(name))
        fs.rmSync(path.join(context.folder, name), { recursive: true, force: true });
  }
}

export function floor(context: Context): Peer {
  return new Peer(context.programs["c-array"] ?? "", [context.folder]);
}

/** numpy.memmap, where python3 has it. */
export function numpy(context: Context): Peer | undefined {
  if (spawnSync("python3", ["-c", "import numpy"]).status !== 0) return undefined;
  const program = fileURLToPath(new URL("../peers/py-memmap.py", import.meta.url));
  return new Peer("python3", [program, context.folder]);
}

/** lmdb with blocks of so many bytes, where it is installed. */
export function lmdb(context: Context, block: number, bytes: number): Peer | undefined {
  try {
    createRequire(import.meta.url).resolve("lmdb");
  } catch {
    return undefined;
  }
  const program = fileURLToPath(new URL("./lmdb.ts", import.meta.url));
  return new Peer(findRuntime("node24").command, [program, context.folder, `${block}`, `${bytes}`]);
}
