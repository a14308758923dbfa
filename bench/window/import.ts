import { spawnSync } from "node:child_process";
import process from "node:process";
import type { Case, Context, Figures } from "../area.ts";
import { runtimeFlags } from "../flags.ts";
import { median } from "../rounds.ts";

/** Nanoseconds that a fresh process takes to import a module. */
function importCost(probe: string, module: string): number {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...runtimeFlags(), probe, module], {
    encoding: "utf8",
  });
  const cost = Number(stdout.trim());
  if (status !== 0 || !Number.isFinite(cost) || cost === 0) throw new Error(`import of ${module}: ${stdout}${stderr}`);
  return cost;
}

/** Imports the npm package as it would be published; the peer is a module with nothing in it. */
async function run({ prepared, quick }: Context): Promise<Figures | undefined> {
  const { probe, packaged, emptyModule } = prepared;
  if (!packaged) return undefined;
  const ours: number[] = [];
  const empty: number[] = [];
  for (let i = 0; i < (quick ? 7 : 15); i++) {
    empty.push(importCost(String(probe), String(emptyModule)));
    ours.push(importCost(String(probe), String(packaged)));
  }
  return { ours: median(ours), peers: { "empty-module": median(empty) } };
}

export const importCases: readonly Case[] = [{ name: "import", unit: "ns", target: { atMost: 5e6 }, run }];
